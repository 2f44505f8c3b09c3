"""One stream's log on the writing side: commits, new segments, eviction, faults (I/O through the port only).

Everything here runs in the ring's writer thread, except `ack` and `backlog`.

    commit   pages written, one sync                                    durable when the sync returned
    fault    EIO: the same frames go to another slot, nothing is retried in place; the slot is not written again
"""

import logging
from collections.abc import Callable

from edge.errors import LocalStateError, RingError
from edge.model import SEQ_BITS
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.batch import STATE_BYTES, Commit, carries_state, data_frames
from edge.ring.dictionary import dict_payloads
from edge.ring.frame import (
    PAGE_BYTES,
    PAGE_PAYLOAD_BYTES,
    Frame,
    FrameFlag,
    FrameType,
    Packer,
    encode_frame,
    frame_pages,
    new_packer,
    unpack_first,
)
from edge.ring.fs import MEDIUM_ERRORS
from edge.ring.layout import MAX_ANCHORS
from edge.ring.losses import LossReason
from edge.ring.pool import SlotPool, StreamFull
from edge.ring.records import moment_of
from edge.ring.seal import SEAL_BYTES
from edge.ring.segment import Run, Segment
from edge.ring.slots import Condition, Slot
from edge.ring.timebase import Anchor, Timebase, encode_anchor, valid_at
from edge.ring.turnover import Turnover
from edge.ring.view import StreamView

log = logging.getLogger(__name__)

MAX_SLOTS_TRIED = 3
ACK_FRAME_LIMIT_BYTES = 3_000      # with the losses it stays within one page
ACKS_UNTIL_DUE = 1000


class StreamLog:
    """The writer of one stream."""

    def __init__(self, view: StreamView, pool: SlotPool, run: Run, entropy: Callable[[int], bytes],
                 now: Callable[[], Anchor], *, sealed: bool = False) -> None:
        """Take over a loaded stream for a new run. Nothing is written before `begin`. `sealed`: see Turnover."""
        self.view, self.pool = view, pool
        self._turnover = Turnover(view, pool, run, entropy, now, sealed=sealed)
        self._seal_bytes = SEAL_BYTES if sealed else 0
        self._page_bytes = PAGE_PAYLOAD_BYTES - self._seal_bytes
        self.rows_bytes = self._page_bytes - STATE_BYTES      # of records that surely fit a page
        self.tally = self._turnover.tally
        self._pack: Packer = new_packer()
        self._entries_written = 0
        self._anchors: tuple[Anchor, ...] = ()
        self.written = view.next_ordinal       # all below is on flash, or acknowledged as flash knows
        self._stated_floor = 0                 # all below is acknowledged in the state packed last
        self._stated = (), b""                 # that state: what it depends on, and packed
        self.acks_unwritten = 0
        self._clean = view.state.losses.own_no == view.state.losses.last_no    # flash has the state in memory
        self.begun = False

    @property
    def run(self) -> Run:
        """The run that writes."""
        return self._turnover.run

    @run.setter
    def run(self, run: Run) -> None:
        self._turnover.run = run

    # ---- the run -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the run durable, so that its numbers can never be given twice: two OPEN frames, or a first header.

        Raises OSError.
        """
        self.view.epoch = self.run.epoch
        if self.view.active is None or not self._turnover.suits(self.view.active):
            self._rotate()
        else:
            clock = self.run.clock
            payload = self._pack([self.run.boot, self.run.base_ms, clock.wall_ms, clock.quality, self.run.after_ms])
            frame = Frame(FrameType.OPEN, 0, 0, self._seq(self.view.next_ordinal), payload)
            self._write([frame, frame], Commit(self.view.next_ordinal, (), ()))
        self.begun = True

    def _rotate(self, since_ms: int | None = None) -> None:
        self._turnover.rotate(since_ms)
        self._entries_written = 0

    def _seq(self, ordinal: int) -> int:
        return self.run.epoch << SEQ_BITS | ordinal

    def ack(self, first: int, last: int, on_flash: int) -> None:
        """Acknowledge ordinals; those from `on_flash` on are not written, and need not be. From any thread."""
        with self.view.lock:
            self.view.state.acks.add(first, last)
            if first < on_flash:
                self.acks_unwritten += min(last + 1, on_flash) - first
                self._clean = False

    def backlog(self, end: int) -> int:
        """Return how many records below ordinal `end` nobody has acknowledged. Callable from any thread."""
        with self.view.lock:
            return self.view.state.acks.count_missing(end)

    def keep_anchor(self, anchor: Anchor) -> None:
        """Write this anchor before the next records. While storage fails for days the first ones stay. From any thread.
        """
        with self.view.lock:
            if len(self._anchors) < MAX_ANCHORS and anchor not in self._anchors:
                self._anchors = (*self._anchors, anchor)

    def anchor_at(self, boottime_ms: int) -> Anchor | None:
        """Return the anchor that counts for a moment of this run once all that waits is on flash. From any thread."""
        anchors = self.view.timebase.of(self.run.boot)
        if self._anchors:
            base = Timebase()
            for anchor in (*anchors, *self._anchors):
                base.add(anchor)
            anchors = base.of(self.run.boot)
        return valid_at(anchors, boottime_ms)

    @property
    def waiting_anchors(self) -> tuple[Anchor, ...]:
        """The anchors that wait for the next commit. From any thread."""
        return self._anchors

    @property
    def state_due(self) -> bool:
        """Whether the state ought to be written even without data: many acknowledgements, or a loss."""
        losses = self.view.state.losses
        return (self.acks_unwritten >= ACKS_UNTIL_DUE or losses.durable_no < losses.last_no
                or self.view.state.deposit_due)

    @property
    def clean(self) -> bool:
        """Whether the state on flash is that in memory, and no anchor waits."""
        losses = self.view.state.losses
        return self._clean and not self._anchors and losses.own_no == losses.last_no

    # ---- commit --------------------------------------------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        """Make records, dictionary, anchors and, when due or for free, the state durable.

        Raises OSError when storage fails for good; `view.next_ordinal` tells how far it came. Never to be repeated
        for records below that.
        """
        if commit.first < self.view.next_ordinal:
            raise LocalStateError(f"ring {self.view.stream.name.lower()}: records are committed twice")
        self._turnover.features |= commit.features
        if not self.begun:
            self.begin()
        self.view.next_ordinal = commit.first      # what was acknowledged before it was written has used its numbers
        frames: list[Frame] = []
        if any(commit.records):
            frames = data_frames(commit, self.run.epoch, self._packed_state(), self.written, self._page_bytes)
            if not carries_state(frames):
                self._clean = False
        news = not self.clean or commit.end > self.written
        due = self._anchors or self.state_due
        if frames or (due and not self.pool.keeps) or ((due or (commit.state_due and news)) and self.has_page()):
            self._write(frames, commit)
        self.view.next_ordinal = max(self.view.next_ordinal, commit.end)

    def _packed_state(self) -> bytes:
        with self.view.lock:
            self.acks_unwritten, self._clean = 0, True
            state = self.view.state
            self._stated_floor = state.acks.floor
            mark = state.mark()
            if mark != self._stated[0]:      # page after page says the same while nothing is acknowledged
                self._stated = mark, self._pack(state.encode(ACK_FRAME_LIMIT_BYTES))
            return self._stated[1]

    def has_page(self) -> bool:
        """Tell whether something small can be written without costing anybody a record."""
        # acknowledgements alone are not worth the oldest segment; where that is kept, nothing else is
        segment = self.view.active
        here = segment is not None and segment.next_page < segment.pages and self._turnover.suits(segment)
        return here or self.pool.has_free(self.view)

    def _pages(self, frame: Frame) -> int:
        size = len(frame.payload)
        return 1 if size <= self._page_bytes else frame_pages(size + self._seal_bytes)

    def _write(self, frames: list[Frame], commit: Commit) -> None:
        done = tries = 0
        final = False
        while not final:
            try:
                done, final = self._write_some(frames, done, commit)
            except StreamFull:
                self._clean = False
                raise
            except OSError as error:
                tries += 1
                self._failed(error)
                if error.errno not in MEDIUM_ERRORS or tries >= MAX_SLOTS_TRIED:
                    raise

    def _write_some(self, frames: list[Frame], done: int, commit: Commit) -> tuple[int, bool]:
        """Write as many frames as the active segment takes, and sync. Returns how far it came, and if that is all."""
        anchors = self._anchors
        segment, slot, prelude = self._with_room(frames[done] if done < len(frames) else None, commit, anchors)
        room = segment.pages - segment.next_page - sum(map(self._pages, prelude))
        body: list[Frame] = []
        for frame in frames[done:]:
            room -= self._pages(frame)
            if room < 0:
                break
            body.append(frame)
        reached = done + len(body)
        final = reached == len(frames)
        if final:
            self._add_state(body, commit, room)
        batch = prelude + body
        if batch:
            first = batch[0]
            batch[0] = Frame(first.type, first.flags | FrameFlag.FIRST, first.records, first.first_seq, first.payload)
            self._flush(segment, slot, batch)
        self._settle(commit, anchors, stated=final and carries_state(body))
        return reached, final

    def _with_room(self, frame: Frame | None, commit: Commit, anchors: tuple[Anchor, ...]
                   ) -> tuple[Segment, Slot, list[Frame]]:
        """Return a segment that takes a frame behind its prelude, the segment's slot, and the prelude."""
        pages = self._pages(frame) if frame is not None else 1
        for _ in range(2):
            segment, prelude = self.view.active, self._prelude(commit, anchors)
            if (segment is not None and not self._turnover.outgrown(segment)
                    and segment.next_page + pages + sum(map(self._pages, prelude)) <= segment.pages):
                return segment, self.view.segments[-1], prelude
            self._rotate(self._earliest(frame, commit))
        raise RingError(f"ring {self.view.stream.name.lower()}: a slot is too small; raise ring.slot_mib")

    def _earliest(self, frame: Frame | None, commit: Commit) -> int | None:
        """Return the boot time of the earliest record from a frame on; None without one."""
        if frame is None:
            return None
        rows = commit.records[(frame.first_seq & ORDINAL_MASK) - commit.first :]
        return min((self.run.base_ms + moment_of(unpack_first(row)) for row in rows if row), default=None)

    def _prelude(self, commit: Commit, anchors: tuple[Anchor, ...]) -> list[Frame]:
        if not anchors and len(commit.entries) <= self._entries_written:
            return []
        # a frame without a state must not claim numbers that flash knows nothing of
        seq = self._seq(self.written)
        # twice, since all records of the segment hang on it
        frames = [Frame(FrameType.DICT, 0, 0, seq, payload)
                  for payload in dict_payloads(list(commit.entries[self._entries_written :]), self._page_bytes)
                  for _ in range(2)]
        if anchors:
            rows = b"".join(self._pack(encode_anchor(anchor)) for anchor in anchors)
            frames.append(Frame(FrameType.ANCHOR, 0, 0, seq, rows))
        return frames

    def _add_state(self, body: list[Frame], commit: Commit, room: int) -> None:
        """Give the state a page of its own when it is due and rides in none."""
        losses = self.view.state.losses
        dirty = (not self._clean or losses.own_no < losses.last_no or self.view.state.deposit_due
                 or commit.end > self.written)
        if carries_state(body) or not dirty or not (commit.state_due or self.state_due):
            return
        payload = self._packed_state()
        if room < frame_pages(len(payload) + self._seal_bytes):
            self._clean = False
            return
        kind = FrameType.LOSS if losses.own_no < losses.last_no else FrameType.ACK
        end = body[-1].first_seq + body[-1].records if body else self._seq(self.view.next_ordinal)
        body.append(Frame(kind, 0, 0, end, payload))

    def _flush(self, segment: Segment, slot: Slot, batch: list[Frame]) -> None:
        uid, seal = slot.segment.uid, segment.seal
        sealed = batch if seal is None else map(seal.seal, batch)
        data = b"".join(encode_frame(frame, uid) for frame in sealed)
        at = segment.next_page
        # whatever happens, these pages are not written again
        segment.next_page += len(data) // PAGE_BYTES
        self.pool.fs.pwrite(slot.path, at * PAGE_BYTES, data)
        self.pool.fs.sync(slot.path)
        self.tally.bytes_written += len(data)
        self.tally.syncs += 1
        self._index(segment, batch, at)
        slot.end = self.view.next_ordinal

    def _index(self, segment: Segment, batch: list[Frame], page: int) -> None:
        for frame in batch:
            pages = self._pages(frame)
            segment.take(frame, page, pages, ours=True)
            page += pages
            if frame.type == FrameType.DATA:
                self.view.next_ordinal = self.written = (frame.first_seq & ORDINAL_MASK) + frame.records
        for anchor in segment.anchors:
            self.view.timebase.add(anchor)
        segment.anchors.clear()

    def _settle(self, commit: Commit, anchors: tuple[Anchor, ...], *, stated: bool) -> None:
        """Remember what is durable now."""
        self._entries_written = max(self._entries_written, len(commit.entries))
        if anchors:
            with self.view.lock:
                self._anchors = tuple(anchor for anchor in self._anchors if anchor not in anchors)
        for ordinal, stream, no in commit.gaps:
            if ordinal < self.view.next_ordinal:
                self.view.state.told[stream] = max(no, self.view.state.told.get(stream, 0))
        if stated:
            self.view.state.stated()
            self.written = max(self.written, self._stated_floor)

    def _failed(self, error: OSError) -> None:
        self.tally.io_errors += 1
        self._clean = False
        slot = self.view.segments[-1] if self.view.segments else None
        if slot is None or self.view.active is None:
            return
        self.pool.fs.close(slot.path)
        if error.errno in MEDIUM_ERRORS:
            log.warning("ring %s: %s: %s; the slot is not written any more", self.view.stream.name.lower(), slot.path,
                        error.strerror)
            slot.condition = Condition.QUARANTINED
            self.view.retire_active()

    # ---- giving back ------------------------------------------------------------------------------------------------

    def shrink(self) -> None:
        """Give slots back until the others stay within the quota. What they still held is a loss, durable first.

        Raises OSError.
        """
        surplus, losses = self.pool.surplus(self.view), self.view.state.losses
        for slot in surplus:
            if slot in self.view.segments and not self.view.acknowledged(slot):
                self.tally.evictions += 1
                self.view.lose(slot.segment.base, slot.end - 1, LossReason.EVICTED)
            slot.condition = Condition.RETIRED
        if losses.durable_no < losses.last_no:
            self.commit(Commit(self.view.next_ordinal, (), ()))
        for slot in surplus:
            self.view.forget_index(slot)
            if slot in self.view.segments:
                self.view.segments.remove(slot)
            self.pool.remove(slot)
        if surplus:
            log.info("ring %s: %d slots given back, the quota is smaller than before", self.view.stream.name.lower(),
                     len(surplus))

    def close(self) -> None:
        """Let go of the files. Raises nothing that matters: all that is durable is durable."""
        for slot in self.view.slots:
            self.pool.fs.close(slot.path)

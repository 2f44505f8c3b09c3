"""One stream as it is on flash: its segments in order, its state, and reading from it (I/O through the port only).

Loading is total: whatever the bytes are, it ends with something that can be read and written on. The same class
stands behind the running ring and behind the commands that look at a ring.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge.model import SEQ_BITS, Stamp, Stored, Stream
from edge.ring.ackset import FIRST_ORDINAL, ORDINAL_MASK
from edge.ring.frame import PAGE_BYTES, FrameType, Undecodable, peek
from edge.ring.fs import MEDIUM_ERRORS, FileSystem
from edge.ring.layout import SlotHeader
from edge.ring.losses import Deposit, LossReason, State
from edge.ring.records import boot_text, moment_of, own_time, record_of
from edge.ring.seal import Keyring, Seal
from edge.ring.segment import Entry, ReadBytes, Run, Segment, claimed_end, opened, rows, scan
from edge.ring.slots import Condition, Slot, arrange, slim
from edge.ring.timebase import UNKNOWN_CLOCK, Anchor, Timebase, stamps_by

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_CACHED_SEGMENTS = 2


class StreamView:
    """What is readable of one stream.

    `lock` guards `state`, which the event loop touches (acknowledgements) while the writer thread works; it is never
    held during I/O. Everything else belongs to one thread.
    """

    def __init__(self, fs: FileSystem, stream: Stream, slots: list[Slot], ring: bytes, *, boot: bytes = b"",
                 boot_id: str = "", keys: Keyring | None = None, deposit: Deposit | None = None) -> None:
        """Load the stream. With `boot`, the running one, records of a boot without an anchor are held; else none is.

        `keys` opens sealed segments; there must be some where a slot is (key.py). `deposit`: what the stream had
        no page to say.
        """
        self.fs, self.stream, self.slots, self.ring = fs, stream, slots, ring
        self.boot, self.keys = boot, keys
        self._boot_ids = {boot: boot_id}
        self.lock = threading.Lock()
        self.timebase = Timebase()
        self.undated: dict[bytes, Run] = {}       # boots without an anchor whose records somebody wanted
        self.segments = arrange(slots, ring)
        self.active: Segment | None = None
        self.state = State()
        self.next_ordinal = FIRST_ORDINAL
        self.epoch = 0
        self._told_unreadable = False
        self.failing = False             # storage fails: what cannot be read now may be readable later
        self.lost_at_load = 0            # records that the newest segment ought to hold and does not
        self._cache: dict[Path, Segment] = {}
        self._load(deposit)

    # ---- loading -------------------------------------------------------------------------------------------------

    def _load(self, deposit: Deposit | None) -> None:
        self._take_clocks()
        if not self.segments:
            return
        newest = self.segments[-1]
        segment = scan(self.reader(newest), newest.size, newest.segment, self.seal_of(newest.segment))
        for anchor in segment.anchors:
            self.timebase.add(anchor)
        self.active, self.state = segment, segment.state
        self.state.stated()
        for stream, no in segment.told.items():
            self.state.told[stream] = max(no, self.state.told.get(stream, 0))
        self.epoch = segment.epoch
        self.next_ordinal = max(segment.next_ordinal, self.state.acks.end)
        for slot in self.segments[:-1]:
            slim(slot)
        for slot in self.slots:
            if slot.condition is Condition.FREE and slot.header is None:
                self.next_ordinal = max(self.next_ordinal, claimed_end(self.reader(slot), slot.size, self.next_ordinal,
                                                                       self.epoch))
                self.fs.close(slot.path)
        newest.end = self.next_ordinal
        if deposit is not None:
            self._take_back(deposit)
        self.lose(0, self.segments[0].segment.base - 1, LossReason.UNCOVERED)
        known = self.state.losses.total
        self.count_holes(newest, segment)
        self.lost_at_load = self.state.losses.total - known

    def _take_back(self, deposit: Deposit) -> None:
        self.state.losses.take_back(deposit.losses)
        if deposit.epoch >= self.epoch:      # else numbers beyond what its run knew of may have been given again
            for first, last in ((FIRST_ORDINAL, deposit.acks.floor - 1), *deposit.acks.intervals()):
                self.state.acks.add(first, min(last, self.next_ordinal - 1))

    def _take_clocks(self) -> None:
        for slot in self.segments:
            for anchor in slot.segment.anchors:
                self.timebase.add(anchor)
            header = slot.segment
            clock = Anchor(header.boot, header.boottime_ms, header.wall_ms, header.quality, "segment")
            if clock.synchronised:
                self.timebase.add(clock)

    def reader(self, slot: Slot) -> ReadBytes:
        """Return how a slot is read: pages that the medium cannot give are left out. May raise OSError."""
        def read(offset: int, length: int) -> bytes:
            try:
                return self.fs.pread(slot.path, offset, length)
            except OSError as error:
                # only a medium that says so is damage; too many open files, or a card that is away, is none
                if self.failing or error.errno not in MEDIUM_ERRORS:
                    raise
                if length <= PAGE_BYTES:
                    return b""
            # one bad page must not hide its neighbours
            return read(offset, PAGE_BYTES)

        return read

    def seal_of(self, header: SlotHeader) -> Seal | None:
        """Return what a segment's frames are sealed with, None where they are in the clear."""
        return self.keys.seal_of(header) if self.keys is not None else None

    def count_holes(self, slot: Slot, segment: Segment) -> None:
        """Count as lost what a scan of the slot did not find and nobody has acknowledged."""
        # the segment after this one could only begin when every commit in this one was finished
        finished = segment.finished if slot is self.segments[-1] else slot.end
        for first, last in segment.holes(slot.segment.base, slot.end):
            self.lose(first, min(last, finished - 1), LossReason.DAMAGED)
            self.lose(max(first, finished), last, LossReason.UNFINISHED)

    # ---- losses --------------------------------------------------------------------------------------------------

    def lose(self, first: int, last: int, reason: str, state: State | None = None) -> None:
        """Count what of `first..last` nobody has acknowledged as lost, and look for it no more.

        With `state`, only that copy is told.
        """
        with self.lock:
            target = state if state is not None else self.state
            parts = target.acks.missing(first, last)
            if not parts:
                return
            count = sum(high - low + 1 for low, high in parts)
            low, high = parts[0][0], parts[-1][1]
            target.losses.add(self._seq_low(low), self._seq_high(high), count, reason, self.times(low, high))
            target.acks.add(first, last)

    def _seq_low(self, ordinal: int) -> int:
        # a bound: the run that began the segment, or an earlier one
        epoch = 0
        for slot in self.segments:
            if slot.segment.base > ordinal:
                break
            epoch = slot.segment.epoch
        return epoch << SEQ_BITS | ordinal

    def _seq_high(self, ordinal: int) -> int:
        for slot in self.segments:
            if slot.segment.base > ordinal:
                return (slot.segment.base_seq & ~ORDINAL_MASK) | ordinal
        return self.epoch << SEQ_BITS | ordinal

    def times(self, first: int, last: int) -> tuple[int | None, int | None]:
        """Return UTC bounds in ms of a range, as far as the segments' beginnings tell."""
        start = end = None
        for slot in self.segments:
            header = slot.segment
            clock = Anchor(header.boot, header.boottime_ms, header.wall_ms, header.quality, "segment")
            anchor = self.timebase.anchor(header.boot, header.boottime_ms) or clock
            wall = anchor.zero_ms + header.boottime_ms
            if header.base <= first:
                start = wall
            elif header.base > last:
                end = wall
                break
        return start, end

    def acknowledged(self, slot: Slot) -> bool:
        """Tell whether nobody needs a segment any more."""
        with self.lock:
            return self.state.acks.covers(slot.segment.base, slot.end - 1)

    def retire_active(self) -> None:
        """The newest segment is not written on; what is known of it stays at hand."""
        if self.active is not None:
            slot = self.segments[-1]
            slot.end = self.next_ordinal
            slim(slot)
            self.fs.close(slot.path)
            self._cache[slot.path] = self.active
            self.active = None

    # ---- reading -------------------------------------------------------------------------------------------------

    def index(self, slot: Slot) -> Segment:
        """Return what is in a slot; scanned at first use, the last few are kept."""
        if self.active is not None and self.segments and slot is self.segments[-1]:
            return self.active
        segment = self._cache.pop(slot.path, None)
        if segment is None:
            segment = scan(self.reader(slot), slot.size, slot.segment, self.seal_of(slot.segment))
            self.fs.close(slot.path)
            for anchor in segment.anchors:
                self.timebase.add(anchor)
            self.count_holes(slot, segment)
        self._cache[slot.path] = segment
        while len(self._cache) > _CACHED_SEGMENTS:
            del self._cache[next(iter(self._cache))]
        return segment

    def forget_index(self, slot: Slot) -> None:
        """The slot is about to hold another segment."""
        self._cache.pop(slot.path, None)

    def read(self, first: int, limit_records: int, limit_bytes: int) -> list[Stored]:
        """Return the oldest un-acknowledged records from ordinal `first` on, ascending; one at least, if any.

        Stops at what cannot be read for now.
        """
        found: list[Stored] = []
        with self._until_unreadable():
            self._read_into(found, first, limit_records, limit_bytes)
        return found

    def _read_into(self, found: list[Stored], first: int, limit_records: int, room: int) -> None:
        for slot in list(self.segments):
            first = max(first, slot.segment.base)
            if not self.missing(first, slot.end - 1):
                continue
            for entry in self.index(slot).entries:
                if entry.end <= first or entry.first >= slot.end:
                    continue
                if 2 * len(found) > limit_records and entry.end - entry.first > limit_records - len(found):
                    return      # in part: the rest of it would be decoded a second time
                records, size = self._records(slot, entry, first)
                taken = records[:_fitting(found, limit_records, room, size)]
                found += taken
                if len(taken) < len(records):
                    return
                room -= size * len(taken)

    def read_newest(self, end: int, limit_records: int, limit_bytes: int) -> list[Stored]:
        """Return the newest un-acknowledged records below ordinal `end`, ascending; one at least, if any."""
        found: list[Stored] = []
        with self._until_unreadable():
            self._newest_into(found, end, limit_records, limit_bytes)
        return found[::-1]

    def _newest_into(self, found: list[Stored], end: int, limit_records: int, room: int) -> None:
        for slot in reversed(self.segments):
            if slot.segment.base >= end or not self.missing(slot.segment.base, min(slot.end, end) - 1):
                continue
            for entry in reversed(self.index(slot).entries):
                if entry.first >= min(slot.end, end):
                    continue
                records, size = self._records(slot, entry, 0)
                below = [stored for stored in reversed(records) if stored.seq & ORDINAL_MASK < end]
                taken = below[:_fitting(found, limit_records, room, size)]
                found += taken
                if len(taken) < len(below):
                    return
                room -= size * len(taken)

    @contextmanager
    def _until_unreadable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.log(logging.DEBUG if self._told_unreadable else logging.WARNING, "ring %s: cannot be read for now: %s",
                    self.stream.name.lower(), error)
            self._told_unreadable = True
        else:
            self._told_unreadable = False

    def walk(self) -> Iterator[tuple[Stored, bool]]:
        """Yield every readable record, oldest first, with whether it is acknowledged. For looking, not for draining."""
        for slot in list(self.segments):
            for entry in self.index(slot).entries:
                for stored in self._records(slot, entry, 0, acknowledged=True)[0]:
                    yield stored, (stored.seq & ORDINAL_MASK) in self.state.acks

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return what of `first..last` nobody has acknowledged. Callable from any thread."""
        with self.lock:
            return self.state.acks.missing(first, last)

    def _records(self, slot: Slot, entry: Entry, first: int, *, acknowledged: bool = False
                 ) -> tuple[list[Stored], int]:
        """Return what a frame holds from ordinal `first` on, and how many packed bytes each takes on average."""
        low, high = max(first, entry.first), min(entry.end, slot.end) - 1
        parts = [(low, high)] if acknowledged else self.missing(low, high)
        if not parts or self._held(entry):
            return [], 0
        try:
            items, size = self._payload(slot, entry)
            # all or none: a frame that does not decode is lost as one
            return self._stored(items, entry, parts), size
        except (Undecodable, IndexError, TypeError):
            self.lose(low, high, LossReason.DAMAGED)
            return [], 0

    def _held(self, entry: Entry) -> bool:
        run = entry.run
        if run is None or not self.boot or self.timebase.knows(run.boot):
            return False
        self.undated[run.boot] = run
        return True

    def boots(self) -> Iterator[tuple[bytes, int]]:
        """Yield the boots that the headers tell of and the running one, each with an epoch of it."""
        for slot in self.segments:
            yield slot.segment.boot, slot.segment.epoch
        yield self.boot, self.epoch

    def last_moment(self, run: Run) -> int:
        """Return the boot time of the last record of a run's boot; where none is readable, when the run began."""
        for slot in reversed(self.segments):
            header = slot.segment
            if header.epoch > run.epoch and header.boot != run.boot:
                continue
            for entry in reversed(self.index(slot).entries):
                if entry.run is not None and entry.run.boot == run.boot:
                    try:
                        items, _ = self._payload(slot, entry)
                        return entry.run.base_ms + max(map(moment_of, items))
                    except (Undecodable, IndexError, TypeError):
                        continue
            if header.boot != run.boot:
                break
        return run.base_ms

    def _payload(self, slot: Slot, entry: Entry) -> tuple[list[Any], int]:
        data = self.reader(slot)(entry.page * PAGE_BYTES, entry.pages * PAGE_BYTES)
        head = peek(data)
        header = slot.segment
        frame = opened(head, data, header.uid, self.seal_of(header)) if head is not None else None
        if frame is None or frame.first_seq != entry.first_seq or frame.type != FrameType.DATA:
            raise Undecodable("the frame is not readable any more")
        return rows(frame), len(frame.payload) // max(1, frame.records)

    def _stored(self, items: list[Any], entry: Entry, parts: list[tuple[int, int]]) -> list[Stored]:
        head, tables, stream = entry.first_seq & ORDINAL_MASK, entry.tables, self.stream
        if len(items) < entry.end - head:
            raise Undecodable("another frame than the one that was found")
        # the run's opening may be destroyed: the records stand, their time is unknown
        stamps, found = self._stamps(items, entry.run or Run(0, b"", 0, UNKNOWN_CLOCK)), list[Stored]()
        for low, high in parts:
            rows_of = slice(low - head, high - head + 1)
            seqs = range(entry.first_seq + low - head, entry.first_seq + high - head + 1)
            found += [Stored(stream, seq, record_of(row, tables, stamp))
                      for seq, row, stamp in zip(seqs, items[rows_of], stamps[rows_of], strict=True)]
        return found

    def _stamps(self, items: list[Any], run: Run) -> list[Stamp]:
        """Return the times of rows of a run. Nearly every row has a plain one, by the same anchor: no search for it."""
        boot_id, base_ms, anchor = self._boot_id(run.boot), run.base_ms, self.timebase.anchor
        times = [(row[2] if type(row[2]) is int else moment_of(row)) + base_ms for row in items]
        last = anchor(run.boot, max(times)) or run.clock
        if last == (anchor(run.boot, min(times)) or run.clock):
            stamp = stamps_by(last, boot_id)
        else:
            def stamp(moment: int) -> Stamp:
                return stamps_by(anchor(run.boot, moment) or run.clock, boot_id)(moment)
        return [stamp(moment) if type(row[2]) is int else own_time(row, moment, boot_id) or stamp(moment)
                for row, moment in zip(items, times, strict=True)]

    def _boot_id(self, boot: bytes) -> str:
        known = self._boot_ids.get(boot)
        if known is None:
            known = self._boot_ids[boot] = boot_text(boot) if boot else ""
        return known


def _fitting(found: list[Stored], limit_records: int, room: int, size: int) -> int:
    """Return how many more records of `size` bytes may be read; the first one always may."""
    return max(0 if found else 1, min(limit_records - len(found), room // max(1, size)))


def load_streams(make: Callable[[Stream, Deposit | None], StreamView]) -> dict[Stream, StreamView]:
    """Load all streams, the alarm stream first: it may have in its care what another had no page to say."""
    views = {Stream.ALARM: make(Stream.ALARM, None)}
    deposits = views[Stream.ALARM].state.deposits
    return views | {stream: make(stream, deposits.get(stream)) for stream in Stream if stream is not Stream.ALARM}

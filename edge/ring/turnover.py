"""Where a stream's log goes on when a segment is full: the next slot, its header, and what it held before.

    header written to both pages, sync as a barrier, then frames             never the other way round
    what an evicted segment still held stands as a loss in the header that overwrites it
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge.model import SEQ_BITS
from edge.ring.frame import PAGE_BYTES, new_packer
from edge.ring.fs import MEDIUM_ERRORS
from edge.ring.layout import HEADER_PAGES, MAX_ANCHORS, SEALED, SlotHeader, encode_header
from edge.ring.losses import LossReason, State
from edge.ring.pool import SlotPool
from edge.ring.segment import Run, Segment
from edge.ring.slots import Condition, Slot
from edge.ring.timebase import Anchor
from edge.ring.view import StreamView


@dataclass
class Tally:
    """What one stream did to its storage since it was opened."""

    bytes_written: int = 0
    syncs: int = 0
    io_errors: int = 0
    evictions: int = 0
    scrubbed: int = 0              # slots read through at rest
    damaged_pages: int = 0         # found by that, each counted once


class Turnover:
    """Begins the segments of one stream. Everything here runs in the ring's writer thread."""

    def __init__(self, view: StreamView, pool: SlotPool, run: Run, entropy: Callable[[int], bytes],
                 now: Callable[[], Anchor], *, sealed: bool = False) -> None:
        """Nothing is written before `rotate`. `sealed`: the segments are; the view has the key then."""
        self.view, self.pool, self.run = view, pool, run
        self.tally = Tally()
        self.sealed = sealed
        known = view.active.header.incompatible if view.active is not None else 0
        self.features = known | SEALED if sealed else known & ~SEALED
        self._entropy, self._now = entropy, now
        self._pack = new_packer()

    def suits(self, segment: Segment) -> bool:
        """Tell whether a segment may be written on: it is sealed, or in the clear, as a whole."""
        return bool(segment.header.incompatible & SEALED) == self.sealed

    def outgrown(self, segment: Segment) -> bool:
        """Tell whether a segment's header promises less than what is to be written, and another slot is at hand.

        It is not worth the oldest segment: without, an older version that is put back takes those records for damaged.
        """
        return bool(self.features & ~segment.header.incompatible) and self.pool.has_free(self.view)

    def rotate(self, since_ms: int | None = None) -> None:
        """Begin a segment in the next slot. Raises OSError, with the old state untouched unless the medium failed.

        `since_ms`: boot time of the earliest record that it is begun for, None where it is begun for none.
        """
        view = self.view
        slot = self.pool.next(view)
        evicted = slot if slot in view.segments else None
        with view.lock:
            state = view.state.copy()
        if evicted is not None and not view.acknowledged(evicted):
            self.tally.evictions += 1
            view.lose(evicted.segment.base, evicted.end - 1, LossReason.EVICTED, state)
        header = self._header(state, since_ms)
        try:
            self._write_header(slot, header)
        except OSError as error:
            self.pool.fs.close(slot.path)
            if error.errno in MEDIUM_ERRORS:
                slot.condition = Condition.QUARANTINED
                if evicted is not None:
                    self._drop(evicted, state)
            raise
        self._begin(slot, header, evicted, state)

    def _header(self, state: State, since_ms: int | None) -> SlotHeader:
        view, now, run = self.view, self._now(), self.run
        self.pool.last_segment += 1
        return SlotHeader(
            ring=view.ring, stream=int(view.stream), epoch=run.epoch, segment=self.pool.last_segment,
            base_seq=run.epoch << SEQ_BITS | view.next_ordinal, uid=int.from_bytes(self._entropy(4), "little"),
            boot=run.boot, boottime_ms=now.boottime_ms, wall_ms=now.wall_ms, quality=now.quality, base_ms=run.base_ms,
            state=state, anchors=tuple(view.timebase.summary(MAX_ANCHORS, run.boot, since_ms)),
            incompatible=self.features,
            after_ms=run.after_ms,
            key_check=view.keys.check(view.ring) if self.sealed and view.keys is not None else b"",
        )

    def _write_header(self, slot: Slot, header: SlotHeader) -> None:
        page = encode_header(header, self._pack)
        self.pool.fs.pwrite(slot.path, 0, page * HEADER_PAGES)
        self.pool.fs.sync(slot.path)
        self.tally.bytes_written += PAGE_BYTES * HEADER_PAGES
        self.tally.syncs += 1

    def _begin(self, slot: Slot, header: SlotHeader, evicted: Slot | None, state: State) -> None:
        view = self.view
        view.retire_active()
        if evicted is not None:
            self._drop(evicted, state)
        slot.header, slot.condition, slot.end = header, Condition.USED, header.base
        view.segments.append(slot)
        segment = Segment(header, slot.size // PAGE_BYTES, view.seal_of(header))
        for anchor in segment.anchors:
            view.timebase.add(anchor)
        segment.anchors.clear()
        view.active = segment
        with view.lock:
            view.state.stated()

    def _drop(self, slot: Slot, state: State) -> None:
        """The segment in the slot is no more; `state` has counted what it still held."""
        if self.view.active is not None and slot is self.view.segments[-1]:
            self.view.retire_active()
        self.view.forget_index(slot)
        self.view.segments.remove(slot)
        with self.view.lock:
            self.view.state.losses = state.losses
            self.view.state.acks.merge(state.acks)

"""Slots at rest are read through now and then, so that rot is found while a server may still have the neighbours.

Only what somebody waits for is looked at, and never the segment that is being written. What is missing becomes a loss,
as when the drain comes upon it: counted once, durable, told. Runs in the ring's writer thread, a piece at a time.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

from edge.model import Stream
from edge.ring.frame import PAGE_BYTES
from edge.ring.layout import HEADER_PAGES, Incompatible, decode_header
from edge.ring.log import StreamLog
from edge.ring.segment import READ_PAGES, Segment, scanning
from edge.ring.slots import Condition, Slot

log = logging.getLogger(__name__)


class Scrub:
    """Goes round the slots of all streams, oldest use first."""

    def __init__(self, logs: Mapping[Stream, StreamLog]) -> None:
        """Nothing is read before the first step."""
        self._logs = logs
        self._work: Iterator[None] = iter(())
        self._done: dict[int, int] = {}                  # uid of a segment looked at -> what was damaged
        self._rounds: dict[int, int] = {}                # uid -> how often it was looked at

    def step(self) -> bool:
        """Read the next piece, 128 KiB or so; True when a slot is through, or when there is none to look at."""
        try:
            for _ in self._work:
                return False
        except OSError as error:
            # of a medium that says so it is damage, and counted; this is storage that cannot be read for now
            log.debug("ring: a slot cannot be looked through: %s", error)
        found = self._next()
        self._work = iter(()) if found is None else self._look(*found)
        return True

    def _next(self) -> tuple[StreamLog, Slot] | None:
        """Return the slot that was looked at least often, the oldest of those."""
        at_rest = [(stream_log, slot) for stream_log in self._logs.values() for slot in _at_rest(stream_log)]
        alive = {slot.segment.uid for _, slot in at_rest}
        self._rounds = {uid: count for uid, count in self._rounds.items() if uid in alive}
        self._done = {uid: count for uid, count in self._done.items() if uid in alive}
        return min(at_rest, key=lambda one: self._rounds.get(one[1].segment.uid, 0), default=None)

    def _look(self, stream_log: StreamLog, slot: Slot) -> Iterator[None]:
        """Look through one slot, in pieces; give up when it comes to hold another segment meanwhile."""
        view, header = stream_log.view, slot.segment
        self._rounds[header.uid] = self._rounds.get(header.uid, 0) + 1
        view.fs.drop_cached(slot.path)
        read = view.reader(slot)
        damaged = sum(1 for page in range(HEADER_PAGES) if not _is_header(read(page * PAGE_BYTES, PAGE_BYTES)))
        segment = Segment(header, slot.size // PAGE_BYTES, view.seal_of(header))
        piece = READ_PAGES
        for page in scanning(segment, read):
            if page >= piece:
                piece = page + READ_PAGES
                yield
                if slot.header is None or slot.segment.uid != header.uid or slot not in view.segments:
                    return
        view.fs.close(slot.path)
        self._count(stream_log, slot, segment, damaged + segment.damaged)

    def _count(self, stream_log: StreamLog, slot: Slot, segment: Segment, damaged: int) -> None:
        known = self._done.get(segment.header.uid, 0)
        self._done[segment.header.uid] = max(known, damaged)
        stream_log.tally.scrubbed += 1
        stream_log.tally.damaged_pages += max(0, damaged - known)
        if damaged > known:
            log.warning("ring %s: %s: %d pages are damaged at rest", stream_log.view.stream.name.lower(), slot.path,
                        damaged)
        stream_log.view.count_holes(slot, segment)


def _at_rest(stream_log: StreamLog) -> Sequence[Slot]:
    view = stream_log.view
    return [slot for slot in view.segments[:-1]
            if slot.condition is Condition.USED and not view.acknowledged(slot)]


def _is_header(page: bytes) -> bool:
    try:
        return decode_header(page) is not None
    except Incompatible:
        return True

"""Out of the ring in the order of delivery: alarms, then billing, then instant values, fresh before old.

A `Source` belongs to one connection. Its cursors only move forward over what was handed out, so that nothing is sent
twice on a connection; what was not acknowledged is found again by the next connection's source, from the ring.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from edge.model import Stored, Stream
from edge.uplink.ports import RingPort

READ_RECORDS = 256
READ_BYTES = 65_536
FRESH_SHARE = 3            # of four turns, when fresh and old instant values both wait


class Lane(Enum):
    """A queue of delivery. BACKFILL is what was in the ring when the connection began, FRESH what came after."""

    ALARM = Stream.ALARM
    BILLING = Stream.BILLING
    FRESH = Stream.INSTANT
    BACKFILL = "backfill"

    @property
    def stream(self) -> Stream:
        """The ring stream behind it."""
        return Stream.INSTANT if self is Lane.BACKFILL else Stream(self.value)


@dataclass(slots=True)
class _Queue:
    start: int | None = None                    # the lane holds what is above this number ...
    after: int | None = None                    # ... and was read up to this one
    until: int | None = None                    # last sequence number that belongs to this lane
    dry: bool = False                           # nothing more until the next commit
    records: deque[Stored] = field(default_factory=deque)


class Source:
    """The lanes of one connection."""

    def __init__(self, ring: RingPort, order: Literal["oldest", "live+backfill"]) -> None:
        self._ring = ring
        self._queues = {lane: _Queue() for lane in (Lane.ALARM, Lane.BILLING, Lane.FRESH)}
        boundary = ring.backlog(Stream.INSTANT).newest_seq
        if order == "live+backfill" and boundary:
            self._queues[Lane.FRESH] = _Queue(start=boundary, after=boundary)
            self._queues[Lane.BACKFILL] = _Queue(until=boundary)
        self._fresh_turns = 0

    async def choose(self) -> Lane | None:
        """Return the lane whose turn it is, its `waiting` filled; None when nothing is to be sent."""
        for lane in (Lane.ALARM, Lane.BILLING):
            if await self._filled(lane):
                return lane
        fresh = await self._filled(Lane.FRESH)
        old = Lane.BACKFILL in self._queues and await self._filled(Lane.BACKFILL)
        if fresh and not (old and self._fresh_turns >= FRESH_SHARE):
            self._fresh_turns += 1
            return Lane.FRESH
        self._fresh_turns = 0
        return Lane.BACKFILL if old else None

    def run_of(self, lane: Lane, skip: Callable[[Stored], bool], alone: Callable[[Stored], bool]) -> list[Stored]:
        """Return the lane's next neighbours that may share a batch, without taking them.

        Records to be skipped at its head are taken out; they stay un-acknowledged in the ring. A run never crosses from
        one boot to another: between them may lie a boot whose records the ring holds until its time is known, and the
        span of a batch must not cover those.
        """
        waiting = self._queues[lane].records
        run: list[Stored] = []
        while waiting and skip(waiting[0]):
            waiting.popleft()
        for stored in waiting:
            if run and (alone(stored) or stored.record.stamp.boot_id != run[0].record.stamp.boot_id):
                break
            if skip(stored):
                break
            run.append(stored)
            if alone(stored):
                break
        return run

    def take(self, lane: Lane, count: int) -> None:
        """Take the first `count` records of a lane: they are on their way."""
        for _ in range(count):
            self._queues[lane].records.popleft()

    def give_back(self, lane: Lane, records: tuple[Stored, ...]) -> None:
        """Put refused records in front again."""
        self._queues[lane].records.extendleft(reversed(records))

    def committed(self) -> None:
        """Look again at what was dry."""
        for queue in self._queues.values():
            queue.dry = False

    def look_back(self, lane: Lane) -> None:
        """Start again at the oldest record: for those that were held or set aside. Only with nothing in flight."""
        queue = self._queues.get(lane)
        if queue and not queue.records:
            queue.after, queue.dry = queue.start, False

    async def _filled(self, lane: Lane) -> bool:
        queue = self._queues[lane]
        if queue.records:
            return True
        if queue.dry:
            return False
        found = await self._ring.read(lane.stream, after=queue.after,
                                      limit_records=READ_RECORDS, limit_bytes=READ_BYTES)
        if found:
            queue.after = found[-1].seq
        if queue.until is not None:
            found = [stored for stored in found if stored.seq <= queue.until]
        queue.records.extend(found)
        queue.dry = not found
        return bool(found)

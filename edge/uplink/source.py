"""Out of the ring in the order of delivery: alarms first; billing, fresh and old values take turns.

    oldest          polled values as they came
    newest          the newest of what waits, always; in pieces, each in the order in which its records came
    live+backfill   new ones at once, the backlog oldest first with the rest of the link

A `Source` belongs to one connection. Its cursors only move forward over what was handed out, so that nothing is sent
twice on a connection; what was not acknowledged is found again by the next connection's source, from the ring.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from edge.config import Order
from edge.model import SeqSpan, Stored, Stream
from edge.uplink.ports import RingPort

READ_RECORDS = 256
BACKLOG_RECORDS = 512      # more at once: publications are full but for the last one of a read
READ_BYTES = 65_536
PIECE_RECORDS = 64         # newest first: about what one publication takes


class Lane(Enum):
    """A queue of delivery.

    FRESH is the newest of the instant values, at every look the newest again; what it has to leave out on a link that
    is too slow for all of them is BACKFILL, like what was in the ring when the connection began.
    """

    ALARM = Stream.ALARM
    BILLING = Stream.BILLING
    FRESH = Stream.INSTANT
    BACKFILL = "backfill"

    @property
    def stream(self) -> Stream:
        """The ring stream behind it."""
        return Stream.INSTANT if self is Lane.BACKFILL else Stream(self.value)


SHARES = {Lane.BILLING: 4, Lane.FRESH: 3, Lane.BACKFILL: 1}
"""Turns of each lane while others wait too: no backlog, of whichever kind, keeps another lane silent."""


@dataclass(slots=True)
class _Queue:
    after: int | None = None                    # the lane was read up to this number
    dry: bool = False                           # nothing more until the next commit
    turn: float = 0.0                           # grows by 1 / share with every turn
    records: deque[Stored] = field(default_factory=deque)


Pick = Callable[[Stored], bool]
"""Picks out records, one by one."""


def _never(_lane: Lane) -> bool:
    return False


def _nothing(_records: Sequence[Stored]) -> set[int]:
    return set()


class Source:
    """The lanes of one connection. `on_its_way` tells the numbers of those records that wait for their PUBACK on it.

    `shut` tells whether nothing is taken from a lane for now. `gathers`: FRESH is opened now and then only, and what
    came meanwhile is all fresh, in its order.
    """

    def __init__(self, ring: RingPort, order: Order, on_its_way: Callable[[Sequence[Stored]], set[int]] = _nothing, *,
                 shut: Callable[[Lane], bool] = _never, gathers: bool = False) -> None:
        self._ring, self._on_its_way, self._shut, self._gathers = ring, on_its_way, shut, gathers
        self._live, self._backwards = order != "oldest", order == "newest"
        self._read_records = PIECE_RECORDS if self._backwards else READ_RECORDS
        self._queues = {lane: _Queue() for lane in Lane if self._live or lane is not Lane.BACKFILL}
        # FRESH was handed out up to this number; what is un-acknowledged below it is BACKFILL's.
        self._seen = ring.backlog(Stream.INSTANT).newest_seq or -1
        self._turn = 0.0

    @property
    def bulk(self) -> frozenset[Lane]:
        """The lanes that may wait: those of what is not live."""
        return frozenset({Lane.BILLING, Lane.BACKFILL if self._live else Lane.FRESH})

    async def choose(self, *, bulk: bool = True) -> Lane | None:
        """Return the lane whose turn it is, its `waiting` filled; None when there is nothing to send (now)."""
        if await self._filled(Lane.ALARM):
            return Lane.ALARM
        # BACKFILL is read before FRESH, which moves the border between the two.
        filled = [lane for lane in reversed(SHARES)
                  if lane in self._queues and not self._shut(lane) and await self._filled(lane)]
        if not bulk:
            filled = [lane for lane in filled if lane not in self.bulk]
        if not filled:
            return None
        if self._backwards and Lane.FRESH in filled and Lane.BACKFILL in filled:
            filled.remove(Lane.BACKFILL)
        for lane in filled:
            self._queues[lane].turn = max(self._queues[lane].turn, self._turn)
        chosen = min(reversed(filled), key=lambda lane: self._queues[lane].turn)
        self._turn = self._queues[chosen].turn
        self._queues[chosen].turn += 1 / SHARES[chosen]
        return chosen

    def waiting(self, lane: Lane) -> SeqSpan:
        """Return from where to where a lane's records are that wait; there is one at least."""
        records = self._queues[lane].records
        return SeqSpan(lane.stream, records[0].seq, records[-1].seq)

    def run_of(self, lane: Lane, skip: Pick | None = None, alone: Pick | None = None) -> Iterator[Stored]:
        """Yield the lane's next neighbours that may share a batch, without taking them.

        `skip` picks those that are not to be sent, `alone` those that share no batch; None picks nobody. Records to be
        skipped at its head are taken out; they stay un-acknowledged in the ring. A run never crosses from one boot to
        another: between them may lie a boot whose records the ring holds until its time is known, and the span of a
        batch must not cover those.
        """
        waiting = self._queues[lane].records
        while skip is not None and waiting and skip(waiting[0]):
            waiting.popleft()
        if not waiting:
            return
        first = waiting[0]
        yield first
        if alone is not None and alone(first):
            return
        boot_id = first.record.stamp.boot_id
        for stored in islice(waiting, 1, None):
            if stored.record.stamp.boot_id != boot_id:
                return
            if (alone is not None and alone(stored)) or (skip is not None and skip(stored)):
                return
            yield stored

    def take(self, lane: Lane, count: int) -> None:
        """Take the first `count` records of a lane: they are on their way."""
        waiting = self._queues[lane].records
        for _ in range(count):
            waiting.popleft()

    def give_back(self, lane: Lane, records: tuple[Stored, ...]) -> None:
        """Put refused records in front again."""
        self._queues[lane].records.extendleft(reversed(records))

    def committed(self) -> None:
        """Look again at what was dry."""
        for queue in self._queues.values():
            queue.dry = False

    def look_back(self, lane: Lane) -> None:
        """Start again at the oldest record: for those that were held or skipped."""
        queue = self._queues.get(lane)
        if queue and not queue.records:
            queue.after, queue.dry = None, False

    async def _filled(self, lane: Lane) -> bool:
        queue = self._queues[lane]
        if not queue.records and not queue.dry:
            if lane is Lane.BACKFILL and self._backwards:
                found = await self._older(queue)
            else:
                found = await (self._newest() if self._live and lane is Lane.FRESH else self._next(lane, queue))
            queue.records.extend(found)
            queue.dry = not found
        return bool(queue.records)

    async def _newest(self) -> list[Stored]:
        new = self._ring.backlog(Stream.INSTANT).newest_seq - self._seen
        if new <= 0:
            return []
        if self._gathers:
            after = self._seen if self._seen >= 0 else None
            found = await self._ring.read(Stream.INSTANT, after=after, limit_records=self._read_records,
                                          limit_bytes=READ_BYTES)
        else:
            found = await self._ring.read_newest(Stream.INSTANT, before=None, limit_bytes=READ_BYTES,
                                                 limit_records=min(self._read_records, new))
        found = [stored for stored in found if stored.seq > self._seen]
        if found:
            old = self._queues[Lane.BACKFILL]
            if found[0].seq > self._seen + 1:
                old.dry = False                          # what was left out
                if self._backwards:
                    old.records.clear()                  # it is newer than these
                    old.after = None
            elif self._backwards:
                if old.dry and old.after is None:
                    old.after = found[0].seq             # there is nothing older
            elif old.dry and not old.records:
                old.after = found[-1].seq                # it had nothing, and gets nothing: not to be read twice
            self._seen = found[-1].seq
        return found

    async def _next(self, lane: Lane, queue: _Queue) -> list[Stored]:
        until = self._seen if lane is Lane.BACKFILL else None
        while until is None or queue.after is None or queue.after < until:
            found = await self._ring.read(lane.stream, after=queue.after, limit_records=BACKLOG_RECORDS,
                                          limit_bytes=READ_BYTES)
            if until is not None and found and found[-1].seq > until:
                found = [stored for stored in found if stored.seq <= until]
            if not found:
                break
            free = self._free(lane, found)
            queue.after = (free or found)[-1].seq
            if free:
                return free
        return []

    async def _older(self, queue: _Queue) -> list[Stored]:
        """Return the newest of what waits below the last piece: `queue.after` is where that one began."""
        while True:
            before = self._seen + 1 if queue.after is None else queue.after
            found = await self._ring.read_newest(Stream.INSTANT, before=before, limit_records=PIECE_RECORDS,
                                                 limit_bytes=READ_BYTES)
            if not found:
                return []
            free = self._free(Lane.BACKFILL, found[::-1])[::-1]
            queue.after = (free or found)[0].seq
            if free:
                return free

    def _free(self, lane: Lane, found: list[Stored]) -> list[Stored]:
        """Return the first neighbours that no other hand holds: a span over a gap would cover what lies in it."""
        held = self._on_its_way(found)
        if lane is Lane.BACKFILL:
            held.update(stored.seq for stored in self._queues[Lane.FRESH].records)
        if not held:
            return found
        free: list[Stored] = []
        for stored in found:
            if stored.seq not in held:
                free.append(stored)
            elif free:
                break
        return free

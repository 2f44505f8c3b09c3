"""One stream on the event loop's side: records that are accepted and not durable yet.

Ordinals are given here, at once; the writer thread makes them durable later. Should storage fail, this list is the
bounded ring in memory that keeps the gateway going.
"""

import asyncio
from collections.abc import Generator
from typing import Any

from edge.config import WhenFull
from edge.errors import RingError
from edge.model import SEQ_BITS, Record, Stored, Stream
from edge.ring.ackset import FIRST_ORDINAL
from edge.ring.batch import Commit
from edge.ring.dictionary import Dictionary
from edge.ring.frame import new_packer, unpack_first
from edge.ring.layout import DATED_ROWS
from edge.ring.log import StreamLog
from edge.ring.losses import LossReason
from edge.ring.records import moment_of, own_time, pack_record, record_of
from edge.ring.slots import Condition
from edge.ring.status import StreamStatus
from edge.ring.timebase import stamps_by

MEMORY_RECORDS = 10_000
MEMORY_BYTES = 8 << 20      # and no more than this, should they be large
OFFERED_BYTES = 1 << 16     # so much may wait to be acknowledged unwritten; with more, windows do not wait to close


class Ticket:
    """A record on its way to flash: `seq` is known at once, awaiting the ticket waits until it is durable.

    Awaiting returns `seq`, or raises RingError when the record was lost or the ring closed before. Cancelling the
    waiter changes nothing about the record.
    """

    __slots__ = ("_lane", "seq")

    def __init__(self, lane: "Lane", seq: int) -> None:
        """Made by `Ring.put` only."""
        self._lane, self.seq = lane, seq

    def __await__(self) -> Generator[Any, None, int]:
        """Wait until the record is durable, or acknowledged before it had to be."""
        yield from self._lane.durable(self.seq & ((1 << SEQ_BITS) - 1))
        return self.seq


class Lane:
    """The pending records of one stream. `pending[i]` has ordinal `first + i`; b"" needs no writing any more."""

    def __init__(self, log: StreamLog, window_s: float, record_limit_bytes: int, boot_id: str, *,
                 elides: bool = False, when_full: WhenFull = "drop_oldest") -> None:
        """Continue where the log stands.

        With `elides`, records may be read before they are durable, and are not written when they are acknowledged
        before they would have been. `when_full` tells what becomes of records while the stream is full.
        """
        self.log, self.window_s, self.elides, self.when_full = log, window_s, elides, when_full
        self._base_ms, self._seq_of_0 = log.run.base_ms, log.run.epoch << SEQ_BITS
        self.stream: Stream = log.view.stream
        self.boot_id = boot_id
        self.limit_bytes = record_limit_bytes
        self.dictionary = Dictionary(log.pool.slot_bytes // 8)
        self.pending: list[bytes] = []
        self.first = log.view.next_ordinal
        self.busy = False                 # the writer has a commit of this lane in hand; never two at once
        self.inflight = 0                 # of `pending`, handed to the writer
        self.preparing = False            # the writer makes a slot ahead for it
        self.failed = False               # storage fails: what waits here is all that is kept, and it is readable
        self.state_wanted = False         # the next commit brings everything, and the state with it
        self.full = 0                     # of `pending`, fill whole pages
        self.arrived: list[float] = []    # when each of `pending` came, in the loop's time
        self.gaps: list[tuple[int, int, int]] = []
        self.stuck = False                # the stream is full and keeps what it has
        self.turned_away = 0              # records refused for that, all of them
        self.uncounted = 0                # of those, not handed to the log
        self.dropped: list[tuple[int, int, LossReason]] = []     # ordinals that there was no room for
        self.dropped_told = 0                          # of `dropped`, handed to the log whole
        self.features = 0                 # of the format, that a reader of these records must know
        self.elided = 0                   # records that never had to be written
        self.timer: asyncio.TimerHandle | None = None
        self._elided = 0                  # of `pending`, looked at and left out
        self._page_limit_bytes = OFFERED_BYTES if elides else log.rows_bytes
        self._page_bytes = 0
        self._bytes = 0                   # of `pending` together
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._closed = False
        self._entries: tuple[bytes, ...] = ()
        self._pack = new_packer()

    @property
    def since(self) -> float:
        """When the oldest record came that is still to be written, in the loop's time; inf without one."""
        at = max(self._elided, self.inflight)
        return self.arrived[at] if at < len(self.arrived) else float("inf")

    @property
    def readable(self) -> bool:
        """Whether records that wait here may be read."""
        return self.failed or self.elides

    @property
    def end(self) -> int:
        """The ordinal the next record gets."""
        return self.first + len(self.pending)

    def seq(self, ordinal: int) -> int:
        """Return the sequence number of an ordinal of this run."""
        return self._seq_of_0 | ordinal

    def put(self, record: Record, now: float = 0.0) -> Ticket:
        """Accept a record at `now`, the loop's time.

        Raises RingError: too large, of another boot, not packable, memory is full too, or the stream keeps what it has.
        """
        if self.stuck and self.when_full == "drop_newest":
            self._turn_away()
        if record.stamp.boot_id != self.boot_id:
            raise RingError(f"record of {record.device or 'the gateway'}: its stamp is of another boot")
        pending, stamp = self.pending, record.stamp
        try:
            row = pack_record(record, self._base_ms, self.dictionary, self._pack)
        except (UnicodeEncodeError, TypeError) as error:
            raise RingError(f"record of {record.device or 'the gateway'} cannot be stored: {error}") from error
        size = len(row)
        if size > self.limit_bytes:
            raise RingError(f"record of {record.device or 'the gateway'} has {size} bytes, the limit is "
                            f"{self.limit_bytes} (ring.record_limit_bytes)")
        count = len(pending)
        if count >= MEMORY_RECORDS or self._bytes + size > MEMORY_BYTES:
            count = self._make_room(size, now)
        if self._page_bytes and self._page_bytes + size > self._page_limit_bytes:
            self.full, self._page_bytes = count, 0
        if stamp.source == "meter":
            self.features |= DATED_ROWS
        seq = self._seq_of_0 + self.first + count
        pending.append(row)
        self.arrived.append(now)
        self._page_bytes += size
        self._bytes += size
        return Ticket(self, seq)

    def _turn_away(self) -> None:
        self.turned_away += 1
        self.uncounted += 1
        raise RingError(f"stream {self.stream.name.lower()} is full and keeps what it has: record refused "
                        f"(ring.{self.stream.name.lower()}_when_full)")

    def give_up(self) -> None:
        """Turn away what waits: the stream is full and keeps what it has."""
        for ordinal, row in enumerate(self.pending, self.first):
            if row:
                self._note_dropped(ordinal, LossReason.FULL)
        self._bytes = self._page_bytes = 0
        self._leave(len(self.pending))
        self._release()

    def _make_room(self, size: int, now: float) -> int:
        """Let go of the oldest until a record of `size` bytes fits; returns how many are left. Raises RingError."""
        while self.pending and (len(self.pending) >= MEMORY_RECORDS or self._bytes + size > MEMORY_BYTES):
            self._drop_oldest(now)
        return len(self.pending)

    def _drop_oldest(self, now: float) -> None:
        if self.stuck:
            self._turn_away()
        if self.inflight:
            # the writer has the oldest in hand; the refused one has a number all the same, so that it is counted
            waiting = len(self.pending)
            self._note_dropped(self.end, LossReason.MEMORY)
            self.pending.append(b"")
            self.arrived.append(now)
            raise RingError(f"storage has stalled and {waiting} records wait in memory: record refused")
        self._bytes -= len(self.pending[0])
        if self.pending[0]:
            self._note_dropped(self.first, LossReason.MEMORY)
        self._leave(1)
        self.gaps = [gap for gap in self.gaps if gap[0] >= self.first]
        self._release()

    def _note_dropped(self, ordinal: int, reason: LossReason) -> None:
        # a range that was handed to the log stays as it was handed over
        if len(self.dropped) > self.dropped_told and self.dropped[-1][1:] == (ordinal - 1, reason):
            self.dropped[-1] = (self.dropped[-1][0], ordinal, reason)
        else:
            self.dropped.append((ordinal, ordinal, reason))

    # ---- waiting -------------------------------------------------------------------------------------------------

    def durable(self, ordinal: int) -> Generator[Any, None, None]:
        """Wait until an ordinal is durable or needs no writing any more. Raises RingError when it was dropped."""
        if not self._waits(ordinal):
            self._raise_if_dropped(ordinal)
            return
        if self._closed:
            raise RingError("the ring was closed before the record was durable")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((ordinal, waiter))
        yield from waiter.__await__()

    def _waits(self, ordinal: int) -> bool:
        return ordinal >= self.first and bool(self.pending[ordinal - self.first])

    def _raise_if_dropped(self, ordinal: int) -> None:
        for first, last, reason in self.dropped:
            if first <= ordinal <= last:
                why = "its stream is full" if reason is LossReason.FULL else "storage failed and memory is full"
                raise RingError(f"the record was dropped: {why}")

    def _release(self) -> None:
        if not self._waiters:
            return
        waiting = []
        for ordinal, waiter in self._waiters:
            if self._waits(ordinal):
                waiting.append((ordinal, waiter))
            elif not waiter.done():
                try:
                    self._raise_if_dropped(ordinal)
                except RingError as error:
                    waiter.set_exception(error)
                else:
                    waiter.set_result(None)
        self._waiters = waiting

    # ---- commits -------------------------------------------------------------------------------------------------

    def take(self, count: int, *, state_due: bool) -> Commit:
        """Return the first `count` pending records as a commit; `done` ends it."""
        assert not self.busy
        self._elide()
        self.busy, self.inflight, self.state_wanted = True, count, False
        if count == len(self.pending):
            self._page_bytes = 0          # what comes now begins a page
        gaps = tuple(gap for gap in self.gaps if gap[0] < self.first + count) if self.gaps else ()
        if len(self._entries) < len(self.dictionary.entries):
            self._entries = tuple(self.dictionary.entries)      # the writer's, however the dictionary grows meanwhile
        return Commit(self.first, self.pending[:count], self._entries, gaps, state_due, self.features)

    def done(self, end: int) -> int:
        """Everything below ordinal `end` is durable. Returns how many records that were."""
        self.busy, self.inflight = False, 0
        count = max(0, min(end, self.end) - self.first)
        if count:
            self._bytes -= sum(map(len, self.pending[:count]))
            self._leave(count)
            if self.gaps:
                self.gaps = [gap for gap in self.gaps if gap[0] >= self.first]
        self._elide()      # what was acknowledged meanwhile
        self._release()
        return count

    def acknowledge(self, first: int, last: int) -> None:
        """These need no writing any more, unless the writer has them in hand.

        While storage is well only what has nothing waiting before it is left out: then a floor says it all, and no
        acknowledgement that is forgotten for want of room brings up a record that is nowhere.
        """
        if self.failed:
            for ordinal in range(max(first, self.first), min(last, self.end - 1) + 1):
                self._forget(ordinal - self.first)
        self._elide()
        self._release()

    def _elide(self) -> None:
        """Leave out what is acknowledged to the last."""
        floor = self.log.view.state.acks.floor
        if floor > self.first:
            count = min(floor, self.end) - self.first
            for index in range(max(self._elided, self.inflight), count):
                self.elided += 1 if self.pending[index] else 0
                self._forget(index)
            self._elided = max(self._elided, count)
        if not self.busy:
            if self._elided:
                self._leave(self._elided)
            if not self.full:
                self._page_bytes = self._bytes

    def _forget(self, index: int) -> None:
        self._bytes -= len(self.pending[index])
        self.pending[index] = b""

    def _leave(self, count: int) -> None:
        """Drop the first so many."""
        del self.pending[:count], self.arrived[:count]
        self.first += count
        self._elided = max(0, self._elided - count)
        self.full = max(0, self.full - count)

    def fail_waiters(self) -> None:
        """The ring is closed: nobody waits any longer."""
        self._closed = True
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(RingError("the ring was closed before the record was durable"))
        self._waiters.clear()

    def status(self) -> StreamStatus:
        """Return the stream's counters."""
        pool, tally = self.log.pool, self.log.tally
        conditions = [slot.condition for slot in list(pool.slots)]
        durable = self.first - FIRST_ORDINAL
        backlog, lost = self.log.backlog(self.first), self.log.view.state.losses.total
        return StreamStatus(
            newest_seq=self.seq(self.end - 1) if self.end > FIRST_ORDINAL else 0,
            durable_seq=self.seq(durable) if durable else 0, acknowledged=max(0, durable - backlog - lost),
            backlog=backlog, in_memory=self.waiting(), lost=lost,
            slots=len(conditions), slots_quarantined=conditions.count(Condition.QUARANTINED),
            slots_strange=conditions.count(Condition.FOREIGN) + conditions.count(Condition.UNUSABLE),
            size_bytes=sum(slot.size for slot in list(pool.slots)), quota_bytes=pool.quota_bytes,
            written_bytes=tally.bytes_written, syncs=tally.syncs, io_errors=tally.io_errors, evictions=tally.evictions,
            scrubbed=tally.scrubbed, damaged_pages=tally.damaged_pages,
            acks_unwritten=self.log.acks_unwritten, elided=self.elided, full=self.stuck,
            turned_away=self.turned_away,
        )

    # ---- reading from memory -------------------------------------------------------------------------------------

    def waiting(self) -> int:
        """Return how many pending records still need delivery."""
        return sum(1 for ordinal in self._wanted(self.first, self.end) if self.pending[ordinal - self.first])

    def backlog(self) -> int:
        """Return how many records wait for an acknowledgement, of those that may be read."""
        return self.log.backlog(self.first) + (self.waiting() if self.readable else 0)

    def _wanted(self, low: int, high: int) -> list[int]:
        return [ordinal for first, last in self.log.view.missing(max(low, self.first), min(high, self.end) - 1)
                for ordinal in range(first, last + 1)]

    def stored(self, low: int, high: int, limit_records: int, limit_bytes: int, *, newest: bool = False
               ) -> list[Stored]:
        """Return the oldest (or newest) pending records of ordinals `low..high-1`, ascending; one at least, if any.

        Their times come from the anchors that will be on flash with them, so a later delivery carries the same ones.
        """
        tables, run, found = self.dictionary.tables(), self.log.run, list[Stored]()
        room = limit_bytes
        ordinals = self._wanted(low, high)
        for ordinal in reversed(ordinals) if newest else ordinals:
            row = self.pending[ordinal - self.first]
            if not row:
                if found:
                    break         # dropped and not counted yet: no span may cover it
                continue
            if found and (len(found) >= limit_records or len(row) > room):
                break
            values = unpack_first(row)
            moment = run.base_ms + moment_of(values)
            anchor = self.log.anchor_at(moment)
            if anchor is None:
                self.log.view.undated[run.boot] = run
                return []
            stamp = own_time(values, moment, self.boot_id) or stamps_by(anchor, self.boot_id)(moment)
            found.append(Stored(self.stream, self.seq(ordinal), record_of(values, tables, stamp)))
            room -= len(row)
        return found[::-1] if newest else found

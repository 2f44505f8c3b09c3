"""The ring as the other rooms use it: asyncio outside, one writer thread inside (I/O edge).

The event loop only keeps lists; every byte is written, synced and read in a thread of its own, because an SD card may
stall for seconds.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from edge.clock import Clock
from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Record, SeqSpan, Stored, Stream
from edge.ring.ackset import FIRST_ORDINAL, ORDINAL_MASK
from edge.ring.engine import Engine, Outcome
from edge.ring.fs import FileSystem, OsFileSystem, lock_directory
from edge.ring.lane import MEMORY_RECORDS, Lane, Ticket
from edge.ring.losses import GAP_SCHEMA, Loss, LossReason
from edge.ring.status import Backlog, RingStatus
from edge.ring.timebase import Anchor, Quality
from edge.ring.timekeeper import Timekeeper

log = logging.getLogger(__name__)

CLOCK_POLL_S = 1.0
RETRY_FIRST_S = 30.0
RETRY_MAX_S = 600.0
RELEASE_WITHIN_S = 1.0
CLOSE_WITHIN_S = 5.0       # an SD card that is busy with itself answers in that time; a dead one never does
_T = TypeVar("_T")


class Ring:
    """A bounded, durable queue of records per stream. Made by `Ring.open`; belongs to one event loop.

    Contract: docs/ring-format.md. `commits` counts the commits that brought records.
    """

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor, settings: RingSettings, clock: Clock, hold_s: float,
                 retry_first_s: float) -> None:
        """Use `Ring.open`."""
        self._engine, self._pool, self._clock, self._settings = engine, pool, clock, settings
        self._loop = asyncio.get_running_loop()
        boot_id = clock.stamp().boot_id
        windows = {Stream.ALARM: settings.alarm_commit_window_s, Stream.BILLING: settings.billing_commit_window_s,
                   Stream.INSTANT: settings.instant_commit_window_s}
        limit = min(settings.record_limit_bytes, engine.slot_bytes // 4)
        self._lanes = {s: Lane(engine.logs[s], windows[s], limit, boot_id) for s in Stream}
        self._time = Timekeeper(engine, clock, hold_s, self._spread)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._news = asyncio.Event()
        self._jobs: set[asyncio.Future[Outcome]] = set()
        self._retry_first_s = self._retry_s = retry_first_s
        self._problem = ""
        self._broken: BaseException | None = None
        self._closing = False
        self.commits = 0
        self.close_within_s = CLOSE_WITHIN_S

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path, settings: RingSettings, clock: Clock, fs: FileSystem | None = None, *,
                   hold_s: float = 600.0, entropy: Callable[[int], bytes] = os.urandom,
                   retry_first_s: float = RETRY_FIRST_S) -> AsyncIterator["Ring"]:
        """Open the ring in `directory`, whatever it holds; leaving the context commits what waits.

        `hold_s`: how long records of a boot whose clock is not synchronised wait before they are handed out; alarms do
        not wait. `entropy` and `retry_first_s` are for tests. Raises RingError when another process has the ring
        open or the directory cannot be listed; storage that cannot be written is no error, see `status`. Leaving ends
        within `close_within_s` also when storage never answers; what was not durable then is told in one line.
        """
        loop = asyncio.get_running_loop()
        lock = lock_directory(directory) if fs is None else None
        pool = ThreadPoolExecutor(1, thread_name_prefix="ring")
        try:
            port = fs if fs is not None else OsFileSystem()
            engine = await loop.run_in_executor(pool, Engine, port, directory, settings, clock.stamp, entropy)
            ring = cls(engine, pool, settings, clock, hold_s, retry_first_s)
            ring._start()
            try:
                yield ring
            finally:
                await ring._close()
        finally:
            if lock is not None:
                # behind all that the writer has in hand: a stalled write must not come back into another's ring
                await _within(asyncio.wrap_future(pool.submit(os.close, lock)), RELEASE_WITHIN_S)
            pool.shutdown(wait=False)

    # ---- writing -------------------------------------------------------------------------------------------------

    async def append(self, stream: Stream, record: Record) -> int:
        """Return the record's sequence number once it is durable (or acknowledged before it had to be).

        While storage is failing this waits; use `put` to go on meanwhile. Raises RingError when the record is refused
        or, later, lost. Cancelling does not take the record back.
        """
        return await self.put(stream, record)

    def put(self, stream: Stream, record: Record) -> Ticket:
        """Accept a record and return at once; `ticket.seq` is its number, awaiting the ticket waits for the flash.

        The record becomes durable by itself within the stream's commit window. Raises RingError when it is refused:
        too large, stamped by another boot, or memory full while storage stalls.
        """
        if self._closing or self._broken is not None:
            raise RingError("the ring is closed")
        lane = self._lanes[stream]
        ticket = lane.put(record, self._loop.time())
        if lane.failed:
            self._brought_news()
        elif not lane.busy and (lane.full or lane.timer is None):
            self._arm(lane, fresh=True)
        return ticket

    def ack(self, span: SeqSpan) -> None:
        """Take the broker's acknowledgement of these numbers. Effective at once, durable within `ack_commit_s`.

        Both ends are numbers that the ring gave out.
        """
        lane = self._lanes[span.stream]
        first, last = span.first & ORDINAL_MASK, min(span.last & ORDINAL_MASK, lane.end - 1)
        if last < first:
            return
        lane.log.ack(first, last)
        if last >= lane.first:
            lane.acknowledge(first, last)
        if lane.log.state_due:
            self._commit_state(lane)
        elif "acks" not in self._timers:
            self._later("acks", self._settings.ack_commit_s, self._write_acks)

    async def anchor(self, *, wall_ms: int, boottime_ms: int, quality: Quality, source: str) -> None:
        """Pair the two clocks by hand, e.g. from a meter or an operator; returns when the anchor is durable.

        It counts for records from `boottime_ms` on, and for those before it when the boot had none.
        """
        await self._anchored(Anchor(self._engine.boot, boottime_ms, wall_ms, int(quality), source))

    # ---- reading -------------------------------------------------------------------------------------------------

    async def read(self, stream: Stream, *, after: int | None = None, limit_records: int = 500,
                   limit_bytes: int = 1 << 18) -> list[Stored]:
        """Return the oldest un-acknowledged records with `seq > after`, ascending; one at least if there is one.

        `limit_bytes` counts packed bytes, averaged per page. While storage fails, records in memory come last.
        """
        lane = self._lanes[stream]
        first = 0 if after is None else (after & ORDINAL_MASK) + 1
        self._time.asked_for(lane, first)
        found = await self._call(self._engine.read, stream, first, limit_records, limit_bytes)
        self._after_read(lane)
        if not found and lane.failed:
            return lane.stored(first, lane.end, limit_records, limit_bytes)
        return found

    async def read_newest(self, stream: Stream, *, before: int | None = None, limit_records: int = 500,
                          limit_bytes: int = 1 << 18) -> list[Stored]:
        """Return the newest un-acknowledged records with `seq < before`, ascending; one at least if there is one."""
        lane = self._lanes[stream]
        end = lane.end if before is None else before & ORDINAL_MASK
        self._time.asked_for(lane, 0)
        if lane.failed:
            waiting = lane.stored(0, end, limit_records, limit_bytes, newest=True)
            if waiting:
                return waiting
        found = await self._call(self._engine.read_newest, stream, end, limit_records, limit_bytes)
        self._after_read(lane)
        return found

    def backlog(self, stream: Stream) -> Backlog:
        """Return what waits for acknowledgement; records that are not durable yet count only while storage fails."""
        lane = self._lanes[stream]
        records = lane.log.backlog() + (lane.waiting() if lane.failed else 0)
        view = lane.log.view
        oldest = None
        if records:
            segment = next((s.segment for s in list(view.segments) if not view.acknowledged(s)), None)
            if segment is not None and segment.boot == self._engine.boot:
                oldest = segment.boottime_ms
        end = lane.end if lane.failed else view.next_ordinal
        return Backlog(records, oldest, lane.seq(end - 1) if end > FIRST_ORDINAL else 0)

    async def wait_committed(self) -> None:
        """Return once records became readable since the last time this returned. Raises RingError if the ring broke."""
        await self._news.wait()
        self._news.clear()
        if self._broken is not None:
            raise RingError("the ring's writer failed; see the log") from self._broken

    def status(self) -> RingStatus:
        """Return counters and health; cheap."""
        return RingStatus(
            healthy=not self._problem and self._broken is None, problem=self._problem,
            epoch=self._lanes[Stream.ALARM].log.run.epoch, commits=self.commits,
            streams={stream.name.lower(): lane.status() for stream, lane in self._lanes.items()},
        )

    # ---- inside: life --------------------------------------------------------------------------------------------

    def _start(self) -> None:
        for stream, error in self._engine.errors.items():
            self._fail(self._lanes[stream], error)
        self._tell(self._engine.untold())
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        self._time.look()
        self._later("clock", CLOCK_POLL_S, self._look_at_clock)

    async def _close(self) -> None:
        self._closing = True
        for timer in [*self._timers.values(), *(lane.timer for lane in self._lanes.values() if lane.timer is not None)]:
            timer.cancel()
        try:
            async with asyncio.timeout(self.close_within_s):
                await self._write_rest()
        except TimeoutError:
            waiting = sum(lane.waiting() for lane in self._lanes.values())
            log.warning("ring: storage does not answer: closed after %g s, %d records are not on flash",
                        self.close_within_s, waiting)
        finally:
            for lane in self._lanes.values():
                lane.fail_waiters()
            self._pool.submit(self._engine.close)

    async def _write_rest(self) -> None:
        while self._jobs:
            await asyncio.wait(self._jobs)
        for lane in self._lanes.values():
            if self._broken is None and (lane.pending or not lane.log.clean):
                await self._finish(lane)

    async def _finish(self, lane: Lane) -> None:
        self._drop_to_log(lane)
        commit = lane.take(len(lane.pending), state_due=True)
        outcome = await self._call(self._engine.commit, lane.stream, commit)
        lane.done(outcome.end)
        if outcome.error is not None:
            level = logging.ERROR if lane.waiting() else logging.DEBUG
            log.log(level, "ring %s: %d records could not be made durable at the end: %s", lane.stream.name.lower(),
                      lane.waiting(), outcome.error)

    async def _call(self, function: Callable[..., _T], *args: object) -> _T:
        if self._broken is not None:
            raise RingError("the ring's writer failed; see the log") from self._broken
        return await self._loop.run_in_executor(self._pool, function, *args)

    def _later(self, name: str, delay_s: float, action: Callable[[], None]) -> None:
        def fire() -> None:
            del self._timers[name]
            action()

        self._timers[name] = self._loop.call_later(delay_s, fire)

    # ---- inside: commits -----------------------------------------------------------------------------------------

    def _arm(self, lane: Lane, *, fresh: bool = False) -> None:
        """See to it that what waits is committed: full pages at once, the rest when the window closes.

        A `fresh` record waits for its neighbours at least, whatever the window.
        """
        if lane.busy or lane.failed or self._closing:
            return
        if lane.state_wanted:
            self._commit(lane, len(lane.pending), state_due=True)
        elif lane.full:
            self._commit(lane, lane.full)
        elif lane.pending:
            # counted from when the record came: a window that closed during a commit is not opened again
            closes = lane.since + lane.window_s
            if closes <= self._loop.time() and not fresh:
                self._commit(lane, len(lane.pending))
            elif lane.timer is None:
                lane.timer = self._loop.call_at(closes, self._window_closed, lane)

    def _window_closed(self, lane: Lane) -> None:
        lane.timer = None
        self._arm(lane)

    def _commit_state(self, lane: Lane) -> None:
        """Commit everything that waits and the state, now or after the commit that is under way."""
        lane.state_wanted = True
        self._arm(lane)

    def _commit(self, lane: Lane, count: int, *, state_due: bool = False) -> None:
        self._drop_to_log(lane)
        job = self._loop.run_in_executor(self._pool, self._engine.commit, lane.stream,
                                         lane.take(count, state_due=state_due))
        self._jobs.add(job)
        job.add_done_callback(partial(self._committed, lane))

    def _committed(self, lane: Lane, job: "asyncio.Future[Outcome]") -> None:
        self._jobs.discard(job)
        error = job.exception()
        if error is not None:
            self._break(error)
            return
        outcome = job.result()
        if lane.done(outcome.end):
            self.commits += 1
            self._brought_news()
        elif outcome.timed:
            self._brought_news()
        if outcome.error is not None:
            self._fail(lane, outcome.error)
        elif lane.failed:
            self._recover(lane)
        self._tell(outcome.untold)
        self._arm(lane)

    def _brought_news(self) -> None:
        self._news.set()

    def _write_acks(self) -> None:
        for lane in self._lanes.values():
            if not lane.log.clean:
                self._commit_state(lane)

    def _spread(self, anchor: Anchor, streams: Iterable[Stream], *, at_once: bool, unless_known: bool = False) -> None:
        for stream in streams:
            self._pool.submit(self._engine.anchor, stream, anchor, unless_known=unless_known)
            if at_once:
                self._commit_state(self._lanes[stream])

    async def _anchored(self, anchor: Anchor) -> None:
        for stream in Stream:
            await self._call(self._engine.anchor, stream, anchor)
            self._commit_state(self._lanes[stream])
        while self._jobs:
            await asyncio.wait(self._jobs)

    def _after_read(self, lane: Lane) -> None:
        # reading may have found damage: the loss becomes durable, then it is told
        if lane.log.state_due:
            self._commit_state(lane)

    def _tell(self, losses: "list[tuple[Stream, Loss]] | tuple[tuple[Stream, Loss], ...]") -> None:
        lane = self._lanes[Stream.ALARM]
        for stream, loss in losses:
            log.warning("ring %s: %d records lost (%s)", stream.name.lower(), loss.records, loss.reason)
            if not self._closing:
                gap = (lane.end, int(stream), loss.no)
                lane.gaps.append(gap)
                try:
                    self.put(Stream.ALARM, Record(GAP_SCHEMA, "", self._clock.stamp(), loss.values(stream)))
                except RingError:
                    lane.gaps.remove(gap)      # not told: the next start does it

    # ---- inside: failing storage ---------------------------------------------------------------------------------

    def _fail(self, lane: Lane, error: OSError) -> None:
        text = f"{error.strerror or error} ({error.filename or 'ring'})"
        if not lane.failed:
            # one card carries all streams: what it says about the second is no news
            level = logging.DEBUG if any(other.failed for other in self._lanes.values()) else logging.ERROR
            log.log(level, "ring %s: storage failed: %s; the newest %d records of each stream are kept in memory",
                    lane.stream.name.lower(), text, MEMORY_RECORDS)
        lane.failed, self._problem = True, text
        if "retry" not in self._timers and not self._closing:
            self._later("retry", self._retry_s, self._retry)
            self._retry_s = min(RETRY_MAX_S, self._retry_s * 2)
        self._brought_news()

    def _retry(self) -> None:
        for lane in self._lanes.values():
            if lane.failed and not lane.busy:
                self._commit(lane, len(lane.pending), state_due=True)

    def _drop_to_log(self, lane: Lane) -> None:
        for first, last in lane.dropped[lane.dropped_told :]:
            self._pool.submit(self._engine.lose, lane.stream, first, last, LossReason.MEMORY)
        lane.dropped_told = len(lane.dropped)

    def _recover(self, lane: Lane) -> None:
        log.info("ring %s: storage works again", lane.stream.name.lower())
        lane.failed = False
        if not any(other.failed for other in self._lanes.values()):
            self._problem, self._retry_s = "", self._retry_first_s

    def _break(self, error: BaseException) -> None:
        """A fault of the program itself in the writer: nothing is promised from here on."""
        log.critical("ring: the writer failed", exc_info=error)
        self._broken = error
        for lane in self._lanes.values():
            lane.fail_waiters()
        self._brought_news()


async def _within(work: "asyncio.Future[None]", deadline_s: float) -> None:
    """Wait for a future, but not for ever; it is left to itself then."""
    await asyncio.wait([work], timeout=deadline_s)

"""The ring as the other rooms use it: asyncio outside, one writer thread inside (I/O edge).

The event loop only keeps lists; every byte is written, synced and read in a thread of its own, because an SD card may
stall for seconds.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from edge.clock import Clock
from edge.config import RingSettings
from edge.errors import RingError, RingLocked
from edge.model import Record, SeqSpan, Stored, Stream
from edge.ring.ackset import FIRST_ORDINAL, ORDINAL_MASK
from edge.ring.committer import RETRY_FIRST_S, Committer
from edge.ring.engine import Engine
from edge.ring.fs import FileSystem, OsFileSystem, lock_directory, remove_unfinished
from edge.ring.key import KeyPort, LockedFs, key_port
from edge.ring.lane import Lane, Ticket
from edge.ring.scrub import Scrub
from edge.ring.status import Backlog, RingStatus
from edge.ring.timebase import Anchor, Quality
from edge.ring.timekeeper import Timekeeper
from edge.ring.writer import Writer

log = logging.getLogger(__name__)

CLOCK_POLL_S = 1.0
SCRUB_STEP_S = 0.5         # between two pieces of a slot that is read through: what else there is to do comes first
RELEASE_WITHIN_S = 1.0
CLOSE_WITHIN_S = 5.0       # an SD card that is busy with itself answers in that time; a dead one never does


class Ring:
    """A bounded, durable queue of records per stream. Made by `Ring.open`; belongs to one event loop.

    Contract: docs/ring-format.md.
    """

    def __init__(self, engine: Engine, writer: Writer, settings: RingSettings, clock: Clock, hold_s: float,
                 retry_first_s: float) -> None:
        """Use `Ring.open`."""
        self._engine, self._writer, self._clock = engine, writer, clock
        self._committer = Committer(engine, writer, settings, clock, retry_first_s)
        self._lanes = self._committer.lanes
        self._time = Timekeeper(engine, clock, hold_s, self._committer.spread, self._committer.brought_news)
        self._scrub, self._scrub_interval_s = Scrub(engine.logs), settings.scrub_interval_s
        self.close_within_s = CLOSE_WITHIN_S

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path, settings: RingSettings, clock: Clock, fs: FileSystem | None = None, *,
                   hold_s: float = 600.0, key: KeyPort | None = None,
                   entropy: Callable[[int], bytes] = os.urandom,
                   retry_first_s: float = RETRY_FIRST_S) -> AsyncIterator["Ring"]:
        """Open the ring in `directory`, whatever it holds; leaving the context commits what waits.

        `hold_s`: how long records of a boot whose clock is not synchronised wait before they are handed out; alarms do
        not wait. `key`: who has the key of an encrypted ring, else as the settings say. `entropy` and `retry_first_s`
        are for tests. Raises RingError when another process has the ring open or the directory cannot be listed;
        storage that cannot be written is no error, nor is a ring whose key is not there, see `status`. Leaving ends
        within `close_within_s` also when storage never answers; what was not durable then is told in one line.
        """
        lock = lock_directory(directory) if fs is None else None
        writer = Writer()
        try:
            port = fs if fs is not None else OsFileSystem()
            if lock is not None:
                await writer.call(_sweep, directory)
            engine = await writer.call(_opened, port, directory, settings, clock, entropy,
                                       key or key_port(settings, directory))
            ring = cls(engine, writer, settings, clock, hold_s, retry_first_s)
            ring._start()
            try:
                yield ring
            finally:
                await ring._close()
        finally:
            if lock is not None:
                # behind all that the writer has in hand: a stalled write must not come back into another's ring
                await _within(writer.call(os.close, lock), RELEASE_WITHIN_S)
            writer.stop()

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
        return self._committer.put(stream, record)

    def ack(self, span: SeqSpan) -> None:
        """Take the broker's acknowledgement of these numbers. Effective at once, durable within `ack_commit_s`.

        Both ends are numbers that the ring gave out.
        """
        self._committer.ack(span.stream, span.first & ORDINAL_MASK, span.last & ORDINAL_MASK)

    def meter_clock(self, meter: str, *, wall_ms: int, boottime_ms: int, sound: bool, error_ms: int | None = None
                    ) -> None:
        """Note what a meter's clock said (UTC) at a moment of this boot. It rides with the next commit, at no cost.

        It dates records only where the gateway never has a right time of its own. `sound`: the meter calls its clock
        neither invalid nor doubtful; `error_ms` bounds how far it may be off, where that is known.
        """
        self._time.meter_clock(meter, wall_ms, boottime_ms, error_ms, sound=sound)

    async def anchor(self, *, wall_ms: int, boottime_ms: int, quality: Quality, source: str) -> None:
        """Pair the two clocks by hand, as an operator does; returns when the anchor is durable.

        It counts for records from `boottime_ms` on, and for those before it when the boot had none.
        """
        self._committer.spread(Anchor(self._engine.boot, boottime_ms, wall_ms, int(quality), source), at_once=True)
        await self._committer.settled()

    # ---- reading -------------------------------------------------------------------------------------------------

    async def read(self, stream: Stream, *, after: int | None = None, limit_records: int = 500,
                   limit_bytes: int = 1 << 18) -> list[Stored]:
        """Return the oldest un-acknowledged records with `seq > after`, ascending; one at least if there is one.

        A page that would not fit whole is left for the next read once half of `limit_records` is found, so that a
        backlog is decoded once. `limit_bytes` counts packed bytes, averaged per page. Records that are not durable yet,
        where they may be read at all, come last.
        """
        lane = self._lanes[stream]
        first = 0 if after is None else (after & ORDINAL_MASK) + 1

        async def look() -> list[Stored]:
            while True:
                begin = lane.first
                found = await self._committer.call(self._engine.read, stream, first, limit_records, limit_bytes)
                if found or not lane.readable:
                    return found
                if begin == lane.first:      # else some went to flash meanwhile, behind the look there
                    return lane.stored(first, lane.end, limit_records, limit_bytes)

        return await self._dated(lane, look)

    async def read_newest(self, stream: Stream, *, before: int | None = None, limit_records: int = 500,
                          limit_bytes: int = 1 << 18) -> list[Stored]:
        """Return the newest un-acknowledged records with `seq < before`, ascending; one at least if there is one."""
        lane = self._lanes[stream]
        end = lane.end if before is None else before & ORDINAL_MASK

        async def look() -> list[Stored]:
            if lane.readable:
                waiting = lane.stored(0, end, limit_records, limit_bytes, newest=True)
                if waiting:
                    return waiting
            return await self._committer.call(self._engine.read_newest, stream, end, limit_records, limit_bytes)

        return await self._dated(lane, look)

    async def _dated(self, lane: Lane, look: Callable[[], Awaitable[list[Stored]]]) -> list[Stored]:
        """Read, and once more where records had no time and get one now."""
        found = await look()
        if lane.log.view.undated and self._time.may_date(lane.stream):
            await self._committer.call(self._engine.date, lane.stream, self._clock.stamp())
            if lane.log.waiting_anchors:
                self._committer.commit_state(lane)
            found = await look()
        # reading may have found damage: the loss becomes durable, then it is told
        if lane.log.state_due:
            self._committer.commit_state(lane)
        return found

    def backlog(self, stream: Stream) -> Backlog:
        """Return what waits for acknowledgement, of what may be read: while storage fails not durable ones as well.

        Polled values may always be read before they are durable, unless `ring.elide` says no.
        """
        lane = self._lanes[stream]
        records, view = lane.backlog(), lane.log.view
        oldest = None
        if records:
            segment = next((s.segment for s in list(view.segments) if not view.acknowledged(s)), None)
            if segment is not None and segment.boot == self._engine.boot:
                oldest = segment.boottime_ms
        end = lane.end if lane.readable else view.next_ordinal
        return Backlog(records, oldest, lane.seq(end - 1) if end > FIRST_ORDINAL else 0)

    async def wait_committed(self) -> None:
        """Return once records became readable since the last time this returned. Raises RingError if the ring broke."""
        await self._committer.news.wait()
        self._committer.news.clear()
        if self._committer.broken is not None:
            raise RingError("the ring's writer failed; see the log") from self._committer.broken

    def status(self) -> RingStatus:
        """Return counters and health; cheap."""
        committer = self._committer
        full = ", ".join(stream.name.lower() for stream, lane in self._lanes.items() if lane.stuck)
        problem = committer.problem or (full and f"full, and keeps what it has: {full}")
        return RingStatus(
            healthy=not problem and committer.broken is None, problem=problem,
            epoch=self._lanes[Stream.ALARM].log.run.epoch, commits=committer.commits,
            streams={stream.name.lower(): lane.status() for stream, lane in self._lanes.items()},
        )

    # ---- inside --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._committer.start()
        self._look_at_clock()
        if self._scrub_interval_s:
            self._committer.later("scrub", self._scrub_interval_s, self._scrub_on)

    def _look_at_clock(self) -> None:
        self._time.look()
        self._committer.later("clock", CLOCK_POLL_S, self._look_at_clock)

    def _scrub_on(self) -> None:
        self._writer.run(self._scrubbed, self._scrub.step)

    def _scrubbed(self, rests: bool, error: BaseException | None) -> None:      # noqa: FBT001 - as Writer calls
        if error is not None:
            self._committer.break_off(error)
        elif not self._committer.closing:
            for lane in self._lanes.values():
                if lane.log.state_due:
                    self._committer.commit_state(lane)
            self._committer.later("scrub", self._scrub_interval_s if rests else SCRUB_STEP_S, self._scrub_on)

    async def _close(self) -> None:
        self._committer.stop()
        try:
            async with asyncio.timeout(self.close_within_s):
                await self._committer.write_rest()
        except TimeoutError:
            waiting = sum(lane.waiting() for lane in self._lanes.values())
            log.warning("ring: storage does not answer: closed after %g s, %d records are not on flash",
                        self.close_within_s, waiting)
        finally:
            for lane in self._lanes.values():
                lane.fail_waiters()
            self._writer.post(self._engine.close)


def _opened(fs: FileSystem, directory: Path, settings: RingSettings, clock: Clock, entropy: Callable[[int], bytes],
            key: KeyPort) -> Engine:
    """Open what is there; without its key nothing of it, on storage that refuses everything."""
    try:
        return Engine(fs, directory, settings, clock.stamp, entropy, key=key)
    except RingLocked as locked:
        memory_only = msgspec.structs.replace(settings, encrypt=False)
        return Engine(LockedFs(str(locked)), directory, memory_only, clock.stamp, entropy)


def _sweep(directory: Path) -> None:
    """Delete the slot that was being made ahead when the last run ended: it would not count towards the bound."""
    try:
        for stream in Stream:
            remove_unfinished(directory / stream.name.lower())
    except OSError as error:
        log.warning("ring: %s", error)


async def _within(work: "asyncio.Future[None]", deadline_s: float) -> None:
    """Wait for a future, but not for ever; it is left to itself then."""
    await asyncio.wait([work], timeout=deadline_s)

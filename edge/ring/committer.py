"""When what waits is written: windows, full pages, acknowledgements, and what happens while storage fails.

The event loop's side of the ring's one writer thread. Nothing here blocks; every byte is written in the thread.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from edge.clock import Clock
from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Record, Stream
from edge.ring.batch import MAX_ROW_BYTES
from edge.ring.engine import Engine, Outcome, when_full
from edge.ring.lane import MEMORY_RECORDS, Lane, Ticket
from edge.ring.layout import MAX_ANCHORS
from edge.ring.losses import GAP_SCHEMA, Loss
from edge.ring.pool import StreamFull
from edge.ring.timebase import Anchor
from edge.ring.writer import Writer

log = logging.getLogger(__name__)

OFFER_WITHIN_S = 1.0       # neighbours that come so soon after a record are offered with it: one publication, not many
ANCHORS_UNTIL_DUE = MAX_ANCHORS // 2       # a stream that is silent for so many hours writes a page for them
RETRY_FIRST_S = 30.0
RETRY_MAX_S = 600.0
_NEVER = float("inf")
_T = TypeVar("_T")


class Committer:
    """Commits what the lanes hold. `commits` counts those with records, `news` is set when some are readable."""

    def __init__(self, engine: Engine, writer: Writer, settings: RingSettings, clock: Clock,
                 retry_first_s: float) -> None:
        """Make the lanes of an opened engine; nothing is written before `start`."""
        self._engine, self._writer, self._clock = engine, writer, clock
        self._ack_commit_s = settings.ack_commit_s
        self._loop = asyncio.get_running_loop()
        windows = {Stream.ALARM: settings.alarm_commit_window_s, Stream.BILLING: settings.billing_commit_window_s,
                   Stream.INSTANT: settings.instant_commit_window_s}
        limit = min(settings.record_limit_bytes, engine.slot_bytes // 4, MAX_ROW_BYTES)
        boot_id = clock.stamp().boot_id
        self.lanes = {stream: Lane(engine.logs[stream], windows[stream], limit, boot_id,
                                   elides=settings.elide and stream is Stream.INSTANT,
                                   when_full=when_full(settings, stream)) for stream in Stream}
        self.news = asyncio.Event()
        self.problem = ""
        self.broken: BaseException | None = None
        self.closing = False
        self.commits = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._retry_first_s = self._retry_s = retry_first_s

    def start(self) -> None:
        """Take up what the opening found: failing streams, losses to tell."""
        for stream, error in self._engine.errors.items():
            if isinstance(error, StreamFull):
                self._full(self.lanes[stream])
            else:
                self._fail(self.lanes[stream], error)
        self._tell(self._engine.untold())

    def stop(self) -> None:
        """Begin no commit from here on but those of `write_rest`."""
        self.closing = True
        for timer in [*self._timers.values(), *(lane.timer for lane in self.lanes.values() if lane.timer is not None)]:
            timer.cancel()

    async def write_rest(self) -> None:
        """Make durable what waits, once. Cancelling leaves it to itself."""
        await self.settled()
        full = [lane for lane in self.lanes.values() if lane.stuck]
        for lane in full:
            self._drop_to_log(lane)
        for lane in self.lanes.values():
            keeps = lane.stream is Stream.ALARM and full      # what they have lost, while they cannot say it
            if self.broken is None and (lane.pending or not lane.log.clean or lane.first > lane.log.written or keeps):
                await self._finish(lane)

    async def _finish(self, lane: Lane) -> None:
        self._drop_to_log(lane)
        commit = lane.take(len(lane.pending), state_due=True)
        outcome = await self.call(self._engine.commit, lane.stream, commit)
        lane.done(outcome.end)
        if outcome.error is not None:
            level = logging.ERROR if lane.waiting() else logging.DEBUG
            log.log(level, "ring %s: %d records could not be made durable at the end: %s", lane.stream.name.lower(),
                      lane.waiting(), outcome.error)

    async def call(self, function: Callable[..., _T], *args: object) -> _T:
        """Run a function in the writer thread, behind all that it has in hand. Raises RingError if the writer broke."""
        if self.broken is not None:
            raise RingError("the ring's writer failed; see the log") from self.broken
        return await self._writer.call(function, *args)

    def later(self, name: str, delay_s: float, action: Callable[[], None]) -> None:
        """Call `action` after a while; one of each name at a time."""
        def fire() -> None:
            del self._timers[name]
            action()

        self._timers[name] = self._loop.call_later(delay_s, fire)

    # ---- records and acknowledgements ----------------------------------------------------------------------------

    def put(self, stream: Stream, record: Record) -> Ticket:
        """Accept a record; it is committed within the stream's window. Raises RingError."""
        if self.closing or self.broken is not None:
            raise RingError("the ring is closed")
        lane = self.lanes[stream]
        try:
            ticket = lane.put(record, self._loop.time())
        except RingError:
            if lane.uncounted:
                self._count_soon()
            raise
        if lane.failed:
            self.brought_news()
            return ticket
        if lane.elides and "offer" not in self._timers:
            self.later("offer", min(OFFER_WITHIN_S, lane.window_s / 5), self.brought_news)
        if not lane.busy and (lane.full or lane.timer is None):
            self._arm(lane, fresh=True)
        return ticket

    def ack(self, stream: Stream, first: int, last: int) -> None:
        """Acknowledge ordinals; durable within `ack_commit_s`, with data or alone."""
        lane = self.lanes[stream]
        last = min(last, lane.end - 1)
        if last < first:
            return
        lane.log.ack(first, last, lane.first + lane.inflight)
        if last >= lane.first:
            lane.acknowledge(first, last)
        if lane.stuck and lane.log.pool.has_free(lane.log.view):
            lane.stuck = False
            self._commit_if_idle(lane)
        if lane.log.state_due:
            self.commit_state(lane)
        elif "acks" not in self._timers:
            self.later("acks", self._ack_commit_s, self._write_acks)

    def spread(self, anchor: Anchor, *, at_once: bool) -> None:
        """Let an anchor ride with all streams' next commits, or see to it that they come at once."""
        for stream in Stream:
            lane = self.lanes[stream]
            # at once, so that no later record is dated by an older one
            self._engine.anchor(stream, anchor)
            if at_once or len(lane.log.waiting_anchors) >= ANCHORS_UNTIL_DUE:
                self.commit_state(lane)

    async def settled(self) -> None:
        """Return once no commit is under way, nor a step towards a slot."""
        while self.broken is None and any(lane.busy or lane.preparing for lane in self.lanes.values()):
            await self._writer.call(lambda: None)      # comes back behind the commits that the writer has

    # ---- commits -------------------------------------------------------------------------------------------------

    def _arm(self, lane: Lane, *, fresh: bool = False) -> None:
        """See to it that what waits is committed: full pages at once, the rest when the window closes.

        A `fresh` record waits for its neighbours at least, whatever the window.
        """
        if lane.busy or lane.failed or lane.stuck or self.closing:
            return
        if lane.state_wanted:
            # what may come to need no writing does not go along
            self._commit(lane, 0 if lane.elides else len(lane.pending), state_due=True)
        elif lane.full:
            self._commit(lane, lane.full)
        elif (since := lane.since) < _NEVER:
            # counted from when the record came: a window that closed during a commit is not opened again
            closes = since + lane.window_s
            if closes <= self._loop.time() and not fresh:
                self._commit(lane, len(lane.pending))
            elif lane.timer is None:
                lane.timer = self._loop.call_at(closes, self._window_closed, lane)

    def _window_closed(self, lane: Lane) -> None:
        lane.timer = None
        self._arm(lane)

    def commit_state(self, lane: Lane) -> None:
        """Commit the state and what waits, now or after the commit that is under way."""
        lane.state_wanted = True
        self._arm(lane)

    def _commit_if_idle(self, lane: Lane) -> None:
        if not lane.busy and not lane.failed:
            self._commit(lane, len(lane.pending), state_due=True)

    def _commit(self, lane: Lane, count: int, *, state_due: bool = False) -> None:
        self._drop_to_log(lane)
        commit = lane.take(count, state_due=state_due)
        self._writer.run(partial(self._committed, lane), self._engine.commit, lane.stream, commit)

    def _committed(self, lane: Lane, outcome: Outcome, error: BaseException | None) -> None:
        if error is not None:
            self.break_off(error)
            return
        if lane.done(outcome.end):
            self.commits += 1
            self.brought_news()
        elif outcome.timed:
            self.brought_news()
        if isinstance(outcome.error, StreamFull):
            self._full(lane)
        elif outcome.error is not None:
            self._fail(lane, outcome.error)
        else:
            lane.stuck = False
            if lane.failed:
                self._recover(lane)
        self._tell(outcome.untold)
        self._arm(lane)
        if outcome.slot_wanted and not lane.preparing:
            self._prepared(lane, more=True, error=None)

    def _prepared(self, lane: Lane, more: bool, error: BaseException | None) -> None:     # noqa: FBT001 - as Writer calls
        """Have the next slot made, step by step: a commit that comes meanwhile waits for one step at most."""
        lane.preparing = more and error is None and not self.closing
        if lane.preparing:
            self._writer.run(partial(self._prepared, lane), self._engine.prepare, lane.stream)
        elif error is not None:
            self.break_off(error)

    def brought_news(self) -> None:
        """Wake who waits for records."""
        self.news.set()

    def _write_acks(self) -> None:
        for lane in self.lanes.values():
            if not lane.log.clean:
                self.commit_state(lane)

    def _count_soon(self) -> None:
        if "refused" not in self._timers and not self.closing:
            self.later("refused", self._ack_commit_s, self._count_refused)

    def _count_refused(self) -> None:
        """Have what full streams refused counted in the alarm stream: they have no page for it."""
        for lane in self.lanes.values():
            if lane.stuck:
                self._drop_to_log(lane)
        self.commit_state(self.lanes[Stream.ALARM])

    def _tell(self, losses: "list[tuple[Stream, Loss]] | tuple[tuple[Stream, Loss], ...]") -> None:
        lane = self.lanes[Stream.ALARM]
        for stream, loss in losses:
            log.warning("ring %s: %d records lost (%s)", stream.name.lower(), loss.records, loss.reason)
            if not self.closing:
                gap = (lane.end, int(stream), loss.no)
                lane.gaps.append(gap)
                try:
                    self.put(Stream.ALARM, Record(GAP_SCHEMA, "", self._clock.stamp(), loss.values(stream)))
                except RingError:
                    lane.gaps.remove(gap)      # not told: the next start does it

    # ---- failing storage -----------------------------------------------------------------------------------------

    def _full(self, lane: Lane) -> None:
        if not lane.stuck:
            new = "refused" if lane.when_full == "drop_newest" else "kept in memory as far as they fit"
            log.warning("ring %s: full, and keeps what it has; new records are %s", lane.stream.name.lower(), new)
        lane.stuck = True
        if lane.when_full == "drop_newest":
            lane.give_up()
            self._count_soon()

    def _fail(self, lane: Lane, error: OSError) -> None:
        text = f"{error.strerror or error} ({error.filename or 'ring'})"
        if not lane.failed:
            # one card carries all streams: what it says about the second is no news
            level = logging.DEBUG if any(other.failed for other in self.lanes.values()) else logging.ERROR
            log.log(level, "ring %s: storage failed: %s; the newest %d records of each stream are kept in memory",
                    lane.stream.name.lower(), text, MEMORY_RECORDS)
        lane.failed, self.problem = True, text
        if "retry" not in self._timers and not self.closing:
            self.later("retry", self._retry_s, self._retry)
            self._retry_s = min(RETRY_MAX_S, self._retry_s * 2)
        self.brought_news()

    def _retry(self) -> None:
        for lane in self.lanes.values():
            if lane.failed and not lane.busy:
                self._commit(lane, len(lane.pending), state_due=True)

    def _drop_to_log(self, lane: Lane) -> None:
        for first, last, reason in lane.dropped[lane.dropped_told :]:
            self._writer.post(self._engine.lose, lane.stream, first, last, reason)
        lane.dropped_told = len(lane.dropped)
        if lane.uncounted:
            self._writer.post(self._engine.turn_away, lane.stream, lane.uncounted, self._clock.stamp().wall_ms)
            lane.uncounted = 0

    def _recover(self, lane: Lane) -> None:
        log.info("ring %s: storage works again", lane.stream.name.lower())
        lane.failed = False
        if not any(other.failed for other in self.lanes.values()):
            self.problem, self._retry_s = "", self._retry_first_s

    def break_off(self, error: BaseException) -> None:
        """A fault of the program itself in the writer: nothing is promised from here on."""
        log.critical("ring: the writer failed", exc_info=error)
        self.broken = error
        for lane in self.lanes.values():
            lane.fail_waiters()
        self.brought_news()

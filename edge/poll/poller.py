"""One worker per meter: waits for its slot and its turn, polls, climbs the recovery ladder, writes one record per slot.

    slot ──► may try? ── no ──► FAILURE circuit_open (or the reason it waits for)
                │ yes
                ▼
             turn at the gate ─► Link.poll ─► READING ─► sink
                ▲                   │ MeterError
                │                   ▼
                └── back-off ── Recovery.failed ── slot over, or nothing more to try ──► FAILURE with its reason

Between slots `Rest` keeps the connection alive and lets errands have their steps.

A slot whose first attempt fails is tried again after the back-off as long as the slot lasts, so that one lost
connection does not cost a quarter-hour value. Each served slot leaves exactly one record.
"""

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from edge.clock import Clock
from edge.config import PollSettings
from edge.errors import FailReason, LocalStateError, MeterError, RingError, Unreachable
from edge.health.promise import Pulse
from edge.meters import reading
from edge.meters.profile import Profile
from edge.model import Keys, Kind, Learned, Meter, Record
from edge.poll.addressing import NO_KEYS, association_settings, lane, poll_interval_s
from edge.poll.air import Air, FreeAir
from edge.poll.budget import Gate
from edge.poll.counters import Reserve, counter_desk
from edge.poll.errand import Errand, Errands
from edge.poll.link import Link, OnLearned
from edge.poll.recovery import UNANSWERED, Circuit, Level, Limits, Recovery
from edge.poll.rest import PROMISE_MARGIN_S, Rest
from edge.poll.schedule import Between, Schedule, Tick, between_polls
from edge.poll.session import Connect
from edge.poll.state import Counters, PollerState
from edge.poll.transport import connect_for
from edge.poll.turn import Alone, Crowd, turn
from edge.poll.unasked import OnPush, nobody_listens

log = logging.getLogger(__name__)

Sink = Callable[[Record], Awaitable[int]]
"""Where records go: `Ring.append` bound to Stream.INSTANT. Raises RingError."""

FREE = FreeAir()

LEAVE_S = 3.0
"""How long a poller that is stopped waits for its turn to take leave of the meter."""

ALONE = Alone()


class Poller:
    """Polls one meter until cancelled."""

    def __init__(
        self,
        meter: Meter,
        password: bytes,
        profile: Profile,
        learned: Learned,
        *,
        settings: PollSettings,
        gate: Gate,
        sink: Sink,
        on_learned: OnLearned,
        clock: Clock,
        promise: Pulse,
        rng: random.Random,
        connect: Connect | None = None,
        hang_up: bool = False,
        keys: Keys = NO_KEYS,
        client_title: bytes = b"",
        reserve: Reserve | None = None,
        errands: Iterable[Errand] = (),
        crowd: Crowd = ALONE,
        air: Air = FREE,
        on_push: OnPush = nobody_listens,
    ) -> None:
        """`connect`: a way to the meter that is shared with others, None for its own. `hang_up`: close after each poll.

        `reserve` sets invocation counters aside, for meters with keys. `errands` are the standing ones. `crowd`
        is told how each attempt ended, `air` says when one may be made, `on_push` takes what comes unasked. Raises
        ConfigError when the meter cannot be addressed, or lacks its password or keys.
        """
        self.meter = meter
        self.profile = profile
        self.interval_s = poll_interval_s(meter, profile, settings)
        self._hang_up = hang_up
        self.between = self._between()
        self.counters = Counters()
        self.recovery = Recovery(Limits.of(settings), rng.random)
        self._connect_timeout_s = settings.connect_timeout_s
        self._connect = connect or functools.partial(connect_for, meter, settings.connect_timeout_s)
        self._gate = gate
        self._lane = lane(meter, profile)
        self._sink = sink
        self._clock = clock
        self._promise = promise
        self._last_reason = FailReason.INTERNAL
        self._associate = association_settings(meter, profile, password, settings, keys, client_title)
        self._desk = counter_desk(meter.name, self._associate, reserve)
        self._on_learned = on_learned
        self._learned = learned
        self._errands = Errands(errands)
        self._crowd = crowd
        self._forgiven = asyncio.Event()
        self._air = air
        self._on_push = on_push
        self._link: Link | None = None
        self._rest: Rest | None = None
        self._schedule: Schedule | None = None
        self._tick = Tick(0, float("inf"))
        self._due_before = 0      # slots of earlier schedules

    async def run(self) -> None:
        """Poll until cancelled; cancelling ends an open exchange hard, an idle association politely within a deadline.

        What leaves it is a bug: the slot under way is recorded as INTERNAL first.
        """
        self._link = Link(
            self.meter.name, self.profile, self._learned, self._associate, self._connect, counters=self.counters,
            on_learned=self._on_learned, pulse=self._promise, desk=self._desk,
            counter_obis=self.meter.counter_obis, on_push=self._on_push)
        rest = self._rest = Rest(
            self.meter.name, interval_s=self.interval_s, between=self.between,
            keep_alive_s=self.profile.timing.keep_alive_s, link=self._link, errands=self._errands, gate=self._gate,
            lane=self._lane, recovery=self.recovery, counters=self.counters, clock=self._clock, pulse=self._promise,
            air=self._air)
        schedule = self._begin()
        try:
            while True:
                await rest.until(lambda: self._tick.at)
                schedule, tick = self._schedule or schedule, self._tick
                await self._slot(tick, schedule.following(tick, tick.at).at, self._link)
                if self._tick is tick:      # else another interval began meanwhile
                    self._tick = schedule.following(tick, self._clock.monotonic())
                    self.counters.skipped += self._tick.skipped
        finally:
            for order in self._errands.orders():
                order.failed(LocalStateError(f"meter {self.meter.name} is polled no longer"), self._clock.monotonic())
            await self._leave(self._link)

    def use(self, settings: PollSettings) -> None:
        """Go on by another interval, back-off and breaker; the association stays, and so do failures counted so far.

        Another interval begins a schedule of its own: its first slot comes soon. Time-outs are for a new poller.
        """
        self.recovery.limits = Limits.of(settings)
        interval_s = poll_interval_s(self.meter, self.profile, settings)
        if interval_s == self.interval_s:
            return
        self.interval_s = interval_s
        self.between = self._between()
        if self._schedule is not None and self._rest is not None:
            self._due_before += self._schedule.due(self._clock.monotonic())
            self._begin()
            self._rest.use(interval_s, self.between)

    def renew_errands(self, standing: Iterable[Errand]) -> None:
        """Have other standing errands; a step that is under way is finished."""
        self._errands.replace(standing)
        self.nudge()

    def _begin(self) -> Schedule:
        self._schedule = Schedule.spread(self.meter.name, self.interval_s, self._clock.monotonic())
        self._tick = self._schedule.first()
        return self._schedule

    def _between(self) -> Between:
        timing = self.profile.timing
        return Between.HANG_UP if self._hang_up else between_polls(
            self.interval_s, inactivity_s=timing.inactivity_s, keep_alive_s=timing.keep_alive_s)

    async def _leave(self, link: Link) -> None:
        """End the association in turn: on a shared line somebody else may be speaking."""
        if self._lane is None or not link.is_open:
            await link.close()
            return
        try:
            async with (asyncio.timeout(LEAVE_S),
                        turn(self._gate, self._lane, self._promise, payer=self.meter.name, leaving=True)):
                await link.close()
        except TimeoutError:
            log.debug("meter %s: no turn to take leave in", self.meter.name)
        finally:
            link.abort()

    def order(self, errand: Errand) -> None:
        """Have this done as soon as no poll is in the way. Unreachable where the meter is not to be reached now."""
        now = self._clock.monotonic()
        if self.recovery.circuit is Circuit.OPEN:
            raise Unreachable(f"meter {self.meter.name} does not answer ({self.counters.last_failure}); it is tried "
                              f"again in {self.recovery.state(now).resting_s:.0f} s")
        self._errands.order(errand)
        self.nudge()

    def nudge(self) -> None:
        """Look again at what is due: a standing errand changed its mind."""
        if self._rest is not None:
            self._rest.nudge()

    @property
    def last_reading_age_s(self) -> float | None:
        """Return how old the newest reading is."""
        at = self.counters.last_reading_at
        return None if at is None else self._clock.monotonic() - at

    @property
    def is_reading(self) -> bool:
        """Tell whether there is a reading, and the newest poll gave one."""
        return self.counters.readings > 0 and not self.counters.last_failure

    def forgive(self) -> None:
        """Try this meter again without its back-off: it was silent because the link was gone."""
        if self.recovery.forgive():
            self._forgiven.set()

    def state(self) -> PollerState:
        """Return how it stands: plain data, cheap, from any task of the loop."""
        now, counters, link = self._clock.monotonic(), self.counters, self._link
        learned = link.learned if link is not None else self._learned
        failed = counters.failures.total()
        return PollerState(
            meter=self.meter.name, interval_s=self.interval_s, between=self.between,
            connected=link is not None and link.is_open, ladder=self.recovery.state(now),
            due=self._due_before + (self._schedule.due(now) if self._schedule is not None else 0),
            slots=counters.readings + failed, readings=counters.readings, partial=counters.partial, failed=failed,
            failures={reason.value: count for reason, count in counters.failures.items()}, skipped=counters.skipped,
            held=counters.held,
            connects=counters.connects, drops_idle=counters.drops_idle, keep_alives=counters.keep_alives,
            round_trips=counters.round_trips, round_trip_s=counters.round_trip_s, lost_records=counters.lost_records,
            steps=counters.steps, steps_failed=counters.steps_failed,
            last_reading_age_s=self.last_reading_age_s,
            last_failure=counters.last_failure,
            last_reason=self._last_reason.value if counters.last_failure else "",
            not_read=counters.not_read, list_limit=learned.list_limit,
            identity=learned.identity, lateness_s=tuple(counters.lateness_s),
            lateness_counts=tuple(counters.lateness_counts), lateness_sum_s=counters.lateness_sum_s)

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def _sleep_until(self, at: float) -> None:
        """Return when `at` has come, or earlier when the meter is forgiven."""
        wait_s = max(at - self._clock.monotonic(), 0.0)
        self._promise(wait_s + PROMISE_MARGIN_S)
        self._forgiven.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._forgiven.wait()

    # -- one slot --------------------------------------------------------------------------------------------------

    async def _slot(self, tick: Tick, end: float, link: Link) -> None:
        """Serve one slot of the schedule: exactly one record, at the latest when `end` has come and no try is open."""
        first = True
        while True:
            if not await self._may_ask(end, tried=not first):
                return
            doubtful = self.recovery.failures_in_row > 0
            began = self._clock.monotonic()
            try:
                async with turn(self._gate, self._lane, self._promise, payer=self.meter.name, doubtful=doubtful):
                    began = self._clock.monotonic()
                    if first:
                        self.counters.late(began - tick.at)
                        first = False
                    record = await self._attempt(link)
            except MeterError as error:
                if await self._failed(error, end, link, link_gone=self._silence(error, began, doubtful=doubtful)):
                    continue
                return
            except Exception as bug:
                self._promise(PROMISE_MARGIN_S)
                await self._keep(self._failure(FailReason.INTERNAL, f"a fault in the gateway: {type(bug).__name__}"))
                raise
            self._crowd.answered(self.meter.name, link.took_s)
            await self._succeeded(record)
            return

    async def _may_ask(self, end: float, *, tried: bool) -> bool:
        """Wait until ladder and air let the meter be asked; False where the slot is over before, which is told then."""
        while True:
            now = self._clock.monotonic()
            if not self.recovery.may_try(now):
                not_before = self.recovery.not_before()
                if not_before >= end:
                    await self._tell_waiting(not_before - now)
                    return False
            else:
                not_before = self._air.ready_at(self.meter.name, now)
                if not_before <= now:
                    return True
                if not_before >= end:
                    await self._hold(tried=tried)
                    return False
            await self._sleep_until(not_before)

    async def _hold(self, *, tried: bool) -> None:
        """Leave the slot: the air is used up. One that was tried has its failure recorded."""
        self.counters.held += 1
        if tried:
            await self._keep(self._failure(self._last_reason, "the duty cycle leaves no time to try again"))
        else:
            self.counters.skipped += 1

    async def _attempt(self, link: Link) -> Record:
        self._promise(self._connect_timeout_s + PROMISE_MARGIN_S)
        try:
            answers = await link.poll()
        finally:
            link.spend(self._air, self._clock.monotonic())
            if self.between is Between.HANG_UP:
                await link.close()      # within the turn: behind the same bridge somebody may be next
        if answers.repeated:
            self.recovery.repeats += 1
        return reading.record(answers.plan, answers.results, self._clock.stamp(), self.meter.name)

    def _silence(self, error: MeterError, began: float, *, doubtful: bool) -> bool:
        """Tell the crowd of a meter that did not answer; return whether it is the link to all that is gone."""
        if error.reason not in UNANSWERED:
            return False
        expected = not doubtful and self.counters.last_reading_at is not None
        return self._crowd.missed(self.meter.name, self._clock.monotonic() - began, expected=expected)

    async def _failed(self, error: MeterError, end: float, link: Link, *, link_gone: bool) -> bool:
        """Climb the ladder; return True when the slot goes on with another attempt, else its record is written."""
        now = self._clock.monotonic()
        self._last_reason = error.reason
        step = self.recovery.failed(
            error.reason, now, temporary=getattr(error, "temporary", False), link_gone=link_gone)
        if step.level in (Level.RECONNECT, Level.REST):
            link.abort()
        elif step.level is Level.REPEAT:
            return True
        if step.level is Level.RECONNECT and step.not_before < end:
            log.debug("meter %s: %s; connecting anew in %.1f s", self.meter.name, error, step.not_before - now)
            return True
        await self._keep(self._failure(error.reason, str(error)))
        return False

    async def _succeeded(self, record: Record) -> None:
        """Note an exchange that went well, even where the meter refused every object."""
        counters = self.counters
        if record.schema.kind is Kind.FAILURE:
            self.recovery.failed(FailReason.ACCESS_REFUSED, self._clock.monotonic())
            await self._keep(record)
            return
        if counters.last_failure:
            log.info("meter %s: readings again", self.meter.name)
        self.recovery.succeeded()
        counters.last_failure = ""
        counters.last_reading_at = self._clock.monotonic()
        counters.readings += 1
        not_read = str(record.values[-1]) if record.schema.fields[-1].key == "not_read" else ""
        counters.partial += bool(not_read)
        if not_read and not_read != counters.not_read:
            log.warning("meter %s: not read: %s", self.meter.name, not_read)
        counters.not_read = not_read
        await self._append(record)

    async def _tell_waiting(self, wait_s: float) -> None:
        resting = self.recovery.circuit is Circuit.OPEN
        reason = FailReason.CIRCUIT_OPEN if resting else self._last_reason
        what = "circuit open" if resting else "waiting before the next connection"
        await self._keep(self._failure(reason, f"{what}, {wait_s:.0f} s left; last failure: {self._last_reason.value}"))

    # -- records ---------------------------------------------------------------------------------------------------

    def _failure(self, reason: FailReason, detail: str) -> Record:
        return reading.failure(self.meter.name, self.profile, reason, detail, self._clock.stamp())

    async def _keep(self, record: Record) -> None:
        """Count, log and store a FAILURE; the first of its kind in a row is a warning, the others are debug."""
        reason, detail = FailReason(str(record.values[0])), str(record.values[1])
        repeated = self.counters.last_failure.startswith(reason.value) or reason is FailReason.CIRCUIT_OPEN
        log.log(logging.DEBUG if repeated else logging.WARNING, "meter %s: no reading: %s: %s", self.meter.name,
                reason.value, detail)
        self.counters.failures[reason] += 1
        self.counters.last_failure = f"{reason.value}: {detail}"
        await self._append(record)

    async def _append(self, record: Record) -> None:
        self._promise(PROMISE_MARGIN_S)
        try:
            await self._sink(record)
        except RingError as error:
            level = logging.DEBUG if self.counters.lost_records else logging.ERROR
            log.log(level, "meter %s: the ring took no record: %s", self.meter.name, error)
            self.counters.lost_records += 1

"""One worker per meter: waits for its slots, has them served, and does between them what there is to do.

    Schedule ─► Rest.until(slot) ─► Slot.serve ─► one record in the ring
                 keep-alives,        attempts, the gate, the recovery ladder
                 errands

The poller owns what outlives a slot: the way to the meter (`Link`), the ladder, the counters, the errands.
"""

import asyncio
import functools
import logging
import random
from collections.abc import Iterable

from edge.clock import Clock
from edge.config import PollSettings
from edge.errors import FailReason, LocalStateError, Unreachable
from edge.health.promise import Pulse
from edge.meters.profile import Profile
from edge.model import Keys, Learned, Meter
from edge.poll.addressing import NO_KEYS, association_settings, lane, poll_interval_s
from edge.poll.air import Air, FreeAir
from edge.poll.budget import Gate
from edge.poll.common import Common
from edge.poll.counters import Reserve, counter_desk
from edge.poll.errand import Errand, Errands
from edge.poll.link import Link, OnLearned
from edge.poll.lockout import Lockout, OnRefusal, nobody_keeps
from edge.poll.outcomes import Outcomes, Sink
from edge.poll.recovery import Circuit, Limits, Recovery
from edge.poll.rest import Rest
from edge.poll.schedule import Between, Schedule, Tick, between_polls
from edge.poll.session import Connect
from edge.poll.slot import Slot
from edge.poll.state import Counters, PollerState
from edge.poll.transport import Transport, connect_for
from edge.poll.turn import Alone, Crowd
from edge.poll.unasked import OnPush, nobody_listens

log = logging.getLogger(__name__)

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
        refusal: str = "",
        on_refusal: OnRefusal = nobody_keeps,
    ) -> None:
        """`connect`: a way to the meter that is shared with others, None for its own. `hang_up`: close after each poll.

        `reserve` sets invocation counters aside, for meters with keys. `errands` are the standing ones. `crowd`
        is told how each attempt ended, `air` says when one may be made, `on_push` takes what comes unasked. `refusal`
        is what `on_refusal` kept of a meter that refused to associate. Raises
        ConfigError when the meter cannot be addressed, or lacks its password or keys.
        """
        self.meter = meter
        self.profile = profile
        self.interval_s = poll_interval_s(meter, profile, settings)
        self._hang_up = hang_up
        self.between = self._between()
        self.counters = Counters()
        self.recovery = Recovery(Limits.of(settings), rng.random)
        self._clock = clock
        self._common = Common(meter.name, gate, lane(meter, profile), self.recovery, self.counters, clock, promise, air)
        associate = association_settings(meter, profile, password, settings, keys, client_title)
        self._link = Link(
            meter.name, profile, learned, associate,
            functools.partial(self._reach, connect or functools.partial(
                connect_for, meter, settings.connect_timeout_s)), counters=self.counters,
            on_learned=on_learned, pulse=promise, desk=counter_desk(meter.name, associate, reserve),
            counter_obis=meter.counter_obis, on_push=on_push)
        lockout = Lockout(meter.name, associate, refusal, on_refusal, clock)
        lockout.resume(self.recovery)
        if self.recovery.circuit is Circuit.OPEN:
            self.counters.last_reason = FailReason.ASSOCIATION_REFUSED
        self._errands = Errands(errands)
        self._rest = Rest(self._common, self._link, self._errands, interval_s=self.interval_s, between=self.between,
                          keep_alive_s=profile.timing.keep_alive_s)
        self._slot = Slot(self._common, self._link, Outcomes(self._common, profile, sink), crowd, self.between,
                          settings.connect_timeout_s, lockout)
        self._schedule: Schedule | None = None      # from `run` on
        self._tick = Tick(0, float("inf"))
        self._due_before = 0      # slots of earlier schedules

    async def run(self) -> None:
        """Poll until cancelled; cancelling ends an open exchange hard, an idle association politely within a deadline.

        What leaves it is a bug: the slot under way is recorded as INTERNAL first.
        """
        schedule = self._begin()
        try:
            while True:
                await self._rest.until(lambda: self._tick.at)
                schedule, tick = self._schedule or schedule, self._tick
                await self._slot.serve(tick.at, schedule.following(tick, tick.at).at)
                if self._tick is tick:      # else another interval began meanwhile
                    self._tick = schedule.following(tick, self._clock.monotonic())
                    self.counters.skipped += self._tick.skipped
        finally:
            for order in self._errands.orders():
                order.failed(LocalStateError(f"meter {self.meter.name} is polled no longer"), self._clock.monotonic())
            await self._leave()

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
        if self._schedule is not None:
            self._due_before += self._schedule.due(self._clock.monotonic())
            self._begin()
        self._slot.use(self.between)
        self._rest.use(interval_s, self.between)

    def renew_errands(self, standing: Iterable[Errand]) -> None:
        """Have other standing errands; a step that is under way is finished."""
        self._errands.replace(standing)
        self.nudge()

    async def _reach(self, connect: Connect) -> Transport:
        with self._slot.connecting():
            return await connect()

    def _begin(self) -> Schedule:
        self._schedule = Schedule.spread(self.meter.name, self.interval_s, self._clock.monotonic())
        self._tick = self._schedule.first()
        return self._schedule

    def _between(self) -> Between:
        timing = self.profile.timing
        return Between.HANG_UP if self._hang_up else between_polls(
            self.interval_s, inactivity_s=timing.inactivity_s, keep_alive_s=timing.keep_alive_s)

    async def _leave(self) -> None:
        """End the association in turn: on a shared line somebody else may be speaking."""
        if self._common.lane is None or not self._link.is_open:
            await self._link.close()
            return
        try:
            async with asyncio.timeout(LEAVE_S), self._common.turn(leaving=True):
                await self._link.close()
        except TimeoutError:
            log.debug("meter %s: no turn to take leave in", self.meter.name)
        finally:
            self._link.abort()

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
        self._slot.forgive()

    def state(self) -> PollerState:
        """Return how it stands: plain data, cheap, from any task of the loop."""
        now, counters, learned = self._clock.monotonic(), self.counters, self._link.learned
        failed = counters.failures.total()
        return PollerState(
            meter=self.meter.name, interval_s=self.interval_s, between=self.between,
            connected=self._link.is_open, ladder=self.recovery.state(now),
            due=self._due_before + (self._schedule.due(now) if self._schedule is not None else 0),
            slots=counters.readings + failed, readings=counters.readings, partial=counters.partial, failed=failed,
            failures={reason.value: count for reason, count in counters.failures.items()}, skipped=counters.skipped,
            held=counters.held,
            connects=counters.connects, drops_idle=counters.drops_idle, keep_alives=counters.keep_alives,
            round_trips=counters.round_trips, round_trip_s=counters.round_trip_s, lost_records=counters.lost_records,
            steps=counters.steps, steps_failed=counters.steps_failed,
            last_reading_age_s=self.last_reading_age_s,
            last_failure=counters.last_failure,
            last_reason=counters.last_reason.value if counters.last_failure else "",
            not_read=counters.not_read, list_limit=learned.list_limit,
            identity=learned.identity, lateness_s=tuple(counters.lateness_s),
            lateness_counts=tuple(counters.lateness_counts), lateness_sum_s=counters.lateness_sum_s)

"""A meter's clock: looked at now and then, its drift told, and moved where the settings let it be.

    look ─► drift ─► record ─► decide ─┬─ nothing, wait
                                       ├─ tell ─► event
                                       └─ shift, set ─► look again ─► event: from, to, by, and what it came to
"""

import logging
from dataclasses import dataclass
from functools import lru_cache

from edge.config import ClockSyncSettings
from edge.dlms.action import ActionRequest
from edge.dlms.axdr import Integer
from edge.dlms.cosem import AccessError, ActionError
from edge.errands.clock_policy import Decision, Deed, decide
from edge.errands.marks import mark, since_s
from edge.errands.means import Means, Subject
from edge.errors import LocalStateError
from edge.meters import clock as clocks
from edge.meters.clock import Drift, Shown, Zone
from edge.meters.dutyspec import ClockSpec
from edge.model import Field, Kind, Record, Schema, Stream
from edge.poll.errand import Ask

log = logging.getLogger(__name__)

DUTY = "clock"
RETRY_S = 300.0
TELL_AGAIN_S = 86_400.0
LONG = 16      # the type of shift_time's argument
RIGHT_S = 1.5
"""A clock that was just moved is right when it is no further off than this, beyond what cannot be known."""

_NO_METHOD = (ActionError.OBJECT_UNDEFINED, ActionError.OBJECT_CLASS_INCONSISTENT, ActionError.OBJECT_UNAVAILABLE,
              ActionError.OTHER_REASON)


@dataclass(frozen=True, slots=True)
class Look:
    """A clock, and how far it was from ours when it was looked at: `wall_ms` is its time at our `boottime_ms`."""

    shown: Shown
    drift: Drift
    wall_ms: int
    boottime_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of looking after a clock. `done`: it is right now, as far as can be known; `look`: the last one."""

    done: bool
    words: str
    look: Look | None = None


class ClockKeeper:
    """The standing errand of one meter. See `edge.poll.errand.Errand`."""

    name = DUTY
    lasts_s = 1.0

    def __init__(self, subject: Subject, spec: ClockSpec, settings: ClockSyncSettings, interval_s: float,
                 means: Means) -> None:
        """`interval_s` between two looks."""
        self._subject = subject
        self._spec = spec
        self._settings = settings
        self._interval_s = interval_s
        self._means = means
        self._next_at = float("-inf")
        self._zone: Zone | None = None
        self._can_shift = spec.adjust == "shift"
        self._told_at: float | None = None
        self._unreadable = ""

    def due(self, now: float) -> float | None:
        """See `Errand`."""
        return max(now, self._next_at)

    def failed(self, error: Exception, now: float) -> None:
        """See `Errand`."""
        del error
        self._next_at = now + min(RETRY_S, self._interval_s)

    async def step(self, ask: Ask) -> None:
        """Look, tell, and move the clock if that is decided: three requests at most beside the looks."""
        await self.look_after(ask)

    async def look_after(self, ask: Ask) -> Outcome:
        """See `step`; return what came of it."""
        means = self._means
        self._next_at = means.clock.monotonic() + self._interval_s
        look = await self._look(ask)
        if isinstance(look, str):
            self._cannot_read(look)
            return Outcome(done=False, words=f"its clock cannot be read: {look}")
        self._unreadable = ""
        synchronised = means.clock.synchronised()
        if not synchronised:      # then our own clock says nothing about the meter's, and that may help ours
            means.meter_clock(self._subject.meter, wall_ms=look.wall_ms, boottime_ms=look.boottime_ms,
                              sound=look.shown.sound, error_ms=round(look.drift.uncertainty_s * 1000))
            self._next_at = means.clock.monotonic() + min(RETRY_S, self._interval_s)
            return Outcome(done=False, words="our own clock is not synchronised, so it moves no other", look=look)
        means.keep(Stream.INSTANT, self._record(look))
        decision = decide(look.shown, look.drift, self._settings, synchronised=synchronised,
                          since_last_s=await since_s(self._subject, DUTY, means), period_s=self._spec.boundary_s,
                          can_shift=self._can_shift)
        return await self._carry_out(decision, look, ask)

    # -- looking ---------------------------------------------------------------------------------------------------

    async def _look(self, ask: Ask) -> Look | str:
        """Read the time, and the zone once where the time does not tell it; a plain str says why there is none."""
        clock = self._means.clock
        began, asked = clock.monotonic(), clock.stamp()
        [answer] = await ask.get((clocks.attribute(self._spec, clocks.TIME),))
        took_s = clock.monotonic() - began      # not the wall's difference: it may be stepped meanwhile
        if answer.error is not None:
            return answer.error.text
        shown = clocks.shown(answer.data, self._spec, self._zone)
        if isinstance(shown, str) and self._zone is None:
            normal, daylight = await ask.get(tuple(
                clocks.attribute(self._spec, number) for number in (clocks.ZONE, clocks.DAYLIGHT_DEVIATION)))
            self._zone = clocks.zone_of(normal.data, daylight.data)
            shown = clocks.shown(answer.data, self._spec, self._zone)
        if isinstance(shown, str):
            return shown
        asked_s = asked.wall_ms / 1000
        return Look(shown, clocks.drift(shown, asked_s, asked_s + took_s),
                    round((shown.utc_s + shown.resolution_s / 2) * 1000), asked.boottime_ms + round(took_s * 500))

    def _cannot_read(self, why: str) -> None:
        level = logging.DEBUG if why == self._unreadable else logging.WARNING
        log.log(level, "meter %s: its clock is not read: %s", self._subject.meter, why)
        self._unreadable = why

    def _record(self, look: Look) -> Record:
        values = (round(look.drift.seconds * 1000), round(look.drift.uncertainty_s * 1000), look.shown.time.status)
        return Record(schema(self._subject.profile), self._subject.meter, self._means.clock.stamp(), values)

    # -- moving ----------------------------------------------------------------------------------------------------

    async def _carry_out(self, decision: Decision, look: Look, ask: Ask) -> Outcome:
        now = self._means.clock.monotonic()
        match decision.deed:
            case Deed.RIGHT:
                self._told_at = None
                return Outcome(done=True, words=f"is right: {look.drift.seconds:+.1f} s off", look=look)
            case Deed.WAIT:
                self._next_at = min(now + decision.wait_s, self._next_at)
            case Deed.TELL:
                if self._told_at is None or now - self._told_at >= TELL_AGAIN_S:
                    self._told_at = now
                    self._subject.deed(self._means, "clock_wrong", decision.why)
            case Deed.SHIFT | Deed.SET:
                return await self._move(decision, look, ask)
        return Outcome(done=False, words=decision.why, look=look)

    async def _move(self, decision: Decision, look: Look, ask: Ask) -> Outcome:
        """Move the clock, look at it again, and record it either way. That it was tried is on flash before it is."""
        await mark(self._subject, DUTY, self._means)
        error = await self._shift(decision, ask) if decision.deed is Deed.SHIFT else await self._set(look, ask)
        how = "shift_time" if decision.deed is Deed.SHIFT and self._can_shift else "set"
        what = f"{look.shown.time.text()} by {decision.by_s:+.1f} s ({how}), was {look.drift.seconds:+.1f} s off"
        if decision.crosses:
            what += f", over {abs(decision.crosses)} boundary(ies) of the load profile"
        if error:
            return self._moved(Outcome(done=False, words=f"{what}: {error}", look=look))
        again = await self._look(ask)
        if isinstance(again, str):
            return self._moved(Outcome(done=False, words=f"{what}; now unreadable: {again}", look=look))
        right = abs(again.drift.seconds) <= RIGHT_S + again.drift.uncertainty_s
        self._means.keep(Stream.INSTANT, self._record(again))
        return self._moved(Outcome(
            done=right, words=f"{what}; now {again.shown.time.text()}, {again.drift.seconds:+.1f} s off", look=again))

    def _moved(self, outcome: Outcome) -> Outcome:
        self._subject.deed(self._means, "clock_moved" if outcome.done else "clock_not_moved", outcome.words)
        return outcome

    async def _shift(self, decision: Decision, ask: Ask) -> str:
        """Return why the meter did not, "" if it says that it did. Where it has no such method the time is written."""
        target = clocks.attribute(self._spec, clocks.SHIFT_TIME)
        argument = Integer(LONG, round(decision.by_s))
        try:
            [result] = await ask.action((ActionRequest(target.class_id, target.obis, target.attribute, argument),))
        except LocalStateError as lacking:      # no ACTION with this meter
            log.debug("meter %s: %s", self._subject.meter, lacking)
        else:
            if result.error not in _NO_METHOD:
                return result.error.text if result.error is not None else ""
        self._can_shift = False
        return await self._set(await self._look(ask), ask)

    async def _set(self, look: Look | str, ask: Ask) -> str:
        """Write what our clock will say when the request arrives; return as `_shift`."""
        if isinstance(look, str):
            return look
        arrives_s = self._means.clock.stamp().wall_ms / 1000 + look.drift.uncertainty_s - look.shown.resolution_s / 2
        try:
            [result] = await ask.set((
                (clocks.attribute(self._spec, clocks.TIME), clocks.setting(look.shown, arrives_s)),))
        except LocalStateError as lacking:
            return str(lacking)
        if result.error is AccessError.READ_WRITE_DENIED:
            return f"{result.error.text}: a client with more rights is needed"
        return result.error.text if result.error is not None else ""


@lru_cache(maxsize=256)
def schema(profile: str) -> Schema:
    """Return the columns of a clock's record."""
    return Schema(Kind.CLOCK, (Field("drift_s", -3, "s"), Field("uncertainty_s", -3, "s"), Field("status")), profile)

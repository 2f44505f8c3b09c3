"""The recovery ladder: what follows when an exchange with a meter fails (pure).

    level 1  REPEAT     the same request once more on the same connection, only after a clean answer in which the meter
                        itself says "temporary". (HDLC repeats frames below this, in edge.dlms.) Never after a time-out:
                        a late answer to the first question would be taken for the answer to the second.
    level 2  RECONNECT  a new connection and association, after a jittered, exponential back-off
    level 3  REST       the circuit breaker: nothing is sent until the rest is over, then one half-open probe; each
                        failed probe doubles the rest. A refused password goes here at once: meters lock themselves
                        after a few wrong ones, so it is never retried blindly.

         CLOSED ──`breaker_failures` in a row, or a refusal──► OPEN ──rest over──► HALF_OPEN ──success──► CLOSED
            ▲  └─success: counters to zero                      ▲                     │
            └───────────────────────────────────────────────────└──failure: rest x 2──┘
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from edge.config import PollSettings
from edge.errors import FailReason


class Level(IntEnum):
    """How far up the ladder a failure leads. STAY: the association is sound, the next poll goes on with it."""

    STAY = 0
    REPEAT = 1
    RECONNECT = 2
    REST = 3


class Circuit(StrEnum):
    """The breaker's state."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a reason calls for. `temporary` is where it leads when the meter itself says that it will pass."""

    level: Level
    temporary: Level
    long_rest: bool = False      # REST at its longest at once: trying again does harm


_AGAIN = Rule(Level.RECONNECT, Level.RECONNECT)
LADDER: dict[FailReason, Rule] = {
    FailReason.UNREACHABLE: _AGAIN,
    FailReason.CONNECTION_LOST: _AGAIN,
    FailReason.NO_ANSWER: _AGAIN,
    FailReason.PROTOCOL_VIOLATION: _AGAIN,
    FailReason.BRIDGE_BUSY: _AGAIN,
    FailReason.SECURITY: Rule(Level.REST, Level.RECONNECT),
    FailReason.INTERNAL: _AGAIN,
    FailReason.EXCEPTION_RESPONSE: Rule(Level.RECONNECT, Level.REPEAT),
    FailReason.ACCESS_REFUSED: Rule(Level.STAY, Level.REPEAT),
    FailReason.ASSOCIATION_REFUSED: Rule(Level.REST, Level.RECONNECT, long_rest=True),
    FailReason.WRONG_METER: Rule(Level.REST, Level.REST),
}
"""Reason -> where it leads. CIRCUIT_OPEN is missing on purpose: nothing was tried, so nothing follows."""

UNANSWERED = frozenset((FailReason.NO_ANSWER, FailReason.CONNECTION_LOST, FailReason.UNREACHABLE))
"""Failures that say nothing of the meter where the link to all of them is gone, or too many are asked at once."""

REFUSED_REST_MAX_S = 86_400.0
"""A password that stays wrong is tried once a day in the end: few enough for any lock-out counter."""


def backoff(first_s: float, max_s: float, rng: Callable[[], float]) -> Iterator[float]:
    """Yield delays in seconds without end: doubling from `first_s` to `max_s`, each shortened by up to half.

    `rng` gives numbers in 0 <= x < 1. The jitter keeps meters that failed together from coming back together.
    """
    delay_s = min(first_s, max_s)
    while True:
        yield delay_s * (1.0 - rng() / 2.0)
        delay_s = min(delay_s * 2.0, max_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of the ladder, all times in seconds."""

    backoff_first_s: float = 2.0
    backoff_max_s: float = 60.0
    breaker_failures: int = 5
    breaker_open_s: float = 120.0
    breaker_open_max_s: float = 1_800.0

    @classmethod
    def of(cls, settings: PollSettings) -> "Limits":
        """Return the configured ones."""
        return cls(settings.backoff_first_s, settings.backoff_max_s, settings.breaker_failures,
                   settings.breaker_open_s, settings.breaker_open_max_s)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do after a failure: climb to `level`, and try again not before `not_before` (monotonic seconds)."""

    level: Level
    not_before: float
    refused_rest_s: float = 0.0      # of a rest that no restart may end, 0.0 for any other


@dataclass(frozen=True, slots=True)
class LadderState:
    """Where a meter stands: plain data for status. `resting_s` is what is left of a rest or back-off."""

    circuit: Circuit
    level: Level
    failures_in_row: int
    resting_s: float
    repeats: int
    reconnects: int
    rests: int


class Recovery:
    """One meter's place on the ladder. Every `now` is monotonic seconds; `rng` gives 0 <= x < 1."""

    def __init__(self, limits: Limits, rng: Callable[[], float]) -> None:
        """Begin with a closed circuit."""
        self.limits = limits
        self.circuit = Circuit.CLOSED
        self.level = Level.STAY
        self.failures_in_row = 0
        self.repeats = self.reconnects = self.rests = 0
        self._rng = rng
        self._delays = backoff(limits.backoff_first_s, limits.backoff_max_s, rng)
        self._not_before = float("-inf")
        self._rest_s = 0.0
        self._repeated = False
        self._silent = True      # nothing but silence since the last success

    def may_try(self, now: float) -> bool:
        """Tell whether an attempt is allowed; an open circuit whose rest is over becomes half-open by asking."""
        if now < self._not_before:
            return False
        if self.circuit is Circuit.OPEN:
            self.circuit = Circuit.HALF_OPEN
        return True

    def not_before(self) -> float:
        """Return when the next attempt is allowed (monotonic seconds; -inf = at once)."""
        return self._not_before

    def succeeded(self) -> None:
        """Note a poll that brought values, or a sound answer: back to the ground."""
        if self.failures_in_row or self.circuit is not Circuit.CLOSED:
            self._delays = backoff(self.limits.backoff_first_s, self.limits.backoff_max_s, self._rng)
        self.circuit, self.level = Circuit.CLOSED, Level.STAY
        self.failures_in_row = 0
        self._rest_s = 0.0
        self._not_before = float("-inf")
        self._repeated = False
        self._silent = True

    def forgive(self) -> bool:
        """Note that it was the link that was gone: a meter that was only silent may be tried at once; tell whether so.

        The next failure is its second in a row, so it stays doubtful until it answers.
        """
        if not self.failures_in_row or not self._silent:
            return False
        self.succeeded()
        self.failures_in_row = 1
        return True

    def resume(self, rest_s: float, left_s: float, now: float) -> None:
        """Begin within the rest that a former process began: `rest_s` long, `left_s` of it not over."""
        self.circuit, self.level = Circuit.OPEN, Level.REST
        self.failures_in_row, self._silent = 1, False
        self._rest_s, self._not_before = rest_s, now + left_s

    def failed(self, reason: FailReason, now: float, *, temporary: bool = False, link_gone: bool = False) -> Step:
        """Note a failure and say what follows. A temporary one is repeated once, then climbs as any other.

        With `link_gone` silence doubles no rest: somebody has to find out soon that the link is back.
        """
        silent = reason in UNANSWERED
        rule = LADDER[reason]
        level = rule.temporary if temporary else rule.level
        if level is Level.REPEAT:
            if not self._repeated:
                self._repeated = True
                self.repeats += 1
                self.level = Level.REPEAT
                return Step(Level.REPEAT, now)
            level = rule.level
        self._repeated = False
        if level is Level.STAY:
            self.succeeded()       # the way to the meter is sound; what it refuses is told in the record
            return Step(Level.STAY, now)
        self.failures_in_row += 1
        self._silent = self._silent and silent
        if link_gone and silent:
            self._rest_s = 0.0
        tripped = self.circuit is Circuit.HALF_OPEN or self.failures_in_row >= self.limits.breaker_failures
        if level is Level.REST or tripped:
            return self._rest(now, long_rest=level is Level.REST and rule.long_rest)
        self.reconnects += 1
        self.level = Level.RECONNECT
        self._not_before = now + next(self._delays)
        return Step(Level.RECONNECT, self._not_before)

    def state(self, now: float) -> LadderState:
        """Return where the meter stands."""
        return LadderState(self.circuit, self.level, self.failures_in_row, max(0.0, self._not_before - now),
                           self.repeats, self.reconnects, self.rests)

    def _rest(self, now: float, *, long_rest: bool) -> Step:
        limits = self.limits
        first_s, most_s = ((limits.breaker_open_max_s, max(REFUSED_REST_MAX_S, limits.breaker_open_max_s)) if long_rest
                           else (limits.breaker_open_s, limits.breaker_open_max_s))
        self._rest_s = min(max(self._rest_s * 2.0, first_s), max(most_s, self._rest_s))
        self.circuit, self.level = Circuit.OPEN, Level.REST
        self.rests += 1
        self._not_before = now + self._rest_s
        return Step(Level.REST, self._not_before, self._rest_s if long_rest else 0.0)

"""When a meter is asked: a fixed-rate schedule, and what to do with a connection between two polls (pure).

Late-tick policy: ticks lie on a fixed grid and never drift. A poll that overruns loses the ticks it ran over: they are
counted as skipped, never made up for in a burst, and the next poll starts on the grid again.

    tick    |     |     |     |     |
    poll    ████  ███████████ ·     ████        the third tick is skipped, the phase is kept

Spread start: each meter has its own phase within its interval, taken from its name, so that hundreds of meters with one
interval do not ask at once, and a restart of the gateway does not shuffle them.
"""

import math
import zlib
from dataclasses import dataclass
from enum import StrEnum

PROMPT_S = 30.0
"""However long the interval: the first poll comes within this time, so that a new meter shows itself soon."""

KEEP_ALIVE_ROUNDS = 4
"""Up to so many keep-alives are sent between two polls; beyond, connecting anew (3 to 5 round trips) is cheaper."""


def phase(name: str) -> float:
    """Return the meter's share of its interval, 0 <= share < 1: the same on every machine and at every start."""
    return zlib.crc32(name.encode()) / 2**32


@dataclass(frozen=True, slots=True)
class Tick:
    """One due time. `index` counts grid ticks (-1 is the early first poll), `skipped` those lost just before it."""

    index: int
    at: float
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ticks at `started + share * interval_s + n * interval_s`; `started` in seconds, monotonic."""

    interval_s: float
    share: float
    started: float

    @classmethod
    def spread(cls, name: str, interval_s: float, now: float) -> "Schedule":
        """Begin a schedule now, with the phase of this meter's name. ValueError unless the interval is positive."""
        if not (math.isfinite(interval_s) and interval_s > 0):
            raise ValueError(f"{name}: an interval is a positive number of seconds, not {interval_s!r}")
        return cls(interval_s, phase(name), now)

    def first(self) -> Tick:
        """Return the first due time: tick 0, or earlier when that is further away than PROMPT_S."""
        if self.interval_s <= PROMPT_S:
            return Tick(0, self.at(0))
        return Tick(-1, self.started + self.share * PROMPT_S)

    def at(self, index: int) -> float:
        """Return when grid tick `index` is due. Multiplied, not added up: no rounding error accumulates."""
        return self.started + (self.share + index) * self.interval_s

    def due(self, now: float) -> int:
        """Return how many ticks have been due until `now`, the early first one included."""
        first = self.first()
        if now < first.at:
            return 0
        return max(math.floor((now - self.started) / self.interval_s - self.share) + 1, 0) + (first.index < 0)

    def following(self, last: Tick, now: float) -> Tick:
        """Return the first tick after `last` that is not in the past, and how many were skipped to get there."""
        index = max(last.index + 1, math.ceil((now - self.started) / self.interval_s - self.share))
        while self.at(index) < now:        # rounding may leave ceil() one short
            index += 1
        while index - 1 > last.index and self.at(index - 1) >= now:
            index -= 1
        return Tick(index, self.at(index), index - last.index - 1)


class Between(StrEnum):
    """What happens to the connection between two polls."""

    KEEP = "keep"                # it survives the interval by itself
    KEEP_ALIVE = "keep_alive"    # a small request now and then keeps it
    HANG_UP = "hang_up"          # closed politely after each poll


def between_polls(interval_s: float, *, inactivity_s: float, keep_alive_s: float) -> Between:
    """Choose by the profile's timing. `inactivity_s` 0 = never dropped; `keep_alive_s` 0 = keep-alives are not wanted.

    A meter or bridge that drops a silent connection would otherwise do it just before each poll.
    """
    if not inactivity_s or interval_s <= (keep_alive_s or inactivity_s * 2 / 3):     # a third is room for late polls
        return Between.KEEP
    if keep_alive_s and interval_s <= keep_alive_s * KEEP_ALIVE_ROUNDS:
        return Between.KEEP_ALIVE
    return Between.HANG_UP

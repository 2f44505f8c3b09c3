"""What a meter's clock shows, looked at now and then: its now in between, and whether it was set (pure)."""

from typing import NamedTuple

from edge.dlms.datetimes import ClockTime
from edge.meters.localtime import Instant

STEP_S = 2.0
"""A clock that shows less than it should by more was set back."""


class Look(NamedTuple):
    """One look. `back_to_s`: the clock was set back since the last one, and showed this at the lowest."""

    at_s: int
    back_to_s: int | None


class MeterClock:
    """One meter's clock; `now` is monotonic seconds."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.shown: ClockTime | None = None      # None also where the clock counts seconds
        self._seen: tuple[int, float] | None = None

    @property
    def known(self) -> bool:
        """Tell whether it was looked at."""
        return self._seen is not None

    def look(self, instant: Instant, shown: ClockTime | None, now: float, took_s: float, wall_s: float | None) -> Look:
        """Take what the clock showed; `wall_s` is our own time where it may be believed.

        Where the hour was put back and the meter does not say which one it means, the time passed since the last look
        decides, else our own time.
        """
        expected = self._seen[0] + now - self._seen[1] if self._seen is not None else wall_s
        at_s = instant.utc_s
        if instant.second is not None and expected is not None:
            at_s = min(at_s, instant.second, key=lambda candidate: abs(candidate - expected))
        back_to_s = None
        if self._seen is not None and expected is not None and at_s < expected - STEP_S - took_s:
            back_to_s = int(self._seen[0] + at_s - expected)
        self.shown, self._seen = shown, (at_s, now)
        return Look(at_s, back_to_s)

    def at(self, now: float) -> int:
        """Return what it shows now, in Unix seconds; only once it was looked at."""
        assert self._seen is not None
        return int(self._seen[0] + now - self._seen[1])

    def phase(self, at_s: int, period_s: int) -> int:
        """Return where in UTC the grid of periods lies that begins at local midnight."""
        local = self.shown.local() if self.shown is not None else None
        if local is None:
            return 0
        return (at_s - (local.hour * 3600 + local.minute * 60 + local.second)) % period_s

"""Hours of the day, such as "22:00-06:00" (pure). Local time comes in as the minute of the day, 0 to 1,439.

That is all there is to midnight and daylight saving: whoever shows the clock has done it. In autumn's hour that comes
twice the hours may be open twice, in spring's that never comes they are not open.
"""

from collections.abc import Callable
from dataclasses import dataclass

DAY_MIN = 1_440

LocalMinute = Callable[[int], int]
"""Unix seconds to the local minute of the day."""


def utc_minute(utc_s: int) -> int:
    """Return the minute of the day in UTC."""
    return utc_s // 60 % DAY_MIN


@dataclass(frozen=True, slots=True)
class Hours:
    """From the one minute to the other, without it; over midnight where the first is the later, all day where equal."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """Read "22:00-06:00" (edge.config checks the form)."""
        first, last = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
        return cls(first, last)

    def open(self, minute: int) -> bool:
        """Tell whether a minute of the day is within."""
        return (minute - self.first) % DAY_MIN < ((self.last - self.first) % DAY_MIN or DAY_MIN)

"""Date-time as COSEM writes it: twelve octets, each part may be left out (IEC 62056-6-2 clause 4.1.6.1).

    year (2) month day weekday | hour minute second hundredths | deviation (2, signed minutes) | status

`deviation` is what must be added to local time to get UTC; 0 is UTC itself, 0x8000 says nothing. `status` is 0xFF where
the meter has none to give.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edge.errors import Violation

_LAYOUT = struct.Struct(">HBBBBBBBhB")
_NO_DEVIATION, _NO_STATUS = -0x8000, 0xFF
INVALID, DOUBTFUL, DIFFERENT_BASE, INVALID_STATUS, DAYLIGHT_SAVING = 0x01, 0x02, 0x04, 0x08, 0x80


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A date-time taken apart; None = not specified (also for the wildcards "last day", "daylight saving begins").

    `status` keeps the meter's bits; None where it gives none.
    """

    year: int | None
    month: int | None
    day: int | None
    weekday: int | None
    hour: int | None
    minute: int | None
    second: int | None
    hundredths: int | None
    deviation_minutes: int | None
    status: int | None

    @classmethod
    def parse(cls, octets: bytes) -> "ClockTime":
        """Take twelve octets apart; raise Violation for another number of them or for parts that no clock shows."""
        if len(octets) != _LAYOUT.size:
            raise Violation(f"a date-time has {_LAYOUT.size} octets, not {len(octets)}")
        year, *small, deviation, status = _LAYOUT.unpack(octets)
        limits = ((1, 12), (1, 31), (1, 7), (0, 23), (0, 59), (0, 59), (0, 99))
        parts: list[int | None] = []
        for value, (lowest, highest) in zip(small, limits, strict=True):
            if value < 0xFD and not lowest <= value <= highest:
                raise Violation(f"date-time {octets.hex()} is no time")
            parts.append(value if value < 0xFD else None)      # FF not specified; FD and FE are wildcards
        month, day, weekday, hour, minute, second, hundredths = parts
        return cls(
            None if year == 0xFFFF else year, month, day, weekday, hour, minute, second, hundredths,
            None if deviation == _NO_DEVIATION else deviation, None if status == _NO_STATUS else status)

    def local(self) -> datetime | None:
        """Return the meter's local time without zone, or None if a part down to the minute is missing."""
        if None in (self.year, self.month, self.day, self.hour, self.minute):
            return None
        try:
            return datetime(  # noqa: DTZ001 - the meter's local time; `utc` adds what is known about its zone
                self.year or 0, self.month or 0, self.day or 0, self.hour or 0, self.minute or 0, self.second or 0,
                (self.hundredths or 0) * 10_000)
        except ValueError:       # the 30th of February
            return None

    def utc(self) -> datetime | None:
        """Return the instant, or None where the time is incomplete or its deviation unknown."""
        local = self.local()
        if local is None or self.deviation_minutes is None:
            return None
        try:
            return (local + timedelta(minutes=self.deviation_minutes)).replace(tzinfo=UTC)
        except OverflowError:
            return None

    def encode(self) -> bytes:
        """Return the twelve octets; ValueError for a part that does not fit. The wildcards of a rule are not kept."""
        small = (self.month, self.day, self.weekday, self.hour, self.minute, self.second, self.hundredths)
        deviation = _NO_DEVIATION if self.deviation_minutes is None else self.deviation_minutes
        status = _NO_STATUS if self.status is None else self.status
        try:
            return _LAYOUT.pack(0xFFFF if self.year is None else self.year,
                                *(0xFF if part is None else part for part in small), deviation, status)
        except struct.error as why:
            raise ValueError(f"{self} is no date-time: {why}") from why

    def text(self) -> str:
        """Return it as ISO 8601 writes local time with its offset from UTC, without the offset where it is unknown.

        A time with open parts comes as its twelve octets in hexadecimal.
        """
        local = self.local()
        if local is None:
            return self.encode().hex()
        told = local.replace(microsecond=0).isoformat()
        if self.deviation_minutes is None:
            return told
        hours, minutes = divmod(abs(self.deviation_minutes), 60)
        return f"{told}{'-' if self.deviation_minutes > 0 else '+'}{hours:02}:{minutes:02}"

"""Local time as a simulated meter keeps it: zone, daylight saving, and the ways meters write a date-time (pure).

The clock runs in UTC seconds inside; what is local is made on the way out. The deviation in COSEM counts from local
time to UTC: Central European winter time is -60. Date-times, wildcards, clock status: IEC 62056-6-2, 4.1.6.1.
"""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
UNSPECIFIED = 0xFF
LAST_DAY, SECOND_LAST_DAY = 0xFE, 0xFD
NO_RULE = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x80\x00\xff"
# The last Sundays of March and October, 02:00 and 03:00 local time, as the European Union has them.
EU_BEGIN = b"\xff\xff\x03\xfe\x07\x02\x00\x00\x00\x80\x00\x00"
EU_END = b"\xff\xff\x0a\xfe\x07\x03\x00\x00\x00\x80\x00\x80"
STATUS_DST = 0x80
DAY_S = 86_400
YEARS = (1970, 2999)                       # what a clock may be set to, so that it can go on from there


@lru_cache(maxsize=256)
def rule_s(rule: bytes, year: int) -> int:
    """The moment that a wildcarded date-time names in `year`, as if it were UTC, in Unix seconds."""
    month, day, weekday = rule[2], rule[3], rule[4]
    if not 1 <= month <= 12:
        month = 1
    first = dt.datetime(year, month, 1, tzinfo=dt.UTC)
    after = dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=dt.UTC)
    if day in (LAST_DAY, SECOND_LAST_DAY):
        moment = after - dt.timedelta(days=1 if day == LAST_DAY else 2)
        if 1 <= weekday <= 7:
            moment -= dt.timedelta(days=(moment.isoweekday() - weekday) % 7)
    else:
        moment = first + dt.timedelta(days=min(max(day, 1), 28) - 1 if day > 31 or day < 1 else day - 1)
        if 1 <= weekday <= 7:
            moment += dt.timedelta(days=(weekday - moment.isoweekday()) % 7)
    hour, minute, second = (0 if value > 59 else value for value in rule[5:8])
    return int((moment - EPOCH).total_seconds()) + 3600 * hour + 60 * minute + second


@dataclass(slots=True)
class Zone:
    """Where the meter stands. `deviation_min` is winter time's; the rules are date-times with wildcards, 12 octets."""

    deviation_min: int = 0
    dst_enabled: bool = False
    dst_deviation_min: int = 60
    dst_begin: bytes = NO_RULE
    dst_end: bytes = NO_RULE

    def dst(self, utc_s: float) -> bool:
        """Tell whether daylight saving is in force at `utc_s`."""
        if not self.dst_enabled or self.dst_begin[2] == UNSPECIFIED or self.dst_end[2] == UNSPECIFIED:
            return False
        winter_s = -60 * self.deviation_min
        year = (EPOCH + dt.timedelta(seconds=utc_s + winter_s)).year
        begin = rule_s(self.dst_begin, year) - winter_s
        end = rule_s(self.dst_end, year) - winter_s - 60 * self.dst_deviation_min
        return begin <= utc_s < end if begin < end else not end <= utc_s < begin

    def offset_s(self, utc_s: float) -> int:
        """Local time minus UTC at `utc_s`, in seconds."""
        return -60 * self.deviation_min + (60 * self.dst_deviation_min if self.dst(utc_s) else 0)

    def utc_s(self, local_s: float) -> float:
        """UTC of a local time; of the two that one hour in autumn has, the first; of none in spring, the one after."""
        summer = local_s + 60 * self.deviation_min - 60 * self.dst_deviation_min
        return summer if self.dst(summer) else local_s + 60 * self.deviation_min


@dataclass(frozen=True, slots=True)
class TimeStyle:
    """How this make of meter writes date-times. The default is complete and as the standard has it."""

    weekday: bool = True
    seconds: bool = True                                   # False: FF
    hundredths: int = 0                                    # or 255, not specified
    deviation: Literal["standard", "reversed", "unspecified"] = "standard"
    status: bool = True                                    # False: FF, not specified
    year: bool = True                                      # False: FFFF, a meter that lost its date

    def encode(self, utc_s: float, zone: Zone, status: int = 0) -> bytes:
        """The date-time of `utc_s` in local time as an octet-string; `status` is joined to the daylight-saving bit."""
        return b"\x09\x0c" + self.octets(utc_s, zone, status)

    def octets(self, utc_s: float, zone: Zone, status: int = 0) -> bytes:
        """The twelve octets alone."""
        offset_s = zone.offset_s(utc_s)
        moment = EPOCH + dt.timedelta(seconds=int(utc_s // 1) + offset_s)
        minutes = -offset_s // 60
        if self.deviation != "standard":
            minutes = -minutes if self.deviation == "reversed" else -0x8000
        flags = status | (STATUS_DST if zone.dst(utc_s) else 0) if self.status else UNSPECIFIED
        return (moment.year if self.year else 0xFFFF).to_bytes(2, "big") + bytes((
            moment.month, moment.day, moment.isoweekday() if self.weekday else UNSPECIFIED, moment.hour, moment.minute,
            moment.second if self.seconds else UNSPECIFIED, self.hundredths,
        )) + minutes.to_bytes(2, "big", signed=True) + bytes((flags,))


STANDARD = TimeStyle()


def read_date_time(octets: bytes, zone: Zone, style: TimeStyle = STANDARD, *,
                   fill: Literal["", "low", "high"] = "") -> float | None:
    """UTC seconds of twelve octets from a client, None when they are no date-time.

    `fill` says what open fields become: "" refuses them (but for weekday and hundredths), "low" and "high" take the
    first and the last moment that fits. An open deviation means the meter's own local time.
    """
    if len(octets) != 12:
        return None
    year = int.from_bytes(octets[:2], "big")
    month, day = octets[2:4]
    hour, minute, second = octets[5:8]
    if fill:
        year = year if year != 0xFFFF else YEARS[0 if fill == "low" else 1]
        month = month if month != UNSPECIFIED else (1 if fill == "low" else 12)
        hour = hour if hour != UNSPECIFIED else (0 if fill == "low" else 23)
        minute = minute if minute != UNSPECIFIED else (0 if fill == "low" else 59)
        second = second if second != UNSPECIFIED else (0 if fill == "low" else 59)
        if day == UNSPECIFIED and 1 <= month <= 12 and YEARS[0] <= year <= YEARS[1]:
            day = 1 if fill == "low" else (dt.date(year + month // 12, month % 12 + 1, 1) - dt.timedelta(days=1)).day
    if not YEARS[0] <= year <= YEARS[1]:
        return None
    try:
        local = dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)
    except ValueError:
        return None
    local_s = (local - EPOCH).total_seconds()
    deviation = int.from_bytes(octets[9:11], "big", signed=True)
    if deviation == -0x8000:
        return zone.utc_s(local_s)
    return local_s + 60 * (-deviation if style.deviation == "reversed" else deviation)

"""The times a meter writes, as instants; and instants as that meter writes them (pure).

A COSEM date-time is local time and, where the meter says it, the deviation from it to UTC (IEC 62056-6-2, 4.1.6.1).
Where it does not, the zone has to come from elsewhere: the meter type (`[clock] utc_offset_minutes`), the settings
(`clock.meters_zone`), or what the meter's clock object says of its zone. Nothing is guessed: what is not known for
certain comes with a word that says so (`Instant.doubt`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from edge.dlms.datetimes import DAYLIGHT_SAVING, DOUBTFUL, INVALID, INVALID_STATUS, ClockTime

HOUR_S = 3_600
DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RECKONED = range(int((datetime(100, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()),
                 int((datetime(9000, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()))
"""Unix seconds that are taken for a time. A meter can write any, and near the calendar's ends zones lead out of it."""

Deviation = Literal["standard", "reversed", "ignored"]


@dataclass(frozen=True, slots=True)
class Zone:
    """Local standard time minus UTC, and whether the European Union's daylight saving is kept (directive 2000/84/EC).

    The hour is put forward on the last Sunday of March, 01:00 UTC, and back on the last Sunday of October, 01:00 UTC.
    """

    offset_s: int
    daylight_saving: bool = False

    @classmethod
    def parse(cls, text: str) -> "Zone | None":
        """Read "+01:00", "-05:00" or "+01:00 eu" (edge.config checks the form); None for ""."""
        if not text:
            return None
        hours, minutes = int(text[1:3]), int(text[4:6])
        size = hours * HOUR_S + minutes * 60
        return cls(-size if text[0] == "-" else size, text.endswith(" eu"))

    def summer(self, utc_s: int) -> bool:
        """Tell whether daylight saving is in force."""
        if not self.daylight_saving:
            return False
        year = (_EPOCH + timedelta(seconds=utc_s)).year
        return _last_sunday(year, 3) + HOUR_S <= utc_s < _last_sunday(year, 10) + HOUR_S

    def fold(self, utc_s: int) -> int | None:
        """Return when the hour is put back in the year of `utc_s`: the local hours on both sides look alike."""
        year = (_EPOCH + timedelta(seconds=utc_s)).year
        return _last_sunday(year, 10) + HOUR_S if self.daylight_saving else None

    def local_s(self, utc_s: int) -> int:
        """Return local time at an instant, as seconds since 1970-01-01 00:00 local time."""
        return utc_s + self.offset_s + (HOUR_S if self.summer(utc_s) else 0)

    def candidates(self, local_s: int) -> tuple[int, ...]:
        """Return the instants at which the clock shows this: one, two when the hour is put back, none in spring's."""
        winter = local_s - self.offset_s
        summer = winter - HOUR_S
        return (*((summer,) if self.summer(summer) else ()), *(() if self.summer(winter) else (winter,)))


UTC_ZONE = Zone(0)


class Instant(NamedTuple):
    """What a meter's date-time means: Unix seconds, and a word on why that is in doubt, "" where it is not.

    `second`: the other instant that it may be, an hour later, where the hour was put back and the meter does not say
    which one it means; whoever knows its neighbours can tell.
    """

    utc_s: int
    doubt: str = ""
    second: int | None = None


NO_ZONE, WHICH_HOUR, NO_SUCH_HOUR = "no_zone", "which_hour", "no_such_hour"
INVALID_TIME, DOUBTFUL_TIME = "invalid", "doubtful"
"""The words of `Instant.doubt`; sent upstream, so never changed."""


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How one meter's times are to be read and written.

    `deviation`: "standard" as COSEM has it (to be added to local time); "reversed" by makers who took it the other way
    round; "ignored" where what stands there is not to be believed. `zone` counts where no deviation does.
    """

    deviation: Deviation = "standard"
    zone: Zone | None = None

    def instant(self, clock: ClockTime) -> Instant | None:
        """Return the instant of a date-time; None outside of RECKONED, or without some part down to the minute."""
        local = clock.local()
        if local is None:
            return None
        local_s = int((local.replace(tzinfo=UTC, microsecond=0) - _EPOCH).total_seconds())
        if local_s not in RECKONED:
            return None
        status = clock.status or 0
        doubt = (INVALID_TIME if status & (INVALID | INVALID_STATUS) else DOUBTFUL_TIME if status & DOUBTFUL else "")
        minutes = self._minutes(clock)
        if minutes is not None:
            return Instant(local_s + 60 * minutes, doubt)
        return self._by_zone(local_s, clock, doubt)

    def _minutes(self, clock: ClockTime) -> int | None:
        if clock.deviation_minutes is None or self.deviation == "ignored":
            return None
        return -clock.deviation_minutes if self.deviation == "reversed" else clock.deviation_minutes

    def _by_zone(self, local_s: int, clock: ClockTime, doubt: str) -> Instant:
        zone = self.zone or UTC_ZONE
        doubt = doubt or (NO_ZONE if self.zone is None else "")
        if clock.status is not None and not clock.status & INVALID_STATUS:      # the meter says which hour it counts
            forward = HOUR_S if clock.status & DAYLIGHT_SAVING else 0
            return Instant(local_s - zone.offset_s - forward, doubt)
        found = zone.candidates(local_s)
        if not found:
            return Instant(local_s - zone.offset_s, doubt or NO_SUCH_HOUR)
        return Instant(found[0], doubt or (WHICH_HOUR if found[1:] else ""), found[1] if found[1:] else None)

    def limits(self, first_s: int, last_s: int, shown: ClockTime) -> tuple[bytes, bytes]:
        """Return two date-times, twelve octets each, between which a meter has its rows of `first_s..last_s`.

        `shown` is what its clock showed lately: limits carry the same deviation, so that a meter which compares local
        times is asked in its own. Where it writes none, local times are sent, widened by the hour that daylight saving
        may have moved them, or to all of the hour that is put back: the meter answers with more than was asked then.
        """
        minutes = self._minutes(shown)
        if minutes is not None:
            dst = (shown.status or 0) & DAYLIGHT_SAVING
            return (_octets(first_s - 60 * minutes, shown.deviation_minutes, dst),
                    _octets(last_s - 60 * minutes, shown.deviation_minutes, dst))
        zone = self.zone or UTC_ZONE
        low, high = zone.local_s(first_s), zone.local_s(last_s)
        if not zone.daylight_saving and shown.status is not None:
            high += HOUR_S      # each row's status says whether it is an hour ahead
        fold = zone.fold(first_s)
        if fold is not None and first_s < fold + HOUR_S and last_s >= fold - HOUR_S:
            begin = fold + zone.offset_s
            low = low if first_s < fold - HOUR_S else begin
            high = high if last_s >= fold + HOUR_S else begin + HOUR_S
        return _octets(low, None, None), _octets(high, None, None)


def _last_sunday(year: int, month: int) -> int:
    """Return midnight UTC of the last Sunday of a month of 31 days, in Unix seconds."""
    last = datetime(year, month, 31, tzinfo=UTC)
    return int((last - timedelta(days=last.isoweekday() % 7) - _EPOCH).total_seconds())


def _octets(local_s: int, deviation_minutes: int | None, status: int | None) -> bytes:
    local = _EPOCH + timedelta(seconds=local_s)
    return ClockTime(local.year, local.month, local.day, None, local.hour, local.minute, local.second, 0,
                     deviation_minutes, status).encode()

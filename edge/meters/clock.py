"""What a meter's clock says, and how far it is from ours (pure). IEC 62056-6-2 clause 4.5.1: class 8, Clock.

    attribute 2 ──► shown() ──► Shown(utc_s, resolution) ──► drift(asked, answered) ──► Drift(seconds, uncertainty)
    attributes 3, 7 ──► zone_of(), for meters that leave the deviation open          └─► setting(): what to write

The deviation counts from local time to UTC: -60 in Central Europe in winter. Some meters count the other way round.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from edge.dlms.axdr import DateTime, Integer
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.datetimes import DAYLIGHT_SAVING, DOUBTFUL, INVALID, INVALID_STATUS, ClockTime
from edge.errors import Violation
from edge.meters.dutyspec import ClockSpec

CLASS_CLOCK = 8
TIME, ZONE, STATUS, DAYLIGHT_DEVIATION = 2, 3, 4, 7      # attributes
SHIFT_TIME = 6                                           # method; its argument is seconds in -900..900
SHIFT_LIMIT_S = 900
DATE_TIME_OCTETS = 12
MINUTE_S = 60.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Zone(NamedTuple):
    """What attributes 3 and 7 say: deviation of normal time, and by how much daylight saving corrects it; minutes."""

    normal_minutes: int
    daylight_minutes: int


class Drift(NamedTuple):
    """The meter's clock minus ours, in seconds, and how far that may be wrong either way."""

    seconds: float
    uncertainty_s: float


@dataclass(frozen=True, slots=True)
class Shown:
    """One look at a clock. `deviation_minutes` is the one in force, in the sense of the standard."""

    time: ClockTime
    utc_s: float
    deviation_minutes: int
    resolution_s: float
    dated: bool                # came as the type date-time, not as an octet-string

    @property
    def local_s(self) -> float:
        """Seconds of local time since 1970: what the intervals of a profile are counted in."""
        return self.utc_s - self.deviation_minutes * MINUTE_S

    @property
    def valid(self) -> bool:
        """Tell whether the meter itself believes its time."""
        return not (self.time.status or 0) & INVALID

    @property
    def sound(self) -> bool:
        """Tell whether nothing that the meter says of its time casts doubt on it."""
        return not (self.time.status or 0) & (INVALID | DOUBTFUL | INVALID_STATUS)


def attribute(spec: ClockSpec, number: int) -> Attribute:
    """Return the reference to one attribute of the clock."""
    return Attribute(CLASS_CLOCK, Obis.parse(spec.obis), number)


def zone_of(normal: Any, daylight: Any) -> Zone | None:
    """Read attributes 3 and 7; None where they are no numbers."""
    if isinstance(normal, Integer) and isinstance(daylight, Integer):
        return Zone(int(normal), int(daylight))
    return None


def shown(data: Any, spec: ClockSpec, zone: Zone | None = None) -> Shown | str:
    """Read attribute 2; a plain str says why it tells no instant."""
    if not isinstance(data, bytes) or len(data) != DATE_TIME_OCTETS:
        return f"a {type(data).__name__} is no date-time"
    try:
        time = ClockTime.parse(data)
    except Violation as wrong:
        return str(wrong)
    deviation = _deviation(time, spec, zone)
    if deviation is None:
        return f"{time.text()} does not tell its distance from UTC"
    utc = replace(time, deviation_minutes=deviation).utc()
    if utc is None:
        return f"{data.hex()} leaves parts of the time open"
    # Hundredths that are always zero are a clock that shows whole seconds; one in a hundred others is taken for one.
    resolution_s = MINUTE_S if time.second is None else 0.01 if time.hundredths else 1.0
    return Shown(time, (utc - EPOCH).total_seconds(), deviation, resolution_s, isinstance(data, DateTime))


def drift(look: Shown, asked_s: float, answered_s: float) -> Drift:
    """Compare with our clock, Unix seconds when the question left and when the answer was here.

    The meter looked at its clock somewhere in between, and shows the beginning of what it can tell apart.
    """
    half_s = look.resolution_s / 2
    return Drift(look.utc_s + half_s - (asked_s + answered_s) / 2, (answered_s - asked_s) / 2 + half_s)


def setting(look: Shown, utc_s: float) -> Any:
    """Return what attribute 2 is to be set to, written as this meter writes it: parts left open stay open.

    The deviation and the daylight-saving bit stay as they are: see decision 0020 for the hour in which they change.
    """
    fine = look.time.hundredths not in (None, 0)
    moment = EPOCH + timedelta(seconds=(utc_s if fine else round(utc_s)) - look.deviation_minutes * MINUTE_S)
    then, now = moment, look.time
    octets = replace(
        now, year=then.year, month=then.month, day=then.day,
        weekday=None if now.weekday is None else then.isoweekday(), hour=then.hour, minute=then.minute,
        second=then.second, hundredths=then.microsecond // 10_000 if fine else now.hundredths,
        status=None if now.status is None else now.status & DAYLIGHT_SAVING).encode()
    return DateTime(octets) if look.dated else octets


def _deviation(time: ClockTime, spec: ClockSpec, zone: Zone | None) -> int | None:
    """Return the deviation in force in the sense of the standard, None where nothing tells it."""
    told = time.deviation_minutes
    forward = bool((time.status or 0) & DAYLIGHT_SAVING)
    if told is not None and spec.deviation != "ignored":
        return -told if spec.deviation == "reversed" else told
    if spec.utc_offset_minutes is not None:
        return -spec.utc_offset_minutes - (60 if forward else 0)
    if zone is None:
        return None
    normal = -zone.normal_minutes if spec.deviation == "reversed" else zone.normal_minutes
    return normal - zone.daylight_minutes if forward else normal

"""When it was, by the meter's own clock (pure).

A push carries a date-time of its own, or shows the meter's clock among its values. It becomes the record's time where
it can be believed: whole, with a known deviation from UTC, and not called invalid by the meter itself. Else the record
has the time of its receipt, and a word on what was wrong.
"""

from typing import NamedTuple

from edge.dlms.datetimes import ClockTime
from edge.errors import Violation
from edge.meters.localtime import INVALID_TIME, NO_ZONE, WHICH_HOUR, Instant, Reckoning
from edge.model import Stamp

FUTURE_MS = 24 * 3_600_000
PAST_MS = 45 * 24 * 3_600_000
"""How far a meter's time may be from ours: a push may be late by its retries; by more, the clock is wrong."""


class MeterTime(NamedTuple):
    """Unix milliseconds, None where the meter tells no time or none that can be believed; `doubt` says why not.

    `trusted` is False where it is the best there is and yet not certain: the meter itself calls it doubtful, or it lies
    in an hour that the change of the clocks doubles or leaves out.
    """

    ms: int | None = None
    doubt: str = ""
    trusted: bool = True

    def dated(self, receipt: Stamp) -> Stamp:
        """Return the stamp of a record: the meter's time where there is one, else that of its receipt."""
        return receipt if self.ms is None else receipt.dated_by_meter(self.ms, trusted=self.trusted)


def meter_time(octets: bytes, receipt: Stamp, reckoning: Reckoning) -> MeterTime:
    """Judge twelve octets of date-time, or none; `reckoning` is how the meter writes them."""
    if not octets:
        return MeterTime()
    try:
        clock = ClockTime.parse(octets)
    except Violation:
        return MeterTime(doubt=f"malformed: {octets.hex()}")
    instant = reckoning.instant(clock)
    if instant is None:
        return MeterTime(doubt=f"incomplete: {clock.text()}")
    ms, trusted = _instant_ms(instant, receipt)
    far_off = ms <= 0 or (receipt.synchronised and not -PAST_MS <= ms - receipt.wall_ms <= FUTURE_MS)
    doubt = instant.doubt if instant.doubt in (INVALID_TIME, NO_ZONE) else "far_off" if far_off else ""
    return MeterTime(doubt=f"{doubt}: {clock.text()}") if doubt else MeterTime(ms, trusted=trusted)


def _instant_ms(instant: Instant, receipt: Stamp) -> tuple[int, bool]:
    """Return the instant, and whether it is beyond doubt. Of an hour that comes twice a push means the nearer one."""
    if instant.second is None or not receipt.synchronised:
        return instant.utc_s * 1000, not instant.doubt
    now_s = receipt.wall_ms / 1000
    nearer = min((instant.utc_s, instant.second), key=lambda utc_s: abs(now_s - utc_s))
    return nearer * 1000, instant.doubt in ("", WHICH_HOUR)

"""When it was, by the meter's own clock (pure).

A push carries a date-time of its own, or shows the meter's clock among its values. It becomes the record's time where
it can be believed: whole, with a known deviation from UTC, and not called invalid by the meter itself. Else the record
has the time of its receipt, and a word on what was wrong.
"""

from typing import NamedTuple

from edge.dlms.datetimes import DOUBTFUL, INVALID, INVALID_STATUS, ClockTime
from edge.errors import Violation
from edge.meters.clock import Shown, shown
from edge.meters.dutyspec import ClockSpec
from edge.model import Stamp

STANDARD = ClockSpec()

FUTURE_MS = 24 * 3_600_000
PAST_MS = 45 * 24 * 3_600_000
"""How far a meter's time may be from ours: a push may be late by its retries; by more, the clock is wrong."""


class MeterTime(NamedTuple):
    """Unix milliseconds, None where the meter tells no time or none that can be believed; `doubt` says why not.

    `trusted` is False where the meter itself calls its time doubtful, and yet it is the best there is.
    """

    ms: int | None = None
    doubt: str = ""
    trusted: bool = True

    def dated(self, receipt: Stamp) -> Stamp:
        """Return the stamp of a record: the meter's time where there is one, else that of its receipt."""
        return receipt if self.ms is None else receipt.dated_by_meter(self.ms, trusted=self.trusted)


def meter_time(octets: bytes, receipt: Stamp, spec: ClockSpec = STANDARD) -> MeterTime:
    """Judge twelve octets of date-time, or none; `spec` is how such a meter writes them."""
    if not octets:
        return MeterTime()
    try:
        clock = ClockTime.parse(octets)
    except Violation:
        return MeterTime(doubt=f"malformed: {octets.hex()}")
    look = shown(octets, spec)
    ms = round(look.utc_s * 1000) if isinstance(look, Shown) else None
    doubt = _doubt(clock, ms, receipt)
    if doubt:
        return MeterTime(doubt=f"{doubt}: {clock.text()}")
    return MeterTime(ms, trusted=not (clock.status or 0) & DOUBTFUL)


def _doubt(clock: ClockTime, ms: int | None, receipt: Stamp) -> str:
    if (clock.status or 0) & (INVALID | INVALID_STATUS):
        return "invalid"
    if ms is None:
        return "incomplete" if clock.local() is None else "no_zone"
    far_off = receipt.synchronised and not -PAST_MS <= ms - receipt.wall_ms <= FUTURE_MS
    return "far_off" if far_off or ms <= 0 else ""

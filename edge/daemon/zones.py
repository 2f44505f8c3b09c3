"""Local time of a named zone, for hours of the day (I/O edge: a zone's name is looked up in the machine's database).

The image has no such database; offsets, with European daylight saving or without, need none.
"""

from datetime import datetime

from edge.meters.localtime import DAY_S, UTC_ZONE, Zone
from edge.uplink.hours import LocalMinute


def local_minute(zone: str) -> LocalMinute:
    """Return the clock of a zone: "UTC", "+01:00", "+01:00 eu", "America/Bogota" (checked with the settings)."""
    if "/" in zone:
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - few have one

        info = ZoneInfo(zone)

        def named(utc_s: int) -> int:
            shown = datetime.fromtimestamp(utc_s, info)
            return shown.hour * 60 + shown.minute

        return named
    known = UTC_ZONE if zone == "UTC" else Zone.parse(zone) or UTC_ZONE

    def reckoned(utc_s: int) -> int:
        return known.local_s(utc_s) % DAY_S // 60

    return reckoned

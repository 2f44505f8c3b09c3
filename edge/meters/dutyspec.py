"""The tables of a profile that say what is done on such a meter besides polling it (pure)."""

from typing import Annotated, Literal

from msgspec import Meta

from edge.meters.table import ObisText, Positive, Table


class ClockSpec(Table, frozen=True):
    """The clock: where it is, and how such a meter keeps and takes time.

    `deviation`: "standard" counts from local time to UTC, "reversed" from UTC to local time, as some makes do.
    `utc_offset_minutes`: local time minus UTC, for a meter that tells neither a deviation nor its zone.
    `adjust`: "shift" takes small steps by shift_time, "set" is for a meter that has no such method. `boundary_s` is the
    capture period of its load profile: no clock is set back over the end of such an interval unasked.
    """

    obis: ObisText = "0-0:1.0.0"
    deviation: Literal["standard", "reversed"] = "standard"
    utc_offset_minutes: Annotated[int, Meta(ge=-840, le=840)] | None = None
    adjust: Literal["shift", "set"] = "shift"
    boundary_s: Positive = 900.0

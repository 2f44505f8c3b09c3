"""What the supply behind a meter type is meant to be, where it is other than the site's (pure).

    [supply]
    nominal_voltage_v = 120.0       # the keys of [alarms] in the settings; left out: as they say; 0: no limits
    nominal_frequency_hz = 60.0
"""

from functools import cached_property
from typing import Annotated

from msgspec import Meta

from edge.meters.table import Table


class Supplied(Table, frozen=True):
    """None: as the settings say."""

    nominal_voltage_v: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    nominal_frequency_hz: Annotated[float, Meta(ge=0, le=400)] | None = None
    max_current_a: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    max_power_w: Annotated[float, Meta(ge=0, le=1e9)] | None = None

    @cached_property
    def told(self) -> tuple[tuple[str, float], ...]:
        """Return what the type says, by the names of the settings."""
        return tuple((name, value) for name in self.__struct_fields__ if (value := getattr(self, name)) is not None)

"""What the errands of a meter have at their hands, and the records of what they did."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from edge.clock import Clock
from edge.meters.reading import cut
from edge.model import Field, Kind, Record, Schema, Stream

BY_ITSELF = "gateway"
"""Who did something that no person asked for."""


class MeterClock(Protocol):
    """Takes what a meter's clock said, for a boot that may never get the time: `Ring.meter_clock`."""

    def __call__(self, meter: str, *, wall_ms: int, boottime_ms: int, sound: bool, error_ms: int | None = None) -> None:
        """Keep that the meter showed `wall_ms` (UTC) at our `boottime_ms`; `sound`: it calls itself right."""


def _no_clock(meter: str, *, wall_ms: int, boottime_ms: int, sound: bool, error_ms: int | None = None) -> None:
    """Stand in where there is no ring to tell."""
    del meter, wall_ms, boottime_ms, sound, error_ms


@dataclass(frozen=True, slots=True)
class Means:
    """Records go out by `keep`. `progress(meter, duty)` and `keep_progress(meter, duty, text)` outlive restarts.

    Both raise RegistryError; what is kept for one meter is not given to another one at its address.
    """

    keep: Callable[[Stream, Record], None]
    progress: Callable[[str, str], Awaitable[str]]
    keep_progress: Callable[[str, str, str], Awaitable[None]]
    clock: Clock
    meter_clock: MeterClock = _no_clock


@dataclass(frozen=True, slots=True)
class Subject:
    """The meter that an errand is for: its name in ThingsBoard, and its profile's."""

    meter: str
    profile: str

    def deed(self, means: Means, event: str, detail: str, by: str = BY_ITSELF) -> None:
        """Record what was done on the meter, or refused, or found. `detail` is one line without secrets."""
        means.keep(Stream.ALARM, Record(deed_schema(self.profile), self.meter, means.clock.stamp(),
                                        (event, cut(detail), by)))


@lru_cache(maxsize=256)
def deed_schema(profile: str) -> Schema:
    """Return the columns of the record of a deed."""
    return Schema(Kind.EVENT, (Field("event"), Field("detail"), Field("by")), profile)

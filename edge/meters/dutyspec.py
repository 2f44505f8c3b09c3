"""The tables of a profile that say what is done on such a meter besides polling it (pure)."""

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from msgspec import Meta

from edge.meters.localtime import Deviation
from edge.meters.table import Key, ObisText, Positive, Table, bad_obis


class ClockSpec(Table, frozen=True):
    """The clock: where it is, and how such a meter keeps and takes time.

    `deviation`: "standard" counts from local time to UTC, "reversed" from UTC to local time, as some makes do,
    "ignored" is for a meter whose deviation is not to be believed. `utc_offset_minutes`: local normal time minus UTC,
    for a meter that tells neither a deviation nor its zone. `daylight_saving`: where such a meter puts its clock
    forward, whether its status says so, or (its status being open) the European rule does.
    `adjust`: "shift" takes small steps by shift_time, "set" is for a meter that has no such method. `boundary_s` is the
    capture period of its load profile: no clock is set back over the end of such an interval unasked.
    """

    obis: ObisText = "0-0:1.0.0"
    deviation: Deviation = "standard"
    utc_offset_minutes: Annotated[int, Meta(ge=-840, le=840)] | None = None
    daylight_saving: Literal["status", "eu"] = "status"
    adjust: Literal["shift", "set"] = "shift"
    boundary_s: Positive = 900.0


class RelaySpec(Table, frozen=True):
    """The disconnect control object, and under which key the load is polled, in W: the interlocks look at it."""

    obis: ObisText = "0-0:96.3.10"
    power_key: Key = "active_power"


class Named(Protocol):
    """What of a polled object counts here."""

    @property
    def key(self) -> str:
        """Its telemetry key."""

    @property
    def unit(self) -> str:
        """The unit of its values."""


def duty_problems(clock: ClockSpec | None, relay: RelaySpec | None, objects: Sequence[Named]) -> list[tuple[str, str]]:
    """Return what types alone cannot say: (key path, what is wrong with which value)."""
    found: list[tuple[str, str]] = []
    if clock is not None:
        found += [("clock.obis", wrong) for wrong in bad_obis(clock.obis)]
    if relay is not None:
        found += [("relay.obis", wrong) for wrong in bad_obis(relay.obis)]
        if not any(spec.key == relay.power_key and spec.unit == "W" for spec in objects):
            found.append(("relay.power_key", f"{relay.power_key!r} is no object in W: nobody would know the load"))
    return found

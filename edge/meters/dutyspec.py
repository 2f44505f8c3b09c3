"""The tables of a profile that say what is done on such a meter besides polling it (pure)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from edge.meters.localtime import Deviation, Reckoning, Zone
from edge.meters.objectspec import ObjectSpec
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


class ImageSpec(Table, frozen=True):
    """The image transfer object, and where the meter tells which firmware runs (class 1), "" where it does not."""

    obis: ObisText = "0-0:44.0.0"
    firmware_obis: Annotated[str, Meta(pattern=r"^([0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}(\.[0-9]{1,3}){2,3})?\Z")] = ""


class EventLogSpec(Table, frozen=True):
    """A log of events: a profile generic object (class 7) of clock, event code and perhaps more.

    `code_obis` names the column with the code, "" = the first number behind the clock. `confirmed` false: nobody has
    seen this log in such a meter yet, so one without it is no fault. What the codes mean is in `[event_codes]`.
    """

    name: Key
    obis: ObisText
    code_obis: Annotated[str, Meta(pattern=r"^([0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}(\.[0-9]{1,3}){2,3})?\Z")] = ""
    confirmed: bool = True


EventCode = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,47}( (info|warning|critical))?\Z")]
"""What a code means: a name, and how bad it is where that is more than "info"."""


def duty_problems(
    objects: Sequence[ObjectSpec], *, clock: ClockSpec | None, relay: RelaySpec | None, image: ImageSpec | None,
    logs: Sequence[EventLogSpec], codes: Mapping[str, EventCode],
) -> list[tuple[str, str]]:
    """Return (key path, what is wrong) for what types alone cannot say. `objects` are the profile's `[[objects]]`."""
    found: list[tuple[str, str]] = []
    if clock is not None:
        found += [("clock.obis", wrong) for wrong in bad_obis(clock.obis)]
    if image is not None:
        found += [("image.obis", wrong) for wrong in bad_obis(image.obis)]
        found += [("image.firmware_obis", wrong) for wrong in bad_obis(image.firmware_obis)]
    for index, log in enumerate(logs):
        found += [(f"event_logs[{index}].obis", wrong) for wrong in bad_obis(log.obis)]
        if log.name in [other.name for other in logs[:index]]:
            found.append((f"event_logs[{index}].name", f"{log.name!r} is used already"))
    found += [(f"event_codes.{code}", "is no number of 0 to 65535") for code in codes
              if not (code.isascii() and code.isdigit() and int(code) <= 0xFFFF)]
    if relay is not None:
        found += [("relay.obis", wrong) for wrong in bad_obis(relay.obis)]
        if not any(spec.key == relay.power_key and spec.unit == "W" for spec in objects):
            found.append(("relay.power_key", f"{relay.power_key!r} is no object in W: nobody would know the load"))
    return found


def reckoning(spec: ClockSpec | None, zone: str) -> Reckoning:
    """Return how a meter's times are read: as its type says, else as the settings do (`clock.meters_zone`)."""
    told = spec or ClockSpec()
    if told.utc_offset_minutes is None:
        return Reckoning(told.deviation, Zone.parse(zone))
    return Reckoning(told.deviation, Zone(60 * told.utc_offset_minutes, told.daylight_saving == "eu"))

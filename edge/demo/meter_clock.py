"""Class 8, the clock: what it shows, its zone and daylight saving, every way to set it (pure). IEC 62056-6-2, 4.5.1."""

import math
from typing import ClassVar

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import (
    OTHER_REASON,
    READ_WRITE_DENIED,
    SUCCESS,
    TYPE_UNMATCHED,
    CosemObject,
    Outcome,
    date_time_of,
)
from edge.demo.meter_data import Item
from edge.demo.meter_device import Device
from edge.demo.meter_zone import read_date_time

QUARTER_S, MINUTE_S = 900, 60
SHIFT_LIMIT_S = 900
LONGEST_MIN = {3: 840, 7: 120}       # time_zone, daylight_savings_deviation
CRYSTAL = 1


class Clock(CosemObject):
    """The meter's clock. Methods: adjust_to_quarter, _measuring_period, _minute, _preset_time, preset, shift_time."""

    __slots__ = ("_device", "_preset")
    class_id = objects.CLASS_CLOCK
    attributes, methods = 9, 6
    # The recorded meter's object list names attribute 2 only; the others are settable all the same.
    writable: ClassVar[frozenset[int]] = frozenset({2})

    def __init__(self, device: Device) -> None:
        """The clock of `device`."""
        super().__init__(objects.CLOCK)
        self._device = device
        self._preset: tuple[float, float, float] | None = None       # preset time, and the interval it is valid in

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        device, zone = self._device, self._device.zone
        if attribute == 2:
            return device.stamp(now)
        return (
            b"\x10" + zone.deviation_min.to_bytes(2, "big", signed=True),
            b"\x11" + bytes((0x80 if zone.dst(device.shown(now)) else 0,)),
            objects.octets(zone.dst_begin),
            objects.octets(zone.dst_end),
            b"\x0f" + zone.dst_deviation_min.to_bytes(1, "big", signed=True),
            bytes((0x03, zone.dst_enabled)),
            bytes((0x16, CRYSTAL)),
        )[attribute - 3]

    def set(self, attribute: int, value: Item, now: float) -> int:
        """See `CosemObject`."""
        zone = self._device.zone
        if attribute in (5, 6):
            return self._set_rule(attribute, value.octets())
        if attribute == 2:
            shown = read_date_time(date_time_of(value), zone, self._device.style)
            if shown is None:
                return TYPE_UNMATCHED
            self._device.set_clock(now, shown)
        elif attribute == 8:
            zone.dst_enabled = bool(value.number())
        elif attribute in (3, 7):
            minutes = value.number()
            if abs(minutes) > LONGEST_MIN[attribute]:
                return OTHER_REASON
            if attribute == 3:
                zone.deviation_min = minutes
            else:
                zone.dst_deviation_min = minutes
        else:
            return READ_WRITE_DENIED
        return SUCCESS

    def _set_rule(self, attribute: int, rule: bytes) -> int:
        if len(rule) != 12:
            return TYPE_UNMATCHED
        if attribute == 5:
            self._device.zone.dst_begin = rule
        else:
            self._device.zone.dst_end = rule
        return SUCCESS

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        """See `CosemObject`."""
        shown = self._device.shown(now)
        steps_s = {1: QUARTER_S, 2: self._device.fittings.load_period_s, 3: MINUTE_S}
        wanted: float | None = None
        if method in steps_s:
            wanted = steps_s[method] * math.floor(shown / steps_s[method] + 0.5)
        elif method == 4 and self._preset is not None and self._preset[1] <= shown <= self._preset[2]:
            wanted = self._preset[0]
        elif method == 5:
            return self._prepare(argument)
        elif method == 6 and abs(argument.number()) <= SHIFT_LIMIT_S:
            wanted = shown + argument.number()
        if wanted is None:
            return Outcome(OTHER_REASON)
        self._device.set_clock(now, wanted)
        return Outcome(SUCCESS)

    def _prepare(self, argument: Item) -> Outcome:
        """preset_adjusting_time: a time, and the interval in which method 4 may set it."""
        device = self._device
        times = [read_date_time(date_time_of(item), device.zone, device.style) for item in argument.items(3)]
        preset, begin, end = times
        if preset is None or begin is None or end is None:
            return Outcome(TYPE_UNMATCHED)
        self._preset = (preset, begin, end)
        return Outcome(SUCCESS)

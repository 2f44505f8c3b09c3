"""Which objects a simulated meter comes with, beside its registers (pure)."""

import math
from collections.abc import Callable, Iterator

from edge.demo import meter_objects as objects
from edge.demo.meter_clock import Clock
from edge.demo.meter_cosem import CosemObject
from edge.demo.meter_device import Device
from edge.demo.meter_image import ImageTransfer
from edge.demo.meter_profile import Column
from edge.demo.meter_push import PushSetup
from edge.demo.meter_registers import Demand, PeakDemand, TariffEnergy
from edge.demo.meter_relay import Relay
from edge.demo.meter_rows import EventLog, TimedProfile
from edge.demo.meter_timeline import Capture, Daily, Every, Monthly

STATUS_DST = 0x08                    # profile status: daylight saving active


class Live(CosemObject):
    """Class 1, data, whose value is computed when asked."""

    __slots__ = ("_value",)
    class_id = objects.CLASS_DATA

    def __init__(self, obis: bytes, value: Callable[[float], bytes]) -> None:
        """`value` gives the encoded value at a Unix time."""
        super().__init__(obis)
        self._value = value

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        del attribute
        return self._value(now)


class Association(CosemObject):
    """Class 15: the current association; the server itself sees to reply_to_HLS_authentication."""

    __slots__ = ("_list",)
    class_id, version = objects.CLASS_ASSOCIATION, 2

    def __init__(self, object_list: Callable[[], bytes]) -> None:
        """`object_list` gives the encoded list."""
        super().__init__(objects.ASSOCIATION)
        self._list = object_list

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        del attribute, now
        return self._list()


def furnish(device: Device, object_list: Callable[[], bytes]) -> Iterator[CosemObject]:
    """Make the objects of one meter, in no order."""
    registers = device.registers
    nine = [Column(objects.CLASS_REGISTER, registers.obis(spec), 2) for spec in registers.specs]
    yield Clock(device)
    yield Relay(device)
    yield Association(object_list)
    yield TariffEnergy(device, 1)
    yield TariffEnergy(device, 2)
    yield PeakDemand(device)
    yield Demand(device)
    yield load_profile(device, nine)
    yield from _energy_profiles(device)
    yield EventLog(objects.EVENT_LOG, device)
    yield Live(objects.UNIX_TIME, lambda now: objects.integer(0x06, math.floor(device.shown(now))))
    yield Live(objects.TARIFF, lambda now: objects.integer(0x11, device.tariff(now)))
    yield Live(objects.EVENT_CODE, lambda _: objects.integer(0x11, device.events[-1].code if device.events else 0))
    yield Live(objects.PROFILE_STATUS, lambda now: status_octet(device, Capture(device.shown(now), now, 0)))
    if registers.name == "microstar":
        return                    # LLS only, no ciphering, no push, no firmware over the air in what is known of it
    image = ImageTransfer(device)
    yield image
    yield Live(objects.FIRMWARE, lambda _: objects.octets(image.firmware))
    yield Live(objects.INVOCATION_COUNTER, lambda _: objects.integer(0x06, counter_shown(device)))
    yield PushSetup(device, nine)


def counter_shown(device: Device) -> int:
    """The client's invocation counter as the meter shows it: the lowest it will take, or the last it took."""
    last = max(device.client_counters.values(), default=-1)
    return max(last if device.fittings.counter_shows_last else last + 1, 0)


def load_profile(device: Device, nine: list[Column]) -> TimedProfile:
    """Clock, on request the status, and the nine registers, every `load_period_s`."""
    registers, fittings = device.registers, device.fittings
    tags = [spec.tag for spec in registers.specs]

    def cells(capture: Capture) -> list[bytes]:
        raw = objects.raw_values(registers, device.supply.at(capture.true))
        status = [status_octet(device, capture)] if fittings.load_status else []
        return status + [objects.integer(tag, value) for tag, value in zip(tags, raw, strict=True)]

    status = [Column(objects.CLASS_DATA, objects.PROFILE_STATUS, 2)] if fittings.load_status else []
    grid = Every(fittings.load_period_s)
    return TimedProfile(objects.LOAD_PROFILE, device, status + nine, fittings.load_entries, grid, cells)


def status_octet(device: Device, capture: Capture) -> bytes:
    """The profile status of one row: power failed before it, clock set before it, daylight saving."""
    return bytes((0x11, capture.flags | (STATUS_DST if device.zone.dst(capture.shown) else 0)))


def _energy_profiles(device: Device) -> Iterator[TimedProfile]:
    """Total and both tariffs at each local midnight, and at each begin of a month."""
    registers, fittings = device.registers, device.fittings
    columns = [Column(objects.CLASS_REGISTER, bytes((1, registers.b, 1, 8, tariff, 255)), 2) for tariff in (0, 1, 2)]

    def cells(capture: Capture) -> list[bytes]:
        total = int(device.supply.energy_wh(capture.true))
        return [objects.integer(0x06, total)] + [
            objects.integer(0x06, device.tariff_energy_wh(tariff, capture.true)) for tariff in (1, 2)]

    yield TimedProfile(objects.DAILY_PROFILE, device, columns, fittings.daily_entries, Daily(device.zone), cells)
    yield TimedProfile(objects.BILLING_PROFILE, device, columns, fittings.billing_entries, Monthly(device.zone), cells)

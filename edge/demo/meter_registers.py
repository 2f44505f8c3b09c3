"""Classes 3, 4 and 5 beside the nine plain registers: tariffs, the month's peak, the running demand (pure).

IEC 62056-6-2, 4.3.2 to 4.3.4. All values follow from the supply's closed formulas.
"""

import math
from typing import ClassVar

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import CosemObject
from edge.demo.meter_device import Device
from edge.demo.meter_timeline import Monthly

WATT, WATT_HOUR = 27, 30
PEAK_OF_THE_MONTH = (1, 6)           # C and D of their OBIS codes
DEMAND = (1, 4)
STATUS_GOOD = b"\x11\x00"


def scaler_unit(unit: int) -> bytes:
    """Scaler 0 and a unit."""
    return bytes((0x02, 0x02, 0x0F, 0x00, 0x16, unit))


class TariffEnergy(CosemObject):
    """Class 3: active energy of one tariff, E of the OBIS code being its number."""

    __slots__ = ("_device", "_tariff")
    class_id = objects.CLASS_REGISTER
    attributes, methods = 3, 1

    def __init__(self, device: Device, tariff: int) -> None:
        """`tariff` is 1 (day) or 2 (night)."""
        super().__init__(bytes((1, device.registers.b, 1, 8, tariff, 255)))
        self._device = device
        self._tariff = tariff

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        if attribute == 3:
            return scaler_unit(WATT_HOUR)
        return objects.integer(0x06, self._device.tariff_energy_wh(self._tariff, math.floor(now)))


class PeakDemand(CosemObject):
    """Class 4, extended register: the largest mean power of a demand period since the month began, and when."""

    __slots__ = ("_device",)
    class_id = objects.CLASS_EXTENDED
    attributes, methods = 5, 1

    def __init__(self, device: Device) -> None:
        """Of `device`."""
        super().__init__(bytes((1, device.registers.b, *PEAK_OF_THE_MONTH, 0, 255)))
        self._device = device

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        device, period_s = self._device, self._device.fittings.load_period_s
        if attribute == 3:
            return scaler_unit(WATT)
        if attribute == 4:
            return STATUS_GOOD
        months = Monthly(device.zone)
        begin = months.instant(months.at_or_after(now + 1) - 1)
        watts, number = device.peak_demand_w(period_s, max(begin, device.started_at), now)
        if attribute == 2:
            return objects.integer(0x06, watts)
        return device.time((number + 1) * period_s)


class Demand(CosemObject):
    """Class 5, demand register: the running and the last finished mean power of a block of one period."""

    __slots__ = ("_device",)
    class_id = objects.CLASS_DEMAND
    attributes, methods = 9, 2
    hidden: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, device: Device) -> None:
        """Of `device`."""
        super().__init__(bytes((1, device.registers.b, *DEMAND, 0, 255)))
        self._device = device

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        device, period_s = self._device, self._device.fittings.load_period_s
        number = math.floor(now / period_s)
        begin = number * period_s
        if attribute == 2:
            gained = device.supply.energy_wh(math.floor(now)) - device.supply.energy_wh(begin)
            return objects.integer(0x06, int(gained * 3600 / period_s))
        if attribute == 3:
            return objects.integer(0x06, device.demand_w(period_s, number - 1))
        return (
            scaler_unit(WATT), STATUS_GOOD, device.time(begin),
            device.time(begin), objects.integer(0x06, period_s), objects.integer(0x12, 1),
        )[attribute - 4]

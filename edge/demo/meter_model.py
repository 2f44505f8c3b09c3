"""The simulated meter's object model (sans-IO): which objects there are, and GET, SET and ACTION on them.

Registers and what never changes are ready bytes, found by one dictionary look-up and renewed once per second of `now`,
as a real meter does; all else are objects that compute their answer. `now` is Unix time in seconds everywhere here.
"""

import math
from typing import TypeVar

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import (
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_METHOD,
    NO_SUCH_OBJECT,
    OBJECT_UNDEFINED,
    OTHER_REASON,
    READ_WRITE_DENIED,
    SUCCESS,
    TYPE_UNMATCHED,
    CosemObject,
    Outcome,
    Selection,
)
from edge.demo.meter_data import NOTHING, BadData, whole
from edge.demo.meter_device import Device, Fittings
from edge.demo.meter_furnish import furnish
from edge.demo.meter_image import ImageTransfer
from edge.demo.meter_physics import Supply, SupplyData
from edge.demo.meter_push import PushSetup

__all__ = ["OBJECT_UNDEFINED", "Key", "MeterModel", "key"]

Part = TypeVar("Part", bound=CosemObject)
Key = bytes
"""The nine bytes of an attribute descriptor as they stand in a request: class id (2), OBIS (6), attribute (1)."""


def key(class_id: int, obis: bytes, attribute: int) -> Key:
    """The descriptor bytes of one attribute."""
    return class_id.to_bytes(2, "big") + obis + bytes((attribute,))


class MeterModel:
    """One meter's objects. `read`, `select`, `write` and `act` answer with bytes or with a data-access-result."""

    def __init__(self, *, serial: str, seed: int, registers: objects.RegisterSet = objects.GENERIC,
                 supply: SupplyData | None = None, device_name: bytes = b"", clock_drift_s: float = 0.0,
                 fittings: Fittings | None = None) -> None:
        """`serial` is 1 to 13 characters; `device_name` is at most 16 octets, by default HGW and the serial."""
        self.device = Device(serial, seed, registers, supply, clock_drift_s, fittings or Fittings())
        self.registers = registers
        self._device_name = device_name
        self._held: dict[bytes, int] = {}
        self._second = math.nan
        self._table: dict[Key, bytes] = {}
        self._names: set[bytes] = set()            # class id + OBIS of what stands in the table
        self._objects: dict[bytes, CosemObject] = {}
        self._value_keys = [key(3, registers.obis(spec), 2) for spec in registers.specs]
        self._build()

    # -- control ---------------------------------------------------------------------------------------------------

    @property
    def serial(self) -> str:
        """The serial number; `become` changes it."""
        return self.device.serial

    @property
    def supply(self) -> Supply:
        """What the meter measures."""
        return self.device.supply

    @property
    def connected(self) -> bool:
        """Whether the relay is closed."""
        return self.device.connected

    @property
    def image(self) -> ImageTransfer:
        """The image transfer object; LookupError for a meter without one."""
        return self.part(ImageTransfer)

    @property
    def push(self) -> PushSetup:
        """The push setup object; LookupError for a meter without one."""
        return self.part(PushSetup)

    def part(self, kind: type[Part]) -> Part:
        """The first object of a kind; LookupError where there is none."""
        for item in self._objects.values():
            if isinstance(item, kind):
                return item
        raise LookupError(f"meter {self.serial} has no {kind.__name__}")

    def become(self, serial: str) -> None:
        """Be another meter at the same address: new serial and logical device name."""
        self.device.serial, self._device_name = serial, b""
        self._identify()

    def hold(self, obis: bytes, raw: int | None) -> None:
        """Let the register `obis` show `raw` until told otherwise; None lets it measure again."""
        if raw is None:
            self._held.pop(obis, None)
        else:
            self._held[obis] = raw
        self._second = math.nan

    def install(self, item: CosemObject) -> None:
        """Add an object, or put it in the place of the one with its class and name."""
        self._objects[key(item.class_id, item.obis, 0)[:8]] = item

    def raw_values(self, now: float) -> dict[bytes, int]:
        """What every register shows at `now`, before scaling, by the six bytes of its OBIS code."""
        shown = objects.raw_values(self.registers, self.supply.at(math.floor(now)))
        codes = [self.registers.obis(spec) for spec in self.registers.specs]
        return {obis: self._held.get(obis, raw) for obis, raw in zip(codes, shown, strict=True)}

    # -- services --------------------------------------------------------------------------------------------------

    def read(self, descriptor: Key, now: float, *, public: bool) -> bytes | int:
        """Give the attribute's encoded value, or the data-access-result that refuses it. Attribute 0 gives them all."""
        if math.floor(now) != self._second:
            self._renew(now)
        found = self._table.get(descriptor)
        if found is not None:
            return found
        item = self._objects.get(descriptor[:8])
        if descriptor[8] == 0:
            return self._whole_object(descriptor, item, now, public=public)
        if item is None:
            return NO_SUCH_ATTRIBUTE if descriptor[:8] in self._names else NO_SUCH_OBJECT
        if public and descriptor[8] in item.private:
            return READ_WRITE_DENIED
        return item.get(descriptor[8], None, now)

    def select(self, descriptor: Key, selection: Selection, now: float, *, public: bool) -> bytes | int:
        """GET with selective access."""
        item = self._objects.get(descriptor[:8])
        if item is None or not descriptor[8]:
            return OTHER_REASON if descriptor[:8] in self._names or item is not None else NO_SUCH_OBJECT
        if public and descriptor[8] in item.private:
            return READ_WRITE_DENIED
        try:
            return item.get(descriptor[8], selection, now)
        except BadData:
            return TYPE_UNMATCHED

    def write(self, descriptor: Key, value: bytes, now: float, *, public: bool) -> int:
        """SET of an encoded value; returns the data-access-result. A register holds what it is set to from then on."""
        item = self._objects.get(descriptor[:8])
        known = descriptor in self._table or (item is not None and 1 <= descriptor[8] <= item.attributes)
        if not known:
            return NO_SUCH_ATTRIBUTE if descriptor[:8] in self._names or item is not None else NO_SUCH_OBJECT
        if public:
            return READ_WRITE_DENIED
        if descriptor in self._value_keys:
            return self._set_register(descriptor[2:8], value)
        try:
            return READ_WRITE_DENIED if item is None else item.set(descriptor[8], whole(value), now)
        except (BadData, OverflowError):
            return TYPE_UNMATCHED

    def act(self, descriptor: Key, argument: bytes, now: float, *, public: bool) -> Outcome:
        """ACTION with encoded parameters (empty for none). The descriptor's last byte is the method."""
        item = self._objects.get(descriptor[:8])
        if item is None or not 1 <= descriptor[8] <= item.methods:
            return Outcome(NO_SUCH_METHOD)
        if public:
            return Outcome(READ_WRITE_DENIED)
        try:
            return item.act(descriptor[8], whole(argument) if argument else NOTHING, now)
        except BadData:
            return Outcome(TYPE_UNMATCHED)

    def _set_register(self, obis: bytes, value: bytes) -> int:
        if not value or objects.TAG_BYTES.get(value[0]) != len(value) - 1:
            return TYPE_UNMATCHED
        self.hold(obis, int.from_bytes(value[1:], "big", signed=value[0] in (0x05, 0x10)))
        return SUCCESS

    # -- the objects -----------------------------------------------------------------------------------------------

    def _whole_object(self, descriptor: Key, item: CosemObject | None, now: float, *, public: bool) -> bytes | int:
        name = descriptor[:8]
        if item is not None:
            unseen = item.hidden | (item.private if public else frozenset())
            found = [b"\x00" if n in unseen else item.get(n, None, now) for n in range(1, item.attributes + 1)]
            return objects.sequence([part if isinstance(part, bytes) else b"\x00" for part in found], 0x02)
        parts: list[bytes] = []
        for attribute in range(1, 16):
            part = self._table.get(name + bytes((attribute,)))
            if part is None:
                break
            parts.append(part)
        return objects.sequence(parts, 0x02) if parts else NO_SUCH_OBJECT

    def _renew(self, now: float) -> None:
        self._second = math.floor(now)
        raw = self.raw_values(now).values()
        for descriptor, spec, value in zip(self._value_keys, self.registers.specs, raw, strict=True):
            self._table[descriptor] = objects.integer(spec.tag, value)

    def _put(self, class_id: int, obis: bytes, *values: bytes) -> None:
        """Add an object of ready bytes: attribute 1 is its name, the others are `values` from attribute 2 on."""
        self._names.add(key(class_id, obis, 0)[:8])
        for attribute, value in enumerate((objects.octets(obis), *values), 1):
            self._table[key(class_id, obis, attribute)] = value

    def _build(self) -> None:
        for spec in self.registers.specs:
            self._put(3, self.registers.obis(spec), objects.integer(spec.tag, 0), objects.scaler_unit(spec))
        self._put(objects.CLASS_DATA, objects.FLOAT_DATA, b"\x17\x43\x66\x40\x00")
        self._put(objects.CLASS_DATA, objects.LONG_DATA, objects.octets(b"x" * 300))
        self._put(objects.CLASS_DATA, objects.BOOLEAN_DATA, b"\x03\x01")
        self._identify()
        for item in furnish(self.device, self.object_list):
            self.install(item)

    def _identify(self) -> None:
        name = self._device_name or b"HGW" + self.serial.encode()
        self._put(objects.CLASS_DATA, objects.LOGICAL_DEVICE_NAME, objects.octets(name[:16]))
        self._put(objects.CLASS_DATA, objects.SERIAL, objects.octets(self.serial.encode(), 0x0A))
        self._put(objects.CLASS_DATA, objects.DEVICE_ID, objects.octets(self.serial.encode()))

    def object_list(self) -> bytes:
        """The association's object_list with access rights, encoded."""
        elements: list[bytes] = []
        for name in sorted(self._names | self._objects.keys()):
            class_id, obis = int.from_bytes(name[:2], "big"), name[2:]
            item = self._objects.get(name)
            if item is not None:
                version, attributes, methods, writable = item.version, item.attributes, item.methods, item.writable
            else:
                version, attributes = 0, sum(entry[:8] == name for entry in self._table)
                methods, writable = (1, frozenset({2})) if class_id == objects.CLASS_REGISTER else (0, frozenset())
            elements.append(objects.object_list_element(
                class_id, version, obis, list(range(1, attributes + 1)), writable, methods))
        return objects.sequence(elements, 0x01)

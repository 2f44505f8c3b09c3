"""The simulated meter's object model (sans-IO): every attribute as ready bytes, found by one dictionary look-up.

Registers and the clock are renewed once per second of `now`, as a real meter does; all else is encoded once. `now` is
Unix time in seconds everywhere in this file.
"""

import datetime as dt
import math

from edge.demo import meter_objects as objects
from edge.demo.meter_physics import Supply, SupplyData

# Data-Access-Result (IEC 62056-5-3, table of Get-Data-Result)
SUCCESS = 0
READ_WRITE_DENIED = 3
OBJECT_UNDEFINED = 4
TYPE_UNMATCHED = 12
# The recorded independent meter answers 3 for an object it does not know and 1 for an attribute it does not know;
# the standard has 4 and 9 for these, so a client must live with either.
NO_SUCH_OBJECT = 3
NO_SUCH_ATTRIBUTE = 1

Key = bytes
"""The nine bytes of an attribute descriptor as they stand in a request: class id (2), OBIS (6), attribute (1)."""


def key(class_id: int, obis: bytes, attribute: int) -> Key:
    """The descriptor bytes of one attribute."""
    return class_id.to_bytes(2, "big") + obis + bytes((attribute,))


class MeterModel:
    """One meter's objects and their values. `read` and `write` answer with bytes or with a data-access-result."""

    def __init__(self, *, serial: str, seed: int, registers: objects.RegisterSet = objects.GENERIC,
                 supply: SupplyData | None = None, device_name: bytes = b"", clock_drift_s: float = 0.0) -> None:
        """`serial` is 1 to 13 characters; `device_name` is at most 16 octets, by default HGW and the serial."""
        self.serial = serial
        self.registers = registers
        self.supply = Supply(seed, supply)
        self.clock_offset_s = clock_drift_s
        self.connected = True                      # disconnect control: the relay
        self._device_name = device_name
        self._held: dict[bytes, int] = {}
        self._second = math.nan
        self._table: dict[Key, bytes] = {}
        self._private: set[Key] = set()            # not readable without authentication
        self._objects: set[bytes] = set()          # class id + OBIS
        self._value_keys = [key(3, registers.obis(spec), 2) for spec in registers.specs]
        self._build()

    # -- control ---------------------------------------------------------------------------------------------------

    def become(self, serial: str) -> None:
        """Be another meter at the same address: new serial and logical device name."""
        self.serial, self._device_name = serial, b""
        self._identify()

    def hold(self, obis: bytes, raw: int | None) -> None:
        """Let the register `obis` show `raw` until told otherwise; None lets it measure again."""
        if raw is None:
            self._held.pop(obis, None)
        else:
            self._held[obis] = raw
        self._second = math.nan

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
        if descriptor[8] == 0:
            return self._whole_object(descriptor, public=public)
        found = self._table.get(descriptor)
        if found is None:
            return NO_SUCH_ATTRIBUTE if descriptor[:8] in self._objects else NO_SUCH_OBJECT
        return READ_WRITE_DENIED if public and descriptor in self._private else found

    def write(self, descriptor: Key, value: bytes, now: float, *, public: bool) -> int:
        """SET: the clock and the registers (held from then on); returns the data-access-result."""
        if descriptor not in self._table:
            return NO_SUCH_ATTRIBUTE if descriptor[:8] in self._objects else NO_SUCH_OBJECT
        if public:
            return READ_WRITE_DENIED
        if descriptor == key(objects.CLASS_CLOCK, objects.CLOCK, 2):
            return self._set_clock(value, now)
        if descriptor in self._value_keys:
            return self._set_register(descriptor[2:8], value)
        return READ_WRITE_DENIED

    def _set_clock(self, value: bytes, now: float) -> int:
        moment = objects.parse_date_time(value)
        if moment is None:
            return TYPE_UNMATCHED
        self.clock_offset_s = moment.timestamp() - now
        self._second = math.nan
        return SUCCESS

    def _set_register(self, obis: bytes, value: bytes) -> int:
        if not value or objects.TAG_BYTES.get(value[0]) != len(value) - 1:
            return TYPE_UNMATCHED
        self.hold(obis, int.from_bytes(value[1:], "big", signed=value[0] in (0x05, 0x10)))
        return SUCCESS

    def act(self, descriptor: Key, *, public: bool) -> int:
        """ACTION: remote_disconnect (1) and remote_reconnect (2) of the relay; returns the action-result."""
        if descriptor[:8] != key(objects.CLASS_DISCONNECT, objects.DISCONNECT, 0)[:8] or descriptor[8] not in (1, 2):
            return OBJECT_UNDEFINED
        if public:
            return READ_WRITE_DENIED
        self.connected = descriptor[8] == 2
        self._relay()
        return SUCCESS

    # -- the table -------------------------------------------------------------------------------------------------

    def _whole_object(self, descriptor: Key, *, public: bool) -> bytes | int:
        items: list[bytes] = []
        for attribute in range(1, 16):
            item = self._table.get(descriptor[:8] + bytes((attribute,)))
            if item is None:
                break
            items.append(b"\x00" if public and descriptor[:8] + bytes((attribute,)) in self._private else item)
        return objects.sequence(items, 0x02) if items else NO_SUCH_OBJECT

    def _renew(self, now: float) -> None:
        self._second = math.floor(now)
        raw = self.raw_values(now).values()
        for descriptor, spec, value in zip(self._value_keys, self.registers.specs, raw, strict=True):
            self._table[descriptor] = objects.integer(spec.tag, value)
        shown = dt.datetime.fromtimestamp(math.floor(now + self.clock_offset_s), dt.UTC)
        self._table[key(objects.CLASS_CLOCK, objects.CLOCK, 2)] = objects.date_time(shown)

    def _put(self, class_id: int, obis: bytes, *values: bytes) -> None:
        """Add an object: attribute 1 is its name, the others are `values` from attribute 2 on."""
        self._objects.add(key(class_id, obis, 0)[:8])
        for attribute, value in enumerate((objects.octets(obis), *values), 1):
            self._table[key(class_id, obis, attribute)] = value

    def _build(self) -> None:
        for spec in self.registers.specs:
            self._put(3, self.registers.obis(spec), objects.integer(spec.tag, 0), objects.scaler_unit(spec))
        no_time = b"\x09\x0c\xff\xff\xff\xff\xff\xff\xff\xff\xff\x80\x00\xff"
        self._put(objects.CLASS_CLOCK, objects.CLOCK, no_time, b"\x10\x00\x00", b"\x11\x00", no_time, no_time,
                  b"\x0f\x00", b"\x03\x00", b"\x16\x01")
        self._put(objects.CLASS_DATA, objects.FLOAT_DATA, b"\x17\x43\x66\x40\x00")
        self._put(objects.CLASS_DATA, objects.LONG_DATA, objects.octets(b"x" * 300))
        self._put(objects.CLASS_DATA, objects.BOOLEAN_DATA, b"\x03\x01")
        self._relay()
        self._private.update(key(objects.CLASS_DISCONNECT, objects.DISCONNECT, a) for a in (2, 3, 4))
        self._identify()
        self._put(objects.CLASS_ASSOCIATION, objects.ASSOCIATION)
        self._table[key(objects.CLASS_ASSOCIATION, objects.ASSOCIATION, 2)] = self._object_list()

    def _identify(self) -> None:
        name = self._device_name or b"HGW" + self.serial.encode()
        self._put(objects.CLASS_DATA, objects.LOGICAL_DEVICE_NAME, objects.octets(name[:16]))
        self._put(objects.CLASS_DATA, objects.SERIAL, objects.octets(self.serial.encode(), 0x0A))
        self._put(objects.CLASS_DATA, objects.DEVICE_ID, objects.octets(self.serial.encode()))

    def _relay(self) -> None:
        state = int(self.connected)
        self._put(objects.CLASS_DISCONNECT, objects.DISCONNECT, bytes((0x03, state)), bytes((0x16, state)), b"\x16\x04")

    def _object_list(self) -> bytes:
        writable = {objects.CLASS_CLOCK: frozenset({2}), objects.CLASS_REGISTER: frozenset({2})}
        versions = {objects.CLASS_ASSOCIATION: 2}
        methods = {objects.CLASS_REGISTER: 1, objects.CLASS_CLOCK: 6, objects.CLASS_DISCONNECT: 2}
        elements: list[bytes] = []
        for name in sorted(self._objects):
            class_id, obis = int.from_bytes(name[:2], "big"), name[2:]
            attributes = [k[8] for k in self._table if k[:8] == name]
            if class_id == objects.CLASS_ASSOCIATION:
                attributes = [1, 2]
            elements.append(objects.object_list_element(
                class_id, versions.get(class_id, 0), obis, attributes, writable.get(class_id, frozenset()),
                methods.get(class_id, 0)))
        return objects.sequence(elements, 0x01)



"""The COSEM objects of a simulated meter as data: registers, their encodings, and who may read what.

The encoders here are the simulator's own, on purpose: a fault shared with the client under test would hide itself.
Encodings: IEC 62056-5-3 (A-XDR of Data); classes and attributes: IEC 62056-6-2.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edge.demo.meter_physics import Snapshot

CLASS_DATA, CLASS_REGISTER, CLASS_EXTENDED, CLASS_DEMAND, CLASS_PROFILE, CLASS_CLOCK = 1, 3, 4, 5, 7, 8
CLASS_ASSOCIATION, CLASS_IMAGE, CLASS_PUSH, CLASS_DISCONNECT = 15, 18, 40, 70

CLOCK = bytes((0, 0, 1, 0, 0, 255))
ASSOCIATION = bytes((0, 0, 40, 0, 0, 255))
LOGICAL_DEVICE_NAME = bytes((0, 0, 42, 0, 0, 255))
SERIAL = bytes((1, 0, 0, 0, 0, 255))              # as Microstar has it
DEVICE_ID = bytes((0, 0, 96, 1, 0, 255))          # as most others have it
DISCONNECT = bytes((0, 0, 96, 3, 10, 255))
FLOAT_DATA = bytes((0, 0, 96, 50, 0, 255))
LONG_DATA = bytes((0, 0, 96, 50, 1, 255))         # a 300-byte octet-string: needs blocks or segments
BOOLEAN_DATA = bytes((0, 0, 96, 50, 2, 255))
UNIX_TIME = bytes((0, 0, 1, 1, 0, 255))
LOAD_PROFILE = bytes((1, 0, 99, 1, 0, 255))
DAILY_PROFILE = bytes((1, 0, 99, 2, 0, 255))
BILLING_PROFILE = bytes((0, 0, 98, 1, 0, 255))
EVENT_LOG = bytes((0, 0, 99, 98, 0, 255))
PROFILE_STATUS = bytes((0, 0, 96, 10, 1, 255))
EVENT_CODE = bytes((0, 0, 96, 11, 0, 255))
TARIFF = bytes((0, 0, 96, 14, 0, 255))
FIRMWARE = bytes((1, 0, 0, 2, 0, 255))
INVOCATION_COUNTER = bytes((0, 0, 43, 1, 0, 255))
IMAGE_TRANSFER = bytes((0, 0, 44, 0, 0, 255))
PUSH_SETUP = bytes((0, 0, 25, 9, 0, 255))

TAG_BYTES = {0x05: 4, 0x06: 4, 0x10: 2, 0x11: 1, 0x12: 2}   # int32, uint32, int16, uint8, uint16


class RegisterSpec(NamedTuple):
    """One register: C and D of its OBIS code (E is 0), its telemetry name, type tag, scaler and COSEM unit code."""

    c: int
    d: int
    key: str
    tag: int
    scaler: int
    unit: int


@dataclass(frozen=True, slots=True)
class RegisterSet:
    """The nine registers of one meter type. `b` is the channel in their OBIS code: 1-`b`:C.D.0.255."""

    name: Literal["generic", "microstar"]
    b: int
    specs: tuple[RegisterSpec, ...]

    def obis(self, spec: RegisterSpec) -> bytes:
        """The six bytes of the register's logical name."""
        return bytes((1, self.b, spec.c, spec.d, 0, 255))


def _three_phase(voltage: tuple[int, int], current: tuple[int, int], others: int, power_scaler: int) -> tuple[
        RegisterSpec, ...]:
    """Build the nine: `voltage` and `current` as (tag, scaler), the tag of the others, the scaler of power."""
    return (
        *(RegisterSpec(c, 7, f"voltage_l{n}", *voltage, 35) for n, c in enumerate((32, 52, 72), 1)),
        *(RegisterSpec(c, 7, f"current_l{n}", *current, 33) for n, c in enumerate((31, 51, 71), 1)),
        RegisterSpec(14, 7, "frequency", others, -2, 44),
        RegisterSpec(1, 7, "active_power", others, power_scaler, 27),
        RegisterSpec(1, 8, "active_energy", 0x06, 0, 30),
    )


# The types and scalers of the recorded independent meter (tests/captures).
GENERIC = RegisterSet("generic", 0, _three_phase((0x12, -1), (0x12, -2), 0x06, 0))
# Microstar: 0.01 V, 1 mA and 0.1 W steps as logged in the field, int32/uint32 throughout, channel 1.
MICROSTAR = RegisterSet("microstar", 1, _three_phase((0x06, -2), (0x06, -3), 0x05, -1))
REGISTER_SETS = {registers.name: registers for registers in (GENERIC, MICROSTAR)}


def raw_values(registers: RegisterSet, snapshot: Snapshot) -> tuple[int, ...]:
    """What the registers show, as integers before scaling, in the order of `registers.specs`."""
    physical = (*snapshot.voltage_v, *snapshot.current_a, snapshot.frequency_hz, snapshot.active_power_w,
                snapshot.active_energy_wh)
    # Floor, as a counting register does: rounding energy could show it a unit early and then fall behind itself.
    return tuple(int(value / 10.0**spec.scaler) for value, spec in zip(physical, registers.specs, strict=True))


def integer(tag: int, value: int) -> bytes:
    """Encode an integer of the given type tag; the value is cut to the type's width as a counter that rolls over."""
    width = TAG_BYTES[tag]
    return bytes((tag,)) + (value & ((1 << 8 * width) - 1)).to_bytes(width, "big")


def length(count: int) -> bytes:
    """A-XDR length or count: one byte below 128, else 81, 82 or 84 and the bytes."""
    if count < 0x80:
        return bytes((count,))
    if count < 0x100:
        return bytes((0x81, count))
    return b"\x82" + count.to_bytes(2, "big") if count < 0x10000 else b"\x84" + count.to_bytes(4, "big")


def octets(value: bytes, tag: int = 0x09) -> bytes:
    """Encode an octet-string (09) or a visible-string (0A)."""
    return bytes((tag,)) + length(len(value)) + value


def sequence(items: list[bytes], tag: int) -> bytes:
    """Encode an array (01) or a structure (02) of encoded items."""
    return bytes((tag,)) + length(len(items)) + b"".join(items)


def scaler_unit(spec: RegisterSpec) -> bytes:
    """Encode structure {integer scaler, enum unit}."""
    return bytes((0x02, 0x02, 0x0F, spec.scaler & 0xFF, 0x16, spec.unit))


def bits(flags: list[bool]) -> bytes:
    """Encode a bit-string, first flag first."""
    packed = bytearray((len(flags) + 7) // 8)
    for place, flag in enumerate(flags):
        packed[place // 8] |= flag << (7 - place % 8)
    return b"\x04" + length(len(flags)) + packed


def object_list_element(class_id: int, version: int, obis: bytes, attributes: list[int], writable: frozenset[int],
                        methods: int) -> bytes:
    """Encode one element of object_list with its access rights (class 15, attribute 2)."""
    rights = [bytes((0x02, 0x03, 0x0F, a, 0x16, 3 if a in writable else 1, 0x00)) for a in attributes]
    actions = [bytes((0x02, 0x02, 0x0F, m, 0x16, 1)) for m in range(1, methods + 1)]
    access = sequence([sequence(rights, 0x01), sequence(actions, 0x01)], 0x02)
    return sequence([b"\x12" + class_id.to_bytes(2, "big"), bytes((0x11, version)), octets(obis), access], 0x02)

"""COSEM names: OBIS codes, attribute references, units, data-access results.

Sources: IEC 62056-61 (OBIS), IEC 62056-6-2 (Blue Book: class model, units of `scal_unit_type`, clause 4.3.2),
IEC 62056-5-3 (Green Book: Data-Access-Result, clause 9.5).
"""

import re
from enum import IntEnum
from typing import NamedTuple, Self

_OBIS = re.compile(r"(\d{1,3})[-.](\d{1,3})[:.](\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[.*](\d{1,3}))?")


class Obis(NamedTuple):
    """An OBIS code: six value groups of 0..255."""

    a: int
    b: int
    c: int
    d: int
    e: int
    f: int = 255

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "1-0:32.7.0", "1-0:32.7.0.255", "1-0:32.7.0*255" or "1.0.32.7.0.255"; raise ValueError otherwise."""
        found = _OBIS.fullmatch(text.strip())
        groups = [int(group) for group in found.groups("255")] if found else []
        if not groups or max(groups) > 255:
            raise ValueError(f"{text!r} is no OBIS code: write it as A-B:C.D.E or A-B:C.D.E.F with groups of 0..255")
        return cls(*groups)

    @classmethod
    def from_bytes(cls, octets: bytes) -> Self:
        """Read a logical name of exactly six octets; raise ValueError otherwise."""
        if len(octets) != 6:
            raise ValueError(f"a logical name has 6 octets, not {len(octets)}")
        return cls(*octets)

    def to_bytes(self) -> bytes:
        """Return the logical name as it travels: six octets."""
        return bytes(self)

    def __str__(self) -> str:
        """Return "A-B:C.D.E.F", group F always written."""
        return f"{self.a}-{self.b}:{self.c}.{self.d}.{self.e}.{self.f}"


class Attribute(NamedTuple):
    """One attribute of one object: what a GET asks for. `class_id` 0..65535, `attribute` -128..127 (0 = all).

    `selection` picks a part of a long attribute; `edge.dlms.selection` makes it. Empty means the whole attribute.
    """

    class_id: int
    obis: Obis
    attribute: int
    selection: bytes = b""

    def __str__(self) -> str:
        """Return "class/OBIS attribute n" for messages."""
        return f"{self.class_id}/{self.obis} attribute {self.attribute}"


class _ResultCode(IntEnum):
    """A result other than success. A code that the standard does not name becomes `UNNAMED_<code>`."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 1 <= value <= 255:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNNAMED_{value}"
        member._value_ = value
        return member

    @property
    def text(self) -> str:
        """Return the name in words with the code, for messages."""
        return f"{self.name.lower().replace('_', ' ')} ({self.value})"

    @property
    def temporary(self) -> bool:
        """Tell whether the meter itself says that trying again may help."""
        return self == 2


class AccessError(_ResultCode):
    """Data-Access-Result other than success. A code that the standard does not name becomes `UNNAMED_<code>`."""

    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


class ActionError(_ResultCode):
    """Action-Result other than success. A code that the standard does not name becomes `UNNAMED_<code>`."""

    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250


UNITS: dict[int, str] = {
    1: "a", 2: "mo", 3: "wk", 4: "d", 5: "h", 6: "min", 7: "s", 8: "°", 9: "°C", 10: "currency",
    11: "m", 12: "m/s", 13: "m³", 14: "m³", 15: "m³/h", 16: "m³/h", 17: "m³/d", 18: "m³/d", 19: "l", 20: "kg",
    21: "N", 22: "Nm", 23: "Pa", 24: "bar", 25: "J", 26: "J/h", 27: "W", 28: "VA", 29: "var", 30: "Wh",
    31: "VAh", 32: "varh", 33: "A", 34: "C", 35: "V", 36: "V/m", 37: "F", 38: "Ω", 39: "Ωm²/m", 40: "Wb",
    41: "T", 42: "A/m", 43: "H", 44: "Hz", 45: "1/Wh", 46: "1/varh", 47: "1/VAh", 48: "V²h", 49: "A²h", 50: "kg/s",
    51: "S", 52: "K", 53: "1/V²h", 54: "1/A²h", 55: "1/m³", 56: "%", 57: "Ah", 60: "Wh/m³", 61: "J/m³", 62: "Mol%",
    63: "g/m³", 64: "Pa s", 65: "J/kg", 66: "g/cm²", 67: "atm", 70: "dBm", 71: "dBµV", 72: "dB", 255: "",
}
"""COSEM unit code -> symbol. 13 and 14 (volume, corrected volume) share theirs; 255 is "no unit"."""

"""The values of the DLMS `Data` type as Python sees them (IEC 62056-5-3 clause 9.5, IEC 62056-6-2 clause 4.1.5).

    value in Python              `Data` choice
    None, bool                   null-data, boolean
    Integer (an int with a tag)  every integer type, bcd, enum, the delta types
    Float32, float               float32, float64
    bytes                        octet-string; DateTime, Date, Time (bytes of 12, 5, 4) are the types of those names
    str, Utf8                    visible-string (Latin-1), utf8-string
    BitString, CompactArray      bit-string, compact-array
    list, tuple                  array, structure
    DONT_CARE                    dont-care
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self, cast

AxdrValue = Any
"""One of the values of the table above. Nested, so it stands as Any: consumers check with isinstance or match."""


class Integer(int):
    """An integer that knows its type: `Integer(tag, value)`. Compares, hashes and calculates as the plain number."""

    __slots__ = ()
    tag: int = -1
    name: str = ""
    layout: struct.Struct

    def __new__(cls, tag: int, value: int) -> Self:
        """Make one; raise ValueError for a tag that is no integer type or a value it cannot hold."""
        kind = INTEGERS.get(tag)
        if kind is None:
            raise ValueError(f"tag {tag} is no integer type")
        try:
            kind.layout.pack(value)
        except struct.error as why:
            raise ValueError(f"{value} does not fit {kind.name}") from why
        return cast("Self", int.__new__(kind, value))

    @property
    def value(self) -> int:
        """The plain number."""
        return int(self)

    def __reduce__(self) -> tuple[type["Integer"], tuple[int, int]]:
        """Copy and pickle by tag and value."""
        return Integer, (self.tag, int(self))

    def __repr__(self) -> str:
        """Return type and number."""
        return f"<{self.name} {int(self)}>"

    __str__ = int.__repr__


_INTEGER_TYPES = {
    5: ("double-long", ">i"), 6: ("double-long-unsigned", ">I"), 13: ("bcd", ">B"), 15: ("integer", ">b"),
    16: ("long", ">h"), 17: ("unsigned", ">B"), 18: ("long-unsigned", ">H"), 20: ("long64", ">q"),
    21: ("long64-unsigned", ">Q"), 22: ("enum", ">B"), 28: ("delta-integer", ">b"), 29: ("delta-long", ">h"),
    30: ("delta-double-long", ">i"), 31: ("delta-unsigned", ">B"), 32: ("delta-long-unsigned", ">H"),
    33: ("delta-double-long-unsigned", ">I"),
}
INTEGERS: dict[int, type[Integer]] = {
    tag: type(f"Integer{tag}", (Integer,), {"__slots__": (), "tag": tag, "name": name, "layout": struct.Struct(layout)})
    for tag, (name, layout) in _INTEGER_TYPES.items()
}
"""tag -> the class of its values. A bcd is the octet as it came: two packed digits."""


class Float32(float):
    """A float32; a plain float is a float64."""

    __slots__ = ()


class Utf8(str):
    """A utf8-string; a plain str is a visible-string."""

    __slots__ = ()


class DateTime(bytes):
    """The twelve octets of a date-time; `edge.dlms.datetimes` reads them, also out of an octet-string."""

    __slots__ = ()


class Date(bytes):
    """The five octets of a date."""

    __slots__ = ()


class Time(bytes):
    """The four octets of a time."""

    __slots__ = ()


class DontCare(Enum):
    """The type of the one dont-care value."""

    DONT_CARE = 255


DONT_CARE = DontCare.DONT_CARE


@dataclass(frozen=True, slots=True)
class BitString:
    """`length` bits, the first one in the highest bit of `octets[0]`; unused bits of the last octet as received."""

    length: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """Part of a type description: an array of exactly `count` elements."""

    count: int
    element: "TypeDescription"


@dataclass(frozen=True, slots=True)
class StructureOf:
    """Part of a type description: a structure."""

    members: tuple["TypeDescription", ...]


TypeDescription = int | ArrayOf | StructureOf
"""What the elements of a compact-array look like; an int is the tag of a type without parts."""


@dataclass(frozen=True, slots=True)
class CompactArray:
    """A compact-array: its one type description and its elements."""

    description: TypeDescription
    items: tuple[AxdrValue, ...]

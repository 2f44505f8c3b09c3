"""A-XDR decoding, strict and bounded; encoding stands in `axdr_encoder` (IEC 62056-5-3 clause 9.5, IEC 61334-6).

The decoder reads hostile bytes: every length and count is checked against what is there, depth and number of values are
limited, and nothing but `Violation` comes out. `edge.dlms.data` says which value stands for which type; all of it can
be imported from here.
"""

import struct
from collections.abc import Callable

from edge.dlms.axdr_encoder import encode, encode_length
from edge.dlms.data import (
    DONT_CARE,
    INTEGERS,
    ArrayOf,
    AxdrValue,
    BitString,
    CompactArray,
    Date,
    DateTime,
    Float32,
    Integer,
    StructureOf,
    Time,
    TypeDescription,
    Utf8,
)
from edge.errors import Violation

__all__ = [
    "DONT_CARE", "ArrayOf", "AxdrValue", "BitString", "CompactArray", "Date", "DateTime", "Float32", "Integer",
    "StructureOf", "Time", "Utf8", "decode", "decode_at", "decode_length", "encode", "encode_length",
]

MAX_DEPTH = 24
"""Containers inside each other. The deepest standard attribute, an object list with access rights, needs 7."""

MAX_VALUES = 32_768
"""Values in one decoded tree: 30 days of quarter-hours with ten columns. More would hold the event loop up."""

_VALUES_PER_OCTET = 16      # inside a compact-array values may take no octet at all; no sound one has more than this

# tag -> (class, unpack_from, octets with the tag): what the fast path needs, without attribute look-ups
_FAST: dict[int, tuple[type[Integer], Callable[..., tuple[int, ...]], int]] = {
    tag: (cls, cls.layout.unpack_from, 1 + cls.layout.size) for tag, cls in INTEGERS.items()
}
_new_int = int.__new__
_FLOAT32, _FLOAT64 = struct.Struct(">f"), struct.Struct(">d")
_ARRAY, _STRUCTURE, _COMPACT_ARRAY = 1, 2, 19


def decode(data: bytes | memoryview) -> AxdrValue:
    """Decode one value that fills the whole input; raise Violation for anything else."""
    octets = bytes(data)
    value, end = decode_at(octets, 0)
    if end != len(octets):
        raise Violation(f"{len(octets) - end} octets follow an A-XDR value of {end}")
    return value


def decode_at(octets: bytes, at: int) -> tuple[AxdrValue, int]:
    """Decode the value that starts at `at`; return it and where the next thing starts. Raise Violation."""
    try:
        kind = _FAST.get(octets[at])
        if kind is not None:
            return _new_int(kind[0], kind[1](octets, at + 1)[0]), at + kind[2]
        return _Decoder(octets).value(at, 0)
    except (IndexError, struct.error):
        raise Violation(f"A-XDR value at octet {at} is cut short: {len(octets)} octets in all") from None


def decode_length(octets: bytes, at: int) -> tuple[int, int]:
    """Decode a BER length of up to four octets at `at`; return it and where the next thing starts. Raise Violation."""
    if at >= len(octets):
        raise Violation(f"length at octet {at} is missing")
    first = octets[at]
    if first < 0x80:
        return first, at + 1
    end = at + 1 + first - 0x80
    if not 0x81 <= first <= 0x84 or end > len(octets):
        raise Violation(f"length at octet {at} is malformed or cut short")
    return int.from_bytes(octets[at + 1:end], "big"), end


def _take(octets: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(octets):
        raise Violation(f"{size} octets are announced at {at}, {len(octets) - at} are there")
    return octets[at:end], end


def _counted(octets: bytes, at: int) -> tuple[bytes, int]:
    length, at = decode_length(octets, at)
    return _take(octets, at, length)


def _boolean(octets: bytes, at: int) -> tuple[bool, int]:
    return octets[at] != 0, at + 1


def _bit_string(octets: bytes, at: int) -> tuple[BitString, int]:
    bits, at = decode_length(octets, at)
    content, at = _take(octets, at, (bits + 7) // 8)
    return BitString(bits, content), at


def _visible_string(octets: bytes, at: int) -> tuple[str, int]:
    content, at = _counted(octets, at)
    return content.decode("latin-1"), at     # ISO/IEC 646 by the standard; meters put their own code pages into it


def _utf8_string(octets: bytes, at: int) -> tuple[Utf8, int]:
    content, at = _counted(octets, at)
    try:
        return Utf8(content.decode()), at
    except UnicodeDecodeError:
        raise Violation("utf8-string holds no UTF-8") from None


def _float32(octets: bytes, at: int) -> tuple[Float32, int]:
    return Float32(_FLOAT32.unpack_from(octets, at)[0]), at + 4


def _float64(octets: bytes, at: int) -> tuple[float, int]:
    return float(_FLOAT64.unpack_from(octets, at)[0]), at + 8


def _fixed(cls: type[bytes], size: int) -> Callable[[bytes, int], tuple[bytes, int]]:
    def read(octets: bytes, at: int) -> tuple[bytes, int]:
        content, at = _take(octets, at, size)
        return cls(content), at
    return read


# tag -> reader of the content of a type that holds no other values
_PLAIN: dict[int, Callable[[bytes, int], tuple[AxdrValue, int]]] = {
    0: lambda _octets, at: (None, at), 3: _boolean, 4: _bit_string, 9: _counted, 10: _visible_string, 12: _utf8_string,
    23: _float32, 24: _float64, 25: _fixed(DateTime, 12), 26: _fixed(Date, 5), 27: _fixed(Time, 4),
    255: lambda _octets, at: (DONT_CARE, at),
}


class _Decoder:
    """One decoding run: the input and what is left of its budget of values."""

    __slots__ = ("left", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.left = min(MAX_VALUES, len(octets) * _VALUES_PER_OCTET)

    def value(self, at: int, depth: int) -> tuple[AxdrValue, int]:
        tag = self.octets[at]
        if tag in (_ARRAY, _STRUCTURE):
            return self._container(tag, at + 1, depth + 1)
        if tag == _COMPACT_ARRAY:
            return self._compact_array(at + 1, depth + 1)
        return self._content(tag, at + 1)

    def _content(self, tag: int, at: int) -> tuple[AxdrValue, int]:
        kind = _FAST.get(tag)
        if kind is not None:
            return _new_int(kind[0], kind[1](self.octets, at)[0]), at + kind[2] - 1
        reader = _PLAIN.get(tag)
        if reader is None:
            raise Violation(f"A-XDR tag 0x{tag:02x} before octet {at} is unknown")
        return reader(self.octets, at)

    def _spend(self, values: int, depth: int) -> None:
        self.left -= values
        if self.left < 0:
            most = min(MAX_VALUES, len(self.octets) * _VALUES_PER_OCTET)
            raise Violation(f"more than {most} values in one A-XDR tree of {len(self.octets)} octets")
        if depth > MAX_DEPTH:
            raise Violation(f"A-XDR containers nested deeper than {MAX_DEPTH}")

    def _container(self, tag: int, at: int, depth: int) -> tuple[AxdrValue, int]:
        octets = self.octets
        count, at = decode_length(octets, at)
        if count > len(octets) - at:    # each element has one octet at least
            raise Violation(f"{count} elements are announced at {at}, {len(octets) - at} octets are there")
        self._spend(count, depth)
        items = []
        for _ in range(count):
            kind = _FAST.get(octets[at])
            if kind is not None:
                items.append(_new_int(kind[0], kind[1](octets, at + 1)[0]))
                at += kind[2]
            else:
                item, at = self.value(at, depth)
                items.append(item)
        return (items if tag == _ARRAY else tuple(items)), at

    def _compact_array(self, at: int, depth: int) -> tuple[CompactArray, int]:
        description, at = self._description(at, depth)
        length, at = decode_length(self.octets, at)
        end = at + length
        if end > len(self.octets):
            raise Violation(f"compact-array announces {length} octets at {at}, {len(self.octets) - at} are there")
        items = []
        while at < end:
            item, after = self._described(description, at, depth)
            if not at < after <= end:
                raise Violation(f"compact-array element at octet {at} does not fit its contents")
            items.append(item)
            at = after
        return CompactArray(description, tuple(items)), end

    def _description(self, at: int, depth: int) -> tuple[TypeDescription, int]:
        self._spend(1, depth)
        tag = self.octets[at]
        if tag == _ARRAY:     # its count is an Unsigned16, not a BER length
            count = int.from_bytes(_take(self.octets, at + 1, 2)[0], "big")
            element, at = self._description(at + 3, depth + 1)
            return ArrayOf(count, element), at
        if tag == _STRUCTURE:
            count, at = decode_length(self.octets, at + 1)
            members = []
            for _ in range(count):     # each takes an octet, so the end of the input bounds it
                member, at = self._description(at, depth + 1)
                members.append(member)
            return StructureOf(tuple(members)), at
        if tag not in _FAST and tag not in _PLAIN:
            raise Violation(f"compact-array elements cannot be of tag 0x{tag:02x}")
        return tag, at + 1

    def _described(self, description: TypeDescription, at: int, depth: int) -> tuple[AxdrValue, int]:
        """Decode one value whose type stands in the description instead of before the value."""
        self._spend(1, depth)
        if isinstance(description, int):
            return self._content(description, at)
        items = []
        is_array = isinstance(description, ArrayOf)
        for index in range(description.count if isinstance(description, ArrayOf) else len(description.members)):
            member = description.element if isinstance(description, ArrayOf) else description.members[index]
            item, at = self._described(member, at, depth + 1)
            items.append(item)
        return (items if is_array else tuple(items)), at

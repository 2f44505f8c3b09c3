"""A-XDR encoding: the counterpart of `axdr.decode` (IEC 62056-5-3 clause 9.5, IEC 61334-6).

Raises ValueError for a value that A-XDR cannot carry: that is a fault on this side, never the meter's.
"""

import struct
from collections.abc import Callable
from typing import Any

from edge.dlms.data import (
    INTEGERS,
    ArrayOf,
    AxdrValue,
    BitString,
    CompactArray,
    Date,
    DateTime,
    DontCare,
    Float32,
    StructureOf,
    Time,
    TypeDescription,
    Utf8,
)


def encode_length(length: int) -> bytes:
    """Encode a BER length, shortest form; raise ValueError above four octets."""
    if length < 0x80:
        return bytes((length,))
    size = (length.bit_length() + 7) // 8
    if size > 4:
        raise ValueError(f"{length} is too long for a length")
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


def encode(value: AxdrValue) -> bytes:
    """Encode one value with its tag; raise ValueError for what A-XDR cannot carry."""
    tag, content = _tagged(value)
    return bytes((tag,)) + content


def _tagged(value: AxdrValue) -> tuple[int, bytes]:
    kind = type(value)
    found = _ENCODERS.get(kind)
    if found is None:
        raise ValueError(f"{kind.__name__} has no A-XDR type (a plain int needs one: Integer(tag, value))")
    tag, content = found
    try:
        return tag, content(value)
    except (struct.error, UnicodeEncodeError, OverflowError) as why:
        raise ValueError(f"a {kind.__name__} cannot be encoded as tag {tag}: {why}") from why


def _counted(octets: bytes) -> bytes:
    return encode_length(len(octets)) + octets


def _sequence(items: list[AxdrValue] | tuple[AxdrValue, ...]) -> bytes:
    return b"".join((encode_length(len(items)), *map(encode, items)))


def _bit_string(value: BitString) -> bytes:
    if len(value.octets) != (value.length + 7) // 8:
        raise ValueError(f"{value.length} bits do not fill {len(value.octets)} octets")
    return encode_length(value.length) + value.octets


def _fixed(size: int) -> Callable[[bytes], bytes]:
    def content(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"a {type(value).__name__} has {size} octets, not {len(value)}")
        return bytes(value)
    return content


def _compact_array(value: CompactArray) -> bytes:
    contents = b"".join(_undescribed(value.description, item) for item in value.items)
    return _description(value.description) + _counted(contents)


def _description(description: TypeDescription) -> bytes:
    match description:
        case int():
            return bytes((description,))
        case ArrayOf(count, element):
            return b"\x01" + count.to_bytes(2, "big") + _description(element)
        case StructureOf(members):
            return b"".join((b"\x02", encode_length(len(members)), *map(_description, members)))


def _undescribed(description: TypeDescription, value: AxdrValue) -> bytes:
    """Encode a value without tags, as `description` says; raise ValueError where the two differ."""
    if isinstance(description, int):
        tag, content = _tagged(value)
        if tag != description:
            raise ValueError(f"compact-array of tag {description} cannot hold tag {tag}")
        return content
    is_array = isinstance(description, ArrayOf)
    members = (description.element,) * description.count if isinstance(description, ArrayOf) else description.members
    if type(value) is not (list if is_array else tuple) or len(value) != len(members):
        raise ValueError("compact-array element does not match its description")
    return b"".join(map(_undescribed, members, value))


def _nothing(_value: object) -> bytes:
    return b""


# exact type -> tag, encoder of the content
_ENCODERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    type(None): (0, _nothing), list: (1, _sequence), tuple: (2, _sequence), bool: (3, lambda v: bytes((v,))),
    BitString: (4, _bit_string), bytes: (9, _counted), bytearray: (9, _counted),
    str: (10, lambda v: _counted(v.encode("latin-1"))), Utf8: (12, lambda v: _counted(v.encode())),
    CompactArray: (19, _compact_array), Float32: (23, struct.Struct(">f").pack), float: (24, struct.Struct(">d").pack),
    DateTime: (25, _fixed(12)), Date: (26, _fixed(5)), Time: (27, _fixed(4)), DontCare: (255, _nothing),
    **{cls: (tag, cls.layout.pack) for tag, cls in INTEGERS.items()},
}

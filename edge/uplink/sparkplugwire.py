"""Sparkplug B payloads as bytes (pure): as much of Protocol Buffers as an edge node writes, and a host's commands need.

    Payload   1 timestamp   2 metrics (repeated)   3 seq
    Metric    1 name   2 alias   3 timestamp   4 datatype   5 is_historical   7 is_null   9 properties
              10 int_value   11 long_value   12 float_value   13 double_value   14 boolean_value   15 string_value
    Properties    1 keys (repeated)   2 values (repeated): 1 type   3 int_value   4 long_value   ...   8 string_value

Source: Eclipse Sparkplug 3.0.0 (ISO/IEC 20237:2023), 6.4.1 "Google Protocol Buffer Schema" and 6.4.16 "Datatypes"; the
wire format is that of developers.google.com/protocol-buffers/docs/encoding. Fields are written in the order of their
numbers, as the official encoders do, though no reader may rely on it.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

Value = bool | int | float | str


class DataType(IntEnum):
    """The types that an edge node of ours declares (6.4.16)."""

    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5      # wire types; the groups, 3 and 4, are of no schema of Sparkplug
_VALUES = range(10, 20)      # a oneof: the last member that comes stands
UINT64_MASK = 2**64 - 1
UINT32_MASK = 2**32 - 1
VARINT_LIMIT_BYTES = 10

HISTORICAL = b"\x28\x01"
NULL = b"\x38\x01"
_SHORT = tuple(bytes((number,)) for number in range(0x80))
_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")
_VALUE_KEYS = {DataType.INT64: b"\x58", DataType.DOUBLE: b"\x69", DataType.BOOLEAN: b"\x70", DataType.STRING: b"\x7a"}
_PROPERTY_KEYS = {DataType.INT64: b"\x20", DataType.DOUBLE: b"\x31", DataType.BOOLEAN: b"\x38",
                  DataType.STRING: b"\x42"}


# ---- writing

def varint(number: int) -> bytes:
    """Return a base-128 number, least significant group first. `number` is 0 to 2**64 - 1."""
    if number < 0x80:
        return _SHORT[number]
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def datatype_of(value: Value) -> DataType:
    """Return the type that a value is declared with."""
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INT64
    return DataType.DOUBLE if isinstance(value, float) else DataType.STRING


def value_field(datatype: DataType, value: Value, keys: Mapping[DataType, bytes] = _VALUE_KEYS) -> bytes:
    """Return the value's member of the `oneof`. A negative Int64 goes as its two's complement in `long_value`."""
    if datatype is DataType.DOUBLE:
        return keys[datatype] + _DOUBLE.pack(value)
    if datatype is DataType.STRING:
        return keys[datatype] + sized(str(value).encode("utf-8", "replace"))
    return keys[datatype] + varint(int(value) & UINT64_MASK)


def sized(body: bytes) -> bytes:
    """Return a length-delimited body."""
    return varint(len(body)) + body


def alias_field(alias: int) -> bytes:
    """Return a metric's alias."""
    return b"\x10" + varint(alias)


def timestamp_field(wall_ms: int) -> bytes:
    """Return a metric's timestamp, UTC in Unix milliseconds. What lies before 1970 cannot be said."""
    return b"\x18" + varint(max(0, wall_ms))


def properties_field(properties: Mapping[str, Value]) -> bytes:
    """Return a metric's property set; nothing for an empty one."""
    if not properties:
        return b""
    keys = b"".join(b"\x0a" + sized(name.encode()) for name in properties)
    values = (b"\x08" + varint(datatype_of(value)) + value_field(datatype_of(value), value, _PROPERTY_KEYS)
              for value in properties.values())
    return b"\x4a" + sized(keys + b"".join(b"\x12" + sized(value) for value in values))


def metric(body: bytes) -> bytes:
    """Return a metric, whose fields are `body`, as one of a payload's."""
    return b"\x12" + sized(body)


def declared(name: str, datatype: DataType, value: Value | None, wall_ms: int, *, alias: int | None = None,
             properties: Mapping[str, Value] | None = None) -> bytes:
    """Return a metric as births declare it; without a value it is null (tck-id-topics-nbirth-metrics)."""
    return metric(b"\x0a" + sized(name.encode("utf-8", "replace")) + (b"" if alias is None else alias_field(alias))
                  + timestamp_field(wall_ms) + b"\x20" + varint(datatype) + (NULL if value is None else b"")
                  + properties_field(properties or {}) + (b"" if value is None else value_field(datatype, value)))


def payload(metrics: bytes, *, wall_ms: int | None = None, seq: int | None = None) -> bytes:
    """Return a whole payload; `metrics` are those of `metric`, joined."""
    return ((b"" if wall_ms is None else b"\x08" + varint(max(0, wall_ms))) + metrics
            + (b"" if seq is None else b"\x18" + varint(seq)))


# ---- reading

@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it was read; what is not there is None. Values other than scalars are left out."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    historical: bool | None = None
    null: bool | None = None
    value: Value | None = None


def metrics_of(data: bytes) -> list[Metric]:
    """Return the metrics of a payload. ValueError for what is no Protocol Buffers message; unknown fields are skipped.

    Of a field that comes twice the last one counts, as everywhere in Protocol Buffers.
    """
    return [_metric(body) for field, body in _fields(data) if field == 2 and isinstance(body, bytes)]


def _metric(data: bytes) -> Metric:
    numbers: dict[int, int] = {}
    name: str | None = None
    value: Value | None = None
    for field, raw in _fields(data):
        if isinstance(raw, int):
            numbers[field] = raw
        elif field == 1:
            name = raw.decode("utf-8", "replace")
        if field in _VALUES:
            value = _scalar(field, raw)
    datatype, historical, null = numbers.get(4), numbers.get(5), numbers.get(7)
    return Metric(name, numbers.get(2), numbers.get(3), None if datatype is None else datatype & UINT32_MASK,
                  None if historical is None else bool(historical), None if null is None else bool(null), value)


def _scalar(field: int, raw: int | bytes) -> Value | None:
    if isinstance(raw, int):
        return {10: raw & UINT32_MASK, 11: raw, 14: raw != 0}.get(field)
    if field == 15:
        return raw.decode("utf-8", "replace")
    if field == 13 and len(raw) == 8:
        return float(_DOUBLE.unpack(raw)[0])
    return float(_FLOAT.unpack(raw)[0]) if field == 12 and len(raw) == 4 else None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, varint or octets)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        if not field:
            raise ValueError("field number 0")
        if kind == VARINT:
            number, at = _varint(data, at)
            yield field, number
            continue
        if kind == BYTES:
            length, at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if length > len(data) - at:
            raise ValueError("ends within a field")
        yield field, data[at:at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number at `at`; return it and where it ends."""
    number = 0
    for shift, octet in enumerate(data[at:at + VARINT_LIMIT_BYTES]):
        number |= (octet & 0x7F) << 7 * shift
        if octet < 0x80:
            return number & UINT64_MASK, at + shift + 1
    raise ValueError("ends within a number, or has one of more than ten octets")

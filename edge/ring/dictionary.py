"""Schemas and device names, kept once per segment, so that a record is only numbers (pure).

A writer's table only grows; each segment repeats what it needs before the first record that needs it. A reader's
table is a snapshot: what had been defined, in the same segment, before the frame that is read.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from edge.errors import RingError
from edge.model import Field, Kind, Schema
from edge.ring.frame import PAGE_PAYLOAD_BYTES, Packer, Undecodable, unpack_all

MAX_ENTRIES = 4096
_MAX_REMEMBERED = 1024


class Tables(NamedTuple):
    """What a segment has defined so far. Never changed: a DICT frame makes a new one."""

    schemas: dict[int, Schema]
    devices: dict[int, str]


NO_TABLES = Tables({}, {})


class Dictionary:
    """A stream's table on the writing side."""

    __slots__ = ("_by_identity", "_devices", "_room_bytes", "_schemas", "entries")

    def __init__(self, limit_bytes: int) -> None:
        """Start empty; packed, all of it stays within `limit_bytes`."""
        self._room_bytes = limit_bytes
        self.entries: list[bytes] = []                           # packed, in order; append-only, so threads may read
        self._schemas: dict[Schema, int] = {}
        self._devices: dict[str, int] = {}
        self._by_identity: dict[int, tuple[Schema, int]] = {}    # comparing nine columns per record would cost more

    def schema_id(self, schema: Schema, pack: Packer) -> int:
        """Return the number of a schema, defining it at first use. Raises RingError when there are far too many."""
        known = self._by_identity.get(id(schema))
        if known is not None and known[0] is schema:
            return known[1]
        number = self._schemas.get(schema)
        if number is None:
            number = len(self._schemas)
            columns = [[f.key, f.scaler, f.unit, f.obis] for f in schema.fields]
            self._define(pack([0, number, int(schema.kind), schema.profile, columns]))
            self._schemas[schema] = number
        if len(self._by_identity) >= _MAX_REMEMBERED:
            self._by_identity.clear()
        self._by_identity[id(schema)] = (schema, number)
        return number

    def device_id(self, device: str, pack: Packer) -> int:
        """Return the number of a device, defining it at first use. Raises RingError when there are far too many."""
        number = self._devices.get(device)
        if number is None:
            number = len(self._devices)
            self._define(pack([1, number, device]))
            self._devices[device] = number
        return number

    def _define(self, entry: bytes) -> None:
        if len(self.entries) >= MAX_ENTRIES or len(entry) > self._room_bytes:
            raise RingError(f"too many schemas and devices in a stream (at most {MAX_ENTRIES}, an eighth of a slot): "
                            "build a schema once and keep it")
        self._room_bytes -= len(entry)
        self.entries.append(entry)

    def tables(self) -> Tables:
        """Return the whole table as a reader would see it."""
        return Tables({n: s for s, n in self._schemas.items()}, {n: d for d, n in self._devices.items()})


def dict_payloads(entries: list[bytes], page_bytes: int = PAGE_PAYLOAD_BYTES) -> list[bytes]:
    """Join entries into payloads of DICT frames, a page each unless one entry alone is larger."""
    payloads: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for entry in entries:
        if part and size + len(entry) > page_bytes:
            payloads.append(b"".join(part))
            part, size = [], 0
        part.append(entry)
        size += len(entry)
    if part:
        payloads.append(b"".join(part))
    return payloads


def defined(tables: Tables, payload: bytes) -> Tables:
    """Return the tables after a DICT frame. Definitions of a kind this version does not know are skipped."""
    schemas, devices = dict(tables.schemas), dict(tables.devices)
    for row in unpack_all(payload):
        match row:
            case [0, int(number), int(kind), str(profile), list(columns), *_]:
                schemas.pop(number, None)
                if kind in Kind.__members__.values():
                    schemas[number] = _one_of(Schema(Kind(kind), tuple(map(_column, columns)), profile))
            case [1, int(number), str(device), *_]:
                devices[number] = device
    return Tables(schemas, devices)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _one_of(schema: Schema) -> Schema:
    """Return the same object for equal schemas of all segments: whoever looks one up need not compare its columns."""
    return schema


def _column(row: Any) -> Field:
    match row:
        case [str(key), int(scaler), str(unit), str(obis), *_]:
            return Field(key, scaler, unit, obis)
    raise Undecodable("not a column")

"""Records to packed rows and back (pure).

A row is [schema, device, time, v1 .. vn]: numbers of the segment's tables, a time, and the values: integers of any
size, text, or nil. The time is t_ms, milliseconds since the run's opening (which may be negative), or
[t_ms, wall_ms, flags] for a record that brought its own.
"""

from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from edge.model import Record, Stamp
from edge.ring.dictionary import Dictionary, Tables
from edge.ring.frame import Packer, Undecodable

TRUSTED: Final = 1         # flag of a time of its own: the clock that told it was right


def boot_bytes(boot_id: str) -> bytes:
    """Return a boot id as 16 bytes; one that is no UUID gets a derived one."""
    try:
        return UUID(boot_id).bytes
    except ValueError:
        return uuid5(NAMESPACE_OID, boot_id).bytes


def boot_text(boot: bytes) -> str:
    """Return the boot id as Linux writes it."""
    return str(UUID(bytes=boot))


def pack_record(record: Record, base_ms: int, dictionary: Dictionary, pack: Packer) -> bytes:
    """Return the row of a fresh record. Raises RingError (dictionary full), UnicodeEncodeError."""
    schema = dictionary.schema_id(record.schema, pack)
    device = dictionary.device_id(record.device, pack)
    stamp = record.stamp
    moment = stamp.boottime_ms - base_ms
    if stamp.source == "meter":
        return pack([schema, device, [moment, stamp.wall_ms, TRUSTED if stamp.synchronised else 0], *record.values])
    return pack([schema, device, moment, *record.values])


def moment_of(row: list[Any]) -> int:
    """Return the t_ms of a row. Raises Undecodable."""
    match row[2]:
        case int(moment) | [int(moment), int(), int(), *_]:
            return moment
    raise Undecodable("a record without a time")


def own_time(row: list[Any], boottime_ms: int, boot_id: str) -> Stamp | None:
    """Return the stamp of a row that brought its own time, None where the gateway's clock has to say it."""
    if type(row[2]) is int:
        return None
    _, wall_ms, flags, *_ = row[2]
    return Stamp(boottime_ms, wall_ms, boot_id, bool(flags & TRUSTED), "meter")


def record_of(row: list[Any], tables: Tables, stamp: Stamp) -> Record:
    """Return the record of a row. Raises Undecodable when the tables do not know it."""
    schema, device = tables.schemas.get(row[0]), tables.devices.get(row[1])
    if schema is None or device is None or len(row) != len(schema.fields) + 3:
        raise Undecodable("a record of an unknown schema or device")
    return Record(schema, device, stamp, tuple(row[3:]))

"""Records to packed rows and back (pure).

A row is [schema, device, t_ms, v1 .. vn]: numbers of the segment's tables, milliseconds since the run's opening (which
may be negative), and the values: integers of any size, text, or nil.
"""

from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from edge.model import Record, Stamp
from edge.ring.dictionary import Dictionary, Tables
from edge.ring.frame import Packer, Undecodable


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
    return pack([schema, device, record.stamp.boottime_ms - base_ms, *record.values])


def record_of(row: list[Any], tables: Tables, stamp: Stamp) -> Record:
    """Return the record of a row. Raises Undecodable when the tables do not know it."""
    schema, device = tables.schemas.get(row[0]), tables.devices.get(row[1])
    if schema is None or device is None or len(row) != len(schema.fields) + 3:
        raise Undecodable("a record of an unknown schema or device")
    return Record(schema, device, stamp, tuple(row[3:]))

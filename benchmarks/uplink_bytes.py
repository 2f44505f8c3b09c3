"""What deflate or ThingsBoard's protobuf payload would save of a publication: python benchmarks/uplink_bytes.py

Batches as the gateway packs them (edge.uplink.thingsboard), of a shipped meter type with values that move as a
household's do. Deflate: zlib, level 6. Protobuf: GatewayTelemetryMsg with TsKvListProto and KeyValueProto, which
ThingsBoard takes on v1/gateway/telemetry where the gateway's device profile says PROTOBUF. Bytes are of the payload;
decision 34 says what came of it. Sparkplug: the same readings as DDATA of each meter, see decision 37.
"""

import random
import struct
import zlib
from collections.abc import Iterator

from edge.meters.profile import load_profiles
from edge.model import Field, Kind, Record, Schema, Stamp, Stored, Stream
from edge.uplink.sparkplug import STAMP_BYTES
from edge.uplink.sparkplugtags import Thing, aliases
from edge.uplink.sparkplugwire import alias_field
from edge.uplink.thingsboard import pack, values_of

PROFILE = "generic-three-phase"
START_MS = 1_764_288_000_000
LIMITS_BYTES = (4_096, 16_384, 52_352)      # a thin link's, the default, a metered path's


def readings(meters: int) -> Iterator[Stored]:
    """Yield readings, one a minute of each meter."""
    rng = random.Random(1)
    objects = load_profiles()[PROFILE].objects
    schema = Schema(Kind.READING, tuple(Field(one.key, -2, one.unit) for one in objects), PROFILE)
    now = {meter: [rng.randrange(100, 2_500_000) for _ in objects] for meter in range(meters)}
    for seq in range(1_000_000):
        meter = seq % meters
        now[meter] = [max(0, value + rng.randrange(-200, 400)) for value in now[meter]]
        stamp = Stamp(seq, START_MS + seq // meters * 60_000 + meter * 137, "boot", synchronised=True)
        yield Stored(Stream.INSTANT, seq, Record(schema, f"meter-{meter:03}", stamp, tuple(now[meter])))


def varint(value: int) -> bytes:
    """Encode an unsigned integer (protobuf, base 128)."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def protobuf(records: tuple[Stored, ...]) -> bytes:
    """Encode readings as one GatewayTelemetryMsg."""
    devices: dict[str, list[bytes]] = {}
    for stored in records:
        values = values_of(stored.record).items()
        pairs = b"".join(field(2, field(1, key.encode()) + value_of(value)) for key, value in values)
        devices.setdefault(stored.record.device, []).append(
            field(1, b"\x08" + varint(stored.record.stamp.wall_ms) + pairs))
    return b"".join(field(1, field(1, name.encode()) + field(3, b"".join(rows))) for name, rows in devices.items())


def value_of(value: object) -> bytes:
    """Encode the type and the value of a KeyValueProto: boolean 0 (left out), long 1, double 2, string 3."""
    match value:
        case bool():
            return b"\x18" + bytes([value])
        case int():
            return b"\x10\x01\x20" + varint(value)
        case float():
            return b"\x10\x02\x29" + struct.pack("<d", value)
        case _:
            return b"\x10\x03" + field(6, str(value).encode())


def sparkplug(records: tuple[Stored, ...]) -> tuple[int, int]:
    """Return the bytes of the same readings as Sparkplug DDATA, by aliases and by names."""
    things: dict[str, Thing] = {}
    numbers, by_alias, by_name = aliases(), 0, 0
    for stored in records:
        thing = things.setdefault(stored.record.device, Thing(stored.record.device, numbers))
        by_alias += sum(map(len, thing.samples(stored.record, {}, 0, current=True)[0]))
        by_name += sum(2 + len(tag.name) - len(alias_field(tag.alias)) for tag in thing.tags.values())
    return by_alias + STAMP_BYTES * len(things), by_alias + by_name + STAMP_BYTES * len(things)


def main() -> None:
    """Print the tables."""
    print(f"{'payload of':>12} {'meters':>7} {'readings':>9} {'JSON B':>8} {'deflate':>9} {'protobuf':>9} {'both':>7}")
    for limit_bytes in LIMITS_BYTES:
        for meters in (5, 100):
            packed, _ = pack(readings(meters), limit_bytes)
            payload, records = packed.parts[0].publish.payload, packed.batch.records
            binary = protobuf(records)
            share = [len(each) / len(payload) for each in (zlib.compress(payload, 6), binary, zlib.compress(binary, 6))]
            print(f"{limit_bytes:>12,} {meters:>7} {len(records):>9} {len(payload):>8,} "
                  + " ".join(f"{one:>{width}.0%}" for one, width in zip(share, (9, 9, 7), strict=True)))
            print(f"{'Sparkplug':>20}: by alias {sparkplug(records)[0] / len(payload):.0%}, "
                  f"by name {sparkplug(records)[1] / len(payload):.0%}")


if __name__ == "__main__":
    main()

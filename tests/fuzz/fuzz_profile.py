"""Target: a load profile, from its capture objects and its buffer to records and their JSON."""

import json

from fuzz_engine import ending
from fuzz_mutation import Case

from edge.dlms import axdr
from edge.dlms.axdr import AxdrValue, Integer
from edge.errors import Violation
from edge.meters.loadrecord import Columns
from edge.meters.loadrows import Layout, Row, layout, rows
from edge.meters.localtime import Reckoning, Zone
from edge.meters.profile import load_profiles
from edge.model import Batch, Record, SeqSpan, Stamp, Stored, Stream
from edge.ring.dictionary import Dictionary
from edge.ring.frame import new_packer, unpack_all
from edge.ring.records import pack_record
from edge.uplink.thingsboard import publishes

STAMP = Stamp(1, 1_772_368_205_000, "00000000-0000-0000-0000-000000000001", synchronised=True)
UNTIL_S = 1_772_368_205
SPEC = load_profiles()["generic-three-phase"].load_profile
RECKONINGS = (Reckoning(), Reckoning(zone=Zone(3600, daylight_saving=True)), Reckoning("reversed"), Reckoning("ignored", Zone(-18_000)))
_pack = new_packer()


def load_profile(case: Case) -> str:
    """Violation, one reason in words, or as many rows as there are entries. A row with a date becomes a record that carries the
    meter's time, that the ring can write, and that the uplink writes as JSON; no two rows of an answer share a millisecond.
    """
    assert SPEC is not None
    captured, period, sort_method, buffer = (_value(case[place] if place < len(case) else b"") for place in range(4))
    found: Layout | str | None = None
    told: list[Row] = []

    def read() -> str:
        nonlocal found, told
        found = layout(SPEC, captured, period, sort_method)
        if isinstance(found, Layout):
            told = rows(found, buffer, RECKONINGS[len(case) % len(RECKONINGS)], UNTIL_S)
        return "rows" if isinstance(found, Layout) else found[:24]

    word = ending(read)
    if not isinstance(found, Layout) or word != "rows":
        assert not told
        return word
    assert len(told) == len(buffer.items if isinstance(buffer, axdr.CompactArray) else buffer)
    dated = [row for row in told if row.at_ms is not None]
    assert len({row.at_ms for row in dated}) == len(dated) or len(dated) > 999
    columns = Columns(found, "p")
    records = [columns.record(row, STAMP, "m") for row in dated[:20]]
    for row, record in zip(dated, records, strict=False):
        assert record.stamp.wall_ms == row.at_ms
        _kept(record)
    return f"{len(told)} rows, {len(dated)} dated, {len(found.mapped)} columns, {sorted({row.doubt for row in dated})}"


def _kept(record: Record) -> None:
    packed = pack_record(record, 0, Dictionary(65_536), _pack)
    assert len(unpack_all(packed)) == 1
    for sent in publishes(Batch(SeqSpan(Stream.BILLING, 1, 1), (Stored(Stream.BILLING, 1, record),))):
        [element] = json.loads(sent.payload)["m"]
        assert element["ts"] == record.stamp.wall_ms


def _value(octets: bytes) -> AxdrValue:
    try:
        return axdr.decode(octets)
    except Violation:
        return None


def load_profiles_seen() -> list[Case]:
    """Whole profiles: plain, compressed, compact, newest first, with strange clocks and doubled hours; one without a clock."""
    clock = (Integer(18, 8), bytes((0, 0, 1, 0, 0, 255)), Integer(15, 2), Integer(18, 0))
    unix = (Integer(18, 1), bytes((0, 0, 1, 1, 0, 255)), Integer(15, 2), Integer(18, 0))
    status = (Integer(18, 1), bytes((0, 0, 96, 10, 1, 255)), Integer(15, 2), Integer(18, 0))
    energy = (Integer(18, 3), bytes((1, 0, 1, 8, 0, 255)), Integer(15, 2), Integer(18, 0))

    def time(hour: int, minute: int, rest: str = "00ff8880") -> bytes:
        return bytes.fromhex("07ea0a19ff") + bytes((hour, minute, 0)) + bytes.fromhex(rest)

    plain = [(time(1, 15 * n), Integer(17, n), Integer(6, 1_000 + n)) for n in range(4)]
    fold = [(time(2, 15 * (n % 4), "008000ff"), Integer(17, 0), Integer(6, n)) for n in range(8)]
    nulls = [plain[0], (None, None, Integer(6, 7)), (None, Integer(28, -1), None), (time(9, 0, "00800002"), None, Integer(33, 5))]
    seconds = [(Integer(6, 1_772_368_205 + 900 * n), Integer(17, n), axdr.Float32(1.5)) for n in range(3)]
    compact = axdr.CompactArray(axdr.StructureOf((6, 17, 6)), tuple((Integer(6, 900 * n), Integer(17, n), Integer(6, n)) for n in range(3)))
    first, period, fifo, lifo = [clock, status, energy], Integer(6, 900), Integer(22, 1), Integer(22, 2)
    return [tuple(map(axdr.encode, parts)) for parts in (
        (first, period, fifo, plain), (first, period, lifo, nulls), (first, period, fifo, nulls), (first, period, fifo, fold),
        ([unix, status, energy], period, fifo, seconds), ([unix, status, energy], period, fifo, compact), ([status, energy], period, fifo, plain),
        (first, Integer(6, 0), fifo, plain), (first, period, fifo, []), (first, period, fifo, fold, None))]

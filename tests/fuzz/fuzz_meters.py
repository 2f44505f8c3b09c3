"""Targets: what meters say about themselves: clocks, object lists, any value in words; and what every record must hold."""

import json
import math
from collections.abc import Iterable

from fuzz_corpus import data
from fuzz_engine import ending
from fuzz_mutation import Case

from edge.discovery.objects import MOST_OBJECTS, logical_devices, object_list
from edge.dlms import axdr
from edge.dlms.axdr import Integer
from edge.errors import Violation
from edge.meters import clock, loadrows, typed
from edge.meters.dutyspec import ClockSpec
from edge.meters.localtime import Reckoning, Zone
from edge.model import Batch, Record, SeqSpan, Stamp, Stored, Stream
from edge.ring.frame import new_packer, unpack_all
from edge.uplink.thingsboard import publishes

STAMP = Stamp(1, 1_772_368_205_000, "00000000-0000-0000-0000-000000000001", synchronised=True)
NOW_S = STAMP.wall_ms // 1000
_RECKONINGS = (Reckoning(), Reckoning(zone=Zone(3600, daylight_saving=True)), Reckoning("reversed"), Reckoning("ignored", Zone(-18_000)))
_SPECS = (ClockSpec(), ClockSpec(deviation="reversed"), ClockSpec(deviation="ignored", utc_offset_minutes=60), ClockSpec(deviation="ignored"))
_pack = new_packer()


def storable(record: Record) -> dict[str, object]:
    """Return a record's values as they reach the server; the ring must give them back, and JSON must hold them."""
    row = [0, 0, 1, *record.values]
    assert unpack_all(_pack(row)) == [row]
    assert len(record.values) == len(record.schema.fields)
    sent = publishes(Batch(SeqSpan(Stream.INSTANT, 1, 1), (Stored(Stream.INSTANT, 1, record),)))
    if not sent:
        return {}      # not one value could be had
    ((point,),) = json.loads(sent[0].payload).values()
    assert 0 <= point["ts"] < 1 << 63
    values: dict[str, object] = point["values"]
    assert all(math.isfinite(value) for value in values.values() if isinstance(value, float))
    return values


def meter_clock(case: Case) -> str:
    """A clock's attributes 2, 3 and 7: a reason, or an instant; what would be written back is a time in the meter's own form, and
    read again it is the one that was meant, as far as the meter can show it.
    """
    values = [*_decoded(case[:3]), None, None, None]
    words = []
    for reckoning in _RECKONINGS:
        ending(lambda reckoning=reckoning: str(loadrows.moment(values[0], reckoning)))
    for spec in _SPECS:
        shown = clock.shown(values[0], spec, clock.zone_of(values[1], values[2]))
        if isinstance(shown, str):
            words.append("-")
            assert 0 < len(shown) <= 200
            continue
        words.append("dated" if shown.dated else "octets")
        drift = clock.drift(shown, NOW_S, NOW_S + 0.2)
        assert math.isfinite(drift.seconds)
        back = clock.setting(shown, NOW_S)
        assert type(back) is type(values[0])
        again = clock.shown(back, spec, clock.zone_of(values[1], values[2]))
        assert not isinstance(again, str)
        assert abs(again.utc_s - NOW_S) <= max(1.0, shown.resolution_s)
    return " ".join(words)


def told_objects(case: Case) -> str:
    """Object list and logical devices: what fits is taken, what does not is counted; never more than were told."""
    read, strange = [], 0
    for value in _decoded(case):
        found = object_list(value)
        if found is not None:
            assert len(found.objects) + found.strange <= len(value) <= axdr.MAX_VALUES
            assert len(found.objects) <= MOST_OBJECTS
            assert all(listed.may_read(2) in (True, False) for listed in found.objects)
            read += found.objects
            strange += found.strange
        for sap, name in logical_devices(value):
            assert 0 <= sap <= 0xFFFF
            assert isinstance(name, str)
    return f"{min(len(read), 8)} objects, {min(strange, 8)} strange"


def value_in_words(case: Case) -> str:
    """Any value as plain data for JSON and on one line: finite, printable, and no longer than a line may be."""
    words = []
    for value in _decoded(case):
        told = typed.described(value)
        json.dumps(told, allow_nan=False)
        text = typed.line(told)
        assert text.isprintable()
        assert len(text) <= typed.LINE_LIMIT
        assert typed.discreet(value).isprintable()
        words.append(told["type"])
    return " ".join(words[:3])


def _decoded(pieces: Iterable[bytes]) -> Iterable[axdr.AxdrValue]:
    """The value in each piece; null-data for what is none."""
    for piece in pieces:
        try:
            yield axdr.decode(piece)
        except Violation:
            yield None


# -- seeds -------------------------------------------------------------------------------------------------------------

def clocks() -> list[Case]:
    """Attribute 2 in both types, whole and with parts left out, with zone and daylight saving."""
    shown = ["07ea0b160707021f00000000", "07ea0b160707021f32ffc480", "07ea0b160707021f00800000", "07ea0bffff07021fff000000", "07ea0b16ff0702ffff8000ff",
             "000101010100000000000000", "270f0c1f07173b3b63fd3080", "07ea0319ff02000000ffc400", "07ea0a19ff02000000ff8880", "000101010100000000800000"]
    zone = (axdr.encode(Integer(16, -60)), axdr.encode(Integer(15, 60)))
    return [(axdr.encode(kind(bytes.fromhex(text))), *zone[:count]) for text in shown for kind in (bytes, axdr.DateTime) for count in (0, 2)]


def lists_of_objects() -> list[Case]:
    """Recorded object lists, and small ones with rights of versions 0 and 3."""
    rights = ([(Integer(15, 1), Integer(22, 1), None), (Integer(15, 2), Integer(22, 3), [Integer(15, 1)])], [(Integer(15, 1), True)])
    entry = (Integer(18, 3), Integer(17, 0), bytes((1, 0, 1, 8, 0, 255)), rights)
    recorded = [octets for octets in data() if octets[:1] == b"\x01" and 40 < len(octets) < 4_000]
    return [*((octets,) for octets in recorded), (axdr.encode([entry]),), (axdr.encode([entry, entry, (entry,)]),),
            (axdr.encode([(Integer(18, 1), b"HGW1234567890123"), (Integer(18, 17), "x"), (Integer(18, 2), None)]),)]

"""Targets: A-XDR values, times, and what becomes of values on their way into a record."""

import json
import math
import struct
from functools import cache

from fuzz_corpus import data
from fuzz_engine import ending
from fuzz_mutation import Case

from edge.dlms import axdr
from edge.dlms.cosem import AccessError
from edge.dlms.datetimes import ClockTime
from edge.dlms.get import GetResult
from edge.errors import Refused, Violation, WrongMeter
from edge.meters import reading
from edge.meters.exact import MAX_DIGITS, Exact, exact
from edge.meters.profile import load_profiles
from edge.model import Batch, Learned, SeqSpan, Stamp, Stored, Stream
from edge.ring.frame import new_packer, unpack_all
from edge.uplink.thingsboard import publishes

STAMP = Stamp(1, 1_772_368_205_000, "00000000-0000-0000-0000-000000000001", synchronised=True)
_pack = new_packer()


def axdr_value(case: Case) -> str:
    """Violation and nothing else. What is decoded is written in no more octets than came, and what is written is read as the
    same again: decode(encode(decode(b))) writes the same octets. Never more values than the bound, never one from beyond the end.
    """
    octets = b"".join(case)
    value = None

    def read() -> str:
        nonlocal value
        value = axdr.decode(octets)
        return type(value).__name__

    word = ending(read)
    if word.startswith("Violation"):
        return word
    written = axdr.encode(value)
    assert len(written) <= len(octets)
    assert axdr.encode(axdr.decode(written)) == written
    assert axdr.decode_at(octets + b"\x11\x01", 0)[1] == len(octets)
    return f"{word}, {shape(value, 3)}"


def shape(value: axdr.AxdrValue, depth: int) -> str:
    """A word for the structure of a value: what is inside what."""
    if depth and isinstance(value, list | tuple):
        return "(" + "".join(dict.fromkeys(shape(item, depth - 1) for item in value[:8])) + ")"
    if isinstance(value, axdr.CompactArray):
        return f"compact {value.description}"[:60]
    return type(value).__name__


def clock_time(case: Case) -> str:
    """Violation and nothing else. What was left out stays left out; an instant is there only with a whole local time and a
    deviation, and differs from it by just that.
    """
    octets = b"".join(case)
    time = None

    def read() -> str:
        nonlocal time
        time = ClockTime.parse(octets)
        return "time"

    word = ending(read)
    if time is None:
        return word
    local, instant = time.local(), time.utc()
    assert (instant is None) or (local is not None and time.deviation_minutes is not None)
    if instant is not None and local is not None:
        assert (instant.replace(tzinfo=None) - local).total_seconds() == 60 * (time.deviation_minutes or 0)
    named = (time.year, time.month, time.day, time.weekday, time.hour, time.minute, time.second, time.hundredths,
             time.deviation_minutes, time.status)
    return f"{word} {''.join('-' if part is None else '+' for part in named)} {local is None} {instant is None}"


def exact_number(case: Case) -> str:
    """Any decoded value is an exact number, a text or a reason, never an exception. A float comes back from its decimal digits
    bit for bit, in no more digits than tell it from its neighbours.
    """
    try:
        value = axdr.decode(b"".join(case))
    except Violation:
        return "no value"
    number = exact(value)
    if not isinstance(number, Exact):
        return number[:40]
    if isinstance(value, float):
        assert isinstance(number.raw, int)
        assert len(str(abs(number.raw))) <= MAX_DIGITS
        again = float(f"{number.raw}e{number.shift}")
        layout = ">f" if isinstance(value, axdr.Float32) else ">d"
        assert struct.pack(layout, again) == struct.pack(layout, value) or value == again == 0
    elif isinstance(number.raw, str):
        assert "\n" not in number.raw
        assert number.raw.isprintable()
    return f"{type(value).__name__} {type(number.raw).__name__} {min(abs(number.shift), 20)}"


def poll_record(case: Case) -> str:
    """Whatever nine objects answer becomes a record that the ring can write and read back and that the uplink can write as JSON
    of finite numbers and clean texts; refusals and strange identities are errors of the tree.
    """
    plan = _plan()
    results = [_result(attribute, case[place] if place < len(case) else b"") for place, attribute in enumerate(plan.attributes)]
    learned = None

    def learn() -> str:
        nonlocal learned
        learned = reading.learn(plan, results)
        return f"{len(learned.scalers)} scalers"

    word = ending(learn)
    assert learned is not None or word.split(":")[0] in (WrongMeter.__name__, Refused.__name__)
    plan.schemas.clear()
    plan.fractions.clear()
    record = reading.record(plan, results, STAMP, "m")
    row = [0, 0, 1, *record.values]
    assert unpack_all(_pack(row)) == [row]
    (sent,) = publishes(Batch(SeqSpan(Stream.INSTANT, 1, 1), (Stored(Stream.INSTANT, 1, record),)))
    values = json.loads(sent.payload)["m"][0]["values"]
    assert all(math.isfinite(value) for value in values.values() if isinstance(value, float))
    return f"{record.schema.kind.name}, {word}, {len(values)} values, {str(record.values[-1])[:60] if len(values) > 9 else ''}"


@cache
def _plan() -> reading.Plan:
    return reading.plan(load_profiles()["generic-three-phase"], Learned(), identify=True)


def _result(attribute: reading.Attribute, octets: bytes) -> GetResult:
    """Let a piece be the data of one result, or, where it is none, its error."""
    try:
        return GetResult(attribute, axdr.decode(octets))
    except Violation:
        return GetResult(attribute, None, AccessError(octets[0] or 1) if octets else AccessError.OTHER_REASON)


def values() -> list[Case]:
    """Recorded values, and one of each type that no recording has."""
    more = [
        axdr.encode(value) for value in (
            axdr.Float32(230.1), 230.1, 5e-324, 1.7976931348623157e308, axdr.Float32(3.4e38), axdr.Utf8("Ω"), axdr.DONT_CARE, True,
            axdr.BitString(11, b"\xff\xe0"), axdr.Integer(13, 0x42), axdr.Integer(21, 2**64 - 1), axdr.Integer(28, -1),
            axdr.DateTime(bytes(12)), axdr.Date(bytes(5)), axdr.Time(bytes(4)),
            axdr.CompactArray(18, (axdr.Integer(18, 1), axdr.Integer(18, 2))),
            axdr.CompactArray(axdr.StructureOf((6, axdr.ArrayOf(2, 17), 0)),
                              ((axdr.Integer(6, 1), [axdr.Integer(17, 1), axdr.Integer(17, 2)], None),)))]
    return [(octets,) for octets in (*data(), *more)]


def times() -> list[Case]:
    """Twelve octets each: whole, with parts left out, with and without deviation, in and out of daylight saving."""
    return [(bytes.fromhex(text),) for text in (
        "07ea0b160707021f00000000", "07ea0b160707021f32ffc480", "07ea0b160707021f00800000", "07ea0bffff07021fff000000",
        "ffff0b160707021fff000000", "07ea021eff000000ff000000", "07ea0b16ff0702ffff0000ff", "07eafefdff0702ffff8000ff", "",
        "000101010100000000000000", "270f0c1f07173b3b63fd3080", "07ea0319ff02000000ffc400", "07ea0a19ff02000000ff8880")]


def polls() -> list[Case]:
    """Whole polls: identity, nine values, nine scalers with units; and some of them strange."""
    identity = axdr.encode(b"GRX0000000123456")
    numbers = [axdr.encode(axdr.Integer(18, value)) for value in (2301, 2305, 2298, 512, 498, 505, 5001, 3478, 12345)]
    units = (35, 35, 35, 33, 33, 33, 44, 27, 30)
    scalers = [axdr.encode((axdr.Integer(15, -1), axdr.Integer(22, unit))) for unit in units]
    floats = [axdr.encode(axdr.Float32(value)) for value in (230.1, 1e-30, 3e38, 5.12, 0.0, -1.5, 50.01, 1e7, 2.0**-149)]
    doubles = [axdr.encode(float(f"1.{place}e{300 - place}")) for place in range(9)]
    largest = [axdr.encode((axdr.Integer(15, 127), axdr.Integer(22, unit))) for unit in units]
    texts = [axdr.encode(value) for value in (b"0123", "1.5", axdr.Utf8("Ω\0"), b"\n", "\x9b", b"", True, None, b"x" * 2000)]
    return [(identity, *numbers, *scalers), (identity, *floats, *scalers), (identity, *doubles, *scalers), (b"", *texts, *scalers),
            (identity, *doubles, *largest), (identity, *[b"\x03"] * 9, *scalers), (b"\x02", *numbers, *scalers)]

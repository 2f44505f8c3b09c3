"""A-XDR both ways: worked examples per type, round trips, bounds."""

import copy
import math
import pickle
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms import axdr
from edge.dlms.axdr import (
    DONT_CARE,
    ArrayOf,
    BitString,
    CompactArray,
    Date,
    DateTime,
    Float32,
    Integer,
    StructureOf,
    Time,
    Utf8,
)
from edge.dlms.data import INTEGERS
from edge.errors import Violation

# octets written by hand after the tables of the standard, value
EXAMPLES: list[tuple[str, Any]] = [
    ("00", None),
    ("0300", False), ("0301", True),
    ("0405a8", BitString(5, b"\xa8")), ("0400", BitString(0, b"")), ("0410ffee", BitString(16, b"\xff\xee")),
    ("05fffffffe", Integer(5, -2)), ("06fffffffe", Integer(6, 0xFFFFFFFE)),
    ("090301007e", b"\x01\x00\x7e"), ("0900", b""),
    ("0a03414243", "ABC"), ("0c05c3a9c3a941", Utf8("éé" + "A")),
    ("0d42", Integer(13, 0x42)),
    ("0fff", Integer(15, -1)), ("10fffe", Integer(16, -2)), ("11ff", Integer(17, 255)), ("1208fd", Integer(18, 2301)),
    ("14ffffffffffffffff", Integer(20, -1)), ("15ffffffffffffffff", Integer(21, 2**64 - 1)), ("1623", Integer(22, 35)),
    ("173fc00000", Float32(1.5)), ("183ff8000000000000", 1.5),
    ("1907ea01020503040506000000", DateTime(bytes.fromhex("07ea01020503040506000000"))),
    ("1a07ea010205", Date(bytes.fromhex("07ea010205"))), ("1b03040506", Time(bytes.fromhex("03040506"))),
    ("1cff", Integer(28, -1)), ("1dfffe", Integer(29, -2)), ("1efffffffe", Integer(30, -2)),
    ("1fff", Integer(31, 255)), ("20fffe", Integer(32, 65534)), ("21fffffffe", Integer(33, 0xFFFFFFFE)),
    ("ff", DONT_CARE),
    ("0100", []), ("0200", ()), ("01021101111f", [Integer(17, 1), Integer(17, 31)]),
    ("02020fff1623", (Integer(15, -1), Integer(22, 35))),
    ("0202010111010100", ([Integer(17, 1)], [])),
    ("1311030a0b0c", CompactArray(17, (Integer(17, 10), Integer(17, 11), Integer(17, 12)))),
    ("1302021112060a00010b0002", CompactArray(StructureOf((17, 18)), (
        (Integer(17, 10), Integer(18, 1)), (Integer(17, 11), Integer(18, 2))))),
    ("130100021104000102ff", CompactArray(ArrayOf(2, 17), ([Integer(17, 0), Integer(17, 1)], [Integer(17, 2), Integer(17, 255)]))),
]


def alike(one: Any, other: Any) -> bool:
    """Equal in value and in type: an Integer also equals the plain number, so == alone would prove less."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, CompactArray):
        return one.description == other.description and alike(one.items, other.items)
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    return bool(one == other)


@pytest.mark.parametrize(("octets", "value"), EXAMPLES, ids=lambda value: str(value)[:30])
def test_example(octets: str, value: Any) -> None:
    assert alike(axdr.decode(bytes.fromhex(octets)), value)
    assert axdr.encode(value).hex() == octets


@pytest.mark.parametrize(("octets", "value"), EXAMPLES, ids=lambda value: str(value)[:30])
def test_every_cut_and_every_addition_is_refused(octets: str, value: Any) -> None:
    data = bytes.fromhex(octets)
    for size in range(len(data)):
        with pytest.raises(Violation):
            axdr.decode(data[:size])
    with pytest.raises(Violation):
        axdr.decode(data + b"\x00")


# dlms_cosem 21.3.2 never returns on these (decision 0002)
@pytest.mark.parametrize("octets", ["1208", "0600", "0103", "0183ffffff", "0283ffffff00", "0984ffffffff00"])
def test_what_hangs_the_library_is_refused_at_once(octets: str) -> None:
    tracemalloc.start()
    with pytest.raises(Violation):
        axdr.decode(bytes.fromhex(octets))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("octets", [
    "13" + "00" + "05" + "0000000000",                     # null-data elements take no octets: there is no end to them
    "13" + "0200" + "01" + "00",                           # nor to empty structures
    "13" + "01ffff01ffff01ffff01ffff00" + "01" + "11",     # 2^64 nulls in one element
    "13" + "1311" + "01" + "00",                           # compact-array in a compact-array
    "13" + "12" + "03" + "000102",                         # one and a half elements
    "13" + "63" + "00",                                    # elements of an unknown type
    "13" + "02" * 100,
])
def test_compact_arrays_that_are_none(octets: str) -> None:
    with pytest.raises(Violation):
        axdr.decode(bytes.fromhex(octets))


def test_limits_of_depth_and_number() -> None:
    deepest = b"\x01\x01" * axdr.MAX_DEPTH + b"\x00"
    value = axdr.decode(deepest)
    assert axdr.encode(value) == deepest
    with pytest.raises(Violation, match="nested deeper"):
        axdr.decode(b"\x01\x01" + deepest)
    many = b"\x01" + axdr.encode_length(axdr.MAX_VALUES) + b"\x00" * axdr.MAX_VALUES
    assert len(axdr.decode(many)) == axdr.MAX_VALUES
    with pytest.raises(Violation, match="more than"):
        axdr.decode(b"\x02\x01" + many)


def test_lengths_in_their_long_forms() -> None:
    for size, head in ((127, "7f"), (128, "8180"), (255, "81ff"), (256, "820100"), (70_000, "83011170")):
        assert axdr.encode(bytes(size))[1:-size].hex() == head
        assert axdr.decode(axdr.encode(bytes(size))) == bytes(size)
    assert axdr.decode(bytes.fromhex("098400000002abcd")) == b"\xab\xcd"       # longer than needed: meters do that
    with pytest.raises(ValueError, match="too long"):
        axdr.encode_length(1 << 32)


@pytest.mark.parametrize("value", [
    5, {"a": 1}, "Ω", DateTime(b"123"), BitString(9, b"\x00"), CompactArray(17, (Integer(18, 1),)),
    CompactArray(StructureOf((17,)), ([Integer(17, 1)],)), CompactArray(ArrayOf(2, 17), ([Integer(17, 1)],)), Float32(1e300),
], ids=str)
def test_what_cannot_be_encoded(value: Any) -> None:
    with pytest.raises(ValueError):
        axdr.encode(value)


def test_integer_is_a_number_that_knows_its_type() -> None:
    value = Integer(18, 2301)
    assert (value.tag, value.value, value + 1, repr(value), str(value)) == (18, 2301, 2302, "<long-unsigned 2301>", "2301")
    assert not isinstance(value, tuple)       # cannot be taken for a structure
    for twin in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert alike(twin, value)
    for tag, wrong in ((18, 65_536), (15, 128), (17, -1), (9, 1), (99, 1)):
        with pytest.raises(ValueError):
            Integer(tag, wrong)


integers = st.one_of([
    st.integers(*((-(1 << 8 * cls.layout.size - 1), (1 << 8 * cls.layout.size - 1) - 1) if cls.layout.format[1:].islower()
                  else (0, (1 << 8 * cls.layout.size) - 1))).map(lambda n, tag=tag: Integer(tag, n))
    for tag, cls in INTEGERS.items()])
plain = st.one_of(
    st.none(), st.booleans(), integers, st.floats(), st.floats(width=32, allow_nan=False).map(Float32),
    st.binary(max_size=300), st.text(st.characters(max_codepoint=255), max_size=200),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80).map(Utf8),
    st.binary(min_size=12, max_size=12).map(DateTime), st.binary(min_size=5, max_size=5).map(Date),
    st.binary(min_size=4, max_size=4).map(Time), st.just(DONT_CARE),
    st.binary(max_size=40).flatmap(
        lambda octets: st.integers(max(0, 8 * len(octets) - 7), 8 * len(octets)).map(lambda bits: BitString(bits, octets))))
# every element takes an octet at least, because one without any has no end; null-data only beside others
descriptions = st.recursive(st.sampled_from([3, 6, 9, 18, 22, 23, 25]), lambda inner: st.one_of(
    st.builds(ArrayOf, st.integers(1, 3), inner),
    st.builds(lambda first, rest: StructureOf((first, *rest)), inner, st.lists(inner | st.just(0), max_size=3))), max_leaves=6)
PLAIN_OF = {0: None, 3: True, 6: Integer(6, 7), 9: b"ab", 18: Integer(18, 2301), 22: Integer(22, 30), 23: Float32(1.5), 25: DateTime(bytes(12))}


def described(description: Any) -> Any:
    """A value of a type description."""
    if isinstance(description, int):
        return PLAIN_OF[description]
    if isinstance(description, ArrayOf):
        return [described(description.element)] * description.count
    return tuple(map(described, description.members))


compact = st.builds(lambda description, count: CompactArray(description, (described(description),) * count), descriptions, st.integers(0, 4))
trees = st.recursive(plain | compact, lambda inner: st.lists(inner, max_size=6) | st.lists(inner, max_size=6).map(tuple),
                     max_leaves=30)


@given(trees)
def test_round_trip(value: Any) -> None:
    assert alike(axdr.decode(axdr.encode(value)), value)


@given(st.binary(max_size=200))
def test_any_octets_give_a_value_or_a_violation(octets: bytes) -> None:
    try:
        value = axdr.decode(octets)
    except Violation:
        return
    # what was accepted means the same when it is written again (shortest lengths, booleans as 1)
    again = axdr.decode(axdr.encode(value))
    assert axdr.encode(again) == axdr.encode(value)


@given(trees, st.data())
def test_damaged_trees_never_raise_anything_else(value: Any, data: st.DataObject) -> None:
    octets = bytearray(axdr.encode(value))
    place = data.draw(st.integers(0, len(octets) - 1))
    octets[place] = data.draw(st.integers(0, 255))
    try:
        axdr.decode(bytes(octets))
    except Violation:
        return


def test_nan_stays_a_nan() -> None:
    assert math.isnan(axdr.decode(bytes.fromhex("177fc00000")))

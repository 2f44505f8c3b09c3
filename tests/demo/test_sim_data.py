"""The simulated meter's own decoder against the gateway's: two implementations of A-XDR must agree on every value."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sim_captures import CAPTURES

from edge.demo import meter_data, meter_objects
from edge.dlms import axdr
from edge.errors import Violation

RECORDED = sorted({result["data"] for path in CAPTURES.glob("*.json") if "hostile" not in path.name
                   for expected in json.loads(path.read_text())["expected"] for result in [expected, *expected.get("items", [])]
                   if "data" in result})
HOSTILE = [entry["hex"] for entry in json.loads((CAPTURES / "hostile.json").read_text())["inputs"] if entry["layer"] == "axdr"]


def test_every_recorded_value_is_read_whole() -> None:
    assert len(RECORDED) > 20
    for octets in RECORDED:
        meter_data.whole(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", HOSTILE)
def test_hostile_values_are_refused_in_bounded_time(octets: str) -> None:
    """What the other decoder takes too may pass; nothing else may."""
    data = bytes.fromhex(octets)
    try:
        meter_data.whole(data)
    except meter_data.BadData:
        return
    axdr.decode(data)


shapes = st.recursive(
    st.one_of(
        st.just(b"\x00"), st.integers(0, 255).map(lambda n: bytes((0x11, n))), st.integers(-2**31, 2**31 - 1).map(
            lambda n: b"\x05" + n.to_bytes(4, "big", signed=True)),
        st.binary(max_size=300).map(meter_objects.octets), st.lists(st.booleans(), max_size=40).map(meter_objects.bits),
        st.binary(min_size=8, max_size=8).map(lambda b: b"\x14" + b), st.booleans().map(lambda b: bytes((3, b)))),
    lambda inner: st.builds(meter_objects.sequence, st.lists(inner, max_size=5), st.sampled_from([1, 2])), max_leaves=12)


@given(shapes)
@settings(max_examples=300, deadline=None)
def test_what_the_meter_encodes_both_decoders_take(octets: bytes) -> None:
    ours, theirs = meter_data.whole(octets), axdr.decode(octets)
    assert axdr.encode(theirs) == octets
    assert isinstance(ours.value, list) == isinstance(theirs, (list, tuple))


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_octets_are_a_value_or_refused(octets: bytes) -> None:
    try:
        item, end = meter_data.take(octets)
    except meter_data.BadData:
        return
    assert 0 < end <= len(octets)
    if item.tag in (0x05, 0x06, 0x0F, 0x10, 0x11, 0x12, 0x14, 0x15, 0x16):
        try:
            decoded = axdr.decode(octets[:end])
        except Violation as fault:
            raise AssertionError(f"the gateway refuses {octets[:end].hex()}") from fault
        assert decoded.value == item.value

"""COSEM values in plain data, on a line, and as a person types them; and what a person types for an attribute."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms.axdr import Float32, Integer, Utf8, decode, encode
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.data import DONT_CARE, INTEGERS, BitString, CompactArray, DateTime
from edge.errors import Violation
from edge.meters.profile import load_profiles
from edge.meters.targets import target
from edge.meters.typed import described, discreet, line, written

PROFILE = load_profiles()["generic-three-phase"]


@pytest.mark.parametrize(("value", "told", "text"), [
    (None, {"type": "null-data", "value": None}, "null-data"),
    (True, {"type": "boolean", "value": True}, "boolean True"),
    (Integer(6, 5), {"type": "double-long-unsigned", "value": 5}, "double-long-unsigned 5"),
    (Float32(230.5), {"type": "float32", "value": 230.5}, "float32 230.5"),
    (float("inf"), {"type": "float64", "value": "inf"}, "float64 inf"),
    ("ab", {"type": "visible-string", "value": "ab"}, "visible-string ab"),
    (Utf8("ä"), {"type": "utf8-string", "value": "ä"}, "utf8-string ä"),
    (b"", {"type": "octet-string", "value": ""}, "octet-string (empty)"),
    (b"4711", {"type": "octet-string", "value": "34373131", "text": "4711"}, "octet-string 34373131 (4711)"),
    (bytes.fromhex("07ea0b160707021f00000000"), {"type": "octet-string", "value": "07ea0b160707021f00000000",
     "time": "2026-11-22T07:02:31+00:00"}, "octet-string 07ea0b160707021f00000000 (2026-11-22T07:02:31+00:00)"),
    (DateTime(b"\xff" * 12), {"type": "date-time", "value": "ff" * 12}, "date-time " + "ff" * 12),
    (BitString(3, b"\xa0"), {"type": "bit-string", "value": "101"}, "bit-string 101"),
    (DONT_CARE, {"type": "dont-care", "value": None}, "dont-care"),
    ((Integer(15, -1), [b"\x01"]), {"type": "structure", "value": [{"type": "integer", "value": -1}, {
        "type": "array", "value": [{"type": "octet-string", "value": "01"}]}]}, "{integer -1, [octet-string 01]}"),
    (CompactArray(17, (Integer(17, 1),)), {"type": "compact-array", "value": [{"type": "unsigned", "value": 1}]}, "[unsigned 1]"),
])
def test_values_in_plain_data_and_on_a_line(value: Any, told: dict[str, Any], text: str) -> None:
    assert described(value) == told
    assert line(told) == text
    json.dumps(described(value), allow_nan=False)


def test_a_long_value_is_cut_on_its_line() -> None:
    assert len(line(described([Integer(17, 1)] * 500))) == 200


def test_what_may_be_a_key_is_not_repeated() -> None:
    assert discreet(b"0123456789abcdef") == "octet-string of 16"
    assert discreet("secret") == "visible-string of 6"
    assert discreet((b"key",)) == "structure of 1"
    assert discreet(Integer(22, 4)) == "enum 4"
    assert discreet(None) == "null-data"
    assert discreet(True) == "boolean True"
    assert discreet(DONT_CARE) == "dont-care of 0"


@pytest.mark.parametrize(("text", "value"), [
    ("null", None), ("null:", None), ("bool:true", True), ("bool:0", False), ("u32:5", Integer(6, 5)), ("U8:0x10", Integer(17, 16)),
    ("i16:-300", Integer(16, -300)), ("enum:4", Integer(22, 4)), ("long64-unsigned:1", Integer(21, 1)), ("float64:1.5", 1.5),
    ("float32:1.5", Float32(1.5)), ("octets:01 02-03", b"\x01\x02\x03"), ("octets:", b""), ("text:a:b", "a:b"), ("utf8:ä", Utf8("ä")),
    ("bits:10100", BitString(5, b"\xa0")), ("date-time:07ea0b160707021f00000000", DateTime(bytes.fromhex("07ea0b160707021f00000000"))),
    ("axdr:0202110109020a0b", (Integer(17, 1), b"\x0a\x0b")), ("dont-care:", DONT_CARE),
])
def test_what_a_person_types(text: str, value: Any) -> None:
    found = written(text)
    assert found == value
    assert type(found) is type(value)
    assert encode(found) == encode(value)


@pytest.mark.parametrize(("text", "words"), [
    ("5", "write TYPE:VALUE; types are null, bool"), ("u8", "write TYPE:VALUE"), ("u8:256", "256 does not fit"), ("u8:x", "invalid literal"),
    ("bool:maybe", "true or false"), ("null:5", "null has no value"), ("octets:abc", "pairs of hexadecimal"), ("bits:12", "only 0 and 1"),
    ("date-time:0102", "12 octets"), ("axdr:0202", "axdr:0202"), ("float64:x", "could not convert"), ("", "write TYPE:VALUE"),
])
def test_what_cannot_be_read_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        written(text)


@given(st.sampled_from(sorted(INTEGERS)), st.integers(-(2**63), 2**64 - 1))
def test_integers_come_back(tag: int, number: int) -> None:
    name = INTEGERS[tag].name
    try:
        value = Integer(tag, number)
    except ValueError:
        return
    assert described(value) == {"type": name, "value": number}
    if "delta" not in name:
        assert encode(written(f"{name}:{number}")) == encode(value)


@given(st.binary(max_size=40))
def test_whatever_decodes_can_be_told_and_shown(octets: bytes) -> None:
    try:
        value = decode(octets)
    except Violation:
        return
    told = described(value)
    json.dumps(told, allow_nan=False)
    assert line(told).isprintable()
    assert discreet(value)


# -- targets ---------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "expected"), [
    ("3/1-0:1.8.0@2", (3, "1-0:1.8.0", 2)), ("1-0:1.8.0", (3, "1-0:1.8.0", 2)), ("0-0:1.0.0@3", (8, "0-0:1.0.0", 3)),
    ("0-0:96.3.10@4", (70, "0-0:96.3.10", 4)), ("1-0:99.1.0@7", (7, "1-0:99.1.0", 7)), ("0-0:98.1.0.126", (7, "0-0:98.1.0.126", 2)),
    ("4/1-0:1.6.0@5", (4, "1-0:1.6.0", 5)), ("0.0.42.0.0.255", (1, "0-0:42.0.0", 2)), ("8192/0-0:128.0.0", (8192, "0-0:128.0.0", 2)),
])
def test_attributes_as_a_person_names_them(text: str, expected: tuple[int, str, int]) -> None:
    class_id, obis, number = expected
    assert target(text, PROFILE) == Attribute(class_id, Obis.parse(obis), number)


@pytest.mark.parametrize(("text", "words"), [
    ("1-0:1.6.0", "of which class"), ("0/1-0:1.8.0", "of which class"), ("3/1-0:300.8.0", "is no OBIS code"), ("", "write"),
    ("3/1-0:1.8.0@0", "write the number"), ("3/1-0:1.8.0@200", "write the number"), ("x/1-0:1.8.0", "like 3/1-0:1.8.0@2"),
])
def test_what_names_nothing_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        target(text, PROFILE)
    with pytest.raises(ValueError, match="write the number"):
        target("3/1-0:1.8.0", PROFILE, None)

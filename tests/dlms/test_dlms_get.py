"""GET exchanges: lists, blocks, blocked lists, errors; and the names of COSEM."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms import axdr, selection
from edge.dlms.apdu import get_next, get_request, refusal
from edge.dlms.blocks import MAX_ANSWER_BYTES
from edge.dlms.cosem import UNITS, AccessError, Attribute, Obis
from edge.dlms.data import INTEGERS, Integer
from edge.dlms.datetimes import ClockTime
from edge.dlms.get import GetExchange, GetMemo, GetResult
from edge.dlms.layout import ListLayout
from edge.dlms.push import Pushed, notification
from edge.errors import FailReason, Refused, Violation

A, B, C = (Attribute(3, Obis(1, 0, group, 7, 0), 2) for group in (32, 52, 72))
LIST = bytes.fromhex("03" "001208fd" "0103" "0006075bcd15")
RESULTS = (GetResult(A, 2301), GetResult(B, None, AccessError.READ_WRITE_DENIED), GetResult(C, 123456789))


def blocks(content: bytes, size: int, invoke_id: int = 1) -> list[bytes]:
    parts = [content[at:at + size] for at in range(0, len(content), size)]
    return [bytes((0xC4, 2, 0xC0 | invoke_id, number == len(parts))) + number.to_bytes(4, "big") + b"\x00"
            + axdr.encode_length(len(part)) + part for number, part in enumerate(parts, 1)]


def test_requests_by_hand() -> None:
    assert get_request((A,), 1).hex() == "c001c1" "0003010020" "0700ff" "0200"
    assert get_request((A, B), 15).hex() == "c003cf02" "00030100200700ff0200" "00030100340700ff0200"
    assert get_next(0x01020304, 5).hex() == "c002c501020304"
    assert get_request((A._replace(selection=b"\x02\xaa"),), 0).hex().endswith("0201" "02aa")
    assert get_request((Attribute(8300, Obis(0, 0, 240, 1, 2, 3), -1),), 0).hex() == "c001c0206c0000f0010203ff00"
    assert len(get_request((A,) * 200, 1)) == 3 + 2 + 2000
    with pytest.raises(ValueError, match="out of range"):
        get_request((Attribute(3, A.obis, 128),), 1)


def test_list() -> None:
    exchange = GetExchange((A, B, C), 1)
    assert exchange.receive(b"\xc4\x03\xc1" + LIST) is None
    assert exchange.results == RESULTS


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12, 13])
def test_blocked_list_is_put_together(size: int) -> None:
    exchange = GetExchange((A, B, C), 1)
    *first, last = blocks(LIST, size)
    for number, block in enumerate(first, 1):
        assert exchange.receive(block) == get_next(number, 1)
        assert exchange.results == ()
    assert exchange.receive(last) is None
    assert exchange.results == RESULTS


@given(st.binary(max_size=400), st.integers(1, 60))
def test_any_octet_string_comes_through_any_block_size(content: bytes, size: int) -> None:
    exchange = GetExchange((A,), 7)
    for block in blocks(axdr.encode(content), size, 7):
        exchange.receive(block)
    assert exchange.results == (GetResult(A, content),)


@pytest.mark.parametrize("octets", [
    "c403c1" + LIST.hex() + "00",              # something follows
    "c403c102001208fd001208fd",                # one too few
    "c403c10300 1208fd 0103",                  # ends early
    "c403c103001208fd 0100 0006075bcd15",      # "success" as an error
    "c401c1001208fd",                          # one value for three
    "c402c1000000000100 00",                   # an empty block that is not the last
    "c402c1000000000102 00",                   # neither data nor error
    "c402c1000000000000 0103",                 # block 0
    "c402c101000000010100",                    # last block, error "success"
    "c402c10100000001010300",                  # error and more
    "c4", "c403", "c403c1", "c403c103",
])
def test_answers_that_are_none(octets: str) -> None:
    exchange = GetExchange((A, B, C), 1)
    with pytest.raises(Violation):
        exchange.receive(bytes.fromhex(octets))
    assert exchange.results == ()


@pytest.mark.parametrize("second", ["c403c1" + LIST.hex(), "c401c1001208fd", "c402c100000000010001ff"])
def test_nothing_but_the_next_block_may_follow_a_block(second: str) -> None:
    exchange = GetExchange((A, B, C), 1)
    assert exchange.receive(blocks(LIST, 5)[0]) is not None
    with pytest.raises(Violation):
        exchange.receive(bytes.fromhex(second))


def test_answers_in_blocks_have_a_bound() -> None:
    exchange = GetExchange((A,), 1)
    *first, last = blocks(bytes(MAX_ANSWER_BYTES + 1), 60_000)
    for block in first:
        assert exchange.receive(block) is not None
    with pytest.raises(Violation, match="grows above"):
        exchange.receive(last)


@pytest.mark.parametrize("octets", ["c401c101fa", "c402c1010000000101fa"])
def test_refused_list_is_said_to_be_one(octets: str) -> None:
    with pytest.raises(Refused, match=r"list of 3 attributes: other reason \(250\)") as caught:
        GetExchange((A, B, C), 1).receive(bytes.fromhex(octets))
    assert (caught.value.reason, caught.value.temporary) == (FailReason.EXCEPTION_RESPONSE, False)
    with pytest.raises(Refused) as caught:
        GetExchange((A, B, C), 1).receive(bytes.fromhex("c401c10102"))
    assert caught.value.temporary


@given(st.binary(max_size=60))
def test_any_answer_ends_in_a_result_or_an_error(tail: bytes) -> None:
    for head in (b"\xc4\x03\xc1\x03", b"\xc4\x01\xc1", b"\xc4\x02\xc1", b"\xc4"):
        try:
            GetExchange((A, B, C), 1).receive(head + tail)
        except (Violation, Refused):
            continue


# -- the same list again: a short cut that must show in nothing but time
numbers = st.one_of([st.integers(0, 127).map(lambda value, tag=tag: Integer(tag, value)) for tag in INTEGERS])
answers = st.lists(numbers | st.sampled_from([None, AccessError.TEMPORARY_FAILURE, b"ab", 1.5, "x", True, (Integer(17, 1),)]), min_size=3, max_size=3)


def listed(values: list[Any], invoke_id: int = 1) -> bytes:
    return bytes((0xC4, 3, 0xC0 | invoke_id, len(values))) + b"".join(
        bytes((1, value)) if isinstance(value, AccessError) else b"\0" + axdr.encode(value) for value in values)


@given(st.lists(numbers, min_size=3, max_size=3) | answers, st.lists(numbers, min_size=3, max_size=3) | answers, st.booleans(), st.data())
def test_a_list_that_is_asked_again_is_read_as_the_first_time(first: list[Any], second: list[Any], alike: bool, data: st.DataObject) -> None:
    attributes, memo = (A, B, C), GetMemo()
    GetExchange(attributes, 1, memo).receive(listed(first))
    answer = bytearray(listed(first if alike else second, 2))
    if data.draw(st.booleans()):
        answer[data.draw(st.integers(0, len(answer) - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        answer = answer[:data.draw(st.integers(0, len(answer)))] + data.draw(st.binary(max_size=3))
    told = []
    for exchange in (GetExchange(attributes, 2, memo), GetExchange(attributes, 2)):
        assert exchange.request == get_request(attributes, 2)
        try:
            told.append((exchange.receive(bytes(answer)), exchange.results, [type(result.data) for result in exchange.results]))
        except (Violation, Refused) as why:
            told.append((type(why), str(why), []))
    assert told[0] == told[1]


def test_a_memo_is_of_one_tuple_and_forgets_nothing_that_matters() -> None:
    memo = GetMemo()
    for attributes in ((A, B, C), (A, C, B), (A, B), (A, B, C)):
        exchange = GetExchange(attributes, 3, memo)
        assert exchange.request == get_request(attributes, 3)
        exchange.receive(listed([Integer(18, number) for number in range(len(attributes))], 3))
        assert exchange.results == tuple(GetResult(attribute, number) for number, attribute in enumerate(attributes))
        assert all(type(result) is GetResult and result.error is None for result in exchange.results)
    assert ListLayout.of([Integer(18, 1)]) is None
    assert ListLayout.of([Integer(18, 1)] * 128) is None


# -- other APDUs
@pytest.mark.parametrize(("octets", "text"), [
    ("d80102", "service not allowed (1), service not supported (2)"), ("d8020600000010", "invocation counter error (6)"),
    ("d80909", "state error (9), service error (9)"), ("0e010600", "service 1, error type 6, code 0"),
])
def test_refusals(octets: str, text: str) -> None:
    assert text in str(refusal(bytes.fromhex(octets)))


@pytest.mark.parametrize("octets", ["d8", "d801", "d8010203", "d80106", "d80106000000", "0e", "0e0106", "0e01060000"])
def test_malformed_refusals(octets: str) -> None:
    with pytest.raises(Violation):
        refusal(bytes.fromhex(octets))


def test_event_notification_is_read() -> None:
    voltage = Attribute(3, Obis(1, 0, 32, 7, 0), 2)
    plain = bytes.fromhex("c2 00 0003 0100200700ff 02 1208fd")
    assert notification(plain) == Pushed(plain, 2301, b"", voltage)
    clock = bytes.fromhex("07ea0b16ff07022000000000")
    timed = bytes.fromhex("c2 01 0c") + clock + plain[2:]
    assert notification(timed, genuine=True) == Pushed(timed, 2301, clock, voltage, genuine=True)


@pytest.mark.parametrize("octets", [
    "c2", "c200", "c202", "c2000003", "c2000003 0100200700ff 02", "c2000003 0100200700ff 02 1208", "c2010b0000",
    "c2000003 0100200700ff 02 1208fd00", "0f", "0f00000001", "0f0000000100", "0f000000010b00", "c001",
])
def test_notifications_that_are_none(octets: str) -> None:
    with pytest.raises(Violation):
        notification(bytes.fromhex(octets))


# -- names
@pytest.mark.parametrize("text", ["1-0:32.7.0", "1-0:32.7.0.255", "1-0:32.7.0*255", "1.0.32.7.0.255", " 1-0:32.7.0 "])
def test_obis(text: str) -> None:
    obis = Obis.parse(text)
    assert obis == Obis(1, 0, 32, 7, 0, 255) == Obis.from_bytes(obis.to_bytes())
    assert str(obis) == "1-0:32.7.0.255"


def test_obis_keeps_group_f() -> None:
    assert str(Obis.parse("1-0:99.1.0.7")) == "1-0:99.1.0.7"


@pytest.mark.parametrize("text", ["", "1-0:32.7", "1-0:32.7.0.256", "300-0:1.2.3", "1-0:32.7.0.255.1", "a-0:1.2.3", "1 0 32 7 0 255"])
def test_what_is_no_obis(text: str) -> None:
    with pytest.raises(ValueError, match="OBIS"):
        Obis.parse(text)
    with pytest.raises(ValueError, match="6 octets"):
        Obis.from_bytes(text.encode()[:5])


def test_units_of_the_nine_values() -> None:
    assert [UNITS[code] for code in (27, 28, 29, 30, 31, 32, 33, 35, 44, 255)] == [
        "W", "VA", "var", "Wh", "VAh", "varh", "A", "V", "Hz", ""]


def test_unnamed_access_errors_keep_their_code() -> None:
    error = AccessError(77)
    assert (error, error.text, error.temporary) == (77, "unnamed 77 (77)", False)
    assert AccessError(2).temporary
    for wrong in (0, 256, -1):
        with pytest.raises(ValueError):
            AccessError(wrong)


def test_selections_are_the_recorded_ones() -> None:
    assert selection.by_entry(2880, 2880).hex() == "02" "0204" "0600000b40" "0600000b40" "120001" "120000"
    start, end = bytes.fromhex("07ea0103ff00000000000000"), bytes.fromhex("07ea0103ff173b0000000000")
    assert selection.by_clock_range(start, end).hex() == (
        "01" "0204" "0204" "120008" "09060000010000ff" "0f02" "120000" "090c" + start.hex() + "090c" + end.hex() + "0100")
    with pytest.raises(ValueError, match="12 octets"):
        selection.by_clock_range(start, b"")
    with pytest.raises(ValueError, match="does not fit"):
        selection.by_entry(1, 1, 70_000)


# -- clock times
@pytest.mark.parametrize(("octets", "utc"), [
    ("07ea0b160707021f00000000", datetime(2026, 11, 22, 7, 2, 31, tzinfo=UTC)),                  # deviation 0 is UTC
    ("07ea0b160707021f32ffc480", datetime(2026, 11, 22, 6, 2, 31, 500_000, tzinfo=UTC)),         # local = UTC + 1 h
    ("07ea0b160707021f00800000", None),                                                           # no deviation
    ("07ea0bffff07021fff000000", None),                                                           # no day
    ("ffff0b160707021fff000000", None), ("07ea021eff000000ff000000", None),                       # no year; 30 February
    ("07ea0b16ff0702ffff0000ff", datetime(2026, 11, 22, 7, 2, tzinfo=UTC)),                      # no seconds
])
def test_clock_times(octets: str, utc: datetime | None) -> None:
    assert ClockTime.parse(bytes.fromhex(octets)).utc() == utc


def test_clock_status_and_wildcards() -> None:
    time = ClockTime.parse(bytes.fromhex("07eafefdff0702ffff8000ff"))
    assert (time.month, time.day, time.weekday, time.second, time.hundredths) == (None,) * 5
    assert (time.deviation_minutes, time.status, time.local()) == (None, None, None)


@pytest.mark.parametrize("octets", ["", "07ea0b16", "07ea0d160707021f00000000", "07ea0b160718021f00000000", "07ea0b2007070266ff000000"])
def test_what_no_clock_shows(octets: str) -> None:
    with pytest.raises(Violation):
        ClockTime.parse(bytes.fromhex(octets))


def optional(lowest: int, highest: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(lowest, highest)


@given(st.builds(ClockTime, optional(0, 0xFFFE), optional(1, 12), optional(1, 31), optional(1, 7), optional(0, 23), optional(0, 59), optional(0, 59),
                 optional(0, 99), optional(-840, 840), optional(0, 0xFE)))
def test_every_time_with_any_part_left_out_comes_back(time: ClockTime) -> None:
    """Deviation, daylight saving and status bits among them."""
    octets = time.encode()
    assert len(octets) == 12
    assert ClockTime.parse(octets) == time


@given(st.binary(min_size=12, max_size=12))
def test_any_twelve_octets_are_a_time_or_a_violation(octets: bytes) -> None:
    try:
        time = ClockTime.parse(octets)
    except Violation:
        return
    assert time.utc() is None or time.local() is not None
    assert ClockTime.parse(time.encode()) == time


@given(st.binary(min_size=12, max_size=12))
def test_a_time_is_written_as_it_was_read_but_for_the_wildcards_of_rules(octets: bytes) -> None:
    try:
        time = ClockTime.parse(octets)
    except Violation:
        return
    plain = bytes(0xFF if place in range(2, 9) and octet in (0xFD, 0xFE) else octet for place, octet in enumerate(octets))
    assert time.encode() == plain
    assert time.text()


@pytest.mark.parametrize(("octets", "text"), [
    ("07ea0b160707021f00000000", "2026-11-22T07:02:31+00:00"), ("07ea0b160707021f00ffc400", "2026-11-22T07:02:31+01:00"),
    ("07ea0b160707021f00012c00", "2026-11-22T07:02:31-05:00"), ("07ea0b160707021fff8000ff", "2026-11-22T07:02:31"),
    ("07ea0bffff07021fff000000", "07ea0bffff07021fff000000"),
])
def test_times_as_text(octets: str, text: str) -> None:
    assert ClockTime.parse(bytes.fromhex(octets)).text() == text


def test_what_is_no_time_is_not_written() -> None:
    with pytest.raises(ValueError, match="no date-time"):
        ClockTime(70_000, 1, 1, None, 0, 0, 0, 0, 0, 0).encode()

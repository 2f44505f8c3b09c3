"""SET, ACTION, ACCESS and notifications: requests as a foreign client writes them, answers strictly read, blocks both ways."""

from datetime import UTC, datetime
from typing import Any

import pytest
from gurux_dlms import GXDLMSClient
from gurux_dlms.enums import Authentication, DataType, InterfaceType
from gurux_dlms.enums import Conformance as GuruxConformance
from gurux_dlms.objects import (
    GXDLMSCaptureObject,
    GXDLMSClock,
    GXDLMSData,
    GXDLMSDisconnectControl,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.dlms import axdr, wrapper
from edge.dlms.access import AccessExchange, AccessPart, AccessResult
from edge.dlms.action import NO_DATA, ActionExchange, ActionRequest, ActionResult
from edge.dlms.association import Association, AssociationSettings, Invoked, State, Written
from edge.dlms.conformance import OFFERED, Conformance
from edge.dlms.cosem import AccessError, ActionError, Attribute, Obis
from edge.dlms.data import Integer
from edge.dlms.get import GetExchange
from edge.dlms.selection import Column, by_clock_range, by_entry, by_range
from edge.dlms.set import SetExchange, SetResult
from edge.errors import LocalStateError, MeterError, Violation

A, B, C = (Attribute(3, Obis(1, 0, group, 7, 0), 2) for group in (32, 52, 72))
OFF, ON = (ActionRequest(70, Obis(0, 0, 96, 3, 10), method, Integer(15, 0)) for method in (1, 2))
NOTHING = ActionRequest(9, Obis(0, 0, 10, 0, 0), 1)
NUMBER = Integer(18, 2301)


def settled(requests: list[bytes], exchange: Any) -> Any:
    """Feed answers to an exchange; return what it asks in turn."""
    return [exchange.receive(answer) for answer in requests]


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


# -- as a foreign client writes them -----------------------------------------------------------------------------------------

def gurux(**conformance: bool) -> Any:
    client = GXDLMSClient(True, 1, 1, Authentication.NONE, None, InterfaceType.WRAPPER)
    client.settings.negotiatedConformance = GuruxConformance.SET | GuruxConformance.ACTION | GuruxConformance.MULTIPLE_REFERENCES
    if conformance.get("blocks"):
        client.settings.negotiatedConformance |= GuruxConformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE | GuruxConformance.BLOCK_TRANSFER_WITH_ACTION
    return client


def test_set_normal_is_what_a_foreign_client_sends() -> None:
    register = GXDLMSRegister("1.0.32.7.0.255")
    register.value = 2301
    register.setDataType(2, DataType.UINT16)
    [message] = gurux().write(register, 2)
    assert SetExchange(((A, NUMBER),), 1, room=0, blocks=False).request == bytes(message[8:])


def test_action_normal_is_what_a_foreign_client_sends() -> None:
    control = GXDLMSDisconnectControl("0.0.96.3.10.255")
    [message] = gurux().method(control, 1, 0, DataType.INT8)
    assert ActionExchange((OFF,), 1).request == bytes(message[8:])


@pytest.mark.parametrize("length", [200, 1_000])
def test_set_in_blocks_carries_what_a_foreign_client_sends(length: int) -> None:
    """The blocks may be cut in other places; what they carry, and their heads, must be the same."""
    content = bytes(range(256)) * 4
    item = GXDLMSData("0.0.96.1.0.255")
    item.value = bytearray(content[:length])
    item.setDataType(2, DataType.OCTET_STRING)
    client = gurux(blocks=True)
    client.settings.maxPduSize = 128
    theirs = [bytes(message[8:]) for message in client.write(item, 2)]
    exchange = SetExchange(((Attribute(1, Obis(0, 0, 96, 1, 0), 2), content[:length]),), 1, room=128, blocks=True)
    ours = [exchange.request]
    while not ours[-1][16 if ours[-1][1] == 2 and ours[-1][12] else 13 if ours[-1][1] == 2 else 3]:
        following = exchange.receive(hexed("c502c1") + len(ours).to_bytes(4, "big"))
        assert following is not None
        ours.append(following)
    assert all(len(message) <= 128 for message in ours)
    assert ours[0][:14] == theirs[0][:14]
    assert carried(ours, 13) == carried(theirs, 13) == axdr.encode(content[:length])


def carried(messages: list[bytes], first_head: int) -> bytes:
    whole = b""
    for number, message in enumerate(messages, start=1):
        at = first_head if number == 1 else 3
        assert message[1] == (2 if number == 1 else 3)
        assert message[at] == (number == len(messages))
        assert int.from_bytes(message[at + 1:at + 5], "big") == number
        length, start = axdr.decode_length(message, at + 5)
        assert start + length == len(message)
        whole += message[start:]
    return whole


# -- SET ----------------------------------------------------------------------------------------------------------------------

def test_set_with_list() -> None:
    exchange = SetExchange(((A, NUMBER), (B, None), (C, [True])), 5, room=0, blocks=False)
    assert exchange.request == hexed("c104c5 03 0003 0100200700ff 02 00 0003 0100340700ff 02 00 0003 0100480700ff 02 00"
                                     "03 1208fd 00 01010301")
    assert exchange.receive(hexed("c505c5 03 00 03 00")) is None
    assert exchange.results == (SetResult(A, None), SetResult(B, AccessError.READ_WRITE_DENIED), SetResult(C, None))


def test_set_with_selection() -> None:
    chosen = A._replace(selection=by_entry(1, 2))
    assert SetExchange(((chosen, None),), 1, room=0, blocks=False).request == (
        hexed("c101c1 0003 0100200700ff 02 01") + by_entry(1, 2) + b"\0")


def in_blocks(listed: bool = False) -> tuple[SetExchange, list[bytes]]:
    items = ((A, bytes(200)), (B, bytes(100))) if listed else ((A, bytes(300)),)
    exchange = SetExchange(items, 1, room=100, blocks=True)
    requests = [exchange.request]
    assert exchange._writer is not None
    while not exchange._writer.finished:
        following = exchange.receive(hexed("c502c1") + len(requests).to_bytes(4, "big"))
        assert following is not None
        requests.append(following)
    return exchange, requests


@pytest.mark.parametrize(("listed", "last", "results"), [
    (False, "c503c1 00 00000004", [None]), (False, "c503c1 0b 00000004", [AccessError.OBJECT_UNAVAILABLE]), (False, "c501c1 00", [None]),
    (True, "c504c1 02 00 02 00000004", [None, AccessError.TEMPORARY_FAILURE]),
])
def test_set_in_blocks(listed: bool, last: str, results: list[AccessError | None]) -> None:
    exchange, requests = in_blocks(listed)
    assert [request[1] for request in requests] == [5 if listed else 2] + [3] * (len(requests) - 1)
    assert all(len(request) <= 100 for request in requests)
    assert exchange.receive(hexed(last)) is None
    assert [result.error for result in exchange.results] == results


@pytest.mark.parametrize("answer", [
    "c5", "c501c1", "c501c2 00", "c501c1 0000", "c505c1 01 00", "c502c1 00000001", "c503c1 00 00000001", "c507c1 00", "c504c1 01 00 00000000",
])
def test_answers_to_a_set_that_cannot_be(answer: str) -> None:
    with pytest.raises(Violation):
        SetExchange(((A, NUMBER),), 1, room=0, blocks=False).receive(hexed(answer))


@pytest.mark.parametrize("answer", [
    "c502c1 00000002", "c502c1 0000000100", "c501c1 00", "c503c1 00 00000001", "c503c1 00 00000004", "c505c1 01 00", "c502c2 00000001",
])
def test_answers_to_the_first_block_of_a_set_that_cannot_be(answer: str) -> None:
    exchange = SetExchange(((A, bytes(300)),), 1, room=100, blocks=True)
    with pytest.raises(Violation):
        exchange.receive(hexed(answer))


def test_a_refusal_in_the_middle_of_blocks_is_the_result() -> None:
    exchange = SetExchange(((A, bytes(300)),), 1, room=100, blocks=True)
    assert exchange.receive(hexed("c501c1 03")) is None
    assert exchange.results == (SetResult(A, AccessError.READ_WRITE_DENIED),)


def test_too_long_without_blocks_is_ours_to_refuse() -> None:
    with pytest.raises(ValueError, match="the meter takes 100 and no blocks"):
        SetExchange(((A, bytes(300)),), 1, room=100, blocks=False)
    with pytest.raises(ValueError, match="the meter takes 100 and no blocks"):
        ActionExchange((OFF._replace(data=bytes(300)),), 1, room=100, blocks=False)
    with pytest.raises(ValueError, match="no data fits"):
        SetExchange(((A, bytes(300)),), 1, room=20, blocks=True)


@settings(deadline=None)
@given(st.binary(max_size=600), st.integers(40, 700), st.integers(0, 15))
def test_set_blocks_carry_every_value_whole(content: bytes, room: int, invoke_id: int) -> None:
    exchange = SetExchange(((A, content),), invoke_id, room=room, blocks=True)
    requests = [exchange.request]
    while exchange._writer is not None and not exchange._writer.finished:
        following = exchange.receive(bytes((0xC5, 2, 0xC0 | invoke_id)) + len(requests).to_bytes(4, "big"))
        assert following is not None
        requests.append(following)
    assert all(len(request) <= room for request in requests)
    if exchange._writer is None:
        assert requests == [bytes((0xC1, 1, 0xC0 | invoke_id)) + hexed("0003 0100200700ff 02 00") + axdr.encode(content)]
    else:
        assert carried(requests, 13) == axdr.encode(content)


# -- ACTION -------------------------------------------------------------------------------------------------------------------

def test_action_with_and_without_parameters_and_with_list() -> None:
    assert ActionExchange((NOTHING,), 1).request == hexed("c301c1 0009 00000a0000ff 01 00")
    exchange = ActionExchange((OFF, NOTHING, ON), 2)
    assert exchange.request == hexed("c303c2 03 0046 0000 60030aff 01 0009 00000a0000ff 01 0046 000060030aff 02 03 0f00 00 0f00")
    assert exchange.receive(hexed("c703c2 03 00 00 04 00 00 01 00 1208fd")) is None
    assert exchange.results == (ActionResult(OFF, None), ActionResult(NOTHING, ActionError.OBJECT_UNDEFINED),
                                ActionResult(ON, None, 2301))


@pytest.mark.parametrize(("answer", "result"), [
    ("c701c1 00", ActionResult(OFF, None)), ("c701c1 00 00", ActionResult(OFF, None)),
    ("c701c1 03 00", ActionResult(OFF, ActionError.READ_WRITE_DENIED)), ("c701c1 00 01 00 0902 4142", ActionResult(OFF, None, b"AB")),
    ("c701c1 00 01 01 0b", ActionResult(OFF, None, NO_DATA, AccessError.OBJECT_UNAVAILABLE)),
    ("c701c1 00 01 00 00", ActionResult(OFF, None, None)),
])
def test_answers_to_an_action(answer: str, result: ActionResult) -> None:
    exchange = ActionExchange((OFF,), 1)
    assert exchange.receive(hexed(answer)) is None
    assert exchange.results == (result,)


@pytest.mark.parametrize("answer", [
    "c7", "c701c1", "c701c2 00", "c701c1 00 0000", "c701c1 00 01", "c701c1 00 01 02", "c701c1 00 01 00", "c701c1 00 01 01", "c701c1 00 01 01 00",
    "c701c1 00 02", "c703c1 01 00 00", "c704c1 00000001", "c705c1 00", "c702c1 01 00000002 01 00", "c702c1 00 00000001 00", "c702c1 01 00000001 02 00",
])
def test_answers_to_an_action_that_cannot_be(answer: str) -> None:
    with pytest.raises(Violation):
        ActionExchange((OFF,), 1).receive(hexed(answer))


@pytest.mark.parametrize("whole", ["0904 41424344", "00 01 00 0904 41424344"])
def test_an_actions_answer_in_blocks(whole: str) -> None:
    exchange = ActionExchange((OFF,), 1)
    octets = hexed(whole)
    assert exchange.receive(hexed("c702c1 00 00000001 02") + octets[:2]) == hexed("c302c1 00000001")
    assert exchange.receive(hexed("c702c1 01 00000002") + bytes((len(octets) - 2,)) + octets[2:]) is None
    assert exchange.results == (ActionResult(OFF, None, b"ABCD"),)


def test_an_action_in_blocks_both_ways_with_list() -> None:
    exchange = ActionExchange((OFF._replace(data=bytes(150)), ON), 1, room=100, blocks=True)
    requests = [exchange.request]
    assert exchange._writer is not None
    while not exchange._writer.finished:
        following = exchange.receive(hexed("c704c1") + len(requests).to_bytes(4, "big"))
        assert following is not None
        requests.append(following)
    assert [request[1] for request in requests] == [5] + [6] * (len(requests) - 1)
    assert all(len(request) <= 100 for request in requests)
    assert exchange.receive(hexed("c702c1 00 00000001 03 020000")) == hexed("c302c1 00000001")
    assert exchange.receive(hexed("c702c1 01 00000002 02 0100") .replace(b"\x02\x01\x00", b"\x02\x04\x00")) is None
    assert [result.error for result in exchange.results] == [None, ActionError.OBJECT_UNDEFINED]


def test_no_parameters_show_in_a_repr() -> None:
    assert "53" not in repr(OFF._replace(data=b"S" * 16))
    assert "SSS" not in repr(ActionResult(OFF._replace(data=b"S" * 16), None))
    assert "SSS" not in repr(AccessPart("action", A, b"S" * 16))


# -- ACCESS -------------------------------------------------------------------------------------------------------------------

PARTS = (AccessPart("get", A), AccessPart("set", B, NUMBER), AccessPart("action", Attribute(70, OFF.obis, 1), Integer(15, 0)),
         AccessPart("get", A._replace(selection=by_entry(1, 2))))
SPECIFIED = hexed("04 01 0003 0100200700ff 02 02 0003 0100340700ff 02 03 0046 000060030aff 01 04 0003 0100200700ff 02") + by_entry(1, 2)


def test_access_request() -> None:
    assert AccessExchange(PARTS, 7).request == hexed("d9 c0000007 00") + SPECIFIED + hexed("04 00 1208fd 0f00 00")


@pytest.mark.parametrize("echo", [b"\0", b"\1" + SPECIFIED])
def test_access_response(echo: bytes) -> None:
    exchange = AccessExchange(PARTS, 7)
    assert exchange.receive(hexed("da 40000007 00") + echo + hexed("04 1208fd 00 00 00 04 01 00 02 03 03 04 01 0b")) is None
    assert exchange.results == (
        AccessResult(PARTS[0], None, 2301), AccessResult(PARTS[1], AccessError.READ_WRITE_DENIED),
        AccessResult(PARTS[2], ActionError.OBJECT_UNDEFINED), AccessResult(PARTS[3], AccessError.OBJECT_UNAVAILABLE))


@pytest.mark.parametrize("answer", [
    "da", "da 40000008 00 00 01 1208fd 01 01 00", "da 40000007 00 00 02 1208fd 00 01 01 00", "da 40000007 00 00 01 1208fd 01 02 00",
    "da 40000007 00 00 01 1208fd 01 01 00 00", "da 40000007 00 00 01 1208fd 01 01", "da 40000007 0b 00 01 1208fd 01 01 00",
    "da 40000007 00 02 01 1208fd 01 01 00", "da 40000007 00 01 01 01 0003 0100340700ff 02 01 1208fd 01 01 00", "da 40000007 00 00 01 12",
])
def test_access_responses_that_cannot_be(answer: str) -> None:
    with pytest.raises(Violation):
        AccessExchange(PARTS[:1], 7).receive(hexed(answer))


def test_access_parts_that_cannot_be_written() -> None:
    for part in (AccessPart("action", A._replace(selection=b"x")), AccessPart("get", A._replace(class_id=70_000)), AccessPart("set", A, 5)):
        with pytest.raises(ValueError, match=r"selective access|out of range|plain int"):
            AccessExchange((part,), 1)


# -- in an association ----------------------------------------------------------------------------------------------------------

def opened(conformance: int = OFFERED | Conformance.ACCESS, meter: int = 0xFFFFFF, max_pdu: int = 1024) -> Association:
    association = Association(AssociationSettings("wrapper", 1, 1, conformance=conformance))
    association.open(0.0)
    association.data_to_send()
    initiate = hexed("0800065f1f0400") + meter.to_bytes(3, "big") + max_pdu.to_bytes(2, "big") + b"\0\7"
    body = hexed("a109060760857405080101a203020100a305a103020100be10040e") + initiate
    association.receive_data(wrapper.encode(1, 1, bytes((0x61, len(body))) + body), 0.5)
    association.next_event()
    return association


def test_services_end_with_their_own_events() -> None:
    association = opened()
    association.set([(A, NUMBER)], 1.0)
    sent = association.data_to_send()
    association.receive_data(wrapper.encode(1, 1, hexed("c501") + sent[10:11] + b"\0"), 1.1)
    assert association.next_event() == Written((SetResult(A, None),))
    association.action([OFF], 2.0)
    sent = association.data_to_send()
    association.receive_data(wrapper.encode(1, 1, hexed("c701") + sent[10:11] + b"\0\0"), 2.1)
    assert association.next_event() == Invoked((ActionResult(OFF, None),))
    association.access(PARTS[:1], 3.0)
    sent = association.data_to_send()
    association.receive_data(wrapper.encode(1, 1, b"\xda" + sent[9:13] + hexed("00 00 01 1208fd 01 01 00")), 3.1)
    event = association.next_event()
    assert event is not None
    assert event == ((AccessResult(PARTS[0], None, 2301),),)
    assert association.state is State.READY


@pytest.mark.parametrize(("call", "missing"), [
    (lambda association: association.set([(A, NUMBER)], 1.0), Conformance.SET),
    (lambda association: association.action([OFF], 1.0), Conformance.ACTION),
    (lambda association: association.access(PARTS, 1.0), Conformance.ACCESS),
    (lambda association: association.set([(A, NUMBER), (B, NUMBER)], 1.0), Conformance.MULTIPLE_REFERENCES),
    (lambda association: association.set([(A, bytes(2_000))], 1.0), Conformance.BLOCK_TRANSFER_WITH_SET),
    (lambda association: association.action([OFF._replace(data=bytes(2_000))], 1.0), Conformance.BLOCK_TRANSFER_WITH_ACTION),
])
def test_what_was_not_negotiated_is_never_sent(call: Any, missing: Conformance) -> None:
    association = opened(meter=0xFFFFFF & ~missing)
    with pytest.raises(LocalStateError):
        call(association)
    assert association.data_to_send() == b""
    assert association.state is State.READY


def test_bad_arguments_leave_the_association_as_it_was() -> None:
    association = opened()
    for call in (lambda: association.set([], 1.0), lambda: association.set([(A, 5)], 1.0), lambda: association.action([], 1.0),
                 lambda: association.action([OFF._replace(class_id=-1)], 1.0), lambda: association.access([], 1.0),
                 lambda: association.access(PARTS * 60, 1.0)):
        with pytest.raises(LocalStateError):
            call()
        assert association.state is State.READY
        assert association.data_to_send() == b""


CALLS = [lambda association: association.set([(A, bytes(2_000)), (B, None)], 1.0), lambda association: association.action([OFF, ON], 1.0),
         lambda association: association.access(PARTS, 1.0), lambda association: association.get([A, B], 1.0),
         lambda association: association.action([OFF._replace(data=bytes(2_000))], 1.0)]


@settings(deadline=None)
@given(st.sampled_from(CALLS), st.lists(st.one_of(st.binary(min_size=1, max_size=60), st.builds(
    lambda head, rest: bytes((*head, 0xC1)) + rest, st.tuples(st.sampled_from([0xC4, 0xC5, 0xC7, 0xDA, 0xE0]), st.integers(0, 7)),
    st.binary(max_size=40))), max_size=4))
@example(CALLS[0], [hexed("c502c1 00000001"), hexed("c504c1 02 0000 00000002")])
def test_hostile_answers_end_in_a_typed_error(call: Any, answers: list[bytes]) -> None:
    association = opened()
    call(association)
    for answer in answers:
        association.data_to_send()
        if association.state is not State.WAITING:
            break
        try:
            association.receive_data(wrapper.encode(1, 1, answer), 1.5)
        except MeterError as why:
            assert "\n" not in str(why)      # noqa: PT017 - which types come out is the point
            assert association.state is State.FAILED
            assert association.next_event() is None


def test_range_with_columns_is_what_a_foreign_client_sends() -> None:
    profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
    clock, voltage = GXDLMSClock("0.0.1.0.0.255"), GXDLMSRegister("1.0.32.7.0.255")
    for item in (clock, voltage):
        profile.captureObjects.append((item, GXDLMSCaptureObject(2, 0)))
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    [message] = gurux().readRowsByRange(profile, start, end, [profile.captureObjects[1]])
    theirs = bytes(message[8:])
    at = theirs.index(b"\x09\x0c")
    ours = by_clock_range(theirs[at + 2:at + 14], theirs[at + 16:at + 28], [Column(3, A.obis, 2)])
    assert GetExchange((Attribute(7, Obis(1, 0, 99, 1, 0), 2, ours),), 1).request == theirs


def test_range_over_a_number() -> None:
    written = by_range(Column(1, Obis(0, 0, 1, 1, 0), 2), Integer(6, 1), Integer(6, 2))
    assert written == hexed("01 0204 0204 120001 0906 0000010100ff 0f02 120000 0600000001 0600000002 0100")
    with pytest.raises(ValueError, match="fit"):
        by_range(Column(70_000, Obis(0, 0, 1, 1, 0), 2), None, None)

"""Altered frames, APDUs and data: rejected or brought back into step, in bounded time and memory, however they are cut."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dlms_scripts import CUTS, Replay, load, settings_of

from edge.dlms import axdr, hdlc, wrapper
from edge.dlms.association import Answer, Association, AssociationSettings, Event, Opened, State
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.hdlc_link import HdlcLink, Kind, LinkState, kind_of
from edge.dlms.hdlc_parameters import LinkParameters
from edge.errors import LocalStateError, MeterError, NoAnswer, Violation

INPUTS: list[dict[str, Any]] = load("hostile")["inputs"]
SEQUENCES: list[dict[str, Any]] = load("hostile_sequences")["sequences"]
LIMIT_S = 1.0            # processor time for one input of at most 6 kB; the slowest takes milliseconds
VOLTAGES = [Attribute(3, Obis(1, 0, group, 7, 0), 2) for group in (32, 52, 72)]
AARE = bytes.fromhex("6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000121d04000007")


def layer(name: str) -> list[Any]:
    return [pytest.param(item, id=item["name"]) for item in INPUTS if item["layer"] == name]


def test_every_plain_input_is_played() -> None:
    assert {item["layer"] for item in INPUTS} == {"hdlc", "wrapper", "apdu", "axdr", "ciphered"}
    assert sum(item["layer"] != "ciphered" for item in INPUTS) > 200      # "ciphered" has its own tests, in test_dlms_security


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("item", layer("hdlc"))
def test_deframer(item: dict[str, Any], cut: str) -> None:
    deframer, frames, held = hdlc.Deframer(), [], 0
    began = time.process_time()
    for piece in CUTS[cut](bytes.fromhex(item["hex"])):
        frames += deframer.feed(piece)
        held = max(held, deframer.pending_bytes)
    assert time.process_time() - began < LIMIT_S
    assert held <= hdlc.LIMIT_BYTES + 2
    assert [hdlc.encode_frame(frame).hex() for frame in frames] == item.get("frames", [])
    assert not deframer.abandon(), "nothing whole was left behind a damaged start"


@pytest.mark.parametrize("item", [case for case in layer("hdlc") if "accept" in case.values[0]])
def test_link_takes_only_what_is_meant_for_it(item: dict[str, Any]) -> None:
    frames = [hdlc.Deframer().feed(bytes.fromhex(text))[0] for text in item["frames"]]
    taken = [hdlc.Deframer().feed(bytes.fromhex(text))[0] for text in item["accept"]]
    link = HdlcLink(client=hdlc.encode_address(1), server=hdlc.encode_address(1, 1234, 4),
                    proposal=LinkParameters(), repeat_s=1.0, repeats=0)
    link.open(0.0)
    if taken and kind_of(taken[0].control) is Kind.I:
        link.state, link._answer_due = LinkState.CONNECTED, True
        link._receive_number, link._send_number = taken[0].control >> 1 & 7, taken[0].control >> 5
    events = link.receive(bytes.fromhex(item["hex"]), 0.0)
    assert len(events) == len(taken)
    assert link.traffic.ignored_frames == len(frames) - len(taken)
    if taken and kind_of(taken[-1].control) is Kind.UA:
        assert link.agreed == LinkParameters.decode(taken[-1].information).limited(LinkParameters())


def asking(request: str) -> Association:
    """An association in which `request` waits for its answer."""
    association = Association(AssociationSettings(framing="wrapper", client_sap=1, server_logical=1))
    association.open(0.0)
    if request == "AARQ":
        return association
    association.receive_data(wrapper.encode(1, 1, AARE), 0.0)
    assert isinstance(association.next_event(), Opened)
    if request != "none":
        association.get(VOLTAGES if "with-list of 3" in request else VOLTAGES[:1], 0.0)
    return association


def feed(association: Association, pieces: Iterator[bytes], *, until_the_end: bool = False) -> None:
    for piece in pieces:
        association.receive_data(piece, 1.0)
    if until_the_end:
        association.handle_timer(association.next_timer() or 0.0)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("item", layer("apdu"))
def test_apdu(item: dict[str, Any], cut: str) -> None:
    association = asking(item["request"])
    with pytest.raises(MeterError):
        feed(association, CUTS[cut](wrapper.encode(1, 1, bytes.fromhex(item["hex"]))))
    assert association.next_event() is None
    assert association.state is State.FAILED
    with pytest.raises(LocalStateError):
        association.receive_data(b"\x00", 2.0)


def test_good_answers_are_taken_where_the_hostile_ones_are_not() -> None:
    for request, answer in (("GET normal with invoke-id 1", "c401c1001208fd"),
                            ("GET with-list of 3, invoke-id 1", "c403c103001208fd001208fe001208ff"),
                            ("none", "0fc00000010002031208fd12090106075bcd15")):
        association = asking(request)
        association.receive_data(wrapper.encode(1, 1, bytes.fromhex(answer)), 1.0)
        assert association.next_event() is not None
        assert association.state is State.READY


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("item", layer("wrapper"))
def test_wrapper(item: dict[str, Any], cut: str) -> None:
    association = asking("GET normal with invoke-id 1")
    association._invoke_id = 11                     # so that the recorded answer would fit: only the frame is wrong
    association._exchange._invoke_id = 10
    began = time.process_time()
    with pytest.raises((Violation, NoAnswer)):
        feed(association, CUTS[cut](bytes.fromhex(item["hex"])), until_the_end=True)
    assert association.next_event() is None
    assert time.process_time() - began < LIMIT_S


@pytest.mark.parametrize("item", layer("axdr"))
def test_axdr(item: dict[str, Any]) -> None:
    began = time.process_time()
    with pytest.raises(Violation):
        axdr.decode(bytes.fromhex(item["hex"]))
    assert time.process_time() - began < LIMIT_S


def crc_bomb() -> bytes:
    """Heads of long frames, each with a good HCS and a flag where it should end: every one is summed to its end."""
    head = b"\xa7\xff\x03" + hdlc.encode_address(1, 17, 4) + b"\x30"
    start = b"~" + head + (hdlc.crc_x25(head) ^ 0xFFFF).to_bytes(2, "little")
    return start.ljust(16, b"\0") * 4_096


def whole_array(values: int, element: bytes) -> bytes:
    return b"\x01" + axdr.encode_length(values) + element * values


@pytest.mark.parametrize("octets", [
    whole_array(axdr.MAX_VALUES, b"\x11\x01"),
    whole_array(axdr.MAX_VALUES, b"\x0a\x00"),
    whole_array(axdr.MAX_VALUES // 2, b"\x02\x01\x00"),
    bytes.fromhex("1301ffff01ffff00020000"),           # 2^32 values without a single octet
], ids=["integers", "strings", "structures", "nulls of a compact-array"])
def test_no_answer_holds_the_loop(octets: bytes) -> None:
    """One answer is decoded in one go, and everybody else waits meanwhile. On a Raspberry Pi it takes three times as long."""
    assert fastest(lambda: tried(lambda: axdr.decode(octets))) < 0.1


def test_no_noise_holds_the_loop() -> None:
    noise = crc_bomb()      # as much as may wait unread
    assert fastest(lambda: hdlc.Deframer().feed(noise)) < 0.2


def fastest(work: Callable[[], object]) -> float:
    """Processor time of the best of three: this is about the work, not about a busy machine."""
    took = []
    for _ in range(3):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def tried(work: Callable[[], object]) -> None:
    with contextlib.suppress(Violation):
        work()


class Hostile(Replay):
    """As a replay, but where the recorded client goes on after a time-out, ours meets its own timer."""

    def act(self, index: int) -> bytes:
        if self.association.state is State.WAITING:
            self.now = self.association.next_timer() or self.now
            self.association.handle_timer(self.now)
            assert self.script["framing"] == "hdlc", "a request waits for its answer: silence must have ended it"
            sent = self.association.data_to_send()
            (frame,) = hdlc.Deframer().feed(sent)
            assert kind_of(frame.control) is Kind.RR, "HDLC asks; it does not repeat the request"
            return bytes.fromhex(self.script["exchange"][index]["hex"])
        return super().act(index)

    def finish(self) -> None:
        if self.script.get("eof_after"):
            self.association.receive_eof()
        while self.association.state is State.WAITING:
            self.now = self.association.next_timer() or self.now
            self.association.handle_timer(self.now)
            self.association.data_to_send()

    def values(self) -> list[tuple[str, int]]:
        events: list[Event] = [event for at in sorted(self.heard) for event in self.heard[at]]
        event = self.association.next_event()
        while event is not None:
            events.append(event)
            event = self.association.next_event()
        return [(str(result.attribute.obis), result.data) for event in events if isinstance(event, Answer)
                for result in event.results if result.error is None and isinstance(result.data, int)]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("script", [pytest.param(script, id=script["name"]) for script in SEQUENCES])
def test_sequence(script: dict[str, Any], cut: str) -> None:
    # the sequences begin in the middle of recorded ones, whose client had counted its invoke-ids on
    replay = Hostile(script, CUTS[cut], settings=settings_of(script))
    fault: MeterError | None = None
    try:
        replay.run()
        replay.finish()
    except MeterError as why:
        fault = why
    allowed = [(str(Obis.parse(value["obis"])), value["raw"]) for value in script["values"]]
    values = replay.values()
    if script["expected"] == "resync" and not (script.get("optional") and fault):
        assert fault is None, fault
        assert values == allowed
        assert replay.association.state is State.READY
        return
    assert [value for value in values if value not in allowed] == []
    if fault is None:          # a clean data-access error for the one thing asked: no rows, and the association lives
        answers = [event for at in replay.heard for event in replay.heard[at] if isinstance(event, Answer)]
        assert answers[-1].results[0].error is not None
    if script["name"] == "closed_instead_of_answer":
        assert "closed" in str(fault)


def test_meter_without_lists_is_not_sent_one() -> None:
    (script,) = [script for script in SEQUENCES if script["name"] == "reduced_conformance"]
    replay = Replay({**script, "exchange": script["exchange"][:2]})
    replay.run()
    assert not replay.association.offers_list
    assert replay.association.list_capacity() == 1
    with pytest.raises(LocalStateError, match="one at a time"):
        replay.association.get(VOLTAGES, replay.now)

"""The HDLC link: what it repeats and what it never repeats, late frames of earlier sessions, words of bridges."""

from collections.abc import Callable

import pytest

from edge.dlms import hdlc, wrapper
from edge.dlms.association import Answer, Association, AssociationSettings, Closed, Opened, State
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.hdlc import HdlcFrame
from edge.dlms.hdlc_parameters import LinkParameters
from edge.errors import BridgeBusy, ConnectionLost, FailReason, LocalStateError, NoAnswer, Refused, Violation

CLIENT, METER = b"\x03", hdlc.encode_address(1, 1234, 4)
AARE = bytes.fromhex("6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000121d04000007")
VOLTAGE = Attribute(3, Obis(1, 0, 32, 7, 0), 2)
RR, RNR, REJ = 0x01, 0x05, 0x09


def sent(association: Association) -> list[HdlcFrame]:
    return hdlc.Deframer().feed(association.data_to_send())


def meter(control: int, information: bytes = b"", *, segmented: bool = False, source: bytes = METER) -> bytes:
    return hdlc.encode_frame(HdlcFrame(CLIENT, source, control, information, segmented))


def i_frame(apdu: bytes, send: int, receive: int, *, segmented: bool = False, llc: bytes = b"\xe6\xe7\x00") -> bytes:
    return meter(receive << 5 | 0x10 | send << 1, llc + apdu, segmented=segmented)


UA = meter(hdlc.UA, LinkParameters(128, 128).encode())


def fresh(**more: object) -> Association:
    settings = {"framing": "hdlc", "client_sap": 1, "server_logical": 1, "server_physical": 1234, "address_bytes": 4,
                "association_timeout_s": 8.0, "exchange_timeout_s": 8.0, "link_repeat_s": 2.0, "link_repeats": 2}
    association = Association(AssociationSettings(**{**settings, **more}))
    association.open(0.0)
    return association


def opened(**more: object) -> Association:
    association = fresh(**more)
    association.data_to_send()
    association.receive_data(UA, 0.1)
    association.data_to_send()
    association.receive_data(i_frame(AARE, 0, 1), 0.2)
    assert isinstance(association.next_event(), Opened)
    return association


def waiting(**more: object) -> Association:
    """N(S) 1 is on its way, answers come with N(S) 1 and N(R) 2."""
    association = opened(**more)
    association.get([VOLTAGE], 1.0)
    (request,) = sent(association)
    assert request.control == 1 << 5 | 0x10 | 1 << 1
    return association


ANSWER = i_frame(bytes.fromhex("c401c1001208fd"), 1, 2)


def value(association: Association) -> int:
    event = association.next_event()
    assert isinstance(event, Answer)
    return int(event.results[0].data)


def let_timers_fire(association: Association, seen: list[tuple[float, list[int]]]) -> None:
    """Meet every timer until one raises; note when it was and what was sent."""
    while True:
        due = association.next_timer()
        assert due is not None
        association.handle_timer(due - 0.001)      # early: nothing happens
        assert association.data_to_send() == b""
        association.handle_timer(due)
        seen.append((due, [frame.control for frame in sent(association)]))


# -- opening -----------------------------------------------------------------------------------------------------------

def test_snrm_is_repeated_after_silence_and_the_deadline_ends_it() -> None:
    association = fresh()
    assert [frame.control for frame in sent(association)] == [hdlc.SNRM]
    seen: list[tuple[float, list[int]]] = []
    with pytest.raises(NoAnswer, match=r"while setting up the link from address 1/1234 \(logical/physical, 4 octets\)"):
        let_timers_fire(association, seen)
    assert seen == [(2.0, [hdlc.SNRM]), (4.0, [hdlc.SNRM]), (6.0, [])]
    assert association.traffic.repeated_frames == 2
    assert association.state is State.FAILED


def test_parameters_are_proposed_only_when_they_differ_from_the_standard() -> None:
    assert sent(fresh())[0].information == b""
    assert sent(fresh(snrm_parameters=True))[0].information == LinkParameters(128, 128).encode()
    assert sent(fresh(max_info_bytes=512))[0].information == LinkParameters(512, 512).encode()


def test_answer_from_another_address_is_named() -> None:
    association = fresh(link_repeats=0)
    association.receive_data(meter(hdlc.UA, source=b"\x03"), 0.1)
    association.handle_timer(2.0)
    with pytest.raises(NoAnswer, match="; address 1 spoke"):
        association.handle_timer(8.0)


def test_dm_to_snrm_is_a_refusal_that_may_pass() -> None:
    association = fresh()
    with pytest.raises(Refused, match="DM") as caught:
        association.receive_data(meter(hdlc.DM), 0.1)
    assert caught.value.temporary


# -- late frames of an earlier session -----------------------------------------------------------------------------------

def test_stale_ua_before_the_true_one_does_no_harm() -> None:
    """The field failure: the UA of the last session comes first, the true one where the AARE is due."""
    association = fresh()
    association.data_to_send()
    association.receive_data(meter(hdlc.UA), 0.1)                     # left over
    assert len(sent(association)) == 1                                # AARQ
    association.receive_data(UA, 0.2)                                 # the true one
    assert association.next_event() is None
    association.receive_data(i_frame(AARE, 0, 1), 0.3)
    assert isinstance(association.next_event(), Opened)
    association.get([VOLTAGE], 1.0)
    association.receive_data(ANSWER, 1.1)
    assert value(association) == 2301


def test_stale_ua_and_stale_aare_end_the_session_when_the_true_ones_come() -> None:
    association = fresh()
    association.receive_data(UA, 0.1)
    association.receive_data(i_frame(AARE, 0, 1), 0.1)                # all of it left over
    association.get([VOLTAGE], 0.2)
    with pytest.raises(Violation, match="two sessions are mixed"):
        association.receive_data(UA, 0.3)
    assert isinstance(association.next_event(), Opened)
    assert association.next_event() is None


def test_left_over_answers_are_dropped_before_the_ua() -> None:
    association = fresh()
    association.data_to_send()
    association.receive_data(ANSWER + i_frame(AARE, 0, 1) + meter(0x51) + meter(hdlc.FRMR, b"\x01\x02\x03"), 0.1)
    assert association.data_to_send() == b""
    assert association.traffic.ignored_frames == 4
    association.receive_data(UA, 0.2)
    assert len(sent(association)) == 1


def test_answer_with_the_invoke_id_of_the_last_connection_is_refused() -> None:
    association = waiting(first_invoke_id=6)
    with pytest.raises(Violation, match="invoke-id 1, 6 was asked"):
        association.receive_data(ANSWER, 1.1)
    assert association.next_event() is None


@pytest.mark.parametrize(("send", "receive"), [(2, 2), (3, 2), (1, 1), (1, 3), (7, 2)])
def test_i_frames_out_of_order_end_the_session(send: int, receive: int) -> None:
    association = waiting()
    with pytest.raises(Violation, match=r"N\(S\)"):
        association.receive_data(i_frame(bytes.fromhex("c401c1001208fd"), send, receive), 1.1)


# -- losses within a session ---------------------------------------------------------------------------------------------

def test_lost_answer_is_asked_for_with_rr_and_the_request_is_not_repeated() -> None:
    association = waiting()
    association.handle_timer(3.0)
    (poll,) = sent(association)
    assert (poll.control, poll.information) == (1 << 5 | 0x10 | RR, b"")
    association.receive_data(ANSWER, 3.1)
    assert value(association) == 2301
    assert association.next_timer() is None


def test_lost_request_is_sent_again_only_when_the_meter_says_so() -> None:
    association = opened()
    association.get([VOLTAGE], 1.0)
    request = association.data_to_send()
    association.receive_data(meter(1 << 5 | 0x10 | RR), 1.1)          # nobody asked: not taken for "I have not got it"
    assert association.data_to_send() == b""
    association.handle_timer(3.1)
    assert len(sent(association)) == 1                                # the poll
    association.receive_data(meter(1 << 5 | 0x10 | RR), 3.2)          # N(R) 1: it wants frame 1
    assert association.data_to_send() == request
    association.receive_data(ANSWER, 3.3)
    assert value(association) == 2301


def test_busy_meter_is_waited_for() -> None:
    association = waiting()
    association.handle_timer(3.0)
    association.data_to_send()
    association.receive_data(meter(2 << 5 | 0x10 | RR), 3.1)          # it has the request, no answer yet
    association.receive_data(meter(2 << 5 | 0x10 | RNR), 3.2)
    assert association.data_to_send() == b""
    association.receive_data(ANSWER, 5.0)
    assert value(association) == 2301


def test_silence_after_the_polls_ends_in_no_answer() -> None:
    association = waiting()
    seen: list[tuple[float, list[int]]] = []
    with pytest.raises(NoAnswer, match="waiting for an answer"):
        let_timers_fire(association, seen)
    assert seen == [(3.0, [0x31]), (5.0, [0x31]), (7.0, [])]       # RR, N(R) 1; the deadline is at 9


def test_reject_brings_the_frame_again_but_not_for_ever() -> None:
    association = opened()
    association.get([VOLTAGE], 1.0)
    request = association.data_to_send()
    for _ in range(2):
        association.receive_data(meter(1 << 5 | 0x10 | REJ), 1.1)
        assert association.data_to_send() == request
    with pytest.raises(Violation, match="again and again"):
        association.receive_data(meter(1 << 5 | 0x10 | REJ), 1.2)


def test_poll_for_a_frame_that_was_acknowledged_ends_the_session() -> None:
    association = waiting()
    association.handle_timer(3.0)
    with pytest.raises(Violation, match="acknowledged before"):
        association.receive_data(meter(5 << 5 | 0x10 | RR), 3.1)


def test_repeated_answer_of_the_meter_is_dropped() -> None:
    association = waiting()
    association.receive_data(ANSWER + ANSWER, 1.1)
    assert value(association) == 2301
    assert association.next_event() is None
    assert association.state is State.READY


def test_answer_behind_a_damaged_frame_is_found_when_the_timer_fires() -> None:
    association = waiting()
    long_answer = i_frame(bytes(100), 1, 2)
    association.receive_data(long_answer[:40] + ANSWER, 1.1)          # the rest of the first one never comes
    assert association.next_event() is None
    association.handle_timer(3.0)
    assert value(association) == 2301
    assert association.data_to_send() == b""


def test_lost_segment_of_an_answer_is_asked_for() -> None:
    association = waiting()
    association.receive_data(i_frame(bytes.fromhex("c401c1"), 1, 2, segmented=True), 1.1)
    assert [frame.control for frame in sent(association)] == [2 << 5 | 0x10 | RR]
    association.handle_timer(3.1)                                     # segment 2 was lost
    assert [frame.control for frame in sent(association)] == [2 << 5 | 0x10 | RR]
    association.receive_data(meter(2 << 5 | 0x10 | 2 << 1, bytes.fromhex("001208fd")), 3.2)
    assert value(association) == 2301


def test_rr_in_the_middle_of_a_long_request() -> None:
    association = opened()
    association.get([VOLTAGE] * 18, 1.0)
    (first,) = sent(association)
    assert (first.segmented, len(first.information), first.control) == (True, 128, 1 << 5 | 0x10 | 1 << 1)
    association.receive_data(meter(1 << 5 | 0x10 | RR), 1.1)          # an old RR: does not acknowledge frame 1
    assert sent(association) == []
    association.receive_data(meter(2 << 5 | 0x10 | RNR), 1.15)        # busy: asked again later
    assert sent(association) == []
    association.handle_timer(3.2)
    (poll,) = sent(association)
    assert poll.control == 1 << 5 | 0x10 | RR
    association.receive_data(meter(2 << 5 | 0x10 | RR), 3.3)
    (second,) = sent(association)
    assert (second.segmented, second.control) == (False, 1 << 5 | 0x10 | 2 << 1)
    assert len(first.information) + len(second.information) == 3 + 4 + 18 * 10


def test_answer_to_half_a_request_is_refused() -> None:
    association = opened()
    association.get([VOLTAGE] * 18, 1.0)
    with pytest.raises(Violation, match="half a request"):
        association.receive_data(ANSWER, 1.1)


def test_126_requests_and_more() -> None:
    """The predecessor died at the 126th, whose invoke-id made 0x7E stand inside the frame."""
    association = opened()
    for number in range(300):
        association.get([VOLTAGE], float(number))
        (request,) = sent(association)
        send, receive = request.control >> 1 & 7, request.control >> 5
        raw = (number * 0x7E) & 0xFFFF
        reply = b"\xc4\x01" + request.information[5:6] + b"\x00\x12" + raw.to_bytes(2, "big")
        association.receive_data(i_frame(reply, receive, (send + 1) & 7), number + 0.1)
        assert value(association) == raw


# -- ends ------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("frame", "error", "text"), [
    (meter(hdlc.DM), ConnectionLost, "dropped"),
    (meter(hdlc.FRMR, b"\x32\x32\x01"), Violation, "FRMR 323201"),
    (meter(hdlc.FRMR, b"\x32" * 100), Violation, r"FRMR 323232\)"),
    (meter(hdlc.SNRM), Violation, "other"),
    (meter(hdlc.UI, bytes.fromhex("e6e700c401c1001208fd")), Violation, "UI frame that holds an answer"),
    (i_frame(bytes.fromhex("c401c1001208fd"), 1, 2, llc=b"\xe6\xe6\x00"), Violation, "LLC"),
    (i_frame(b"", 1, 2), Violation, "nothing behind"),
])
def test_frames_that_end_a_session(frame: bytes, error: type[Exception], text: str) -> None:
    association = waiting()
    with pytest.raises(error, match=text):
        association.receive_data(frame, 1.1)
    assert association.state is State.FAILED


def test_after_a_fault_disc_is_still_sent_and_late_answers_are_dropped() -> None:
    association = waiting()
    with pytest.raises(NoAnswer):
        association.handle_timer(9.0)
    association.data_to_send()
    association.close(9.0)
    assert [frame.control for frame in sent(association)] == [hdlc.DISC]
    association.receive_data(ANSWER, 9.5)
    assert association.next_event() is None
    association.receive_data(meter(hdlc.UA), 9.6)
    assert association.next_event() == Closed()
    association.receive_data(ANSWER, 9.7)             # closed: whatever still comes is nobody's
    association.close(9.8)
    assert association.next_event() is None


def test_disc_without_answer_closes_after_the_repeat_time() -> None:
    association = opened()
    association.close(1.0)
    assert association.next_timer() == 3.0
    association.handle_timer(3.0)
    assert association.next_event() == Closed()
    assert association.next_timer() is None


@pytest.mark.parametrize("prepare", [fresh, waiting])
def test_end_of_stream_in_an_exchange(prepare: Callable[..., Association]) -> None:
    with pytest.raises(ConnectionLost, match="closed while"):
        prepare().receive_eof()


def test_end_of_stream_between_exchanges_is_no_fault() -> None:
    association = opened()
    association.receive_data(b"\r\nClosing socket due to inactivity (30 sec)\r\nCLOSE\r\n", 31.0)
    association.receive_eof()
    event = association.next_event()
    assert isinstance(event, Closed)
    assert "inactivity" in event.text
    association.receive_eof()
    assert association.next_event() is None


def test_bridge_that_serves_another_client() -> None:
    association = fresh()
    association.receive_data(b"Port already in use\r\n", 0.1)
    with pytest.raises(BridgeBusy, match="Port already in use") as caught:
        association.receive_eof()
    assert caught.value.reason is FailReason.BRIDGE_BUSY
    association = fresh(link_repeats=0)
    association.receive_data(b"Port already in use\r\n", 0.1)
    with pytest.raises(BridgeBusy):                   # also when the bridge keeps the connection
        association.handle_timer(8.0)


def test_bridge_in_front_of_a_wrapper_meter() -> None:
    association = Association(AssociationSettings(framing="wrapper", client_sap=16, server_logical=1))
    association.open(0.0)
    with pytest.raises(BridgeBusy, match="Port already in use"):
        association.receive_data(b"Port already in use\r\n", 0.1)
    association = Association(AssociationSettings(framing="wrapper", client_sap=16, server_logical=1))
    association.open(0.0)
    association.receive_data(b"busy", 0.1)
    with pytest.raises(BridgeBusy, match="busy"):
        association.receive_eof()


# -- calls out of order --------------------------------------------------------------------------------------------------

def test_calls_out_of_order_are_ours_to_refuse() -> None:
    association = waiting()
    with pytest.raises(LocalStateError, match="GET while"):
        association.get([VOLTAGE], 1.0)
    with pytest.raises(LocalStateError, match="open while"):
        association.open(1.0)
    association.receive_data(ANSWER, 1.1)             # the exchange lives on
    assert value(association) == 2301
    with pytest.raises(LocalStateError, match="0 attributes"):
        association.get([], 2.0)
    with pytest.raises(LocalStateError, match="out of range"):
        association.get([Attribute(70_000, VOLTAGE.obis, 2)], 2.0)
    unopened = Association(AssociationSettings(framing="wrapper", client_sap=1, server_logical=1))
    with pytest.raises(LocalStateError, match="new"):
        unopened.receive_data(b"\x00", 0.0)
    with pytest.raises(LocalStateError, match="new"):
        unopened.get([VOLTAGE], 0.0)


@pytest.mark.parametrize("wrong", [
    {"client_sap": 200}, {"server_physical": 20_000}, {"address_bytes": 1}, {"max_pdu": 10}, {"max_info_bytes": 8},
    {"max_info_bytes": 2031}, {"first_invoke_id": 16}, {"exchange_timeout_s": 0.0}, {"link_repeats": -1},
    {"authentication": "lls"}, {"authentication": "lls", "password": b"x" * 65}, {"framing": "wrapper", "client_sap": 70_000},
])
def test_settings_that_cannot_be_written(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        fresh(**wrong)


def test_password_is_in_no_text() -> None:
    settings = AssociationSettings(framing="wrapper", client_sap=1, server_logical=1, authentication="lls", password=b"s3cret")
    assert "s3cret" not in repr(settings)
    assert b"s3cret".hex() not in repr(settings)


def test_list_capacity_follows_what_was_negotiated() -> None:
    def capacity(conformance: str, pdu: str) -> int:
        association = Association(AssociationSettings(framing="wrapper", client_sap=1, server_logical=1, max_pdu=512))
        association.open(0.0)
        aare = AARE.hex().replace("00121d0400", conformance + pdu)
        association.receive_data(wrapper.encode(1, 1, bytes.fromhex(aare)), 0.1)
        return association.list_capacity()

    assert capacity("00121d", "0400") == 102          # 3 + 1 + 102 * 10 = 1024
    assert capacity("00121d", "00c8") == 19
    assert capacity("00121d", "0000") == 6552         # no limit but the 65,535 octets of the wrapper: 3 + 3 + 65,520
    assert capacity("00101d", "0400") == 1            # no lists
    assert capacity("00021d", "0400") == 56           # no blocks: the answer must fit our 512

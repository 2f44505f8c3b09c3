"""General block transfer against a meter's side written from the standard, over a way that loses blocks."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from foreign_meter import METER_TITLE, ForeignMeter
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dlms_security import opened as ciphered

from edge.dlms import axdr, wrapper
from edge.dlms.association import Association, AssociationSettings, State, Written
from edge.dlms.blocks import MAX_ANSWER_BYTES
from edge.dlms.conformance import OFFERED, Conformance
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.gbt import GENERAL_BLOCK_TRANSFER, HEAD_BYTES, MAX_REPEATS, BlockTransfer
from edge.dlms.set import SetResult
from edge.errors import MeterError, Violation

A = Attribute(1, Obis(0, 0, 96, 1, 0), 2)
LAST, STREAMING = 0x80, 0x40


def block(control: int, number: int, acknowledged: int, data: bytes = b"") -> bytes:
    return bytes((GENERAL_BLOCK_TRANSFER, control)) + number.to_bytes(2, "big") + acknowledged.to_bytes(2, "big") + axdr.encode_length(len(data)) + data


def parts(message: bytes) -> tuple[int, int, int, bytes]:
    length, at = axdr.decode_length(message, 6)
    assert message[0] == GENERAL_BLOCK_TRANSFER
    assert at + length == len(message)
    return message[1], int.from_bytes(message[2:4], "big"), int.from_bytes(message[4:6], "big"), message[at:]


class MeterSide:
    """The meter's half of one invocation: takes a request in blocks or whole, answers in blocks of `size` octets."""

    def __init__(self, answer: Callable[[bytes], bytes], size: int, window: int) -> None:
        self.answer, self.size, self.window = answer, size, window
        self.request: list[bytes] = []
        self.own: list[bytes] | None = None
        self.number = self.client_window = 0
        self.base = 0          # our numbers before the first block of the answer: acknowledgements count too

    def take(self, messages: list[bytes]) -> list[bytes]:
        """Take what arrived of a turn; return the meter's turn."""
        acknowledged, last = 0, False
        for message in messages:
            if message[0] != GENERAL_BLOCK_TRANSFER:
                self._answered(message)
                self.client_window = 1
                return self._burst(0)
            control, number, acknowledged, data = parts(message)
            self.client_window = control & 0x3F
            if self.own is None and number == len(self.request) + 1:
                self.request.append(data)
                last = bool(control & LAST)
        if self.own is None:
            if not last:
                self.number += 1
                self.base = self.number
                return [block(self.window, self.number, len(self.request))]
            self._answered(b"".join(self.request))
            return self._burst(0)
        return self._burst(max(0, acknowledged - self.base))

    def _answered(self, request: bytes) -> None:
        whole = self.answer(request)
        self.own = [whole[at:at + self.size] for at in range(0, len(whole), self.size)]

    def _burst(self, first: int) -> list[bytes]:
        assert self.own is not None
        end = min(first + self.client_window, len(self.own))
        return [block((LAST if index + 1 == len(self.own) else 0 if index + 1 == end else STREAMING) | self.window,
                      self.base + index + 1, len(self.request), self.own[index]) for index in range(first, end)]


def carry(transfer: BlockTransfer, first: list[bytes], meter: MeterSide, lose: Iterator[bool]) -> bytes:
    """Carry turns to and fro until the answer is whole. The last block of a turn is never lost: time would end that."""
    turn = first
    for _ in range(10_000):
        arrived = [message for message in turn[:-1] if not next(lose)] + turn[-1:]
        turn = []
        answers = meter.take(arrived)
        for message in [each for each in answers[:-1] if not next(lose)] + answers[-1:]:
            send, whole = transfer.receive(message)
            if whole is not None:
                return whole
            turn += send
        assert turn, "both sides wait"
    raise AssertionError("never ends")


def never() -> Iterator[bool]:
    while True:
        yield False


def sometimes(seed: int, share: float) -> Iterator[bool]:
    rng = random.Random(seed)
    while True:
        yield rng.random() < share


@settings(deadline=None)
@given(st.binary(max_size=900).map(b"\xc1".__add__), st.binary(min_size=1, max_size=900), st.integers(1, 63), st.integers(1, 63),
       st.integers(HEAD_BYTES + 1, 300), st.integers(1, 300))
def test_requests_and_answers_of_any_length_arrive_whole(
        request: bytes, answer: bytes, ours: int, theirs: int, room: int, size: int) -> None:
    got: list[bytes] = []

    def served(message: bytes) -> bytes:
        got.append(message)
        return answer

    transfer = BlockTransfer(ours)
    first = list(transfer.start(request, room)) if len(request) > room else [request]
    assert all(len(message) <= room for message in first)
    assert carry(transfer, first, MeterSide(served, size, theirs), never()) == answer
    assert got == [request]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 20), st.integers(2, 20), st.floats(0.05, 0.4))
def test_lost_blocks_are_sent_again_and_nothing_is_joined_across_a_gap(seed: int, ours: int, theirs: int, share: float) -> None:
    rng = random.Random(seed)
    request, answer = rng.randbytes(rng.randrange(200, 600)), rng.randbytes(rng.randrange(100, 800))
    transfer = BlockTransfer(ours)
    got: list[bytes] = []

    def served(message: bytes) -> bytes:
        got.append(message)
        return answer

    try:
        assert carry(transfer, list(transfer.start(request, 40)), MeterSide(served, 30, theirs), sometimes(seed, share)) == answer
    except Violation as why:
        assert "lost 3 times over" in str(why)      # noqa: PT017 - the only fault there may be
    assert got in ([request], [])


def test_a_window_is_one_turn() -> None:
    """The standard's picture of streaming: blocks up to the window, the last of them hands the turn over."""
    transfer = BlockTransfer(3)
    for number in (1, 2):
        assert transfer.receive(block(STREAMING | 3, number, 0, b"ab")) == ((), None)
    [acknowledgement], whole = transfer.receive(block(3, 3, 0, b"ab"))
    assert (parts(acknowledgement), whole) == ((LAST | 3, 1, 3, b""), None)
    assert transfer.receive(block(LAST | 3, 4, 1, b"c")) == ((), b"abababc")


def test_blocks_behind_a_gap_are_dropped_and_asked_for_again() -> None:
    transfer = BlockTransfer(4)
    transfer.receive(block(STREAMING | 4, 1, 0, b"1"))
    transfer.receive(block(STREAMING | 4, 3, 0, b"3"))
    [acknowledgement], _ = transfer.receive(block(LAST | 4, 4, 0, b"4"))
    assert parts(acknowledgement)[2] == 1
    transfer.receive(block(STREAMING | 4, 2, 1, b"2"))
    transfer.receive(block(STREAMING | 4, 3, 1, b"3"))
    assert transfer.receive(block(LAST | 4, 4, 1, b"4")).whole == b"1234"


def test_a_transfer_without_progress_ends() -> None:
    transfer = BlockTransfer(4)
    for _ in range(MAX_REPEATS - 1):
        assert transfer.receive(block(4, 7, 0, b"7")).send
    with pytest.raises(Violation, match="lost 3 times over"):
        transfer.receive(block(4, 7, 0, b"7"))


@pytest.mark.parametrize("message", [
    "e0", "e0810001000000"[:12], "e08100010000", "e0810001000002aa", "e0810001000001aabb", "e08100000000 00", "e0810001000100", "e081000100008101",
])
def test_blocks_that_cannot_be(message: str) -> None:
    with pytest.raises(Violation):
        BlockTransfer(1).receive(bytes.fromhex(message))


def test_a_window_of_zero_ends_a_request_in_blocks() -> None:
    transfer = BlockTransfer(1)
    transfer.start(bytes(100), 40)
    with pytest.raises(Violation, match="window is 0"):
        transfer.receive(block(0, 1, 1))


def test_an_answer_without_end_is_refused_in_bounded_memory() -> None:
    transfer = BlockTransfer(1)
    piece = bytes(60_000)
    most = MAX_ANSWER_BYTES // len(piece)
    for number in range(1, most + 1):
        transfer.receive(block(1, number, number - 1, piece))
    with pytest.raises(Violation, match=str(MAX_ANSWER_BYTES)):
        transfer.receive(block(1, most + 1, most, piece))


def test_a_room_without_space_for_data_is_ours_to_refuse() -> None:
    with pytest.raises(ValueError, match="cannot be sent in blocks of 9"):
        BlockTransfer(1).start(b"x", HEAD_BYTES)


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=30), st.builds(
    block, st.integers(0, 255), st.integers(0, 6), st.integers(0, 6), st.binary(max_size=9))), max_size=12), st.booleans())
def test_any_blocks_end_in_a_violation_or_a_turn(messages: list[bytes], sending: bool) -> None:
    transfer = BlockTransfer(5)
    if sending:
        transfer.start(bytes(100), 30)
    for message in messages:
        try:
            send, whole = transfer.receive(message)
        except Violation as why:
            assert "\n" not in str(why)      # noqa: PT017 - which type comes out is the point
            return
        assert len(send) <= 63
        if whole is not None:
            return


# -- in an association ----------------------------------------------------------------------------------------------------------

GBT = OFFERED | Conformance.GENERAL_BLOCK_TRANSFER


def plain(window: int = 4, max_pdu: int = 64) -> Association:
    association = Association(AssociationSettings("wrapper", 1, 1, conformance=GBT, gbt_window=window))
    association.open(0.0)
    association.data_to_send()
    initiate = bytes.fromhex("0800065f1f0400") + int(GBT).to_bytes(3, "big") + max_pdu.to_bytes(2, "big") + b"\0\7"
    body = bytes.fromhex("a109060760857405080101a203020100a305a103020100be10040e") + initiate
    association.receive_data(wrapper.encode(1, 1, bytes((0x61, len(body))) + body), 0.5)
    association.next_event()
    return association


def conversed(association: Association, meter: MeterSide) -> Any:
    source = association._settings.client_sap
    while sent := association.data_to_send():
        messages = [frame.apdu for frame in wrapper.WrapperDeframer().feed(sent)]
        for message in meter.take(messages):
            association.receive_data(wrapper.encode(1, source, message), 1.0)
    return association.next_event()


@pytest.mark.parametrize("window", [1, 4, 63])
def test_a_long_set_and_a_long_get_by_general_blocks(window: int) -> None:
    content = bytes(range(256)) * 3
    seen: list[bytes] = []

    def served(message: bytes) -> bytes:
        seen.append(message)
        return b"\xc5\x01" + message[2:3] + b"\0" if message[0] == 0xC1 else b"\xc4\x01" + message[2:3] + b"\0" + axdr.encode(content)

    association = plain(window)
    association.set([(A, content)], 1.0)
    assert conversed(association, MeterSide(served, 50, window)) == Written((SetResult(A, None),))
    assert axdr.encode(content) in seen[0]
    for _ in range(2):            # numbers begin anew with each invocation
        association.get([A], 2.0)
        answer = conversed(association, MeterSide(served, 50, window))
        assert [result.data for result in answer.results] == [content]
    assert association.state is State.READY


@pytest.mark.parametrize("form", ["general-glo", "ded"])
def test_ciphered_apdus_by_general_blocks(form: str) -> None:
    """The whole is ciphered first and then cut: one counter for each APDU, not for each block."""
    meter = ForeignMeter(form=form, max_pdu=80)
    association = ciphered(meter, conformance=GBT | Conformance.GENERAL_PROTECTION, gbt_window=3)
    before = len(meter.heard_counters)
    association.get([A] * 9, 1.0)
    answer = conversed(association, MeterSide(meter.answer, 25, 3))
    assert len(answer.results) == 9
    assert len(meter.heard_counters) == before + 1
    assert METER_TITLE


def test_general_blocks_in_general_blocks_are_refused() -> None:
    association = plain()
    association.get([A], 1.0)
    association.data_to_send()
    with pytest.raises(MeterError):
        association.receive_data(wrapper.encode(1, 1, block(LAST | 1, 1, 0, block(LAST | 1, 1, 0, b"x"))), 1.0)
    assert association.state is State.FAILED


def test_an_empty_last_block_before_the_answer_only_acknowledges() -> None:
    """Meters say "last" of an acknowledgement, as this client does: they have nothing more to send yet."""
    transfer = BlockTransfer(2)
    transfer.start(bytes(100), 64)
    [second], _ = transfer.receive(block(LAST | 2, 1, 1))
    assert parts(second)[:2] == (LAST | 2, 2)
    assert transfer.receive(block(LAST | 2, 2, 2, b"answer")).whole == b"answer"

"""The short way of a list that is asked for again: it must show in nothing but time."""

from typing import Any
from unittest.mock import patch

import pytest
from fuzz_exchanges import ready
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms import axdr, wrapper
from edge.dlms.apdu import get_request
from edge.dlms.association import Association, State
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.data import INTEGERS, Integer
from edge.dlms.shortcut import ShortCut
from edge.errors import MeterError

ASKED = tuple(Attribute(3, Obis(1, 0, group, 7, 0), 2) for group in (32, 52, 72))
PUSH = bytes.fromhex("c2 00 0003 0100200700ff 02 1208fd")

integers = st.one_of([st.integers(0, 127).map(lambda value, tag=tag: Integer(tag, value)) for tag in INTEGERS])
values = st.lists(integers, min_size=3, max_size=3)


def answer(data: list[Any], invoke_id: int) -> bytes:
    listed = b"".join(b"\0" + axdr.encode(value) for value in data)
    return wrapper.encode(1, 1, bytes((0xC4, 3, 0xC0 | invoke_id, len(data))) + listed)


def asked_once(data: list[Any]) -> Association:
    association = ready()
    association.get(ASKED, 0.0)
    association.receive_data(answer(data, association._invoke_id - 1 & 0x0F), 0.0)
    association.next_event()
    association.data_to_send()
    return association


def played(association: Association, pieces: list[bytes]) -> list[Any]:
    """What is sent, what comes of each piece, and where it all ends."""
    told: list[Any] = [association.data_to_send(), association.next_timer()]
    for piece in pieces:
        try:
            association.receive_data(piece, 1.0)
        except MeterError as why:
            told.append((type(why), str(why)))
            break
        while (event := association.next_event()) is not None:
            told += [event, [type(result.data) for result in getattr(event, "results", ())]]
        told += [association.state, association.data_to_send(), association.next_timer()]
        if association.state is not State.WAITING:
            break
    return [*told, association.state, association.traffic, association._invoke_id]


@given(values, values, st.booleans(), st.integers(0, 15), st.data())
def test_nothing_but_time(first: list[Any], second: list[Any], alike: bool, invoke_id: int, data: st.DataObject) -> None:
    stream = bytearray(answer(first if alike else second, invoke_id))
    if data.draw(st.booleans()):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    before = data.draw(st.sampled_from([b"", wrapper.encode(1, 1, PUSH), b"\0"]))
    after = data.draw(st.sampled_from([b"", wrapper.encode(1, 1, PUSH), b"\0\1", answer(first, invoke_id)]))
    stream = before + stream + after
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    pieces = [bytes(stream[start:end]) for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    told = []
    for again in (ASKED, (*ASKED,)):       # the very tuple that was asked for before, and one that is equal
        association = asked_once(first)
        association._invoke_id = invoke_id
        association.get(again, 0.0)
        told.append(played(association, [piece for piece in pieces if piece]))
    assert told[0] == told[1]


def test_it_is_taken_for_an_answer_in_one_piece_and_for_no_other() -> None:
    taken: list[bool] = []
    real = ShortCut.read

    def watched(self: ShortCut, frame: bytes, invoke_id: int) -> Any:
        taken.append((results := real(self, frame, invoke_id)) is not None)
        return results

    numbers = [Integer(18, 2300), Integer(18, 2301), Integer(6, 7)]
    with patch.object(ShortCut, "read", watched):
        association = asked_once(numbers)
        for turn in range(20):
            invoke_id = association._invoke_id
            association.get(ASKED, 0.0)
            assert association.data_to_send() == wrapper.encode(1, 1, get_request(ASKED, invoke_id))
            whole = answer(numbers, invoke_id)
            for piece in (whole,) if turn % 2 else (whole[:9], whole[9:]):
                association.receive_data(piece, 0.0)
            event = association.next_event()
            assert [(result.attribute, result.data, type(result.data), result.error) for result in event.results] == [
                (attribute, number, type(number), None) for attribute, number in zip(ASKED, numbers, strict=True)]
    assert taken == [False, True] * 10


def test_what_is_left_of_a_frame_is_not_jumped_over() -> None:
    association = asked_once([Integer(18, 1)] * 3)
    association.receive_data(b"\0\1", 0.0)          # the beginning of something, while nothing is due
    invoke_id = association._invoke_id
    association.get(ASKED, 0.0)
    with pytest.raises(MeterError):
        association.receive_data(answer([Integer(18, 2)] * 3, invoke_id), 0.0)
    assert association.next_event() is None

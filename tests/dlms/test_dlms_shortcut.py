"""The short way of a list that is asked for again: it must show in nothing but time."""

from typing import Any

import pytest
from fuzz_exchanges import ready
from hypothesis import given
from hypothesis import strategies as st

from edge.dlms import axdr, wrapper
from edge.dlms.apdu import get_request
from edge.dlms.association import Association, State
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.data import INTEGERS, Integer
from edge.dlms.get import Answer
from edge.errors import LocalStateError, MeterError

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


def ask(association: Association, *, again: bool) -> bytes:
    if not again:
        association.get(ASKED, 0.0)
        return association.data_to_send()
    assert association.knows(ASKED)
    request, deadline = association.get_again(0.0)
    assert deadline == association.next_timer()
    return request


def played(association: Association, pieces: list[bytes], *, again: bool) -> list[Any]:
    """What is sent, what comes of each piece, and where it all ends."""
    told: list[Any] = [ask(association, again=again), association.next_timer()]
    for number, piece in enumerate(pieces):
        try:
            if again and not number and (results := association.answered(piece)) is not None:
                told += [Answer(results), [type(result.data) for result in results]]
            else:
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
    for again in (True, False):
        association = asked_once(first)
        association._invoke_id = invoke_id
        told.append(played(association, [piece for piece in pieces if piece], again=again))
    assert told[0] == told[1]


def test_it_is_taken_for_an_answer_in_one_piece_and_for_no_other() -> None:
    numbers = [Integer(18, 2300), Integer(18, 2301), Integer(6, 7)]
    association = asked_once(numbers)
    for turn in range(20):
        invoke_id = association._invoke_id
        assert ask(association, again=True) == wrapper.encode(1, 1, get_request(ASKED, invoke_id))
        whole = answer(numbers, invoke_id)
        pieces = (whole,) if turn % 2 else (whole[:9], whole[9:])
        results = association.answered(pieces[0])
        assert (results is not None) == bool(turn % 2)
        if results is None:
            for piece in pieces:
                association.receive_data(piece, 0.0)
            results = association.next_event().results
        assert association.next_event() is None
        assert [(result.attribute, result.data, type(result.data), result.error) for result in results] == [
            (attribute, number, type(number), None) for attribute, number in zip(ASKED, numbers, strict=True)]


def test_only_the_very_list_that_was_answered_last_is_known() -> None:
    association = ready()
    assert not association.knows(ASKED)
    with pytest.raises(LocalStateError, match="once more"):
        association.get_again(0.0)
    association = asked_once([Integer(18, 1)] * 3)
    assert association.knows(ASKED)
    assert not association.knows((*ASKED,)), "an equal one"
    ask(association, again=True)
    assert not association.knows(ASKED), "one question at a time"
    association.receive_data(answer([Integer(18, 1), None, Integer(18, 1)], association._invoke_id - 1 & 0x0F), 0.0)
    association.next_event()
    assert not association.knows(ASKED), "answered with other than numbers"


def test_what_is_left_of_a_frame_is_not_jumped_over() -> None:
    association = asked_once([Integer(18, 1)] * 3)
    association.receive_data(b"\0\1", 0.0)          # the beginning of something, while nothing is due
    invoke_id = association._invoke_id
    assert not association.knows(ASKED)
    association.get(ASKED, 0.0)
    with pytest.raises(MeterError):
        association.receive_data(answer([Integer(18, 2)] * 3, invoke_id), 0.0)
    assert association.next_event() is None

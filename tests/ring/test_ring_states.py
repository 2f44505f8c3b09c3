"""The state that rides in every page: taken when a slot is read, left alone when it has just been written."""

import pytest

from edge.ring.ackset import AckSet
from edge.ring.batch import Commit, data_frames
from edge.ring.frame import PAGE_BYTES, Frame, encode_frame, new_packer
from edge.ring.layout import SlotHeader
from edge.ring.losses import State
from edge.ring.segment import Segment, scan

EPOCH, UID, ROW = 5, 77, new_packer()([0, 0, 1, 2])
HEADER = SlotHeader(b"r" * 16, 2, EPOCH, 1, EPOCH << 40 | 1, UID, bytes(16), 0, 0, 3, 0)


def page(ordinal: int, acks: AckSet) -> Frame:
    (frame,) = data_frames(Commit(ordinal, (ROW, ROW), ()), EPOCH, new_packer()(State(acks).encode(1_000)), ordinal)
    return frame


def acknowledged(*spans: tuple[int, int]) -> AckSet:
    acks = AckSet()
    for first, last in spans:
        acks.add(first, last)
    return acks


def test_what_this_run_has_written_is_not_taken_back() -> None:
    """The event loop acknowledges meanwhile, in the same set and without waiting for the writer's thread."""
    segment = Segment(HEADER, 16)
    segment.take(page(1, acknowledged((1, 1), (40, 44))), 2, 1, ours=True)
    assert (segment.next_ordinal, len(segment.entries), segment.state.acks.end) == (3, 1, 1)
    segment.take(page(3, acknowledged((1, 1), (40, 44))), 3, 1)
    assert (segment.next_ordinal, len(segment.entries), segment.state.acks.end) == (5, 2, 45)


def test_a_state_that_stands_in_many_pages_is_read_once_and_each_other_one_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    read, decode = [], State.decode
    monkeypatch.setattr(State, "decode", lambda row: read.append(row) or decode(row))
    floors = [1, 1, 1, 4, 4, 9]
    pages = [encode_frame(page(1 + 2 * n, acknowledged((1, floor - 1))), UID) for n, floor in enumerate(floors)]
    data = bytes(2 * PAGE_BYTES) + b"".join(pages)
    segment = scan(lambda offset, length: data[offset : offset + length], len(data), HEADER)
    assert [row[0][0] for row in read] == [1, 4, 9]
    assert (segment.state.acks.floor, segment.unknown, segment.next_ordinal) == (9, 0, 13)

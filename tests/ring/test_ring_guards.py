"""Guards that no history of the machine has needed yet (GUARDED in ring_mutants.py), each by the pages that need it."""

import copy
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from ring_sim import CRASHES, FakeClock, PowerCut, SimulatedFs

from edge.config import RingSettings
from edge.model import Stream
from edge.ring.batch import Commit
from edge.ring.engine import Engine
from edge.ring.frame import PAGE_BYTES, Frame, FrameType, encode_frame, new_packer
from edge.ring.layout import SlotHeader
from edge.ring.pool import SlotPool
from edge.ring.segment import Segment, scan
from edge.ring.slots import Condition, Slot

EPOCH, UID, PACK = 5, 77, new_packer()
ROW = PACK([0, 0, 1, 2])
SETTINGS = RingSettings(size_mib=1, slot_mib=12 * 4096 / (1 << 20), alarm_share=0.0625, billing_share=0.7)
HEADER = SlotHeader(b"r" * 16, 2, EPOCH, 1, EPOCH << 40 | 1, UID, bytes(16), 0, 0, 3, 0)


def data(ordinal: int, epoch: int = EPOCH) -> bytes:
    """Two records, from `ordinal` on."""
    return encode_frame(Frame(FrameType.DATA, 0, 2, epoch << 40 | ordinal, ROW * 2), UID)


def opening(ordinal: int, epoch: int) -> bytes:
    return encode_frame(Frame(FrameType.OPEN, 0, 0, epoch << 40 | ordinal, PACK([bytes(16), 0, 0, 3, None])), UID)


def scanned(*pages: bytes) -> Segment:
    slot = bytes(2 * PAGE_BYTES) + b"".join(pages) + bytes(2 * PAGE_BYTES)
    return scan(lambda offset, length: slot[offset : offset + length], len(slot), HEADER)


def test_a_frame_that_the_next_run_could_not_read_does_not_come_back_under_a_number_used_again() -> None:
    ghost = scanned(data(1), data(3), opening(3, EPOCH + 1), data(3, EPOCH + 1))
    assert [entry.first_seq for entry in ghost.entries] == [EPOCH << 40 | 1, EPOCH + 1 << 40 | 3]
    assert (ghost.next_ordinal, ghost.holes(1, ghost.next_ordinal)) == (5, [])


def test_a_frame_without_records_tells_of_those_that_a_destroyed_page_held() -> None:
    said = encode_frame(Frame(FrameType.ANCHOR, 0, 0, EPOCH << 40 | 5, b""), UID)
    segment = scanned(data(1), bytes(PAGE_BYTES), said)
    assert (segment.next_ordinal, segment.holes(1, segment.next_ordinal)) == (5, [(3, 4)])


def test_a_last_page_that_is_torn_behind_its_head_is_counted_and_its_numbers_are_not_given_again() -> None:
    torn = bytearray(data(3))
    torn[24] ^= 1
    segment = scanned(data(1), bytes(torn))
    assert (segment.next_ordinal, segment.damaged, segment.holes(1, segment.next_ordinal)) == (5, 1, [(3, 4)])


@pytest.mark.parametrize("choice", CRASHES)
def test_what_was_lost_and_acknowledged_outlives_a_cut_where_the_only_segment_is_full_and_not_needed(choice: str) -> None:
    """Its slot is not the next one: a cut in the header would leave neither the old state nor the new one."""
    clock, rng = FakeClock(), random.Random(1)

    def opened(fs: SimulatedFs) -> Engine:
        clock.forward(1_000)
        return Engine(fs, Path("ring"), SETTINGS, clock.stamp, rng.randbytes)

    whole = SimulatedFs()
    engine = opened(whole)
    engine.turn_away(Stream.INSTANT, 3, clock.wall_ms)
    engine.commit(Stream.INSTANT, Commit(engine.logs[Stream.INSTANT].view.next_ordinal, (), (), state_due=True))
    while (segment := engine.logs[Stream.INSTANT].view.active).next_page + 2 <= segment.pages:      # what a start takes
        engine.close()
        engine = opened(whole)
    for calls in range(1_000):
        cut = copy.deepcopy(whole)
        cut.calls_left = calls
        try:
            opened(cut)
        except PowerCut:
            cut.crash(choice, rng)
            assert opened(cut).logs[Stream.INSTANT].view.state.losses.total == 3, f"forgotten by a cut at call {calls}"
        else:
            break
    assert 20 < calls < 999


@pytest.mark.parametrize("needed", [False, True])
def test_on_a_full_disk_the_only_slot_that_can_be_written_is_written_over_once_nobody_needs_it(needed: bool) -> None:
    fs = SimulatedFs()
    fs.capacity = 0
    worn, newest = (Slot(Path(f"ring/instant/{n:05}.slot"), n, PAGE_BYTES * 12, condition) for n, condition in (
        (0, Condition.QUARANTINED), (1, Condition.USED)))
    view = SimpleNamespace(segments=[worn, newest], acknowledged=lambda _slot: not needed)
    pool = SlotPool(fs, Path("ring/instant"), [worn, newest], slot_bytes=PAGE_BYTES * 12, quota_bytes=1 << 20)
    if needed:
        with pytest.raises(OSError, match="No space"):
            pool.next(view)
    else:
        assert pool.next(view) is newest
    assert pool.has_free(view) is not needed

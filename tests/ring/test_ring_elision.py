"""Polled values that the server has before their window closes: published at once, never written, never counted as lost."""

import asyncio
import errno
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.ring.batch import STATE_BYTES, Commit, data_frames
from edge.ring.frame import Frame, FrameFlag, FrameType, encode_frame, frame_pages, new_packer
from edge.ring.layout import SlotHeader
from edge.ring.segment import Segment, scan
from edge.ring.store import Ring

SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
INSTANT, ALARM, BILLING = Stream.INSTANT, Stream.ALARM, Stream.BILLING
RING = Path("ring")


def settings(window_s: float = 60.0, **more) -> RingSettings:
    return RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=window_s,
                        billing_commit_window_s=0.01, alarm_commit_window_s=0.01, ack_commit_s=0.02, **more)


class CountingFs(SimulatedFs):
    """Tells what reached the medium, by stream."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[str, int] = {}

    def pwrite(self, path: Path, offset: int, data: bytes) -> None:
        self.written[path.parent.name] = self.written.get(path.parent.name, 0) + len(data)
        super().pwrite(path, offset, data)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def record(clock: FakeClock, n: int, text: str = "") -> Record:
    clock.forward(1)
    return Record(SCHEMA, "m1", clock.stamp(), (n, text))


async def everything(ring: Ring, stream: Stream = INSTANT) -> list[Stored]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0):
        found += part
    return found


def after_a_cut(fs: SimulatedFs) -> SimulatedFs:
    """What is there if the power fails now."""
    twin = SimulatedFs()
    for image in (twin.durable, twin.cached):
        image.update({path: bytearray(data) for path, data in fs.durable.items()})
    return twin


def ack(ring: Ring, *stored: Stored) -> None:
    ring.ack(SeqSpan(stored[0].stream, stored[0].seq, stored[-1].seq))


async def test_what_is_acknowledged_in_time_is_not_written(clock: FakeClock) -> None:
    fs = CountingFs()
    async with Ring.open(RING, settings(1.0), clock, fs) as ring:
        before = fs.written["instant"]
        for n in range(20):
            ticket = ring.put(INSTANT, record(clock, n))
            (stored,) = await ring.read(INSTANT)
            assert (stored.seq, stored.record.values[0]) == (ticket.seq, n)
            ack(ring, stored)
            assert await ticket == ticket.seq, "acknowledged is as good as durable"
        async with asyncio.timeout(10):
            while ring._lanes[INSTANT].pending:        # until its window closes
                await asyncio.sleep(0.02)
        assert fs.written["instant"] == before
        status = ring.status().streams["instant"]
        assert (status.elided, status.backlog, status.lost, status.in_memory) == (20, 0, 0, 0)
    async with Ring.open(RING, settings(), clock, fs) as ring:
        assert ring.status().lost == 0
        assert await everything(ring) == []
        assert ring.put(INSTANT, record(clock, 99)).seq & 0xFFFF == 21, "a clean stop keeps the count of the numbers"


async def test_a_number_is_not_given_again_after_a_power_cut(clock: FakeClock) -> None:
    fs, seen = SimulatedFs(), set()
    for _ in range(3):
        async with Ring.open(RING, settings(), clock, fs) as ring:
            tickets = [ring.put(INSTANT, record(clock, n)) for n in range(5)]
            assert not seen & {ticket.seq for ticket in tickets}
            seen |= {ticket.seq for ticket in tickets}
            ack(ring, *await everything(ring))
            after = after_a_cut(fs)
        fs = after
    assert len(seen) == 15


async def test_what_is_not_acknowledged_in_time_is_written_and_nothing_before_it_is_missed(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, settings(0.05), clock, fs) as ring:
        for n in range(10):
            ring.put(INSTANT, record(clock, n))
        ack(ring, *await everything(ring))
        late = ring.put(INSTANT, record(clock, 10))
        await late
        await asyncio.sleep(0)
        assert [s.seq for s in await everything(ring)] == [late.seq]
        after = after_a_cut(fs)
    async with Ring.open(RING, settings(), clock, after) as ring:
        assert [s.seq for s in await everything(ring)] == [late.seq]
        assert ring.status().lost == 0, "ten numbers that flash never saw are no loss"


async def test_with_something_older_waiting_all_is_written(clock: FakeClock) -> None:
    """Only a floor is sure to be remembered; an interval above it may be forgotten, and what it stood for is nowhere."""
    fs = CountingFs()
    async with Ring.open(RING, settings(0.05), clock, fs) as ring:
        old = ring.put(INSTANT, record(clock, 0))
        await old
        fresh = [ring.put(INSTANT, record(clock, n)) for n in range(1, 6)]
        ring.ack(SeqSpan(INSTANT, fresh[0].seq, fresh[-1].seq))
        before = fs.written["instant"]
        assert [s.seq for s in await everything(ring)] == [old.seq]
        await fresh[-1]
        assert fs.written["instant"] > before
        assert ring.status().streams["instant"].elided == 0
        ring.ack(SeqSpan(INSTANT, old.seq, old.seq))
        assert ring.backlog(INSTANT).records == 0


async def test_each_record_waits_its_own_window_so_the_last_ones_have_their_chance(clock: FakeClock) -> None:
    fs = CountingFs()
    async with Ring.open(RING, settings(1.0), clock, fs) as ring:
        before = fs.written["instant"]
        previous: list[Stored] = []
        for n in range(30):                          # three windows; each record is acknowledged one step late
            ring.put(INSTANT, record(clock, n))
            if previous:
                ack(ring, *previous)
            previous = await everything(ring)
            await asyncio.sleep(0.1)
        assert fs.written["instant"] == before
        assert ring.status().streams["instant"].elided >= 28


async def test_acknowledgements_that_fall_due_do_not_take_fresh_records_along(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, settings(), clock, fs) as ring:
        old = ring.put(INSTANT, record(clock, 0))
        ring._committer._commit(ring._lanes[INSTANT], 1)
        await old
        fresh = ring.put(INSTANT, record(clock, 1))
        ring.ack(SeqSpan(INSTANT, old.seq, old.seq))
        log = ring._lanes[INSTANT].log
        async with asyncio.timeout(5):
            while not log.clean:
                await asyncio.sleep(0.005)
        await ring._committer.settled()
        assert ring.status().streams["instant"].in_memory == 1
        assert [s.seq for s in await everything(ring)] == [fresh.seq]
        again = after_a_cut(fs)
    async with Ring.open(RING, settings(), clock, again) as ring:
        assert await everything(ring) == []
        assert ring.status().lost == 0


async def test_much_at_once_is_written_before_its_window_closes(clock: FakeClock) -> None:
    async with Ring.open(RING, settings(), clock, SimulatedFs()) as ring:
        tickets = [ring.put(INSTANT, record(clock, n, "x" * 3_000)) for n in range(40)]
        await asyncio.wait_for(tickets[20], 5)
        assert [s.seq for s in await everything(ring)] == [t.seq for t in tickets]


async def test_the_other_streams_are_durable_before_they_are_read(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, RingSettings(size_mib=1, slot_mib=0.0625, alarm_commit_window_s=60, billing_commit_window_s=60), clock, fs) as ring:
        for stream in (ALARM, BILLING):
            ring.put(stream, record(clock, 1))
            assert await ring.read(stream) == []
            assert await ring.read_newest(stream) == []
            assert ring.backlog(stream).records == 0


async def test_it_can_be_switched_off(clock: FakeClock) -> None:
    async with Ring.open(RING, settings(elide=False), clock, SimulatedFs()) as ring:
        ring.put(INSTANT, record(clock, 1))
        assert await ring.read(INSTANT) == []
        assert ring.backlog(INSTANT) == ring.backlog(INSTANT).__class__(0, None, 0)


async def test_flash_comes_before_memory_and_newest_is_newest(clock: FakeClock) -> None:
    async with Ring.open(RING, settings(), clock, SimulatedFs()) as ring:
        first = [ring.put(INSTANT, record(clock, n, "x" * 300)) for n in range(14)]
        ring._committer._commit(ring._lanes[INSTANT], 14)
        await first[0]
        later = [ring.put(INSTANT, record(clock, n)) for n in range(100, 103)]
        assert [s.seq for s in await everything(ring)] == [t.seq for t in first + later]
        assert [s.seq for s in await ring.read_newest(INSTANT, limit_records=2)] == [t.seq for t in later[1:]]
        assert [s.seq for s in await ring.read_newest(INSTANT, before=later[0].seq, limit_records=1)] == [first[-1].seq]
        assert ring.backlog(INSTANT).newest_seq == later[-1].seq
        assert ring.backlog(INSTANT).records == 17


async def test_records_that_go_to_flash_behind_a_read_are_not_passed_over(clock: FakeClock) -> None:
    async with Ring.open(RING, settings(), clock, SimulatedFs()) as ring:
        ticket, lane, look = ring.put(INSTANT, record(clock, 0)), ring._lanes[INSTANT], ring._engine.read

        def read(*limits):
            found = look(*limits)
            if lane.pending:
                lane.done(ring._engine.commit(INSTANT, lane.take(1, state_due=False)).end)
                ring.put(INSTANT, record(clock, 1))
            return found

        ring._engine.read = read
        assert [s.seq for s in await ring.read(INSTANT)] == [ticket.seq]


async def test_the_time_of_a_record_is_the_same_before_and_after_it_is_written(clock: FakeClock) -> None:
    """An anchor that is made just before a record counts for it at once, though it is not on flash yet."""
    fs = SimulatedFs()
    async with Ring.open(RING, settings(0.2), clock, fs) as ring:
        ring.put(INSTANT, record(clock, 1))
        clock.forward(1_000)
        clock.wall_ms += 5_000
        ring._time.look()
        ticket = ring.put(INSTANT, record(clock, 2))
        first = [s.record for s in await everything(ring)]
        assert first[1].stamp.wall_ms - first[0].stamp.wall_ms == 6_001
        await ticket
        assert [s.record for s in await everything(ring)] == first
    async with Ring.open(RING, settings(), clock, fs) as ring:
        assert [s.record for s in await everything(ring)] == first


async def test_a_boot_without_a_time_is_held_in_memory_as_on_flash(clock: FakeClock) -> None:
    clock.sync = False
    async with Ring.open(RING, settings(), clock, SimulatedFs(), hold_s=10) as ring:
        ring.put(INSTANT, record(clock, 1))
        assert await everything(ring) == []
        clock.forward(11_000)
        ring._time.look()
        assert [s.record.stamp.synchronised for s in await everything(ring)] == [False]


async def test_neighbours_are_offered_together(clock: FakeClock) -> None:
    async with Ring.open(RING, settings(1.0), clock, SimulatedFs()) as ring:
        ring.put(INSTANT, record(clock, 0))
        ring.put(INSTANT, record(clock, 1))
        waiting = asyncio.ensure_future(ring.wait_committed())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        ring.put(INSTANT, record(clock, 2))
        await asyncio.wait_for(waiting, 5)
        assert len(await everything(ring)) == 3
        assert ring.status().streams["instant"].in_memory == 3


async def test_storage_that_fails_while_much_is_in_the_air(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, settings(0.02), clock, fs, retry_first_s=0.02) as ring:
        tickets = [ring.put(INSTANT, record(clock, n)) for n in range(10)]
        taken = await everything(ring)
        fs.faults["sync"] = [OSError(errno.EROFS, "Read-only file system")] * 3
        async with asyncio.timeout(5):
            while ring.status().healthy:
                await asyncio.sleep(0.005)
        ack(ring, *taken[:4])
        ring.ack(SeqSpan(INSTANT, taken[6].seq, taken[7].seq))
        async with asyncio.timeout(5):
            while not ring.status().healthy:
                await asyncio.sleep(0.005)
        await tickets[-1]
        assert [s.seq for s in await everything(ring)] == [tickets[n].seq for n in (4, 5, 8, 9)]
        assert ring.backlog(INSTANT).records == 4
    async with Ring.open(RING, settings(), clock, fs) as ring:
        assert [s.seq for s in await everything(ring)] == [tickets[n].seq for n in (4, 5, 8, 9)]
        assert ring.status().lost == 0


# ---- frames ----------------------------------------------------------------------------------------------------------

EPOCH = 3
SEQ = EPOCH << 40


def frames(first: int, rows: list[bytes], written: int, state: bytes = b"\x93\x91\x05\x93\x00\x00\x90\x90"):
    return data_frames(Commit(first, rows, ()), EPOCH, state, written)


def test_a_short_state_rides_in_every_page_and_leaves_it_a_page() -> None:
    made = frames(10, [b"r" * 50] * 200, 10)
    assert [frame.flags for frame in made] == [FrameFlag.STATE] * len(made)
    assert all(frame_pages(len(frame.payload)) == 1 for frame in made)
    assert [frame.first_seq for frame in made] == [SEQ | 10, SEQ | 10 + made[0].records, SEQ | 10 + made[0].records + made[1].records]


def test_a_long_state_rides_in_the_last_page_with_room_unless_numbers_are_nowhere() -> None:
    long = b"s" * (STATE_BYTES + 1)
    assert [bool(frame.flags & FrameFlag.STATE) for frame in frames(10, [b"r" * 400] * 15, 10, long)] == [False, True]
    gone = frames(10, [b"r" * 400] * 15, 9, long)
    assert [frame.flags for frame in gone] == [FrameFlag.STATE | FrameFlag.SKIPS, FrameFlag.STATE]
    assert all(frame_pages(len(frame.payload)) == 1 for frame in gone)


def test_a_frame_says_where_numbers_before_it_are_nowhere() -> None:
    made = frames(10, [b"a", b"", b"", b"b", b"c"], 10)
    assert [(frame.first_seq & 0xFF, frame.records, bool(frame.flags & FrameFlag.SKIPS)) for frame in made] == [(10, 1, False), (13, 2, True)]


def a_segment(pages: list[bytes]) -> Segment:
    header = SlotHeader(b"r" * 16, 2, EPOCH, 1, SEQ | 10, 77, bytes(16), 0, 0, 3, 0)
    data = bytes(8192) + b"".join(pages)
    return scan(lambda offset, length: data[offset : offset + length], len(data), header)


@pytest.mark.parametrize("skips", [True, False])
def test_a_damaged_last_frame_after_numbers_that_are_nowhere_costs_its_own_records_only(skips: bool) -> None:
    (whole,) = frames(10, [b"a", b"b"], 10)
    (last,) = frames(1_000, [b"c", b"d", b"e"], 12)
    if not skips:
        last = last._replace(flags=last.flags & ~FrameFlag.SKIPS)
    page = bytearray(encode_frame(last, 77))
    page[26] ^= 1
    found = a_segment([encode_frame(whole, 77), bytes(page), bytes(4096)])
    if skips:
        assert found.next_ordinal == 1_003
        assert found.state.acks.missing(12, 1_002) == [(1_000, 1_002)]
        assert found.next_page == 4, "its page is not written again"
    else:
        assert found.next_ordinal == 12, "a head that fits nowhere is not believed"
    assert whole.type == FrameType.DATA


@pytest.mark.parametrize("behind", ["records", "nothing to deliver", "the next run"])
@pytest.mark.parametrize("bit", [5, 22])
def test_a_damaged_number_in_a_frames_head_takes_no_record_behind_it_for_acknowledged(behind: str, bit: int) -> None:
    (whole,) = frames(10, [b"a", b"b"], 10)
    (lost,) = frames(20, [b"c", b"d"], 12)      # 12..19 are nowhere
    (after,) = frames(22, [b"e", b"f"], 22)
    page = bytearray(encode_frame(lost, 77))
    page[12 + bit // 8] ^= 1 << bit % 8
    last = {"records": after, "nothing to deliver": Frame(FrameType.ANCHOR, 0, 0, SEQ | 22, b""),
            "the next run": Frame(FrameType.OPEN, 0, 0, (EPOCH + 1 << 40) | 22, new_packer()([bytes(16), 0, 0, 3, None]))}[behind]
    found = a_segment([encode_frame(whole, 77), bytes(page), encode_frame(last, 77), bytes(4096)])
    assert found.next_ordinal == (24 if behind == "records" else 22), "its numbers go on"
    assert found.state.acks.missing(20, 23) == [(20, 23)], "neither what it held nor what comes is acknowledged"
    assert found.holes(10, 22) == [(12, 21)], "what it held is missing"

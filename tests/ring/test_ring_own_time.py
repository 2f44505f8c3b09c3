"""Records that the meter dated itself: kept as given, never shifted, whatever the gateway's clock does."""

import asyncio
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stamp, Stored, Stream
from edge.ring.dictionary import Dictionary
from edge.ring.frame import Undecodable, new_packer, unpack_first
from edge.ring.layout import DATED_ROWS
from edge.ring.records import moment_of, own_time, pack_record
from edge.ring.store import Ring

SCHEMA = Schema(Kind.READING, (Field("energy", 0, "Wh"), Field("text")))
SMALL = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.01,
                     billing_commit_window_s=0.01, alarm_commit_window_s=0.01, ack_commit_s=0.05)
BILLING, INSTANT, ALARM = Stream.BILLING, Stream.INSTANT, Stream.ALARM
ROW_MS = 1_699_000_900_000      # the end of an interval, long ago
RING = Path("ring")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def dated(clock: FakeClock, n: int, *, trusted: bool = True) -> Record:
    return Record(SCHEMA, "m1", clock.stamp().dated_by_meter(ROW_MS + 900_000 * n, trusted=trusted), (n, None))


def polled(clock: FakeClock, n: int) -> Record:
    return Record(SCHEMA, "m1", clock.stamp(), (n, None))


async def stamps(ring: Ring, stream: Stream = BILLING) -> dict[int, Stamp]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0):
        found += part
    return {stored.record.values[0]: stored.record.stamp for stored in found}


async def test_a_row_keeps_the_meters_time_through_steps_and_reboots(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        for n in range(4):
            await ring.append(BILLING, dated(clock, n, trusted=n != 2) if n != 3 else polled(clock, n))
            clock.forward(1_000)
            clock.wall_ms += 7_200_000                 # the gateway's clock steps
            ring._time.look()
        first = await stamps(ring)
        assert [(first[n].wall_ms, first[n].synchronised, first[n].source) for n in range(3)] == [
            (ROW_MS, True, "meter"), (ROW_MS + 900_000, True, "meter"), (ROW_MS + 1_800_000, False, "meter")]
        assert first[3].source == "clock"
        assert first[0].boottime_ms == 1_000, "when it was taken is kept beside it"
    clock.reboot("22222222-1111-4111-8111-111111111111", synchronised=False)
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        assert await stamps(ring) == first


async def test_rows_of_a_boot_without_a_time_are_right_all_the_same(clock: FakeClock) -> None:
    clock.sync, clock.wall_ms, fs = False, 5_000, SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs, hold_s=10) as ring:
        await ring.append(BILLING, dated(clock, 1))
        await ring.append(BILLING, polled(clock, 2))
        clock.forward(11_000)
        ring._time.look()
        async with asyncio.timeout(5):
            while not (found := await stamps(ring)):
                await ring.wait_committed()
        assert (found[1].wall_ms, found[1].synchronised) == (ROW_MS + 900_000, True)
        assert (found[2].wall_ms, found[2].synchronised) == (5_000, False)


async def test_out_of_memory_and_off_flash_it_is_the_same_time(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs, retry_first_s=0.02) as ring:
        fs.read_only = True
        ticket = ring.put(ALARM, dated(clock, 1, trusted=False))
        async with asyncio.timeout(5):
            while not (found := await stamps(ring, ALARM)):
                await ring.wait_committed()
        assert found[1] == clock.stamp().dated_by_meter(ROW_MS + 900_000, trusted=False)
        fs.read_only = False
        await ticket
        assert await stamps(ring, ALARM) == found


# ---- what an older version would see ---------------------------------------------------------------------------------


def features(ring: Ring, stream: Stream) -> list[int]:
    return [slot.segment.incompatible for slot in ring._engine.logs[stream].view.segments]


async def test_only_a_segment_that_may_hold_such_rows_says_so(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        before = await ring.append(BILLING, polled(clock, 0))
        await ring.append(BILLING, dated(clock, 1))
        await ring.append(INSTANT, polled(clock, 2))
        assert features(ring, BILLING) == [0, DATED_ROWS]
        assert features(ring, INSTANT) == [0]
        assert (await ring.read(BILLING))[0].seq == before
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        for n in range(400):
            await ring.append(BILLING, Record(SCHEMA, "m1", clock.stamp(), (n, "x" * 2_000)))
        assert set(features(ring, BILLING)) == {DATED_ROWS}, "what a stream holds once, it will hold again"


async def test_a_full_stream_is_not_evicted_for_the_mark(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        while len(features(ring, BILLING)) < 2:
            await ring.append(BILLING, Record(SCHEMA, "m1", clock.stamp(), (1, "x" * 3_000)))
        await ring.append(BILLING, dated(clock, 7))
        assert features(ring, BILLING) == [0, 0]
        assert ring.status().lost == 0
        assert (await stamps(ring))[7].wall_ms == ROW_MS + 7 * 900_000


# ---- the row ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_a_row_with_a_time_of_its_own(trusted: bool) -> None:
    stamp = Stamp(5_000, 0, "b", synchronised=False).dated_by_meter(-7, trusted=trusted)
    row = unpack_first(pack_record(Record(SCHEMA, "m", stamp, (1, "a")), 7_000, Dictionary(1 << 16), new_packer()))
    assert row == [0, 0, [-2_000, -7, int(trusted)], 1, "a"]
    assert moment_of(row) == -2_000
    assert own_time(row, 5_000, "b") == stamp
    row[2] += ["what a newer version says besides"]
    assert own_time(row, 5_000, "b") == stamp


@pytest.mark.parametrize("junk", [None, "now", [], [1], [1, 2], [1, "2", 0], 1.5, {}])
def test_what_is_no_time_is_damage(junk: object) -> None:
    with pytest.raises(Undecodable):
        moment_of([0, 0, junk, 1])

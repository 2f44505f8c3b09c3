"""A smaller quota than before: slots are given back, and what they held is announced first."""

import errno
from pathlib import Path

import pytest
from ring_sim import CRASHES, FakeClock, PowerCut, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.ring.layout import quotas, slot_size
from edge.ring.store import Ring

SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
LARGE = RingSettings(size_mib=2, slot_mib=0.0625, instant_commit_window_s=0.001, ack_commit_s=0.01)
SMALL = RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=0.001, ack_commit_s=0.01)
INSTANT, RING = Stream.INSTANT, Path("ring")


async def everything(ring: Ring, stream: Stream = INSTANT) -> list[Stored]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0, limit_records=100):
        found += part
    return found


async def filled(fs: SimulatedFs, clock: FakeClock, count: int) -> list[int]:
    async with Ring.open(RING, LARGE, clock, fs) as ring:
        tickets = [ring.put(INSTANT, Record(SCHEMA, "m", clock.stamp(), (n, "x" * 1200))) for n in range(count)]
        await tickets[-1]
        assert ring.status().lost == 0
    return [ticket.seq for ticket in tickets]


def size(fs: SimulatedFs) -> int:
    return sum(map(len, fs.durable.values()))


async def test_shrinking_keeps_the_newest_and_announces_the_rest() -> None:
    fs, clock = SimulatedFs(), FakeClock()
    seqs = await filled(fs, clock, 740)
    assert size(fs) > 1 << 20
    for _ in range(2):
        async with Ring.open(RING, SMALL, clock, fs) as ring:
            assert size(fs) <= 1 << 20
            found = await everything(ring)
            assert [s.seq for s in found] == seqs[-len(found) :]
            assert len(found) > 300
            assert ring.status().lost == len(seqs) - len(found)
            gaps = await everything(ring, Stream.ALARM)
            while not gaps:
                await ring.wait_committed()
                gaps = await everything(ring, Stream.ALARM)
            assert [g.record.values[3:5] for g in gaps] == [(len(seqs) - len(found), "evicted")]


async def test_what_is_acknowledged_goes_first() -> None:
    fs, clock = SimulatedFs(), FakeClock()
    seqs = await filled(fs, clock, 740)
    async with Ring.open(RING, LARGE, clock, fs) as ring:
        ring.ack(SeqSpan(INSTANT, seqs[100], seqs[-100]))
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        assert size(fs) <= 1 << 20
        assert [s.seq for s in await everything(ring)] == seqs[:100] + seqs[-99:]
        assert ring.status().lost == 0


@pytest.mark.parametrize("calls", range(0, 40, 4))
async def test_a_power_cut_while_shrinking_loses_nothing_unannounced(calls: int) -> None:
    import random

    fs, clock, rng = SimulatedFs(), FakeClock(), random.Random(calls)
    seqs = await filled(fs, clock, 730)
    start = 40 + calls
    fs.calls_left = start
    try:
        async with Ring.open(RING, SMALL, clock, fs):
            fs.calls_left = None
    except PowerCut:
        pass
    fs.crash(rng.choice(CRASHES), rng)
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        found = await everything(ring)
        assert [s.seq for s in found] == seqs[-len(found) :]
        assert ring.status().lost == len(seqs) - len(found)
        assert size(fs) <= 1 << 20


async def test_slots_that_cannot_be_given_back_are_no_reason_not_to_run(caplog: pytest.LogCaptureFixture) -> None:
    fs, clock = SimulatedFs(), FakeClock()
    await filled(fs, clock, 740)
    fs.faults["remove"] = [OSError(errno.EPERM, "Operation not permitted")]
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        await ring.append(INSTANT, Record(SCHEMA, "m", clock.stamp(), (1, "x")))
        assert ring.status().healthy
    assert [line.message for line in caplog.records if "given back" in line.message]


async def test_another_slot_size_and_a_bound_smaller_than_six_slots() -> None:
    fs, clock = SimulatedFs(), FakeClock()
    seqs = await filled(fs, clock, 300)
    one = RingSettings(size_mib=1, slot_mib=4, instant_commit_window_s=0.001)
    for _ in range(3):
        async with Ring.open(RING, one, clock, fs) as ring:
            assert size(fs) <= 1 << 20
            await ring.append(INSTANT, Record(SCHEMA, "m", clock.stamp(), (1, "x")))
            found = [s.seq for s in await everything(ring)]
            assert set(found) & set(seqs)
    assert slot_size(4 << 20, 1 << 20) == (1 << 20) // 6 // 4096 * 4096
    assert slot_size(4 << 20, 256 << 20) == 4 << 20
    assert sum(quotas(1 << 20, slot_size(4 << 20, 1 << 20), 0.05, 0.25).values()) <= 1 << 20

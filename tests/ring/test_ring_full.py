"""A stream that is full: its oldest records go, or its newest are refused, or they wait; each is counted."""

import asyncio
import copy
import random
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.ring import lane as lane_module
from edge.ring.store import Ring

SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
BILLING, ALARM, INSTANT = Stream.BILLING, Stream.ALARM, Stream.INSTANT
RING = Path("ring")


def settings(when_full: str) -> RingSettings:
    """Two billing slots of 16 pages."""
    return RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, billing_commit_window_s=0.005,
                        alarm_commit_window_s=0.005, instant_commit_window_s=0.005, ack_commit_s=0.02, billing_when_full=when_full)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def record(clock: FakeClock, n: int) -> Record:
    clock.forward(1)
    return Record(SCHEMA, "m1", clock.stamp(), (n, "x" * 3_000))


async def everything(ring: Ring, stream: Stream = BILLING) -> list[Stored]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0):
        found += part
    return found


async def fill(ring: Ring, clock: FakeClock) -> list[int]:
    """Append until the stream takes no more; return the numbers."""
    seqs: list[int] = []
    while not ring.status().streams["billing"].full:
        ticket = ring.put(BILLING, record(clock, len(seqs)))
        waiting = asyncio.ensure_future(_wait(ticket))
        while not waiting.done() and not ring.status().streams["billing"].full:
            await asyncio.sleep(0.002)
        if waiting.done() and waiting.exception() is None:
            seqs.append(ticket.seq)
        waiting.cancel()
        assert len(seqs) < 100
    return seqs


async def _wait(ticket) -> int:
    return await ticket


async def test_the_newest_are_refused_and_the_oldest_are_all_there(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
        seqs = await fill(ring, clock)
        assert len(seqs) > 15
        for n in range(200, 210):
            with pytest.raises(RingError, match=r"billing is full and keeps what it has.*billing_when_full"):
                ring.put(BILLING, record(clock, n))
        assert [s.seq for s in await everything(ring)] == seqs
        status = ring.status()
        assert not status.healthy
        assert status.problem == "full, and keeps what it has: billing"
        assert status.streams["billing"].turned_away == 10
        assert status.streams["billing"].evictions == 0
        await ring.append(ALARM, record(clock, 1))       # the others go on
        await ring.append(INSTANT, record(clock, 1))
        ring.ack(SeqSpan(BILLING, seqs[0], seqs[12]))
        new = await ring.append(BILLING, record(clock, 300))
        assert ring.status().healthy
        assert [s.seq for s in await everything(ring)] == [*seqs[13:], new]
        assert ring.status().streams["billing"].lost == 11, "ten that were refused, and one that waited when it became full"
        async with asyncio.timeout(5):
            while not (gaps := [s for s in await everything(ring, ALARM) if s.record.schema.kind is Kind.GAP]):
                await asyncio.sleep(0.01)
        assert {gap.record.values[4] for gap in gaps} == {"full"}
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
        assert [s.seq for s in await everything(ring)] == [*seqs[13:], new]
        assert ring.status().streams["billing"].lost == 11


async def test_what_was_waiting_when_it_became_full_is_told_so(clock: FakeClock) -> None:
    async with Ring.open(RING, settings("drop_newest"), clock, SimulatedFs()) as ring:
        await fill(ring, clock)
        ring._lanes[BILLING].stuck = False
        with pytest.raises(RingError, match="its stream is full"):
            await ring.append(BILLING, record(clock, 1))


async def test_blocked_records_wait_in_memory_and_go_on_when_there_is_room(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MEMORY_RECORDS", 8)
    async with Ring.open(RING, settings("block"), clock, SimulatedFs()) as ring:
        seqs = await fill(ring, clock)
        appending = [asyncio.ensure_future(ring.append(BILLING, record(clock, 100 + n))) for n in range(5)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in appending), "an append waits: the producer is slowed down"
        assert [s.seq for s in await everything(ring)] == seqs
        while ring.status().streams["billing"].in_memory < 8:
            ring.put(BILLING, record(clock, 200))
        with pytest.raises(RingError, match="full and keeps"):
            ring.put(BILLING, record(clock, 300))
        assert ring.status().streams["billing"].in_memory == 8
        ring.ack(SeqSpan(BILLING, seqs[0], seqs[12]))
        later = await asyncio.wait_for(asyncio.gather(*appending), 5)
        after = [s.seq for s in await everything(ring)]
        assert after[: len(seqs) - 13] == seqs[13:]
        assert set(later) < set(after)
        assert ring.status().streams["billing"].evictions == 0


async def test_a_start_on_a_full_stream_keeps_what_is_there_and_gives_no_number_twice(clock: FakeClock) -> None:
    fs, seen = SimulatedFs(), set()
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
        seqs = await fill(ring, clock)
    for _ in range(8):                       # more starts than pages that are left
        async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
            assert [s.seq for s in await everything(ring)] == seqs
            epoch = ring.status().epoch
            assert epoch not in seen
            seen.add(epoch)
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
        ring.ack(SeqSpan(BILLING, seqs[0], seqs[-1]))
        assert (await ring.append(BILLING, record(clock, 1))) >> 40 > max(seen)


async def test_records_of_a_blind_boot_leave_a_full_stream(clock: FakeClock) -> None:
    """The anchor that dates them has no page; waiting for one would be waiting for ever."""
    clock.sync, fs = False, SimulatedFs()
    async with Ring.open(RING, settings("block"), clock, fs) as ring:
        await fill(ring, clock)
    clock.reboot("22222222-1111-4111-8111-111111111111")
    async with Ring.open(RING, settings("block"), clock, fs) as ring:
        found = await everything(ring)
        assert found
        ring.ack(SeqSpan(BILLING, found[0].seq, found[-1].seq))
        await ring.append(BILLING, record(clock, 1))


async def test_without_a_word_the_oldest_go(clock: FakeClock) -> None:
    async with Ring.open(RING, settings("drop_oldest"), clock, SimulatedFs()) as ring:
        seqs = [await ring.append(BILLING, record(clock, n)) for n in range(60)]
        assert [s.seq for s in await everything(ring)] == seqs[-len(await everything(ring)) :]
        assert ring.status().healthy
        assert ring.status().streams["billing"].evictions > 0


async def refuse(ring: Ring, clock: FakeClock, n: int) -> None:
    for _ in range(n):
        with pytest.raises(RingError, match="keeps what it has"):
            ring.put(BILLING, record(clock, 0))


async def told(ring: Ring) -> list[int]:
    """How many records each gap record of the billing stream speaks of, all for the reason "full"."""
    gaps = [s.record.values for s in await everything(ring, ALARM) if s.record.schema.kind is Kind.GAP]
    return [gap[3] for gap in gaps if (gap[0], gap[4]) == ("billing", "full")]


async def until_told(ring: Ring, count: int) -> None:
    async with asyncio.timeout(5):
        while sum(await told(ring)) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["told while it runs", "stopped", "power cut"])
async def test_what_a_full_stream_refused_is_told_although_it_has_no_page_left(clock: FakeClock, how: str) -> None:
    fs, refused = SimulatedFs(), 0
    for start in range(4):
        async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
            assert ring.status().streams["billing"].lost == refused, f"forgotten at start {start}"
            if not start:
                await fill(ring, clock)
                refused = 1                                            # the one that waited when it became full
            await refuse(ring, clock, 5)
            refused += 5
            if how != "stopped":
                await until_told(ring, refused)
            if how == "power cut":
                cut = copy.deepcopy(fs)
                cut.crash("none", random.Random(start))
        fs = cut if how == "power cut" else fs
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
        assert ring.status().streams["billing"].lost == refused
        await until_told(ring, refused)
        waiting = await everything(ring)
        ring.ack(SeqSpan(BILLING, waiting[0].seq, waiting[-1].seq))
        await ring.append(BILLING, record(clock, 7))
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:      # its own log says it now
        assert ring.status().streams["billing"].lost == sum(await told(ring)) == refused
        assert ring._engine.logs[BILLING].view.state.losses.own_no == ring._engine.logs[BILLING].view.state.losses.last_no
        await ring.append(ALARM, record(clock, 8))
        assert not ring._engine.logs[ALARM].view.state.deposits


async def test_the_alarm_stream_finds_a_page_for_what_others_refused_although_it_is_full_itself(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
        await fill(ring, clock)
        while ring.status().streams["alarm"].evictions < 1:
            await ring.append(ALARM, record(clock, 1))
        await refuse(ring, clock, 5)
        await until_told(ring, 5)          # the one before has gone with the oldest alarms
    async with Ring.open(RING, settings("drop_newest"), clock, fs) as ring:
        assert ring.status().streams["billing"].lost == 6

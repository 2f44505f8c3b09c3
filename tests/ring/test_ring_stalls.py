"""Storage that stalls, fails for a while or never answers: windows, time, counting and the end."""

import asyncio
import threading
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stored, Stream
from edge.ring.store import Ring

SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
SMALL = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.01,
                     billing_commit_window_s=0.01, alarm_commit_window_s=0.01, ack_commit_s=0.05)
INSTANT, ALARM = Stream.INSTANT, Stream.ALARM
RING = Path("ring")


class SlowFs(SimulatedFs):
    """Its syncs wait while `gate` is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def sync(self, path: Path) -> None:
        if not self.gate.is_set():
            self.waiting.set()
            assert self.gate.wait(20)
        super().sync(path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def record(clock: FakeClock, n: int, text: str = "") -> Record:
    return Record(SCHEMA, "m1", clock.stamp(), (n, text))


async def everything(ring: Ring, stream: Stream = INSTANT) -> list[Stored]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0, limit_records=100):
        found += part
    return found


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_window_that_closes_during_a_slow_commit_is_not_opened_again(clock: FakeClock) -> None:
    fs, settings = SlowFs(), RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=0.4)
    loop = asyncio.get_running_loop()
    async with Ring.open(RING, settings, clock, fs) as ring:
        fs.gate.clear()
        for n in range(14):
            ring.put(INSTANT, record(clock, n, "x" * 300))          # a full page, which is committed at once
        late = ring.put(INSTANT, record(clock, 99))
        began = loop.time()
        await asyncio.sleep(0.6)
        fs.gate.set()
        await late
        assert loop.time() - began < 0.8, "its window was over when the slow commit ended"


async def test_records_that_come_during_a_commit_wait_one_window_of_their_own(clock: FakeClock) -> None:
    fs, settings = SlowFs(), RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=0.3)
    loop = asyncio.get_running_loop()
    async with Ring.open(RING, settings, clock, fs) as ring:
        fs.gate.clear()
        for n in range(14):
            ring.put(INSTANT, record(clock, n, "x" * 300))
        await asyncio.sleep(0.2)
        began = loop.time()
        late = ring.put(INSTANT, record(clock, 99))
        fs.gate.set()
        syncs = fs.syncs
        await late
        assert loop.time() - began < 0.45
        assert fs.syncs <= syncs + 3

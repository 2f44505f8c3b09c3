"""Storage that stalls, fails for a while or never answers: windows, time, counting and the end."""

import asyncio
import gc
import threading
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, Stored, Stream
from edge.ring import store as store_module
from edge.ring.fs import OsFileSystem
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


async def test_closing_on_storage_that_never_answers_ends_and_says_so(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    fs = SlowFs()
    async with asyncio.timeout(10):
        async with Ring.open(RING, SMALL, clock, fs) as ring:
            ring.close_within_s = 0.2
            fs.gate.clear()
            waiter = asyncio.ensure_future(_wait(ring.put(INSTANT, record(clock, 1))))
            ring.put(INSTANT, record(clock, 2))
            await asyncio.to_thread(fs.waiting.wait, 10)
    fs.gate.set()
    with pytest.raises(RingError, match="closed"):
        await waiter
    told = [line.message for line in caplog.records if "does not answer" in line.message]
    assert told == ["ring: storage does not answer: closed after 0.2 s, 2 records are not on flash"]


async def test_a_ring_with_a_write_in_hand_stays_locked(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "RELEASE_WITHIN_S", 0.1)
    fs, gate = OsFileSystem(), threading.Event()
    sync = fs.sync
    monkeypatch.setattr(store_module, "OsFileSystem", lambda: fs)
    async with Ring.open(tmp_path / "ring", SMALL, clock) as ring:
        ring.close_within_s = 0.1
        fs.sync = lambda path: (gate.wait(20), sync(path))[1]
        ring.put(INSTANT, record(clock, 1))
    monkeypatch.setattr(store_module, "OsFileSystem", OsFileSystem)
    with pytest.raises(RingError, match="another process"):
        async with Ring.open(tmp_path / "ring", SMALL, clock):
            pass
    gate.set()
    async with asyncio.timeout(10):
        while not await _opens(tmp_path / "ring", clock):
            await asyncio.sleep(0.01)


async def _opens(place: Path, clock: FakeClock) -> bool:
    try:
        async with Ring.open(place, SMALL, clock) as ring:
            return [stored.record.values[0] for stored in await everything(ring)] == [1]
    except RingError:
        return False


async def test_tickets_that_nobody_awaits_make_no_noise(clock: FakeClock) -> None:
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: noise.append(context))
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        fs.read_only = True
        first, second = ring.put(INSTANT, record(clock, 1)), ring.put(INSTANT, record(clock, 2))
        await until(lambda: not ring.status().healthy)
        half = asyncio.ensure_future(_wait(ring.put(INSTANT, record(clock, 3))))
        await asyncio.sleep(0)
        half.cancel()
    assert first.seq < second.seq
    del first, second, half
    gc.collect()
    await asyncio.sleep(0.01)
    assert noise == []


async def _wait(ticket) -> int:
    return await ticket

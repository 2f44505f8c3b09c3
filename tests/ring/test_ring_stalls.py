"""Storage that stalls, fails for a while or never answers: windows, time, counting and the end."""

import asyncio
import errno
import gc
import os
import threading
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.ring import lane as lane_module
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
    fs, settings = SlowFs(), RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=2.0)
    loop = asyncio.get_running_loop()
    async with Ring.open(RING, settings, clock, fs) as ring:
        fs.gate.clear()
        for n in range(14):
            ring.put(INSTANT, record(clock, n, "x" * 300))          # a full page, which is committed at once
        late = ring.put(INSTANT, record(clock, 99))
        await asyncio.sleep(2.2)
        released = loop.time()
        fs.gate.set()
        await late
        assert loop.time() - released < 1.9, "its window was over when the slow commit ended"


async def test_records_that_come_during_a_commit_wait_one_window_of_their_own(clock: FakeClock) -> None:
    fs, settings = SlowFs(), RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=2.0)
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
        assert loop.time() - began < 3.9, "one window, not two"
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


async def test_a_dead_disk_is_one_line_in_the_log(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    fs = SimulatedFs()
    fs.capacity = 0
    async with Ring.open(RING, SMALL, clock, fs, retry_first_s=0.02) as ring:
        await asyncio.sleep(0.1)
        assert not ring.status().healthy
    assert len([line for line in caplog.records if "storage failed" in line.message and line.levelname == "ERROR"]) == 1


# ---- what is counted -------------------------------------------------------------------------------------------------


async def test_every_record_that_memory_dropped_is_counted_over_several_retries(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MEMORY_RECORDS", 10)
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs, retry_first_s=0.02) as ring:
        fs.read_only = True
        for n in range(15):
            ring.put(INSTANT, record(clock, n))
        await until(lambda: not ring.status().healthy)
        lane = ring._lanes[INSTANT]
        for part in range(3):                     # the range of lost numbers grows between two attempts
            errors = ring.status().streams["instant"].io_errors
            await until(lambda errors=errors: ring.status().streams["instant"].io_errors > errors and not lane.busy)
            for n in range(5):
                ring.put(INSTANT, record(clock, 100 * part + n))
        fs.read_only = False
        await until(lambda: ring.status().healthy)
        found = await everything(ring)
        assert len(found) == 10
        assert ring.status().streams["instant"].lost == 20
        assert ring.backlog(INSTANT).records == 10
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        assert ring.status().streams["instant"].lost == 20


async def test_a_record_refused_while_storage_stalls_is_counted(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MEMORY_RECORDS", 10)
    fs = SlowFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        fs.gate.clear()
        accepted = [ring.put(INSTANT, record(clock, 0))]
        await asyncio.to_thread(fs.waiting.wait, 10)
        accepted += [ring.put(INSTANT, record(clock, n)) for n in range(1, 10)]
        for n in range(3):
            with pytest.raises(RingError, match="stalled"):
                ring.put(INSTANT, record(clock, 50 + n))
        fs.gate.set()
        await accepted[-1]
        after = await ring.append(INSTANT, record(clock, 99))
        assert [s.seq for s in await everything(ring)] == [t.seq for t in accepted] + [after]
        assert ring.status().streams["instant"].lost == 3
        assert ring.backlog(INSTANT).records == 11


async def test_memory_is_bounded_in_bytes_too(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MEMORY_BYTES", 50_000)
    fs = SimulatedFs()
    fs.capacity = 0
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        for n in range(20):
            ring.put(INSTANT, record(clock, n, "x" * 9_000))
        assert [s.record.values[0] for s in await everything(ring)] == [15, 16, 17, 18, 19]
        assert ring.status().streams["instant"].in_memory == 5


async def test_acknowledging_out_of_memory_leaves_the_backlog_on_flash_as_it_is(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        for n in range(8):
            await ring.append(INSTANT, record(clock, n))
        fs.read_only = True
        tickets = [ring.put(INSTANT, record(clock, n)) for n in range(5)]
        await until(lambda: not ring.status().healthy)
        ring.ack(SeqSpan(INSTANT, tickets[0].seq, tickets[3].seq))
        assert ring.backlog(INSTANT).records == 9
        assert len(await everything(ring)) == 9


async def test_storage_that_fails_for_acknowledgements_alone_is_told(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs, retry_first_s=0.02) as ring:
        seq = await ring.append(INSTANT, record(clock, 1))
        fs.read_only = True
        ring.ack(SeqSpan(INSTANT, seq, seq))
        await until(lambda: not ring.status().healthy)
        fs.read_only = False
        await until(lambda: ring.status().healthy)


async def test_a_read_out_of_memory_is_bounded(clock: FakeClock) -> None:
    fs = SimulatedFs()
    fs.capacity = 0
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        tickets = [ring.put(INSTANT, record(clock, n, "x" * 100)) for n in range(50)]
        assert [s.seq for s in await ring.read(INSTANT, limit_records=7)] == [t.seq for t in tickets[:7]]
        assert len(await ring.read(INSTANT, limit_bytes=500)) == 4
        assert len(await ring.read(INSTANT, limit_bytes=1)) == 1
        assert [s.seq for s in await ring.read_newest(INSTANT, limit_records=7)] == [t.seq for t in tickets[-7:]]
        assert len(await ring.read_newest(INSTANT, limit_bytes=500)) == 4


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
async def test_what_cannot_be_read_for_now_is_not_lost(clock: FakeClock, error: int) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        seqs = [await ring.append(INSTANT, record(clock, n, "x" * 300)) for n in range(30)]
        fs.faults["pread"] = [OSError(error, "no")] * 2
        assert await ring.read(INSTANT) == []
        assert await ring.read_newest(INSTANT) == []
        assert [s.seq for s in await everything(ring)] == seqs
        assert ring.status().lost == 0


async def test_an_anchor_that_rides_alone_wakes_the_reader(clock: FakeClock) -> None:
    clock.sync, fs = False, SlowFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        ring.put(INSTANT, record(clock, 1))
        fs.gate.clear()
        await asyncio.to_thread(fs.waiting.wait, 10)      # the commit is under way
        clock.sync = True
        ring._time.look()
        fs.gate.set()
        async with asyncio.timeout(5):
            while not await ring.read(INSTANT):
                await ring.wait_committed()


# ---- the same time at every delivery ---------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronised", [True, False])
@pytest.mark.parametrize("from_the_start", [True, False])
async def test_a_record_has_the_same_time_out_of_memory_and_later_off_flash(clock: FakeClock, synchronised: bool, from_the_start: bool) -> None:
    clock.sync, fs = synchronised, SimulatedFs()
    if from_the_start:
        fs.capacity = 0
    async with Ring.open(RING, SMALL, clock, fs, retry_first_s=0.5, hold_s=5) as ring:
        fs.read_only = True
        ring.put(INSTANT, record(clock, 1))
        await until(lambda: not ring.status().healthy)
        clock.forward(6_000)
        for n, slew_ms in ((2, 3), (3, 2_000), (4, -700)):
            ring._time.look()
            ring.put(INSTANT, record(clock, n))
            clock.wall_ms += slew_ms
            clock.forward(1_000)
        ring._time.look()
        await ring.read(INSTANT)
        first = {s.record.values[0]: s.record.stamp for s in await everything(ring)}
        clock.wall_ms += 9
        clock.forward(1_000)
        assert {s.record.values[0]: s.record.stamp for s in await everything(ring)} == first
        assert set(first) == {1, 2, 3, 4}
        fs.read_only, fs.capacity = False, None
        await until(lambda: ring.status().healthy)
        assert {s.record.values[0]: s.record.stamp for s in await everything(ring)} == first
    clock.reboot("22222222-1111-4111-8111-111111111111")
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        assert {s.record.values[0]: s.record.stamp for s in await everything(ring)} == first


async def test_alarms_are_not_held_and_keep_the_time_they_went_out_with(clock: FakeClock) -> None:
    clock.sync, clock.wall_ms, fs = False, 5_000, SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs, hold_s=600) as ring:
        await ring.append(ALARM, record(clock, 1))
        await ring.append(INSTANT, record(clock, 1))
        clock.forward(1_000)
        out = await ring.read(ALARM)
        assert [(s.record.stamp.wall_ms, s.record.stamp.synchronised) for s in out] == [(5_000, False)]
        assert await ring.read(INSTANT) == []
        clock.forward(1_000)
        clock.wall_ms, clock.sync = 1_700_000_000_000, True
        ring._time.look()
        await ring.append(ALARM, record(clock, 2))
        stamps = [s.record.stamp for s in await ring.read(ALARM)]
        assert stamps[0] == out[0].record.stamp
        assert (stamps[1].wall_ms, stamps[1].synchronised) == (1_700_000_000_000, True)


async def test_an_alarm_that_nobody_asked_for_yet_gets_the_right_time(clock: FakeClock) -> None:
    clock.sync, clock.wall_ms, fs = False, 5_000, SimulatedFs()
    async with Ring.open(RING, SMALL, clock, fs) as ring:
        seq = await ring.append(ALARM, record(clock, 1))
        assert await ring.read(ALARM, after=seq) == []
        clock.forward(2_000)
        clock.wall_ms, clock.sync = 1_700_000_000_000, True
        ring._time.look()
        stamp = (await ring.read(ALARM))[0].record.stamp
        assert (stamp.wall_ms, stamp.synchronised) == (1_699_999_998_000, True)


async def test_a_file_system_that_is_read_only_at_the_start_is_called_that_and_comes_back(
        tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Ring.open(tmp_path, SMALL, clock) as ring:
        await ring.append(INSTANT, record(clock, 1))
    opened, read_only = os.open, True

    def refuse(path, flags, *more, **others):      # as a mount with -o ro does (open(2))
        if read_only and flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *more, **others)

    monkeypatch.setattr(os, "open", refuse)
    async with Ring.open(tmp_path, SMALL, clock, retry_first_s=0.02) as ring:
        assert [stored.record.values[0] for stored in await everything(ring)] == [1]
        ticket = ring.put(INSTANT, record(clock, 2))
        await until(lambda: ring.status().problem)
        for _ in range(3):      # its first word, and those behind it
            assert ring.status().problem.startswith(f"Read-only file system ({tmp_path}"), ring.status().problem
            await ring.read(INSTANT)
        read_only = False
        async with asyncio.timeout(10):
            await ticket
        assert ring.status().problem == ""

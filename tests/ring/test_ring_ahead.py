"""A slot that will be needed is made before, and nobody waits for it."""

import asyncio
import threading
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.fs import OsFileSystem
from edge.ring.pool import STEP_BYTES
from edge.ring.store import Ring

RING = Path("ring")
SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
SETTINGS = RingSettings(size_mib=1, slot_mib=0.03125, instant_commit_window_s=0.005, elide=False)
INSTANT = RING / "instant"


class Gated(SimulatedFs):
    """Every step of a slot made ahead waits for `gate`; `calls` is what was asked of the instant stream, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.entered, self.calls = threading.Semaphore(0), threading.Semaphore(0), []

    def create(self, path: Path, size: int, step_bytes: int | None = None) -> bool:
        if step_bytes is not None and path.parent == INSTANT:
            self.entered.release()
            assert self.gate.acquire(timeout=30), "nobody opened the gate"
        whole = super().create(path, size, step_bytes)
        if path.parent == INSTANT:
            self.calls.append("whole" if whole else "step")
        return whole

    def sync(self, path: Path) -> None:
        super().sync(path)
        if path.parent == INSTANT:
            self.calls.append("commit")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def reading(clock: FakeClock, n: int) -> Record:
    return Record(SCHEMA, "m1", clock.stamp(), (n, "x" * 900))


async def test_a_record_is_durable_before_the_slot_ahead_is_begun(clock: FakeClock) -> None:
    fs = Gated()
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        await asyncio.wait_for(ring.append(Stream.INSTANT, reading(clock, 1)), 30)     # the gate is shut all the while
        assert await asyncio.to_thread(fs.entered.acquire, timeout=30)
        assert len(fs.list(INSTANT)) == 1
        fs.gate.release(100)


async def test_a_commit_gets_in_between_the_steps(clock: FakeClock) -> None:
    fs = Gated()
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        await ring.append(Stream.INSTANT, reading(clock, 1))
        assert await asyncio.to_thread(fs.entered.acquire, timeout=30)
        del fs.calls[:]
        waiting = asyncio.ensure_future(ring.append(Stream.INSTANT, reading(clock, 2)))
        lane = ring._lanes[Stream.INSTANT]
        while not lane.busy:                     # its commit is asked for while the first step is under way
            await asyncio.sleep(0.001)
        fs.gate.release()                        # one step, and no more
        await asyncio.wait_for(waiting, 30)
        fs.gate.release(100)
    assert fs.calls[:2] == ["step", "commit"]


async def test_no_segment_begins_in_a_slot_made_at_that_moment(clock: FakeClock) -> None:
    fs = Gated()
    fs.gate.release(1000)
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        for n in range(150):
            await ring.append(Stream.INSTANT, reading(clock, n))
        slots = ring.status().streams["instant"].slots
    made = [call for call in fs.calls if call != "commit"]
    assert slots >= 5
    assert made == ["whole", *["step", "whole"] * (slots - 1)], "all but the first were made ahead"


@pytest.mark.parametrize("taken_away", [False, True])
def test_a_file_made_in_steps_is_there_at_the_last_one_and_all_of_it_was_written(tmp_path: Path, *, taken_away: bool) -> None:
    fs, path = OsFileSystem(), tmp_path / "instant" / "00000.slot"
    steps = [fs.create(path, STEP_BYTES * 2 + 4096, STEP_BYTES) for _ in range(2)]
    assert (steps, path.exists()) == ([False, False], False)
    if taken_away:
        path.with_name("00000.slot.tmp").unlink()
    assert fs.create(path, STEP_BYTES * 2 + 4096)                 # needed now: the rest at once
    assert path.read_bytes() == bytes(STEP_BYTES * 2 + 4096)
    assert path.stat().st_blocks * 512 >= path.stat().st_size, "reserved only, not written"


async def test_half_a_slot_of_the_last_run_goes_at_the_next_start(tmp_path: Path, clock: FakeClock) -> None:
    left = tmp_path / "instant" / "00007.slot.tmp"
    left.parent.mkdir()
    left.write_bytes(bytes(4096))
    async with Ring.open(tmp_path, SETTINGS, clock):
        assert not left.exists()

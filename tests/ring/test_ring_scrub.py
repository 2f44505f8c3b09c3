"""Rot at rest is found without anybody reading, counted and told once; a slot is read in pieces and nothing sound is counted."""

import asyncio
from pathlib import Path

import pytest
from ring_sim import FakeClock, SimulatedFs

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.ring import store
from edge.ring.frame import PAGE_BYTES
from edge.ring.fs import OsFileSystem
from edge.ring.store import Ring

RING = Path("ring")
SETTINGS = RingSettings(size_mib=2, slot_mib=0.25, instant_commit_window_s=0.0, alarm_commit_window_s=0.0, elide=False,
                        scrub_interval_s=0.001)
SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))


class Watched(SimulatedFs):
    """Remembers whose cached pages were dropped: what is looked through comes from the medium."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped: list[Path] = []

    def drop_cached(self, path: Path) -> None:
        super().drop_cached(path)
        self.dropped.append(path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SCRUB_STEP_S", 0.001)


async def filled(ring: Ring, clock: FakeClock, count: int = 400) -> list[int]:
    tickets = [ring.put(Stream.INSTANT, Record(SCHEMA, "m1", clock.stamp(), (n, "x" * 1800))) for n in range(count)]
    return [await ticket for ticket in tickets]


async def rounds(ring: Ring, count: int) -> None:
    """Wait until so many slots were read through from now on."""
    begun = ring.status().streams["instant"].scrubbed
    async with asyncio.timeout(60):
        while ring.status().streams["instant"].scrubbed < begun + count:
            await asyncio.sleep(0.005)


async def gaps(ring: Ring) -> list[Stored]:
    return [stored for stored in await ring.read(Stream.ALARM) if stored.record.schema.kind is Kind.GAP]


async def test_rot_is_found_while_nobody_reads_and_told_once(clock: FakeClock) -> None:
    fs = Watched()
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        seqs = await filled(ring, clock)
        await rounds(ring, 6)
        assert (ring.status().lost, ring.status().streams["instant"].damaged_pages) == (0, 0)
        fs.rot(RING / "instant" / "00001.slot", 20 * PAGE_BYTES + 50, b"gone")
        fs.rot(RING / "instant" / "00000.slot", 1 * PAGE_BYTES + 50, b"gone")      # a header's second copy
        await rounds(ring, 20)
        status = ring.status().streams["instant"]
        assert 0 < status.lost < 4
        assert status.damaged_pages == 2, "each is counted once, however often it is seen"
        async with asyncio.timeout(30):
            while not (told := await gaps(ring)):
                await asyncio.sleep(0.005)
        assert [gap.record.values[3:5] for gap in told] == [(status.lost, "damaged")]
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        await rounds(ring, 10)
        assert len(await gaps(ring)) == 1
        assert ring.status().streams["instant"].lost == status.lost
        left, after = [], None
        while part := await ring.read(Stream.INSTANT, after=after):
            left += [stored.seq for stored in part]
            after = left[-1]
    assert len(left) == len(seqs) - status.lost


async def test_what_is_acknowledged_is_not_read_nor_what_is_being_written(clock: FakeClock) -> None:
    fs = Watched()
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        seqs = await filled(ring, clock)
        ring.ack(SeqSpan(Stream.INSTANT, seqs[0], seqs[199]))
        await rounds(ring, 1)
        fs.dropped.clear()
        await rounds(ring, 8)
        view = ring._engine.logs[Stream.INSTANT].view
        waiting = {slot.path for slot in view.segments[:-1] if not view.acknowledged(slot)}
    assert waiting
    assert set(fs.dropped) == waiting
    assert len(waiting) < len(view.segments) - 1


async def test_a_slot_is_read_in_pieces_and_given_up_when_it_is_used_again(clock: FakeClock) -> None:
    async with Ring.open(RING, SETTINGS, clock, SimulatedFs()) as ring:
        await filled(ring, clock, 100)
    fs = SimulatedFs()
    async with Ring.open(RING, RingSettings(size_mib=2, slot_mib=0.25, instant_commit_window_s=0.0, elide=False,
                                            scrub_interval_s=0.0), clock, fs) as ring:
        await filled(ring, clock, 300)
        scrub, log = ring._scrub, ring._engine.logs[Stream.INSTANT]
        assert scrub.step(), "chosen"
        assert not scrub.step(), "a piece of it"
        slot = next(slot for slot in log.view.segments if slot.segment.uid in scrub._rounds)
        log.view.segments.remove(slot)
        assert scrub.step(), "given up, the next one chosen"
        assert log.tally.scrubbed == 0
        assert log.view.state.losses.total == 0


async def test_storage_that_cannot_be_read_for_now_is_no_damage(clock: FakeClock) -> None:
    fs = SimulatedFs()
    async with Ring.open(RING, SETTINGS, clock, fs) as ring:
        await filled(ring, clock)
        fs.faults["drop_cached"] = [OSError(24, "Too many open files") for _ in range(5)]
        async with asyncio.timeout(30):
            while fs.faults["drop_cached"]:
                await asyncio.sleep(0.005)
        await rounds(ring, 3)
        assert ring.status().lost == 0
        assert ring.status().healthy


def test_the_machines_cache_is_asked_to_let_go(tmp_path: Path) -> None:
    fs, path = OsFileSystem(), tmp_path / "0.slot"
    fs.create(path, 8 * PAGE_BYTES)
    fs.pwrite(path, 0, b"kept")
    fs.drop_cached(path)
    assert fs.pread(path, 0, 4) == b"kept"

"""Wrong clocks under the ring: steps of an hour and of fifty years, boots in 1970, deaths in between. Nothing depends on them."""

import asyncio
import random
import uuid
from pathlib import Path

import pytest
from killing import KillAt, Lives
from stores import RingStore

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stamp, Stored, Stream
from edge.ring.store import Ring

HOUR_MS, YEAR_MS = 3_600_000, 31_557_600_000
NOW_MS = 1_780_000_000_000
SCHEMA = Schema(Kind.READING, (Field("n"),))
S = Stream.INSTANT


class Wall:
    """A clock whose boot time runs by itself and whose wall clock is set at will. Every stamp is a millisecond later."""

    def __init__(self) -> None:
        self.boot(NOW_MS, synchronised=True)

    def boot(self, wall_ms: int, *, synchronised: bool) -> None:
        self.boot_id, self.boottime_ms, self.wall_ms, self.sync = str(uuid.uuid4()), 2_000, wall_ms, synchronised

    def step(self, by_ms: int) -> None:
        self.wall_ms += by_ms

    def stamp(self) -> Stamp:
        self.boottime_ms += 1
        self.wall_ms += 1
        return Stamp(self.boottime_ms, self.wall_ms, self.boot_id, self.sync)

    def monotonic(self) -> float:
        return self.boottime_ms / 1000

    def synchronised(self) -> bool:
        return self.sync


STEPS = (HOUR_MS, -HOUR_MS, 50 * YEAR_MS, -50 * YEAR_MS)


@pytest.mark.parametrize("seed", range(3))
def test_no_step_and_no_boot_in_1970_takes_a_record_out_of_its_place(tmp_path: Path, seed: int) -> None:
    """Lives on one directory, each in another time: killed, read, and read again with the clock somewhere else."""
    rng, wall = random.Random(seed), Wall()
    lives = Lives(tmp_path / "state", RingStore("ring", "wrap", clock=wall, evicts=True), seed)
    for number in range(1, 13):
        if rng.random() < 0.5:
            wall.boot(rng.choice((0, NOW_MS, NOW_MS + 50 * YEAR_MS)), synchronised=True)
        wall.step(rng.choice(STEPS))
        lives.live(20, lambda number=number: KillAt("fdatasync", 3 + number, "before", lives.place))
        wall.step(rng.choice(STEPS))
        assert (finding := lives.find()).good, finding


async def delivered(ring: Ring) -> list[Stored]:
    rows: list[Stored] = []
    while batch := await ring.read(S, after=rows[-1].seq if rows else 0, limit_records=50):
        rows += batch
    return rows


SETTINGS = RingSettings(size_mib=1, slot_mib=0.0625, instant_commit_window_s=0, alarm_commit_window_s=0)


@pytest.mark.parametrize("step_ms", STEPS)
async def test_a_record_carries_the_same_time_however_often_it_is_delivered(tmp_path: Path, step_ms: int) -> None:
    wall = Wall()
    async with Ring.open(tmp_path / "ring", SETTINGS, wall) as ring:
        before = [await ring.append(S, Record(SCHEMA, "m", wall.stamp(), (n,))) for n in range(10)]
        wall.step(step_ms)
        ring._time.look()
        after = [await ring.append(S, Record(SCHEMA, "m", wall.stamp(), (n,))) for n in range(10, 20)]
        first = await delivered(ring)
    assert [one.seq for one in first] == before + after, "order is the order of arrival"
    assert all(abs(one.record.stamp.wall_ms - NOW_MS) < 60_000 for one in first[:10]), "a later step does not move them"
    assert all(abs(one.record.stamp.wall_ms - NOW_MS - step_ms) < 60_000 for one in first[10:])
    for _ in range(2):
        wall.boot(0, synchronised=False)
        async with Ring.open(tmp_path / "ring", SETTINGS, wall) as ring:
            assert [(one.seq, one.record) for one in await delivered(ring)] == [(one.seq, one.record) for one in first]
            assert ring.status().lost == 0


async def test_a_boot_in_1970_gets_its_time_when_the_clock_comes(tmp_path: Path) -> None:
    wall = Wall()
    wall.boot(0, synchronised=False)
    async with Ring.open(tmp_path / "ring", SETTINGS, wall) as ring:
        seqs = [await ring.append(S, Record(SCHEMA, "m", wall.stamp(), (n,))) for n in range(10)]
        assert await delivered(ring) == [], "its time is not known yet"
        wall.step(NOW_MS)
        wall.sync = True
        ring._time.look()
        async with asyncio.timeout(30):
            while not (rows := await delivered(ring)):
                await ring.wait_committed()
    assert [one.seq for one in rows] == seqs
    assert all(one.record.stamp.synchronised and abs(one.record.stamp.wall_ms - NOW_MS) < 60_000 for one in rows)

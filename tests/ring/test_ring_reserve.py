"""Slots made ahead: the ring uses them and makes none itself; and what the ring says of its numbers."""

from pathlib import Path

from ring_sim import FakeClock

from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stream
from edge.ring.fs import OsFileSystem
from edge.ring.reserve import reserve
from edge.ring.store import Ring

SETTINGS = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.0, ack_commit_s=0.01)
ORDINAL = (1 << 40) - 1
SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))


class Watched(OsFileSystem):
    """Remembers every slot that it made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Path] = []

    def create(self, path: Path, size: int, step_bytes: int | None = None) -> bool:
        self.made.append(path)
        return super().create(path, size, step_bytes)


async def fill(ring: Ring, clock: FakeClock, count: int) -> list[int]:
    tickets = [ring.put(Stream.INSTANT, Record(SCHEMA, "m1", clock.stamp(), (n, "x" * 900))) for n in range(count)]
    return [await ticket for ticket in tickets]


async def test_a_reserved_ring_makes_no_slot_while_it_runs(tmp_path: Path) -> None:
    clock, fs = FakeClock(), Watched()
    made = reserve(tmp_path, SETTINGS)
    assert (made.slots, made.made, made.missing, made.size_bytes) == (16, 16, 0, 1 << 20)
    async with Ring.open(tmp_path, SETTINGS, clock, fs) as ring:
        await fill(ring, clock, 1_500)      # more than the ring holds: round once
        assert ring.status().lost > 0
        assert sum(stream.size_bytes for stream in ring.status().streams.values()) == 1 << 20
    assert fs.made == []
    again = reserve(tmp_path, SETTINGS)
    assert (again.slots, again.made, again.strange) == (16, 0, 0)


async def test_a_slot_that_is_missing_is_still_made_at_run_time(tmp_path: Path) -> None:
    clock, fs = FakeClock(), Watched()
    reserve(tmp_path, SETTINGS)
    for path in sorted((tmp_path / "instant").iterdir())[2:]:
        path.unlink()
    async with Ring.open(tmp_path, SETTINGS, clock, fs) as ring:
        await fill(ring, clock, 400)
        assert ring.status().lost == 0
    assert fs.made


async def test_another_rings_slot_and_a_full_ring_are_not_touched(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Ring.open(tmp_path / "other", SETTINGS, clock) as ring:
        await fill(ring, clock, 3)
    async with Ring.open(tmp_path / "ours", SETTINGS, clock) as ring:
        await fill(ring, clock, 100)
    strange = tmp_path / "ours" / "instant" / "00077.slot"
    (tmp_path / "other" / "instant" / "00000.slot").rename(strange)
    before = {path: path.read_bytes() for path in (tmp_path / "ours").rglob("*.slot")}
    made = reserve(tmp_path / "ours", SETTINGS)
    assert (made.strange, made.slots) == (1, 16)
    assert all(path.read_bytes() == content for path, content in before.items())
    async with Ring.open(tmp_path / "ours", SETTINGS, clock) as ring:
        assert len(await ring.read(Stream.INSTANT)) == 100


def numbers(ring: Ring) -> tuple[int, int, int, int, int]:
    told = ring.status().streams["instant"]
    return told.newest_seq & ORDINAL, told.durable_seq & ORDINAL, told.acknowledged, told.lost, told.backlog


async def test_the_numbers_of_a_stream_count_over_restarts(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Ring.open(tmp_path, SETTINGS, clock) as ring:
        assert numbers(ring) == (0, 0, 0, 0, 0)
        seqs = await fill(ring, clock, 10)
        ring.ack(SeqSpan(Stream.INSTANT, seqs[0], seqs[3]))
        assert numbers(ring) == (10, 10, 4, 0, 6)
        assert ring.status().streams["instant"].durable_seq == seqs[-1]
        ticket = ring.put(Stream.INSTANT, Record(SCHEMA, "m1", clock.stamp(), (10, "")))
        assert numbers(ring) == (11, 10, 4, 0, 6)
        assert ring.status().streams["instant"].newest_seq == ticket.seq
    async with Ring.open(tmp_path, SETTINGS, clock) as ring:
        assert numbers(ring) == (11, 11, 4, 0, 7)
        assert await fill(ring, clock, 1) == [ring.status().streams["instant"].durable_seq]
    async with Ring.open(tmp_path, SETTINGS, clock) as ring:
        await fill(ring, clock, 1_500)
        newest, durable, acknowledged, lost, backlog = numbers(ring)
        assert lost > 0
        assert newest == durable == acknowledged + lost + backlog == 1_512

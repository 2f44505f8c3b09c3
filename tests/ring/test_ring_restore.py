"""`ring salvage --into`: what waits in a broken ring goes on from a fresh one, under its numbers, and losses are told."""

import asyncio
import random
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from ring_sim import FakeClock
from test_ring_salvage import SETTINGS, filled

from edge.commands.context import State
from edge.commands.ring import ring as ring_command
from edge.config import RingSettings, Settings
from edge.errors import RingError
from edge.model import SEQ_BITS, Field, Kind, Record, Schema, SeqSpan, Stored, Stream
from edge.ring.frame import PAGE_BYTES
from edge.ring.key import KeyFile
from edge.ring.restore import RUNS_BEYOND, restore
from edge.ring.salvage import rings_in
from edge.ring.store import Ring

S = Stream.INSTANT
SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))


def saved(source: Path, into: Path, chosen: RingSettings = SETTINGS):
    rings, _ = rings_in([source], KeyFile(source.parent / "ring.key"))
    return restore(rings[0], into, chosen, FakeClock("22222222-2222-4222-8222-222222222222").stamp, KeyFile(source.parent / "ring.key"))


async def everything(ring: Ring, stream: Stream = S) -> list[Stored]:
    found: list[Stored] = []
    while part := await ring.read(stream, after=found[-1].seq if found else 0):
        found += part
    return found


def slots(directory: Path) -> list[Path]:
    return sorted((directory / "instant").iterdir())


async def test_what_waits_is_delivered_under_its_number_and_new_numbers_were_never_anybodys(tmp_path: Path) -> None:
    put = await filled(tmp_path / "ring")
    clock = FakeClock()
    async with Ring.open(tmp_path / "ring", SETTINGS, clock) as ring:
        acked = sorted(put)[:150]
        ring.ack(SeqSpan(S, acked[0], acked[-1]))
        before = {stored.seq: stored for stored in await everything(ring)}
        clock.forward(5)
    done = saved(tmp_path / "ring", tmp_path / "new")
    assert done.waiting == {"alarm": 0, "billing": 0, "instant": 150}
    assert done.lost == {"alarm": 0, "billing": 0, "instant": 0}
    assert len(slots(tmp_path / "new")) < len(slots(tmp_path / "ring")), "what is acknowledged stays behind"
    async with Ring.open(tmp_path / "new", SETTINGS, clock) as ring:
        assert {stored.seq: stored for stored in await everything(ring)} == before, "number, time, device, values"
        fresh = await ring.append(S, Record(SCHEMA, "m1", clock.stamp(), (1, "new")))
        assert fresh >> SEQ_BITS > RUNS_BEYOND + (max(put) >> SEQ_BITS)
        assert fresh & ((1 << SEQ_BITS) - 1) == 301, "and no hole"
        assert ring.status().lost == 0


async def test_what_is_missing_is_a_loss_and_is_told(tmp_path: Path) -> None:
    """A damaged page, a slot that is gone, one without header, and the newest one gone: its numbers are nobody else's."""
    put = await filled(tmp_path / "ring", 400)
    victims = slots(tmp_path / "ring")
    with victims[1].open("r+b") as file:
        file.seek(8 * PAGE_BYTES + 100)
        file.write(b"gone")
    with victims[2].open("r+b") as file:
        file.write(random.Random(1).randbytes(2 * PAGE_BYTES))
    used = [path for path in victims if any(path.read_bytes()[: 3 * PAGE_BYTES])]
    victims[3].unlink()
    used[-1].unlink()
    saved(tmp_path / "ring", tmp_path / "new")
    clock = FakeClock("33333333-3333-4333-8333-333333333333")
    async with Ring.open(tmp_path / "new", SETTINGS, clock) as ring:
        found = {stored.seq: str(stored.record.values[0]) for stored in await everything(ring)}
        assert found.items() < put.items(), "nothing but what was put, under its number"
        newest_gone = [seq for seq in put if seq > max(found)]
        holes = [seq for seq in put if seq < max(found) and seq not in found]
        assert newest_gone
        assert holes
        assert ring.status().lost == len(holes), "what the newest slot held left no trace at all"
        async with asyncio.timeout(10):
            while sum(gap.record.values[3] for gap in await everything(ring, Stream.ALARM)) < len(holes):
                await ring.wait_committed()
        fresh = await ring.append(S, Record(SCHEMA, "m1", clock.stamp(), (1, "new")))
        assert fresh not in put


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_broken_nothing_is_made_up_and_every_hole_is_counted(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    chosen = msgspec.structs.replace(SETTINGS, encrypt=bool(seed % 2))
    clock, put = FakeClock(), dict[int, int]()
    async with Ring.open(tmp_path / "ring", chosen, clock) as ring:
        for n in range(0, 300, 10):
            tickets = [ring.put(S, Record(SCHEMA, "m1", clock.stamp(), (n + i, "x" * 900))) for i in range(10)]
            put |= {await ticket: n + i for i, ticket in enumerate(tickets)}
        acked = sorted(put)[rng.randrange(200) :][: rng.randrange(1, 60)]
        ring.ack(SeqSpan(S, acked[0], acked[-1]))
    used = [path for path in slots(tmp_path / "ring") if any(path.read_bytes()[:PAGE_BYTES])]
    for path in rng.sample(used, 3):
        how = rng.choice(("pages", "header", "gone"))
        if how == "gone":
            path.unlink()
            continue
        with path.open("r+b") as file:
            for page in (0, 1) if how == "header" else rng.sample(range(2, 16), 3):
                file.seek(page * PAGE_BYTES)
                file.write(rng.randbytes(PAGE_BYTES))
    saved(tmp_path / "ring", tmp_path / "new", chosen)
    async with Ring.open(tmp_path / "new", chosen, clock) as ring:
        found = {stored.seq: stored.record.values[0] for stored in await everything(ring)}
        lost = ring.status().streams["instant"].lost
        fresh = await ring.append(S, Record(SCHEMA, "m1", clock.stamp(), (1, "new")))
    assert found.items() <= put.items()
    waited = set(put) - set(acked) - set(found)
    holes = {seq for seq in waited if seq < max(found)}
    assert len(holes) <= lost <= len(waited | set(acked)), "what is acknowledged may be counted where the newest state is gone"
    assert fresh not in put
    assert len(found) > 50


async def test_an_encrypted_ring_stays_one(tmp_path: Path) -> None:
    sealed = msgspec.structs.replace(SETTINGS, encrypt=True)
    async with Ring.open(tmp_path / "ring", sealed, FakeClock()) as ring:
        seqs = [await ring.append(S, Record(SCHEMA, "m1", FakeClock().stamp(), (n, "private"))) for n in range(5)]
    saved(tmp_path / "ring", tmp_path / "new", sealed)
    async with Ring.open(tmp_path / "new", sealed, FakeClock()) as ring:
        assert [stored.seq for stored in await everything(ring)] == seqs
    assert not any(b"private" in path.read_bytes() for path in tmp_path.rglob("*.slot"))


async def test_nothing_is_put_over_anything_and_nothing_is_let_go_of(tmp_path: Path) -> None:
    await filled(tmp_path / "ring")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.slot")}
    with pytest.raises(RingError, match="is there already"):
        saved(tmp_path / "ring", tmp_path / "ring")
    small = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.7)
    with pytest.raises(RingError, match="make size_mib larger"):
        saved(tmp_path / "ring", tmp_path / "new", small)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.slot")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ring"]
    (tmp_path / "new").mkdir()
    (tmp_path / "new.salvaged").mkdir()      # of one that was cut
    (tmp_path / "new.salvaged" / "half").touch()
    assert saved(tmp_path / "ring", tmp_path / "new").waiting["instant"] == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "ring"]


async def test_the_command_asks_which_ring_and_says_what_became_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        await filled(tmp_path / "cards" / name, 20)
    monkeypatch.setattr(State, "settings", lambda _: Settings(ring=SETTINGS))

    def run(*words: object):
        return CliRunner().invoke(ring_command, ["salvage", *map(str, words)], obj=State(), standalone_mode=False)

    result = run(tmp_path / "cards", "--into", tmp_path / "new")
    assert isinstance(result.exception, RingError)
    assert "2 rings found; name one of them by --ring" in str(result.exception)
    uuid = str(result.exception).split()[-3]
    result = run(tmp_path / "cards", "--into", tmp_path / "new", "--ring", uuid)
    assert result.return_value == 0, result.exception
    assert "instant       20          0" in result.output
    assert isinstance(run(tmp_path / "new" / "alarm" / "00000.slot", "--into", tmp_path / "x", "--ring", "no").exception, RingError)


async def test_from_the_image_of_a_card(tmp_path: Path) -> None:
    """Its blocks lie anywhere, and in the image a slot has only the pages that are frames."""
    sealed = msgspec.structs.replace(SETTINGS, encrypt=True)
    clock, rng = FakeClock(), random.Random(3)
    async with Ring.open(tmp_path / "ring", sealed, clock) as ring:
        for n in range(0, 200, 20):
            tickets = [ring.put(S, Record(SCHEMA, "m1", clock.stamp(), (n + i, "x" * 900))) for i in range(20)]
            last = await tickets[-1]
        before = await everything(ring)
    pages = [path.read_bytes()[at : at + PAGE_BYTES] for path in tmp_path.rglob("*.slot") for at in range(0, path.stat().st_size, PAGE_BYTES)]
    rng.shuffle(pages)
    image = tmp_path / "card.img"
    image.write_bytes(b"".join(pages))
    saved(image, tmp_path / "new", sealed)
    async with Ring.open(tmp_path / "new", sealed, clock) as ring:
        assert await everything(ring) == before
        assert await ring.append(S, Record(SCHEMA, "m1", clock.stamp(), (1, "new"))) > last
        assert ring.status().lost == 0

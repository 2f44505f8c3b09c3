"""Whatever the directory holds, a ring opens on it, takes a record, and gives back nothing that was never put in."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from promises import Promises
from stores import CLOCK, SCHEMA, RingStore, contents

from edge.model import Record, Stream
from edge.ring.store import Ring

SLOT_BYTES = 65_536


def donor(place: Path, seed: int, commits: int) -> list[Path]:
    """The slots of a ring with a life of its own behind it."""
    place.mkdir()
    RingStore("donor", "grow").work(place, lambda _mark: None, commits, random.Random(seed), 1)
    return sorted(place.rglob("*.slot"))


def flipped(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 20, 2_000))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def overwritten(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return (data[:at] + rng.randbytes(rng.randrange(SLOT_BYTES)) + data[at:])[: len(data)]


def shuffled(data: bytes, rng: random.Random) -> bytes:
    pages = [data[at : at + 4096] for at in range(0, len(data), 4096)]
    rng.shuffle(pages)
    return b"".join(pages)


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "whole": lambda data, _rng: data,
    "random": lambda data, rng: rng.randbytes(rng.choice((0, 1, 4_095, 4_096, len(data), 3 * len(data)))),
    "cut": lambda data, rng: data[: rng.randrange(len(data))],
    "longer": lambda data, rng: data + rng.randbytes(rng.randrange(9_000)),
    "zeros": lambda data, _rng: bytes(len(data)),
    "flipped": flipped, "overwritten": overwritten, "shuffled": shuffled,
}


@pytest.fixture(scope="module")
def slots(tmp_path_factory) -> list[list[Path]]:
    """The slots of three devices."""
    base = tmp_path_factory.mktemp("donors")
    return [donor(base / str(n), n, commits) for n, commits in ((1, 60), (2, 25), (3, 8))]


@pytest.mark.parametrize("seed", range(400 if os.environ.get("HALOW_CRASH_LONG") else 20))
def test_a_directory_of_anything_opens_and_works(tmp_path: Path, slots: list[list[Path]], seed: int) -> None:
    rng, told = random.Random(seed), []
    damages = rng.sample(sorted(DAMAGE), rng.randrange(1, 5))
    for name in ("alarm", "billing", "instant"):
        place = tmp_path / "ring" / name
        place.mkdir(parents=True)
        for number in range(rng.randrange(6)):
            # a neighbour's stream and another device's slot are as likely as one's own
            source = rng.choice(rng.choice(slots)) if rng.random() < 0.6 else rng.choice(slots[0])
            damage = rng.choice(damages)
            told.append(damage)
            (place / f"{number:05}.slot").write_bytes(DAMAGE[damage](source.read_bytes(), rng))
        (place / "00007.slot").mkdir() if rng.random() < 0.2 else None
        (place / "00008.slot").symlink_to("nowhere") if rng.random() < 0.2 else None
        (place / "00009.slot.tmp").write_bytes(rng.randbytes(100))
    store = RingStore("ring", "wrap")
    finding = store.check(tmp_path, Promises())
    assert not finding.failed, f"{told}: {finding}"
    assert not finding.invented, f"{told}: {finding}"
    assert not finding.disordered, f"{told}: {finding}"
    kept: dict = {}

    def mark(what: dict) -> None:
        kept.update({(stream, number): n for stream, number, n in what.get("put", ())})
        for stream, number in what.get("ack", ()):
            kept.pop((stream, number), None)

    store.work(tmp_path, mark, 10, rng, 10_000)
    assert not store.check(tmp_path, Promises(kept=kept)).missing, "what it took on such a directory is kept as on any"
    size = sum(path.stat().st_size for path in (tmp_path / "ring").rglob("*.slot") if path.is_file())
    assert size <= (1 << 20) + 3 * SLOT_BYTES


async def test_a_file_in_the_directorys_place_is_survived_in_memory(tmp_path: Path) -> None:
    (tmp_path / "ring").write_text("not a directory")
    async with Ring.open(tmp_path / "ring", RingStore("ring", "wrap").settings, CLOCK) as ring:
        assert "ring" in ring.status().problem
        seq = ring.put(Stream.ALARM, Record(SCHEMA, "m", CLOCK.stamp(), contents(1))).seq
        assert [stored.seq for stored in await ring.read(Stream.ALARM)] == [seq]
    assert (tmp_path / "ring").read_text() == "not a directory"


def test_the_damages_damage(slots: list[list[Path]]) -> None:
    data = slots[0][0].read_bytes()
    assert len(data) == SLOT_BYTES
    assert all(damage(data, random.Random(1)) != data for name, damage in DAMAGE.items() if name != "whole")

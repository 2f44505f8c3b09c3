"""`ring salvage`: from a directory, copied slots, slots without a header and images, all that is readable and nothing else."""

import json
import random
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_sim import FakeClock

from edge.commands.context import State
from edge.commands.ring import ring
from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.frame import PAGE_BYTES, Frame, FrameType, encode_frame, peek
from edge.ring.pieces import seed_of
from edge.ring.store import Ring

SETTINGS = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.0, elide=False)
SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
COUNT = 300


def run(*arguments: object):
    return CliRunner().invoke(ring, ["salvage", *(str(a) for a in arguments)], obj=State(), standalone_mode=False)


def read(result) -> list[dict]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


async def filled(directory: Path, count: int = COUNT) -> dict[int, str]:
    """Return what was put, by sequence number."""
    clock = FakeClock()
    async with Ring.open(directory, SETTINGS, clock) as opened:
        tickets = [opened.put(Stream.INSTANT, Record(SCHEMA, f"m{n % 3}", clock.stamp(), (n, "x" * 900))) for n in range(count)]
        return {await ticket: str(n) for n, ticket in enumerate(tickets)}


def assert_all(lines: list[dict], put: dict[int, str]) -> None:
    assert {line["seq"]: line["values"]["n"] for line in lines} == put
    assert [line["seq"] for line in lines] == sorted(put), "in their order, each once"
    assert {line["ts_ms"] for line in lines} == {1_700_000_000_000}


async def test_a_sound_ring_gives_all_and_status_0(tmp_path: Path) -> None:
    put = await filled(tmp_path / "ring")
    result = run(tmp_path)
    assert_all(read(result), put)
    assert result.return_value == 0
    assert f"{COUNT} records" in result.stderr


async def test_slots_without_any_header_are_read_by_what_their_frames_agree_on(tmp_path: Path) -> None:
    put = await filled(tmp_path / "ring")
    for slot in sorted((tmp_path / "ring" / "instant").iterdir())[1:4]:
        with slot.open("r+b") as file:
            file.write(random.Random(1).randbytes(2 * PAGE_BYTES))
    result = run(tmp_path)
    assert_all(read(result), put)
    assert result.return_value == 1
    assert result.stderr.count("both copies of the header are damaged") == 3


async def test_a_damaged_page_costs_what_it_held_and_is_named(tmp_path: Path) -> None:
    put = await filled(tmp_path / "ring")
    slot = sorted((tmp_path / "ring" / "instant").iterdir())[1]
    with slot.open("r+b") as file:
        file.seek(8 * PAGE_BYTES + 100)
        file.write(b"gone")
    result = run(slot.parent)
    lines = read(result)
    gone = put.keys() - {line["seq"] for line in lines}
    assert 0 < len(gone) < 5
    assert_all(lines, {seq: n for seq, n in put.items() if seq not in gone})
    assert f"{slot}: instant" in result.stderr
    assert f"{len(gone)} records missing" in result.stderr
    assert result.return_value == 1


async def test_a_single_copied_slot_is_enough(tmp_path: Path) -> None:
    put = await filled(tmp_path / "ring")
    slot = sorted((tmp_path / "ring" / "instant").iterdir())[2]
    copy = tmp_path / "copy.slot"
    shutil.copy(slot, copy)
    lines = read(run(copy))
    assert 5 < len(lines) < COUNT / 2
    assert all(put[line["seq"]] == line["values"]["n"] for line in lines)


async def test_an_image_is_read_wherever_the_blocks_of_a_slot_lie(tmp_path: Path) -> None:
    """Two rings, their slots in pieces, with garbage and frames of a former use between them."""
    rng = random.Random(5)
    puts = [await filled(tmp_path / "a"), await filled(tmp_path / "b", 50)]
    runs = []
    for slot in sorted(tmp_path.rglob("*.slot")):
        data = slot.read_bytes()
        runs += [data[at : at + 4 * PAGE_BYTES] for at in range(0, len(data), 4 * PAGE_BYTES)]
    rng.shuffle(runs)
    old = encode_frame(Frame(FrameType.DATA, 0, 1, (1 << 40) + 3, b"\x93\x00\x00\x00"), 99)
    image = tmp_path / "card.img"
    image.write_bytes(b"".join(rng.randbytes(PAGE_BYTES * rng.randrange(3)) + run for run in runs) + old + b"end")
    result = run(image)
    lines = read(result)
    by_ring = {line["ring"]: [other for other in lines if other["ring"] == line["ring"]] for line in lines}
    assert len(by_ring) == 2
    for one, put in zip(by_ring.values(), puts, strict=True):
        assert_all(one, put)
    assert "1 pages look like frames" in result.stderr


async def test_only_what_waits(tmp_path: Path) -> None:
    from edge.model import SeqSpan

    clock = FakeClock()
    async with Ring.open(tmp_path / "ring", SETTINGS, clock) as opened:
        seqs = [await opened.append(Stream.ALARM, Record(SCHEMA, "m", clock.stamp(), (n, "t"))) for n in range(4)]
        opened.ack(SeqSpan(Stream.ALARM, seqs[0], seqs[1]))
    assert [(line["seq"], line["acked"]) for line in read(run(tmp_path))] == [(seq, seq in seqs[:2]) for seq in seqs]
    assert [line["seq"] for line in read(run(tmp_path, "--waiting"))] == seqs[2:]


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing")
    assert isinstance(result.exception, RingError)
    assert str(result.exception) == f"{tmp_path / 'nothing'}: no such file or directory"


@given(data=st.lists(st.sampled_from([b"EGR1", b"\xb1\x0c\x01\x02", b"\0" * 4096, b"\xff" * 700]) | st.binary(max_size=5000), max_size=12),
       name=st.sampled_from(["00000.slot", "image"]))
@settings(max_examples=60)
def test_any_bytes_are_looked_through(tmp_path_factory: pytest.TempPathFactory, data: list[bytes], name: str) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(b"".join(part.ljust(-(-len(part) // 4096) * 4096, b"\0") for part in data))
    result = run(path)
    assert read(result) == []
    assert result.return_value == 1


@given(uid=st.integers(0, 2**32 - 1), payload=st.binary(max_size=300), records=st.integers(0, 9))
def test_a_checksum_runs_backwards_to_its_seed(uid: int, payload: bytes, records: int) -> None:
    data = encode_frame(Frame(FrameType.DATA, 0, records, (7 << 40) + 1, payload), uid)
    assert seed_of(peek(data), data) == uid

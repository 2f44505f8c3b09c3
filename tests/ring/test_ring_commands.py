"""`halow-gateway ring`: on a ring that is being written, on a damaged one, and where there is none."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from ring_sim import FakeClock

from edge.commands.context import State
from edge.commands.ring import exact_text, ring
from edge.config import RingSettings
from edge.health.wear import StorageWear
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stream
from edge.ring.store import Ring

SETTINGS = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.0,
                        ack_commit_s=0.01)
SCHEMA = Schema(Kind.READING, (Field("voltage_l1", -1, "V"), Field("text"), Field("energy", 3, "Wh")))


def run(*arguments: object):
    return CliRunner().invoke(ring, [str(a) for a in arguments], obj=State(), standalone_mode=False)


async def filled(state_dir: Path, count: int = 300):
    clock = FakeClock()
    async with Ring.open(state_dir / "ring", SETTINGS, clock) as opened:
        tickets = [opened.put(Stream.INSTANT, Record(SCHEMA, "m1", clock.stamp(), (2300 + n, "x" * 200, n))) for n in range(count)]
        seqs = [await ticket for ticket in tickets]
        opened.ack(SeqSpan(Stream.INSTANT, seqs[0], seqs[9]))
    return seqs


async def test_a_live_ring_is_listed_verified_and_dumped(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Ring.open(tmp_path / "ring", SETTINGS, clock) as opened:
        seq = await opened.append(Stream.INSTANT, Record(SCHEMA, "m1", clock.stamp(), (2301, None, 5)))
        assert "instant" in run("ls", "--state-dir", tmp_path).output
        assert run("--state-dir", tmp_path, "verify").return_value == 0
        line = json.loads(run("dump", "--state-dir", tmp_path).output)
    assert line == {"stream": "instant", "seq": seq, "device": "m1", "kind": "reading", "ts_ms": clock.wall_ms, "synchronised": True,
                    "time": "clock", "latest_ts_ms": None, "acked": False, "values": {"voltage_l1": "230.1", "text": None, "energy": "5000"}}


async def test_dump_chooses(tmp_path: Path) -> None:
    seqs = await filled(tmp_path)

    def seqs_of(*arguments: object) -> list[int]:
        return [json.loads(line)["seq"] for line in run("dump", "--state-dir", tmp_path, *arguments).output.splitlines()]

    assert seqs_of() == seqs[10:]
    assert seqs_of("--all") == seqs
    assert seqs_of("--stream", "instant", "--limit", 3) == seqs[10:13]
    assert seqs_of("--stream", "alarm") == []


async def test_verify_names_the_damage(tmp_path: Path) -> None:
    await filled(tmp_path)
    slot = tmp_path / "ring" / "instant" / "00000.slot"
    data = bytearray(slot.read_bytes())
    data[5 * 4096 + 300] ^= 1
    slot.write_bytes(data)
    result = run("verify", "--state-dir", tmp_path)
    assert result.return_value == 1
    assert "instant/00000.slot: 1 damaged pages, 0 unknown frames, " in result.output
    assert slot.read_bytes() == data, "nothing was written"


@pytest.mark.parametrize(("content", "words"), [
    (b"\xa5" * 65_536, "both copies of its header are damaged"),
    (b"\xa5" * 5_000, "too short to be a slot: 5000 bytes"),
])
async def test_verify_names_a_slot_that_is_a_slot_no_more(tmp_path: Path, content: bytes, words: str) -> None:
    await filled(tmp_path)
    (tmp_path / "ring" / "instant" / "00000.slot").write_bytes(content)
    result = run("verify", "--state-dir", tmp_path)
    assert result.return_value == 1
    assert f"instant/00000.slot: {words}" in result.output
    checks = {(check["stream"], check["slot"]): check for check in json.loads(run("verify", "--json", "--state-dir", tmp_path).output)}
    assert not checks["instant", "00000.slot"]["sound"]
    assert words in checks["instant", "00000.slot"]["problem"]


async def test_a_slot_that_was_never_written_is_no_damage(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / "ring" / "instant" / "00099.slot").write_bytes(bytes(65_536))
    assert run("verify", "--state-dir", tmp_path).return_value == 0
    listed = json.loads(run("ls", "--json", "--state-dir", tmp_path).output)
    assert {slot["slot"]: slot["condition"] for slot in listed["slots"] if slot["stream"] == "instant"}["00099.slot"] == "free"
    assert listed["lost"] == {"alarm": 0, "billing": 0, "instant": 0}
    assert sum(slot["waiting"] or 0 for slot in listed["slots"]) == 290


def test_where_there_is_no_ring_one_line_says_so(tmp_path: Path) -> None:
    for command in ("ls", "verify", "dump"):
        result = run(command, "--state-dir", tmp_path / "nowhere")
        assert "there is no ring here" in str(result.exception)


def test_the_settings_file_names_the_place(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f'[gateway]\nstate_dir = "{tmp_path}"\n')
    (tmp_path / "ring").mkdir()
    assert run("--config", config, "verify").output == "0 segments, 0 frames, 0 segments with damage\n"


@pytest.mark.parametrize(("raw", "scaler", "text"), [
    (2301, -1, "230.1"), (-5, -3, "-0.005"), (0, -2, "0.00"), (7, 0, "7"), (7, 2, "700"), (None, -1, None), ("on", -1, "on"),
])
def test_numbers_are_exact_text(raw, scaler: int, text) -> None:
    assert exact_text(raw, scaler) == text


@given(st.integers(-(2**200), 2**200), st.integers(-30, 30))
@example(-1, -1)
def test_text_reads_back_as_the_same_number(raw: int, scaler: int) -> None:
    from fractions import Fraction

    assert Fraction(exact_text(raw, scaler)) == raw * Fraction(10) ** scaler


async def test_status_tells_fill_losses_and_wear_without_a_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seqs = await filled(tmp_path)
    worn = StorageWear("mmcblk0", 8 << 30, 30, "warning", 100 << 20, 1_234)
    monkeypatch.setattr("edge.health.wear.look", lambda _path, _overwrites: worn)
    told = json.loads(run("status", "--state-dir", tmp_path, "--json").output)
    assert told["streams"]["instant"]["waiting"] == len(seqs) - 10
    assert told["storage"]["forecast_days"] == 1_234
    text = run("status", "--state-dir", tmp_path).output
    assert "storage mmcblk0: 8.0 GiB, up to 30 % of its life used, spare blocks warning, 100 MiB written a day since boot, lasts 1234" in text
    monkeypatch.setattr("edge.health.wear.look", lambda _path, _overwrites: StorageWear())
    assert run("status", "--state-dir", tmp_path).output.endswith("storage not known\n")

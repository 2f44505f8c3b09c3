"""The encrypted ring: nothing in the clear, the same contract, a key that is not there told apart from damage."""

import dataclasses
import errno
import functools
import os
import random
import re
import stat
import sys
from pathlib import Path
from unittest import mock

import hypothesis.strategies as st
import msgspec
import pytest
import test_ring_full
import test_ring_machine
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from ring_sim import CRASHES, FakeClock, SimulatedFs
from test_ring_machine import RingMachine

from edge.commands.context import State
from edge.commands.ring import ring as ring_command
from edge.config import RingSettings
from edge.errors import RingError, RingLocked
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stream
from edge.ring.batch import MAX_ROW_BYTES
from edge.ring.engine import Engine
from edge.ring.frame import PAGE_BYTES, Frame, FrameType, encode_frame, open_frame, peek
from edge.ring.key import KEY_FILE, KeyCommand, KeyFile, parse_key
from edge.ring.layout import SEALED, SlotHeader, decode_header
from edge.ring.look import RingLook
from edge.ring.seal import Keyring
from edge.ring.slots import Condition, survey
from edge.ring.store import Ring

PLAIN = RingSettings(size_mib=1, slot_mib=0.0625, alarm_share=0.125, billing_share=0.125, instant_commit_window_s=0.0, elide=False)
SEALED_RING = msgspec.structs.replace(PLAIN, encrypt=True)
SCHEMA = Schema(Kind.READING, (Field("n"), Field("text")))
S = Stream.INSTANT
WORDS = b"the consumption of a household"
UUID, KEY = bytes(range(16)), bytes(range(32))


class FixedKey:
    """A port that has one key, and remembers whether a new one might have been made."""

    where = "the test"

    def __init__(self, key: bytes = KEY) -> None:
        self._key, self.fresh = key, list[bool]()

    def key(self, *, fresh: bool) -> bytes:
        self.fresh.append(fresh)
        return self._key


async def filled(directory: Path, chosen: RingSettings, numbers: range, more: str = "") -> list[int]:
    clock = FakeClock()
    async with Ring.open(directory, chosen, clock) as ring:
        tickets = [ring.put(S, Record(SCHEMA, "kitchen meter", clock.stamp(), (n, f"{WORDS.decode()} {n}{more}")))
                   for n in numbers]
        return [await ticket for ticket in tickets]


async def numbers(directory: Path, chosen: RingSettings = SEALED_RING) -> list[int]:
    async with Ring.open(directory, chosen, FakeClock()) as ring:
        assert ring.status().healthy, ring.status().problem
        return [stored.record.values[0] for stored in await ring.read(S, limit_records=5000, limit_bytes=1 << 24)]


def flash(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*.slot")))


# ---- what is on flash ------------------------------------------------------------------------------------------------


async def test_nothing_that_a_meter_said_is_on_flash_in_the_clear(tmp_path: Path) -> None:
    seqs = await filled(tmp_path / "ring", SEALED_RING, range(300))
    found = flash(tmp_path)
    assert len(found.replace(b"\0", b"")) > 10_000
    assert WORDS not in found
    assert b"kitchen" not in found
    assert await numbers(tmp_path / "ring") == list(range(300))
    assert len(set(seqs)) == 300
    key = tmp_path / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert re.fullmatch(rb"[0-9a-f]{64}\n", key.read_bytes())
    assert bytes.fromhex(key.read_text()) not in found


async def test_turned_on_and_off_again_old_slots_stay_readable_and_new_ones_are_as_asked(tmp_path: Path) -> None:
    await filled(tmp_path / "ring", PLAIN, range(100))
    assert not (tmp_path / KEY_FILE).exists(), "no key is made that nobody asked for"
    before = flash(tmp_path).count(WORDS)
    assert before == 100
    await filled(tmp_path / "ring", SEALED_RING, range(100, 200))
    assert flash(tmp_path).count(WORDS) == before, "nothing more in the clear"
    await filled(tmp_path / "ring", PLAIN, range(200, 300))
    assert flash(tmp_path).count(WORDS) == before + 100
    for chosen in (SEALED_RING, PLAIN):
        assert await numbers(tmp_path / "ring", chosen) == list(range(300))
    assert [check for check in RingLook(tmp_path / "ring", key=KeyFile(tmp_path / KEY_FILE)).verify() if not check.sound] == []


async def test_a_full_ring_that_keeps_what_it_has_writes_nothing_in_the_clear_when_it_is_turned_on() -> None:
    """There is no slot for a segment that is sealed as a whole: records are refused as ever, and taken once there is room."""
    fs, clock, billing = SimulatedFs(), FakeClock(), Stream.BILLING
    keeps = test_ring_full.settings("drop_newest")
    async with Ring.open(Path("ring"), keeps, clock, fs) as ring:
        seqs = [await ring.append(billing, test_ring_full.record(clock, n)) for n in range(14)]      # pages are left, a slot is not
    async with Ring.open(Path("ring"), msgspec.structs.replace(keeps, encrypt=True), clock, fs, key=FixedKey()) as ring:
        assert [stored.seq for stored in await test_ring_full.everything(ring)] == seqs
        with pytest.raises(RingError, match="is full"):
            await ring.append(billing, test_ring_full.record(clock, 1))
        ring.ack(SeqSpan(billing, seqs[0], seqs[-1]))
        seq = await ring.append(billing, Record(SCHEMA, "m", clock.stamp(), (2, WORDS.decode())))
        assert [stored.seq for stored in await test_ring_full.everything(ring)] == [seq]
    assert not any(WORDS in data for data in fs.cached.values())


def test_older_code_leaves_a_sealed_slot_alone() -> None:
    """It knows bit 1 only: the header is whole, and of a newer format."""
    fs = SimulatedFs()
    Engine(fs, Path("ring"), SEALED_RING, FakeClock().stamp, os.urandom, key=FixedKey()).close()
    header = decode_header(bytes(fs.cached[Path("ring/instant/00000.slot")][:PAGE_BYTES]))
    assert header.incompatible & SEALED
    assert header.key_check == Keyring(KEY).check(header.ring)
    with mock.patch("edge.ring.layout.KNOWN_INCOMPATIBLE", 1):
        assert [slot.condition for slot in survey(fs, Path("ring/instant"), S)] == [Condition.FOREIGN]


# ---- a key that is not there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["another", "gone", "nonsense"])
async def test_without_its_key_the_ring_is_kept_and_the_gateway_runs_on_memory(
        tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    await filled(tmp_path / "ring", SEALED_RING, range(50))
    key, before = tmp_path / KEY_FILE, flash(tmp_path)
    right = key.read_bytes()
    {"another": lambda: key.write_text("ab" * 32), "gone": key.unlink, "nonsense": lambda: key.write_text("secret word")}[how]()
    clock = FakeClock()
    async with Ring.open(tmp_path / "ring", SEALED_RING, clock) as ring:
        status = ring.status()
        assert not status.healthy
        assert str(key) in status.problem
        seq = ring.put(S, Record(SCHEMA, "m", clock.stamp(), (77, "now"))).seq
        assert [stored.seq for stored in await ring.read(S)] == [seq], "what comes now is delivered out of memory"
        ring.ack(SeqSpan(S, seq, seq))
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len([line for line in lines if str(key) in line]) == 1
    assert "secret" not in caplog.text
    assert flash(tmp_path) == before, "nothing was touched"
    assert key.exists() == (how != "gone"), "no key is made that opens nothing"
    with pytest.raises(RingLocked, match="key"):
        RingLook(tmp_path / "ring", key=KeyFile(key))
    key.write_bytes(right)
    assert await numbers(tmp_path / "ring") == list(range(50))


async def test_the_commands_need_the_key_and_take_it_from_beside_the_ring(tmp_path: Path) -> None:
    await filled(tmp_path / "state" / "ring", SEALED_RING, range(5))

    def run(*words: object):
        return CliRunner().invoke(ring_command, [str(word) for word in words], obj=State(), standalone_mode=False)

    assert run("dump", "--state-dir", tmp_path / "state").output.count(WORDS.decode()) == 5
    assert run("verify", "--state-dir", tmp_path / "state").return_value == 0
    aside = (tmp_path / "state" / KEY_FILE).rename(tmp_path / "aside.key")
    for words in (("dump",), ("ls",), ("status",), ("verify",)):
        assert isinstance(run(*words, "--state-dir", tmp_path / "state").exception, RingLocked)
    result = run("salvage", tmp_path / "state", "--key-file", aside)
    assert result.stdout.count(WORDS.decode()) == 5
    assert result.return_value == 0
    aside.write_text("00" * 32)
    result = run("salvage", tmp_path / "state", "--key-file", aside)
    assert result.return_value == 1
    assert "is encrypted with another key" in result.stderr


async def test_sealed_slots_without_header_are_salvaged(tmp_path: Path) -> None:
    await filled(tmp_path / "ring", SEALED_RING, range(400), "x" * 900)
    slot = sorted((tmp_path / "ring" / "instant").iterdir())[1]
    with slot.open("r+b") as file:
        file.write(bytes(2 * PAGE_BYTES))
    result = CliRunner().invoke(
        ring_command, ["salvage", str(tmp_path), "--key-file", str(tmp_path / KEY_FILE)], obj=State(), standalone_mode=False)
    assert "made anew from its frames" in result.stderr
    alone = CliRunner().invoke(
        ring_command, ["salvage", str(slot), "--key-file", str(tmp_path / KEY_FILE)], obj=State(), standalone_mode=False)
    assert "nothing says of which ring" in alone.stderr
    assert result.stdout.count(WORDS.decode()) == 400


# ---- where a key comes from ------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rest between two tries of a command."""
    monkeypatch.setattr("edge.ring.key.COMMAND_PAUSE_S", 0.0)


def command(tmp_path: Path, text: str) -> str:
    script = tmp_path / "key"
    script.write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}\n")
    script.chmod(0o755)
    return str(script)


async def test_a_command_gives_the_key(tmp_path: Path) -> None:
    chosen = msgspec.structs.replace(SEALED_RING, key_command=command(tmp_path, f"print('{KEY.hex()}')"))
    await filled(tmp_path / "ring", chosen, range(20))
    assert not (tmp_path / KEY_FILE).exists()
    assert await numbers(tmp_path / "ring", chosen) == list(range(20))
    assert [s.record.values[0] for s, _ in RingLook(tmp_path / "ring", key=FixedKey()).records(S)] == list(range(20))


@pytest.mark.parametrize(("text", "words"), [
    ("time.sleep(60)", r"gave no key within 0\.2 s"),
    ("os.close(1); time.sleep(60)", r"gave no key within 0\.2 s"),
    ("if os.fork(): os._exit(0)\ntime.sleep(60)", r"gave no key within 0\.2 s"),
    ("print('aa' * 32); sys.exit(3)", "ended with status 3"),
    ("print('swordfish')", "is no key for the ring"),
    ("sys.stdout.write('aa' * 10**6)", "is no key for the ring"),
    ("pass", "is no key for the ring"),
])
def test_a_command_that_gives_none_is_one_line_without_what_it_said(tmp_path: Path, text: str, words: str) -> None:
    limit_s = 0.2 if "0" in words else 20
    with pytest.raises(RingLocked, match=words) as caught:
        KeyCommand(command(tmp_path, text), limit_s).key(fresh=True)
    assert "swordfish" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_command_that_fails_once_is_asked_again(tmp_path: Path) -> None:
    once = command(tmp_path, f"""
mark = {str(tmp_path / 'mark')!r}
if not os.path.exists(mark):
    open(mark, 'w').close()
    sys.exit(1)
print('{KEY.hex()}')""")
    assert KeyCommand(once, 20).key(fresh=False) == KEY


def test_a_key_file_that_others_could_read_is_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text(KEY.hex().upper() + "\r\n")
    path.chmod(0o644)
    with mock.patch("os.fchmod", side_effect=OSError(errno.EROFS, "Read-only file system")):
        assert KeyFile(path).key(fresh=False) == KEY, "a medium that cannot be written has it all the same"
    assert KeyFile(path).key(fresh=False) == KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(st.binary(max_size=80))
def test_anything_else_is_no_key(said: bytes) -> None:
    with pytest.raises(RingLocked, match="here: is no key"):
        parse_key(said, "here")


# ---- the seal --------------------------------------------------------------------------------------------------------

HEADER = SlotHeader(UUID, S, 1, 1, (1 << 40) + 1, 77, bytes(16), 0, 0, 0, 0, incompatible=SEALED)
FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 31).filter(lambda flags: not flags & 1), st.integers(0, 9),
                   st.integers(1 << 40, 1 << 63), st.binary(max_size=9000))


@given(frame=FRAMES, at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_frame_comes_back_as_it_was_and_altered_not_at_all(frame: Frame, at: int, bit: int) -> None:
    seal = Keyring(KEY).seal_of(HEADER)
    page = bytearray(encode_frame(seal.seal(frame), 77))
    assert seal.unseal(open_frame(peek(page), bytes(page), 77)) == frame
    # whoever alters a frame can make its checksum right again, since its seed stands in the header
    length = peek(page).length
    page[(24 + at % length) if at % 5 else (2, 3, 6, 7)[at % 4]] ^= 1 << bit
    head = peek(page)
    altered = Frame(head.type, head.flags, head.records, head.first_seq, bytes(page[24 : 24 + head.length]))
    assert seal.unseal(altered) is None


def test_each_sealing_has_its_own_nonce_and_each_segment_its_own_key() -> None:
    frame, keys = Frame(FrameType.DATA, 0, 1, 1 << 40, b"row"), Keyring(KEY)
    sealed = {keys.seal_of(HEADER).seal(frame).payload[:12] for _ in range(500)}
    assert len(sealed) == 500
    one = keys.seal_of(HEADER).seal(frame)
    for other in ({"uid": 78}, {"ring": bytes(16)}):
        assert keys.seal_of(dataclasses.replace(HEADER, **other)).unseal(one) is None
    assert Keyring(bytes(32)).seal_of(HEADER).unseal(one) is None
    assert Keyring(bytes(32)).check(UUID) != keys.check(UUID) != keys.check(bytes(16))


def test_a_key_is_derived_as_rfc_5869_says() -> None:
    """Test case 1 of its appendix A."""
    keys = Keyring.__new__(Keyring)
    keys._key = bytes.fromhex("0b" * 22)
    found = keys._derive(bytes.fromhex("000102030405060708090a0b0c"), bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), 42)
    assert found.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


async def test_a_frame_that_was_altered_counts_as_damage_and_costs_no_other(tmp_path: Path) -> None:
    await filled(tmp_path / "ring", SEALED_RING, range(400))
    slot = tmp_path / "ring" / "instant" / "00000.slot"
    data = bytearray(slot.read_bytes())
    header = decode_header(bytes(data[:PAGE_BYTES]))
    at = 6 * PAGE_BYTES
    head = peek(data[at : at + PAGE_BYTES])
    assert head.type == FrameType.DATA
    frame = open_frame(head, bytes(data[at : at + PAGE_BYTES]), header.uid)
    forged = frame._replace(payload=frame.payload[:40] + bytes([frame.payload[40] ^ 1]) + frame.payload[41:])
    clear = Frame(FrameType.DATA, 0, head.records, head.first_seq, b"\x94\x00\x00\x00\x01" * head.records)
    for put in (forged, clear):
        data[at : at + PAGE_BYTES] = encode_frame(put, header.uid)
        slot.write_bytes(data)
        found = await numbers(tmp_path / "ring")
        assert 0 < 400 - len(found) == head.records
    async with Ring.open(tmp_path / "ring", SEALED_RING, FakeClock()) as ring:
        assert ring.status().streams["instant"].lost == head.records


# ---- the contract ----------------------------------------------------------------------------------------------------


class SealedMachine(RingMachine):
    """The machine of the plain ring, with encryption turned on and off at each start."""

    def _open(self) -> None:
        self.settings = msgspec.structs.replace(self.settings, encrypt=self.rng.random() < 0.7)
        with mock.patch.object(test_ring_machine, "Engine", functools.partial(Engine, key=FixedKey())):
            super()._open()


SealedMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("RING_SEALED_EXAMPLES", "8")), stateful_step_count=30, deadline=None, database=None,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate])
TestSealedMachine = SealedMachine.TestCase


@pytest.mark.parametrize("choice", CRASHES)
async def test_a_commit_that_is_cut_costs_no_promised_record(choice: str) -> None:
    rng, fs, clock, port = random.Random(choice), SimulatedFs(), FakeClock(), FixedKey()
    durable: list[int] = []
    for start in range(6):
        async with Ring.open(Path("ring"), SEALED_RING, clock, fs, key=port, retry_first_s=60) as ring:
            assert set(durable) <= {stored.seq for stored in await ring.read(S, limit_records=5000)}
            tickets = [ring.put(S, Record(SCHEMA, "m", clock.stamp(), (n, WORDS.decode()))) for n in range(3)]
            durable += [await ticket for ticket in tickets]
            fs.faults["sync"] = [OSError(errno.EROFS, "Read-only file system")] * 9
            ring.put(S, Record(SCHEMA, "m", clock.stamp(), (start, "cut")))
            await ring.wait_committed()
        fs.faults.clear()
        fs.crash(choice, rng)
    assert port.fresh[1:] == [False] * 5, "a key is made once at most"


@pytest.mark.parametrize("encrypt", [False, True])
async def test_the_largest_record_fits_its_frame_beside_the_longest_state(encrypt: bool) -> None:
    fs, clock = SimulatedFs(), FakeClock()
    large = RingSettings(size_mib=32, slot_mib=4, record_limit_bytes=1 << 20, instant_commit_window_s=0.0, encrypt=encrypt)

    def record(size: int) -> Record:
        return Record(SCHEMA, "m", clock.stamp(), (1, "x" * size))

    async with Ring.open(Path("ring"), large, clock, fs, key=FixedKey()) as ring:
        seqs = [ring.put(S, record(1)).seq for _ in range(600)]
        for seq in seqs[1::2]:
            ring.ack(SeqSpan(S, seq, seq))
        last = await ring.append(S, record(MAX_ROW_BYTES - 20))
        with pytest.raises(RingError, match="the limit is"):
            ring.put(S, record(MAX_ROW_BYTES))
    async with Ring.open(Path("ring"), large, clock, fs, key=FixedKey()) as ring:
        found = await ring.read(S, limit_records=1000, limit_bytes=1 << 24)
        assert [stored.seq for stored in found] == [*seqs[::2], last]
        assert len(found[-1].record.values[1]) == MAX_ROW_BYTES - 20

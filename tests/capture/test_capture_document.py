"""Recordings: no secret in any byte, and what is left plays back against the client as the captures do."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from discovery_bench import PASSWORD, hdlc, standing
from dlms_compare import compare
from dlms_scripts import CUTS, Replay
from hypothesis import given
from hypothesis import strategies as st
from poll_bench import GENERIC_PROFILE, meter_settings

from edge.capture.cut import Piece
from edge.capture.document import Document, Subject, document
from edge.capture.recorder import Recorder
from edge.demo.bridge import Quirks
from edge.demo.meter_manners import EVERYTHING, Secured
from edge.demo.meter_settings import MeterSettings
from edge.dlms import hdlc as hdlc_frames
from edge.dlms import wrapper
from edge.dlms.ciphering import KEY_BYTES, Protection
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.settings import AssociationSettings, Security
from edge.errors import EdgeError, MeterError
from edge.poll.counters import CounterDesk
from edge.poll.session import MeterSession
from edge.poll.transport import TcpTransport

SERIAL = "7031462958"
TITLE, METER_TITLE = b"HGWc\x01\x02\x03\x04", b"GRX\x00\x07\x03\x01\x46"
NAME, SERIAL_AT = Attribute(1, Obis(0, 0, 42, 0, 0), 2), Attribute(1, Obis(0, 0, 96, 1, 0), 2)
VALUES = [spec.target for spec in GENERIC_PROFILE.objects]
SCALERS = [spec.scaler_target for spec in GENERIC_PROFILE.objects if spec.scaler_target is not None]
NOTHING_THERE = Attribute(3, Obis(1, 0, 99, 99, 9), 2)
NUMBERS = {"hls-md5": 3, "hls-sha1": 4, "hls-gmac": 5, "hls-sha256": 6}


def key(first: int, suite: int) -> bytes:
    """Keys that are nobody's example."""
    return random.Random(first).randbytes(KEY_BYTES[suite])


def subject(settings: AssociationSettings, *, keep: bool = False, identities: Sequence[str] = ("HGW" + SERIAL,)) -> Subject:
    return Subject("a-recording", "a test", settings, tuple(identities), keep, "halow-gateway test", "generic-three-phase")


async def recorded(meter_settings: MeterSettings, settings: AssociationSettings, *, keep: bool = False, quirks: Quirks | None = None,
                   asks: Sequence[Sequence[Attribute]] = ((NAME, SERIAL_AT, *VALUES, *SCALERS), (NOTHING_THERE,), (VALUES[0],))) -> tuple[Document, Recorder]:
    """Poll a simulated meter and make the recording."""
    counter = iter(range(1_000, 1_000_000, 1_024))

    async def reserve(_scope: str, _count: int, at_least: int) -> int:
        return max(next(counter), at_least)

    recorder = Recorder()
    async with standing(meter_settings, quirks, serial=SERIAL) as meter:
        host, port = meter.address
        session = MeterSession(recorder.connecting(lambda: TcpTransport.connect(host, port, timeout_s=5)), settings,
                               counters=CounterDesk("m", "scope", reserve) if settings.security else None)
        try:
            await session.open()
            for ask in asks:
                await session.get(ask)
        except MeterError:
            pass
        await session.close()
    return document(recorder.pieces, subject(settings, keep=keep)), recorder


def played_back(made: Document, cut: str = "whole") -> int:
    """Play a recording to a fresh client and compare all that is expected; return how much that was."""
    script = json.loads(made.text)
    replay = Replay(script, CUTS[cut])
    replay.run()
    compared = 0
    for expected in script["expected"]:
        events = [event for index in expected["rx"] for event in replay.heard[index]]
        compared += compare(expected, events, replay)
    return compared


def everything_in(text: str) -> list[bytes]:
    """All bytes of a recording: of each frame, of each frame's information joined, and of the file itself."""
    script = json.loads(text)
    frames = [bytes.fromhex(entry["hex"]) for entry in script["exchange"]]
    informations: dict[str, bytes] = {"tx": b"", "rx": b""}
    if script["framing"] == "hdlc":
        for entry, frame in zip(script["exchange"], frames, strict=True):
            (found,) = hdlc_frames.Deframer().feed(frame)
            informations[entry["dir"]] += found.information
    answers = [bytes.fromhex(each["apdu"]) for each in script.get("deciphered_answers", ())]
    return [*frames, *informations.values(), *answers, text.encode(), text.lower().encode()]


def assert_absent(made: Document, secrets: Sequence[bytes]) -> None:
    for place in everything_in(made.text):
        for secret in secrets:
            assert secret not in place
            assert secret.hex().encode() not in place


WRAPPER_LLS = AssociationSettings("wrapper", 1, 1, authentication="lls", password=PASSWORD)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("kind", "settings"), [
    ("wrapper", WRAPPER_LLS),
    ("wrapper", AssociationSettings("wrapper", 16, 1)),
    ("hdlc", AssociationSettings("hdlc", 1, 1, 17, 4, authentication="lls", password=PASSWORD)),
    ("hdlc", AssociationSettings("hdlc", 1, 1, 17, 4, authentication="lls", password=PASSWORD, max_info_bytes=40)),
    ("hdlc", AssociationSettings("hdlc", 1, 1, 17, 4, authentication="lls", password=PASSWORD, max_pdu=128)),
    ("microstar", AssociationSettings("hdlc", 1, 1, authentication="lls", password=PASSWORD)),
], ids=["wrapper", "public", "hdlc", "segments", "blocks", "microstar"])
async def test_a_recording_has_no_secret_and_plays_back(kind: str, settings: AssociationSettings, cut: str) -> None:
    made, recorder = await recorded(meter_settings(kind), settings)
    raw = b"".join(piece.octets for piece in recorder.pieces)
    assert SERIAL.encode() in raw, "it was there"
    assert_absent(made, [PASSWORD, SERIAL.encode(), b"HGW" + SERIAL.encode()])
    assert made.replayable
    assert played_back(made, cut) >= 4
    script = json.loads(made.text)
    assert sum(len(bytes.fromhex(entry["hex"])) for entry in script["exchange"]) <= len(raw) + 2 * len(script["exchange"])
    if settings.authentication == "lls":
        assert script["secrets"] == {"lls_password": b"********".hex()}
        assert "the password (1)" in script["redacted"]
    kinds = [expected["kind"] for expected in script["expected"]]
    assert {"association", "get-list" if kind != "microstar" else "get", "data-access-error"} <= set(kinds)


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize(("authentication", "suite", "form", "protection"), [
    ("hls-gmac", 0, "general-glo", 0x30), ("hls-gmac", 0, "glo", 0x30), ("hls-gmac", 1, "general-ded", 0x30), ("hls-gmac", 2, "ded", 0x30),
    ("hls-gmac", 0, "general-glo", 0x10), ("hls-gmac", 0, "general-glo", 0x20), ("hls-gmac", 0, "general-glo", 0), ("hls-sha256", 0, "general-glo", 0x30),
    ("hls-md5", 0, "general-glo", 0), ("hls-sha1", 0, "general-glo", 0), ("hls-sha256", 0, "general-glo", 0),
])
async def test_a_ciphered_recording_is_under_keys_that_everybody_knows(authentication: Any, suite: int, form: Any, protection: int, framing: Any) -> None:
    ek, ak, secret = key(1, suite), key(2, suite), b"not-a-real-secret"
    keyed = bool(protection) or authentication == "hls-gmac"
    meter = meter_settings("wrapper") if framing == "wrapper" else hdlc(17, 4)
    manners = meter.manners
    manners.conformance, manners.system_title = EVERYTHING & ~0x200000, METER_TITLE
    manners.secured = {1: Secured(NUMBERS[authentication], secret, suite if keyed else None, ek if keyed else b"", ak if keyed else b"")}
    security = Security(TITLE, ek if keyed else bytes(16), ak if keyed else bytes(16), suite=suite, protection=Protection(protection), form=form)
    settings = AssociationSettings(
        framing, 1, 1, None if framing == "wrapper" else 17, 1 if framing == "wrapper" else 4, authentication=authentication,
        password=b"" if authentication == "hls-gmac" else secret, security=security if keyed or authentication == "hls-sha256" else None,
        conformance=0x401E1D if protection else 0x001E1D)
    made, recorder = await recorded(meter, settings)
    challenge = next(piece.octets for piece in recorder.pieces if piece.sent and b"\xac\x12\x80\x10" in piece.octets).partition(b"\xac\x12\x80\x10")[2][:16]
    secrets = [secret, SERIAL.encode(), challenge, TITLE] + ([ek, ak, METER_TITLE] if keyed else [])
    assert_absent(made, secrets)
    assert made.replayable
    assert played_back(made) >= 5
    assert played_back(made, "odd") >= 5
    redacted = " ".join(made.redacted)
    assert "challenges (2)" in redacted
    assert "proofs of high-level security (2)" in redacted
    assert ("enciphered anew" in redacted) == bool(protection)
    assert ("the dedicated key" in redacted or form not in ("ded", "general-ded"))


async def test_nothing_of_one_recording_is_in_another() -> None:
    """Two polls of the same meter: what is random on the wire is the same in both files."""
    ek, ak = key(1, 0), key(2, 0)
    found = []
    for _ in range(2):
        meter = meter_settings("wrapper")
        meter.manners.secured = {1: Secured(5, b"", 0, ek, ak)}
        settings = AssociationSettings("wrapper", 1, 1, authentication="hls-gmac", security=Security(TITLE, ek, ak), conformance=0x40121D)
        made, _ = await recorded(meter, settings, asks=((NAME,),))
        found.append(json.loads(made.text)["exchange"][0]["hex"])
    assert found[0][:140] == found[1][:140]


async def test_identity_may_be_kept() -> None:
    made, _ = await recorded(meter_settings("wrapper"), WRAPPER_LLS, keep=True)
    assert SERIAL.encode().hex() in made.text
    assert PASSWORD.hex() not in made.text
    assert "not the meter's identity: it was to be kept" in made.redacted
    assert played_back(made) >= 4


async def test_an_address_that_ends_the_serial_number_is_another_one() -> None:
    settings = AssociationSettings("hdlc", 1, 1, int(SERIAL[-4:]), 4, authentication="lls", password=PASSWORD)
    made, _ = await recorded(hdlc(int(SERIAL[-4:]), 4), settings)
    script = json.loads(made.text)
    assert script["server"] == {"logical": 1, "physical": 3210, "address_bytes": 4}
    assert hdlc_frames.encode_address(1, int(SERIAL[-4:]), 4).hex() not in made.text
    assert played_back(made) >= 4
    kept, _ = await recorded(hdlc(int(SERIAL[-4:]), 4), settings, keep=True)
    assert json.loads(kept.text)["server"]["physical"] == int(SERIAL[-4:])


async def test_a_serial_number_across_two_blocks_is_not_written_at_all() -> None:
    meter = meter_settings("wrapper")
    meter.manners.conformance &= ~0x0200
    settings = replace(WRAPPER_LLS, max_pdu=64)
    meter.manners.max_pdu = 64
    text = b"\x09\x3c" + b"." * 46 + SERIAL.encode() + b"...."
    recorder = Recorder()
    recorder.note(1, wrapper.encode(1, 1, bytes.fromhex("c001c100010000600100ff0200")), sent=True)
    first, second = text[:52], text[52:]
    for number, last, part in ((1, 0, first), (2, 1, second)):
        recorder.note(1, wrapper.encode(1, 1, bytes((0xC4, 2, 0xC1, last)) + number.to_bytes(4, "big") + bytes((0, len(part))) + part), sent=False)
    with pytest.raises(EdgeError, match="not written: a secret, or the meter's identity"):
        document(recorder.pieces, subject(settings, identities=[SERIAL]))


async def test_a_refused_password_is_recorded_without_it() -> None:
    wrong = replace(WRAPPER_LLS, password=b"87654321")
    made, _ = await recorded(meter_settings("wrapper"), wrong)
    assert_absent(made, [b"87654321"])
    (association,) = json.loads(made.text)["expected"]
    assert (association["result"], association["diagnostic"]) == (1, 13)


async def test_what_no_key_opens_is_filler_and_the_file_says_so() -> None:
    ek, ak = key(1, 0), key(2, 0)
    meter = meter_settings("wrapper")
    meter.manners.secured = {1: Secured(5, b"", 0, ek, ak, answer_damaged=True)}
    settings = AssociationSettings("wrapper", 1, 1, authentication="hls-gmac", security=Security(TITLE, ek, ak), conformance=0x40121D)
    made, _ = await recorded(meter, settings)
    assert not made.replayable
    assert "ciphered content that these keys do not open" in " ".join(made.redacted)
    assert_absent(made, [ek, ak, TITLE])


async def test_a_repeated_frame_is_redacted_like_the_first() -> None:
    settings = AssociationSettings("hdlc", 1, 1, 17, 4, authentication="lls", password=PASSWORD, link_repeat_s=0.15, max_info_bytes=40)
    made, recorder = await recorded(hdlc(17, 4), settings, quirks=Quirks(latency_s=(0.2, 0.2)))
    assert_absent(made, [PASSWORD, PASSWORD[:4], PASSWORD[4:]])
    assert recorder.pieces


def test_segments_that_never_became_whole_are_left_out() -> None:
    """A poll that died amid the AARQ: half a password is half a secret."""
    settings = AssociationSettings("hdlc", 1, 1, 17, 4, authentication="lls", password=PASSWORD)
    server, client = hdlc_frames.encode_address(1, 17, 4), hdlc_frames.encode_address(1)
    pieces = [Piece(1, sent=True, octets=hdlc_frames.encode_frame(hdlc_frames.HdlcFrame(server, client, hdlc_frames.SNRM))),
              Piece(1, sent=True, octets=hdlc_frames.encode_frame(hdlc_frames.HdlcFrame(
                  server, client, 0x10, b"\xe6\xe6\x00\x60\x36\xac\x0a\x80\x08" + PASSWORD[:5], segmented=True)))]
    made = document(pieces, subject(settings))
    assert PASSWORD[:5].hex() not in made.text
    assert len(json.loads(made.text)["exchange"]) == 1


def test_another_clients_connection_and_late_frames_are_left_out() -> None:
    aarq = bytes.fromhex("601da109060760857405080101be10040e01000000065f1f0400001e1d0400")
    pieces = [Piece(1, sent=True, octets=wrapper.encode(16, 1, aarq)), Piece(1, sent=False, octets=wrapper.encode(1, 16, b"\x61\x00")),
              Piece(2, sent=False, octets=wrapper.encode(1, 1, b"\xc4\x01\xc1\x01\x04")), Piece(2, sent=True, octets=wrapper.encode(1, 1, aarq)),
              Piece(2, sent=False, octets=b"Port already in use\r\n")]
    script = json.loads(document(pieces, subject(AssociationSettings("wrapper", 1, 1))).text)
    assert [entry["note"] for entry in script["exchange"]] == ["AARQ"]
    assert script["words"] == ["Port already in use"]


def test_nothing_recorded_is_an_error() -> None:
    with pytest.raises(EdgeError, match="nothing was exchanged"):
        document([], subject(WRAPPER_LLS))


def test_a_recorder_shows_no_bytes_and_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.capture.recorder.LIMIT_BYTES", 10)
    recorder = Recorder()
    recorder.note(1, b"24681357", sent=True)
    assert "24681357" not in repr(recorder) + repr(recorder.pieces)
    recorder.note(1, b"24681357", sent=True)
    assert recorder.overflowed
    assert len(recorder.pieces) == 1


chunks = st.lists(st.tuples(st.booleans(), st.one_of(
    st.binary(max_size=40), st.sampled_from([
        b"\x7e", b"\x00\x01\x00\x01\x00\x01\x00\x08" + PASSWORD, PASSWORD, b"\x60\x0c\xac\x0a\x80\x08" + PASSWORD, b"Port already in use\r\n",
        wrapper.encode(1, 1, b"\x60\x0c\xac\x0a\x80\x08" + PASSWORD), wrapper.encode(1, 1, b"\x60\x0e\xac\x0c\x80\x0a" + PASSWORD),
        wrapper.encode(1, 1, b"\xc0\x01\xc1" + PASSWORD), wrapper.encode(1, 1, b"\xdb\x08" + PASSWORD + b"\x05" + bytes(5)),
        hdlc_frames.encode_frame(hdlc_frames.HdlcFrame(b"\x03", b"\x03", 0x93)),
        hdlc_frames.encode_frame(hdlc_frames.HdlcFrame(b"\x03", b"\x03", 0x10, b"\xe6\xe6\x00\x60\x0c\xac\x0a\x80\x08" + PASSWORD)),
        hdlc_frames.encode_frame(hdlc_frames.HdlcFrame(b"\x03", b"\x03", 0x10, PASSWORD[:4], segmented=True)),
        hdlc_frames.encode_frame(hdlc_frames.HdlcFrame(b"\x03", b"\x03", 0x32, PASSWORD[4:])),
        hdlc_frames.encode_frame(hdlc_frames.HdlcFrame(b"\x03", b"\x03", 0xAF, PASSWORD))]))), max_size=12)


@given(chunks, st.sampled_from([
    WRAPPER_LLS, AssociationSettings("hdlc", 1, 1, authentication="lls", password=PASSWORD),
    AssociationSettings("wrapper", 1, 1, authentication="hls-md5", password=PASSWORD)]), st.integers(1, 3))
def test_whatever_passed_no_password_is_in_the_file(passed: list[tuple[bool, bytes]], settings: AssociationSettings, connections: int) -> None:
    pieces = [Piece(1 + at * connections // max(len(passed), 1), sent, octets) for at, (sent, octets) in enumerate(passed) if octets]
    try:
        made = document(pieces, subject(settings))
    except EdgeError:
        return
    assert_absent(made, [PASSWORD])

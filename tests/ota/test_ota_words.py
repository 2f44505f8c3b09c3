"""Checksums as ThingsBoard writes them, what is an offer, and how chunks are asked for and waited for."""

import hashlib
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.ota.checksum import ALGORITHMS, digest
from edge.ota.chunks import ERRORS_LIMIT, FLOOR_S, SILENCES, Chunks
from edge.ota.offer import Offer, offered

FOX = b"The quick brown fox jumps over the lazy dog"
GOOD = {"fw_title": "gw", "fw_version": "1.1", "fw_size": 40, "fw_checksum": "AB" * 32, "fw_checksum_algorithm": "sha256"}
OFFER = Offer("fw", "gw", "1.1", 1000, "00" * 32, "SHA256")


def checksum(algorithm, *parts):
    found = digest(algorithm)
    for part in parts:
        found.update(part)
    return found.hexdigest()


@pytest.mark.parametrize(("algorithm", "data", "known"), [
    # Guava's own tests (HashingTest.KNOWN_HASHES, Murmur3Hash128Test), and the public-domain code's vectors
    ("MURMUR3_128", FOX, "6c1b07bc7bbc4be347939ac4a93c437a"),
    ("MURMUR3_128", b"hello", "029bbd41b3a7d8cb191dae486a901e5b"),
    ("MURMUR3_32", FOX, "23f74f2e"), ("MURMUR3_32", b"hello", "47fa8b24"), ("MURMUR3_32", b"", "00000000"),
    ("CRC32", b"123456789", "2639f4cb"),
    ("MD5", FOX, "9e107d9d372bb6826bd81d3542a419d6"),
])
def test_checksums_are_written_as_guava_writes_them(algorithm, data, known):
    assert checksum(algorithm, data) == known


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_checksum_does_not_depend_on_how_the_bytes_come(data, at):
    for algorithm, digits in ALGORITHMS.items():
        assert len(checksum(algorithm, data)) == digits
        assert checksum(algorithm, data[:at], data[at:]) == checksum(algorithm, data)
    assert checksum("SHA256", data) == hashlib.sha256(data).hexdigest()
    assert checksum("CRC32", data) == zlib.crc32(data).to_bytes(4, "little").hex()


def test_what_is_offered():
    assert offered("fw", GOOD) == Offer("fw", "gw", "1.1", 40, "ab" * 32, "SHA256")
    assert offered("fw", GOOD | {"fw_version": 1.1}).version == "1.1"
    assert offered("sw", GOOD) is None
    assert offered("fw", GOOD | {"fw_title": ""}) is None


@pytest.mark.parametrize(("wrong", "says"), [
    ({"fw_size": 0}, "fw_size = '0'"), ({"fw_size": "many"}, "fw_size"), ({"fw_size": None}, "fw_size"), ({"fw_checksum": "AB"}, "is no SHA256"),
    ({"fw_checksum": "XY" * 32}, "is no SHA256"), ({"fw_checksum_algorithm": "ROT13"}, "must be one of SHA256"),
    ({"fw_checksum": None, "fw_url": "http://x"}, "fw_url"), ({"fw_title": "a\nb"}, "fw_title"), ({"fw_version": [1]}, "fw_version")])
def test_what_is_no_offer_is_refused_in_one_line(wrong, says):
    with pytest.raises(ConfigError, match=says) as refused:
        offered("fw", GOOD | wrong)
    assert "\n" not in str(refused.value)


@pytest.fixture
def chunks():
    made = Chunks(300, 30.0, 0.5)
    made.pieces, made.failures = [], []
    made.arrived, made.failed = made.pieces.append, made.failures.append
    made.began()
    made.begin(OFFER, 0)
    return made


def ask(chunks, now, *, idle=True, limit_bytes=65_000):
    said = chunks.due(now, idle=idle, limit_bytes=limit_bytes)
    return said and (said.publish.topic, said.publish.payload)


def answer(chunks, topic, payload, now):
    chunks.heard(topic.replace("request", "response"), payload, now)


def test_one_chunk_at_a_time_to_the_end_with_a_rest_in_between(chunks):
    now, position = 0.0, 0
    while position < OFFER.size_bytes:
        topic, size = ask(chunks, now)
        assert (topic.split("/")[-1], size) == (str(position // 300), b"300")
        assert ask(chunks, now + 1) is None, "one is on its way"
        answer(chunks, topic, bytes(min(300, OFFER.size_bytes - position)), now + 2)
        assert chunks.pieces[-1].offset == position
        assert ask(chunks, now + 100) is None, "it is not written yet"
        position = chunks.pieces[-1].offset + len(chunks.pieces[-1].data)
        chunks.taken(position)
        assert ask(chunks, now + 3.9) is None, "as long a rest as the chunk took"
        assert chunks.rest_s(now + 3.5) == pytest.approx(0.5)
        now += 4
    assert [len(piece.data) for piece in chunks.pieces] == [300, 300, 300, 100]


def test_telemetry_goes_first_but_not_for_ever(chunks):
    topic, _ = ask(chunks, 0.0, idle=False)
    answer(chunks, topic, bytes(300), 0.1)
    chunks.taken(300)
    assert ask(chunks, 5.0, idle=False) is None
    assert ask(chunks, 0.1 + FLOOR_S, idle=False)


def test_answers_of_another_time_and_lies_are_no_pieces(chunks):
    topic, _ = ask(chunks, 0.0)
    for wrong in (topic.replace("/chunk/0", "/chunk/1"), topic.replace("fw", "sw"), "v2/fw/request/9/chunk/0", "v2/fw/request/x/chunk/0"):
        answer(chunks, wrong, bytes(300), 1.0)
    chunks.ended()
    answer(chunks, topic, bytes(300), 1.0)
    assert not chunks.pieces
    assert ask(chunks, 2.0) is None
    chunks.began()
    again, _ = ask(chunks, 2.0)
    assert again != topic, "the server's session has forgotten: another number"
    answer(chunks, again, bytes(299), 3.0)
    assert not chunks.pieces
    assert ask(chunks, 4.0) is None, "a wrong length is an error of the server's, and gets a rest"


def test_silence_is_asked_again_then_rested(chunks):
    now = 0.0
    for _ in range(SILENCES):
        assert ask(chunks, now)
        assert chunks.rest_s(now) == 30.0
        now += 30.0
    assert ask(chunks, now) is None
    assert chunks.rest_s(now) == 30.0
    assert ask(chunks, now + 30.0)


def test_a_server_that_says_no_again_and_again_is_believed(chunks):
    now = 0.0
    for _ in range(ERRORS_LIMIT):
        assert ask(chunks, now)
        chunks.heard("v2/fw/error", b"NOT_FOUND", now)
        now += 700.0
    assert chunks.failures == ["the server does not give gw 1.1: NOT_FOUND"]
    assert ask(chunks, now) is None


def test_a_server_with_less_room_gets_smaller_chunks_by_their_own_numbers(chunks):
    chunks.begin(OFFER, 700)
    topic, size = ask(chunks, 0.0, limit_bytes=256)
    assert (topic.split("/")[-1], size) == ("2", b"256")


@given(st.text(), st.binary(), st.integers(0, 3))
def test_no_bytes_of_the_server_raise(topic, payload, which):
    made = Chunks(300, 30.0, 0.5)
    made.began()
    made.begin(OFFER, 0)
    said = made.due(0.0, idle=True, limit_bytes=1000)
    for each in (topic, said.publish.topic.replace("request", "response"), "v2/fw/error"):
        made.heard(each, payload, random.Random(which).random())

"""Whose push it is, whether it may be believed, and what it becomes: matching, keys, replays, repetitions."""

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dlms.axdr import Integer, encode
from edge.dlms.ciphering import Cipher, Protection
from edge.dlms.cosem import Obis
from edge.dlms.push import notification
from edge.meters.objectspec import ObjectSpec
from edge.meters.profile import Identity, Profile
from edge.model import Kind, Learned, Stamp, Stream
from edge.push.desk import Desk, Outcome, Verdict
from edge.push.directory import Directory, Entry, key_digest
from edge.push.heard import DOUBLED_S, REMEMBERED, Heard

PROFILE = Profile(
    name="p", vendor="any", source="test", identity=Identity(obis="0-0:96.1.0"),
    objects=(ObjectSpec(key="active_energy", obis="1-0:1.8.0", unit="Wh", scaler=0),))
OTHER = Profile(
    name="q", vendor="any", source="test", identity=Identity(obis="0-0:42.0.0"),
    objects=(ObjectSpec(key="active_energy", obis="1-0:1.8.0", unit="Wh", scaler=0),))
NOW_MS = 1_767_323_100_000           # 2026-01-02 03:05:00 UTC
STAMP = Stamp(5_000, NOW_MS, "boot", synchronised=True)
ENERGY, SERIAL, DEVICE = (Obis.parse(text).to_bytes() for text in ("1-0:1.8.0", "0-0:96.1.0", "0-0:42.0.0"))
HERE, THERE = "10.41.0.20", "10.41.0.21"
EK, AK = bytes(range(16)), bytes(range(16, 32))
TITLE, TITLE_2 = b"MMM\0\0\0\0\1", b"MMM\0\0\0\0\2"


def body(value: int = 5, serial: str = "", name: str = "") -> list[Any]:
    rows = [(SERIAL, serial.encode())] * bool(serial) + [(DEVICE, name.encode())] * bool(name)
    return [*rows, (ENERGY, Integer(6, value))]


def push(value: int = 5, *, invoke_id: int = 1, moment: bytes = b"", **who: str) -> bytes:
    return b"\x0f\xc0" + invoke_id.to_bytes(3, "big") + bytes((len(moment),)) + moment + encode(body(value, **who))


def moment(second: int) -> bytes:
    return bytes.fromhex("07ea0102ff0304") + bytes((second,)) + bytes.fromhex("00000000")


def sealed(apdu: bytes, counter: int, *, title: bytes = TITLE, keys: tuple[bytes, bytes] = (EK, AK),
           protection: Protection = Protection.BOTH, named: bool = True, tag: int = 0xDB) -> bytes:
    inner = Cipher(0, *keys).seal(protection, title, counter, apdu)
    length = bytes((len(inner),)) if len(inner) < 128 else bytes((0x81, len(inner)))
    head = bytes((tag,)) + (bytes((8,)) + title if named else b"\0") * (tag in (0xDB, 0xDC))
    return head + length + inner


def entry(name: str = "m", *addresses: str, identity: str = "", **more: Any) -> Entry:
    return Entry(name, more.pop("profile", PROFILE), Learned(identity=identity), frozenset(addresses), **more)


def ciphered(name: str = "m", *addresses: str, keys: tuple[bytes, bytes] = (EK, AK), **more: Any) -> Entry:
    more = {"protection": Protection.BOTH, "cipher": Cipher(0, *keys), "key_digest": key_digest(keys[0])} | more
    return entry(name, *addresses, **more)


def desk(*entries: Entry, kept: dict[str, int] | None = None) -> Desk:
    return Desk(Directory(entries), Heard(kept or {}))


def take(at: Desk, apdu: bytes, address: str = HERE, now: float = 0.0) -> Verdict:
    return at.take(apdu, address, STAMP, now)


# -- in clear ----------------------------------------------------------------------------------------------------------

def test_the_address_tells_the_meter_where_the_body_tells_none() -> None:
    verdict = take(desk(entry("a", HERE), entry("b", THERE)), push(7, moment=moment(5)))
    assert (verdict.outcome, verdict.meter, verdict.mark) == (Outcome.ACCEPTED, "a", None)
    ((stream, record),) = verdict.records
    assert (stream, record.schema.kind, record.device, record.values) == (Stream.INSTANT, Kind.PUSHED, "a", (7,))
    assert record.stamp == STAMP.dated_by_meter(NOW_MS - 55_000)


def test_nobody_lives_there() -> None:
    verdict = take(desk(entry("a", THERE)), push())
    assert verdict == Verdict(Outcome.UNKNOWN, "no registered meter's address")


def test_several_meters_behind_one_host_need_an_identity() -> None:
    several = desk(entry("a", HERE, identity="S1"), entry("b", HERE, identity="S2"))
    verdict = take(several, push())
    assert verdict.outcome is Outcome.UNKNOWN
    assert "a, b have this address: the push must tell which one" in verdict.reason
    assert take(several, push(serial="S2")).meter == "b"
    assert take(several, push(serial="S3")).outcome is Outcome.UNKNOWN


def test_an_identity_counts_before_an_address() -> None:
    """Leases are given to other meters, and modems get new ones."""
    moved = desk(entry("a", HERE, identity="S1"), entry("b", THERE, identity="S2"))
    assert take(moved, push(serial="S2"), HERE).meter == "b"
    assert take(moved, push(serial="S1"), "198.51.100.7").meter == "a"
    verdict = take(moved, push(serial="S9"), HERE)
    assert (verdict.outcome, verdict.meter) == (Outcome.REFUSED, "a")
    assert verdict.reason.startswith("meter 'S9' sends where 'S1' is registered")
    assert take(moved, push(serial="S9"), "198.51.100.7").reason == "meter 'S9' is not registered"


def test_a_meter_that_was_never_read_goes_by_its_name() -> None:
    named = desk(entry("S7"), entry("b", identity="S2"))
    assert take(named, push(serial="S7")).meter == "S7"
    assert take(desk(entry("a", HERE)), push(serial="S7")).meter == "a", "or by its address, whatever it calls itself"


def test_two_meters_of_one_identity_are_none() -> None:
    verdict = take(desk(entry("a", identity="S1"), entry("b", identity="S1")), push(serial="S1"))
    assert (verdict.outcome, "a, b have one identity, S1" in verdict.reason) == (Outcome.UNKNOWN, True)


def test_each_profile_reads_its_own_identity() -> None:
    mixed = desk(entry("a", identity="S1"), entry("b", identity="LDN", profile=OTHER))
    assert take(mixed, push(serial="other", name="LDN")).meter == "b"
    assert take(mixed, push(serial="S1", name="LDN")).outcome is Outcome.UNKNOWN, "two are claimed at once"


@pytest.mark.parametrize(("apdu", "says"), [
    (b"\x60\x00", "APDU 0x60 is no notification"),
    (b"\x0f\xc0\x00\x00\x01", "cut short"),
    (push() + b"\0", "octets follow"),
    (b"\x0f\xc0\x00\x00\x01\x05" + bytes(20), "date-time of 5 octets"),
    (b"\xdd" + bytes(20), "general-ciphering (0xDD) is not supported"),
    (b"\xdb", "length at octet 1 is missing"),
    (b"\xdb\x07" + bytes(20), "system title of 7 octets"),
    (b"\xdb\x08" + bytes(9) + b"\x01", "announces 0 octets, holds 1"),
])
def test_what_is_malformed_is_refused_with_its_reason(apdu: bytes, says: str) -> None:
    verdict = take(desk(entry("a", HERE)), apdu)
    assert verdict.outcome is Outcome.REFUSED
    assert says in verdict.reason


# -- ciphered ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("title", [TITLE, b""], ids=["registered", "not registered"])
def test_a_ciphered_push_is_opened_with_the_meters_keys(title: bytes) -> None:
    who = ciphered("a", HERE, title=title)
    verdict = take(desk(who), sealed(push(7), 100))
    assert (verdict.outcome, verdict.meter, verdict.mark) == (Outcome.ACCEPTED, "a", (who.counter_scope(TITLE), 100))
    assert verdict.records[0][1].values == (7,)


def test_a_title_is_known_wherever_it_comes_from() -> None:
    where = desk(ciphered("a", title=TITLE), ciphered("b", HERE))
    assert take(where, sealed(push(), 1), "198.51.100.7").meter == "a"
    verdict = take(where, sealed(push(), 1, title=TITLE_2), "198.51.100.7")
    assert verdict == Verdict(Outcome.UNKNOWN, f"ciphered; system title {TITLE_2.hex()} is not registered", title=TITLE_2.hex())


def test_a_title_that_was_proven_is_the_meters_from_now_on() -> None:
    at = desk(ciphered("a", HERE))
    assert take(at, sealed(push(), 1)).meter == "a"
    assert take(at, sealed(push(), 2), "198.51.100.7").meter == "a", "its address may change"
    assert take(at, sealed(push(), 3, title=TITLE_2)).outcome is Outcome.UNKNOWN, "another meter with the same key"
    at.replace(Directory([ciphered("a", THERE)], at.directory))
    assert take(at, sealed(push(), 4), "198.51.100.7").meter == "a", "an edit changes nothing about it"
    at.replace(Directory([ciphered("a", THERE, keys=(AK, EK))], at.directory))
    assert take(at, sealed(push(), 5), "198.51.100.7").outcome is Outcome.UNKNOWN, "other keys prove anew"


@pytest.mark.parametrize(("apdu", "says"), [
    (sealed(push(), 9, keys=(AK, EK)), "the authentication tag is wrong"),
    (sealed(push(), 9)[:-1] + b"\0", "the authentication tag is wrong"),
    (sealed(push(), 9, protection=Protection.ENCRYPTED), "encrypted without authentication"),
    (sealed(b"\xc4\x01\xc1\x00\x11\x05", 9), "holds no notification (0xc4)"),
    (sealed(sealed(push(), 9), 9), "another ciphered one"),
    (sealed(b"", 9), "holds nothing"),
    (sealed(push() + b"\0", 9), "octets follow"),
    (sealed(push(), 9, tag=0xDC), "dedicated key"),
    (sealed(b"\xc2\x00", 9, tag=0xCA), "cut short"),
    (sealed(push(), 9, tag=0xCA), "another service than its tag says"),
])
def test_what_the_keys_did_not_make_is_refused(apdu: bytes, says: str) -> None:
    verdict = take(desk(ciphered("a", HERE, title=TITLE)), apdu)
    assert (verdict.outcome, verdict.mark, verdict.records) == (Outcome.REFUSED, None, ())
    assert says in verdict.reason


def test_clear_text_from_a_ciphered_meter_is_refused() -> None:
    for apdu in (push(), push(serial="S1")):
        verdict = take(desk(ciphered("a", HERE, identity="S1")), apdu)
        assert verdict == Verdict(Outcome.REFUSED, "came in clear, and the meter is registered as ciphered", "a")


def test_a_meter_registered_as_ciphered_without_keys_says_what_is_missing() -> None:
    bare = entry("a", HERE, protection=Protection.BOTH, title=TITLE, problem="no encryption key is stored: meter set-key a encryption")
    assert take(desk(bare), sealed(push(), 1)).reason == bare.problem
    assert take(desk(entry("a", HERE)), sealed(push(), 1)).reason == "the meter is registered without keys"


@pytest.mark.parametrize(("agreed", "came", "taken"), [
    (Protection.BOTH, Protection.AUTHENTICATED, True), (Protection.AUTHENTICATED, Protection.BOTH, True),
    (Protection.ENCRYPTED, Protection.ENCRYPTED, True), (Protection.ENCRYPTED, Protection.BOTH, True),
    (Protection.BOTH, Protection.ENCRYPTED, False), (Protection.AUTHENTICATED, Protection.ENCRYPTED, False),
    (Protection.NONE, Protection.BOTH, True), (Protection.NONE, Protection.ENCRYPTED, False),
])
def test_nothing_less_protected_than_agreed(agreed: Protection, came: Protection, taken: bool) -> None:
    verdict = take(desk(ciphered("a", HERE, protection=agreed)), sealed(push(), 1, protection=came))
    assert verdict.outcome is (Outcome.ACCEPTED if taken else Outcome.REFUSED)


def test_meters_that_share_a_key_at_one_address_need_titles() -> None:
    verdict = take(desk(ciphered("a", HERE), ciphered("b", HERE)), sealed(push(), 1))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, "a, b have one key: register each one's system title (--meter-title)")
    own = ciphered("b", HERE, keys=(AK, EK))
    assert take(desk(ciphered("a", HERE), own), sealed(push(), 1, keys=(AK, EK))).meter == "b", "keys of their own tell them apart"


def test_an_event_notification_under_its_own_tag_goes_by_the_address() -> None:
    event = bytes.fromhex("c2000001" + "0000600b00ff" + "02" + "1128")
    apdu = sealed(event, 9, tag=0xCA)
    at = desk(ciphered("a", HERE, title=TITLE))
    verdict = take(at, apdu)
    ((stream, record),) = verdict.records
    assert (verdict.meter, stream, record.schema.kind, record.values[0]) == ("a", Stream.ALARM, Kind.EVENT, "meter_notification")
    assert take(at, apdu, THERE).outcome is Outcome.UNKNOWN
    assert "no system title in it" in take(desk(ciphered("a", HERE)), apdu).reason
    assert take(at, sealed(push(), 10, named=False)).meter == "a", "general-glo without a title is no worse"


def test_a_body_that_names_another_meter_is_refused_whatever_its_keys() -> None:
    verdict = take(desk(ciphered("a", HERE, identity="S1")), sealed(push(serial="S2"), 1))
    assert (verdict.outcome, verdict.mark) == (Outcome.REFUSED, None)


def test_no_reason_and_no_entry_tells_a_key() -> None:
    who = ciphered("a", HERE, title=TITLE)
    texts = repr(who) + repr(take(desk(who), sealed(push(), 1, keys=(AK, EK))))
    assert not any(key.hex() in texts or repr(key) in texts for key in (EK, AK))


# -- counters ----------------------------------------------------------------------------------------------------------

def test_a_counter_that_does_not_grow_is_a_replay() -> None:
    at = desk(ciphered("a", HERE, title=TITLE))
    assert take(at, sealed(push(1), 100)).outcome is Outcome.ACCEPTED
    for counter in (100, 99, 0):
        verdict = take(at, sealed(push(2), counter))
        assert (verdict.outcome, verdict.meter, verdict.records) == (Outcome.REFUSED, "a", ())
        assert f"invocation counter {counter} after 100" in verdict.reason
    assert take(at, sealed(push(3), 101)).outcome is Outcome.ACCEPTED
    assert take(at, sealed(push(4), 0xFFFFFFFF)).outcome is Outcome.ACCEPTED


def test_a_restart_takes_no_replay() -> None:
    who = ciphered("a", HERE, title=TITLE)
    mark = take(desk(who), sealed(push(1), 100)).mark
    after = desk(who, kept=dict([mark]))
    assert take(after, sealed(push(1), 100)).outcome is Outcome.REFUSED
    assert take(after, sealed(push(1), 101)).outcome is Outcome.ACCEPTED


def test_counters_belong_to_a_key_and_a_title() -> None:
    at = desk(ciphered("a", title=TITLE), ciphered("b", title=TITLE_2))
    assert take(at, sealed(push(), 100)).meter == "a"
    assert take(at, sealed(push(), 1, title=TITLE_2)).meter == "b", "one key, two meters, two counters"
    at.replace(Directory([dataclasses.replace(at.directory.entries["a"], name="renamed")], at.directory))
    assert take(at, sealed(push(), 100)).outcome is Outcome.REFUSED, "whatever the meter is called"
    at.replace(Directory([ciphered("a", title=TITLE, keys=(AK, EK))], at.directory))
    assert take(at, sealed(push(), 1, keys=(AK, EK))).outcome is Outcome.ACCEPTED, "a new key counts anew"


def test_what_is_refused_moves_no_counter() -> None:
    at = desk(ciphered("a", HERE, title=TITLE, identity="S1"))
    for apdu in (sealed(push(), 500, keys=(AK, EK)), sealed(b"\xc4\x01", 500), sealed(push() + b"x", 500), sealed(push(serial="S2"), 500)):
        assert take(at, apdu).outcome is Outcome.REFUSED
    assert take(at, sealed(push(), 5)).outcome is Outcome.ACCEPTED


# -- repetitions -------------------------------------------------------------------------------------------------------

def test_a_dated_message_counts_once_whenever_it_comes_again() -> None:
    at = desk(entry("a", HERE))
    assert [take(at, push(moment=moment(5)), now=now).outcome for now in (0, 1, 5_000)] == ["accepted", "duplicate", "duplicate"]
    assert take(at, push(6, moment=moment(5)), now=5_001).outcome is Outcome.ACCEPTED, "another push setup, the same second"
    assert take(at, push(invoke_id=2, moment=moment(5)), now=5_002).outcome is Outcome.ACCEPTED


def test_an_undated_message_counts_once_in_quick_succession() -> None:
    """Meters that count no invoke-ids say the same for hours while nothing is used."""
    at = desk(entry("a", HERE), entry("b", THERE))
    moments = [0.0, 1.0, 2.0, 2.0 + DOUBLED_S + 0.1]
    assert [take(at, push(), now=now).outcome for now in moments] == ["accepted", "duplicate", "duplicate", "accepted"]
    assert take(at, push(), THERE, now=2.0).outcome is Outcome.ACCEPTED, "each meter for itself"


def test_a_doubled_ciphered_datagram_is_no_attack() -> None:
    at = desk(ciphered("a", HERE, title=TITLE))
    apdu = sealed(push(), 7)
    assert [take(at, apdu, now=now).outcome for now in (0, 1, 1 + DOUBLED_S + 0.1)] == ["accepted", "duplicate", "refused"]


def test_a_retry_under_a_new_counter_counts_once_if_it_is_dated() -> None:
    at = desk(ciphered("a", HERE, title=TITLE))
    dated, bare = push(moment=moment(5)), push()
    assert [take(at, sealed(dated, counter)).outcome for counter in (1, 2)] == ["accepted", "duplicate"]
    assert take(at, sealed(dated, 2), now=DOUBLED_S + 1).outcome is Outcome.REFUSED, "its counter is used all the same"
    assert [take(at, sealed(bare, counter)).outcome for counter in (3, 4)] == ["accepted", "accepted"]


def test_memory_of_messages_has_an_end() -> None:
    at = desk(entry("a", HERE))
    for second in range(REMEMBERED + 1):
        take(at, push(moment=moment(second)))
    assert take(at, push(moment=moment(0))).outcome is Outcome.ACCEPTED
    assert take(at, push(moment=moment(REMEMBERED))).outcome is Outcome.DUPLICATE
    at.replace(Directory())
    assert at._repeats._heard == {}


# -- what cannot be read -----------------------------------------------------------------------------------------------

def test_what_nobody_can_read_is_told_as_an_event() -> None:
    apdu = b"\x0f\xc0\x00\x00\x01\x00" + encode((Integer(18, 1), Integer(18, 2)))
    ((stream, record),) = take(desk(entry("a", HERE)), apdu).records
    assert (stream, record.values[0]) == (Stream.INSTANT, "push_unread")
    assert "structure of 2 (1, 2)" in record.values[1]
    only = b"\x0f\xc0\x00\x00\x01\x00" + encode([(SERIAL, b"S1")])
    ((_, record),) = take(desk(entry("a", HERE)), only).records
    assert record.values[1].startswith("none of its objects is in the profile")


def test_objects_without_a_key_are_told_when_they_change() -> None:
    at = desk(entry("a", HERE))

    values = itertools.count()

    def kinds(*strangers: str) -> list[Kind]:
        rows = [(name, Integer(6, next(values))) for name in (ENERGY, *(Obis.parse(text).to_bytes() for text in strangers))]
        return [record.schema.kind for _, record in take(at, b"\x0f\xc0\x00\x00\x01\x00" + encode(rows)).records]

    assert kinds("1-0:2.8.0") == [Kind.PUSHED, Kind.EVENT]
    assert kinds("1-0:2.8.0") == [Kind.PUSHED]
    assert kinds("1-0:2.8.0", "1-0:3.8.0") == [Kind.PUSHED, Kind.EVENT]
    assert kinds() == [Kind.PUSHED]


# -- whatever comes ----------------------------------------------------------------------------------------------------

VALID = [push(), push(serial="S1"), push(moment=moment(5)), sealed(push(), 5), sealed(push(), 6, protection=Protection.AUTHENTICATED),
         bytes.fromhex("c2010c07ea0102ff0304050000000000010000600b00ff021128"), sealed(bytes.fromhex("c20000010000600b00ff021128"), 7, tag=0xCA),
         b"\xdd" + bytes(20), b"\x60\x1d", b"\xe0\x81\x00\x01\x00\x00\x01\x0f"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VALID), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4), st.integers(0, 200), st.binary(max_size=8))
def test_any_bytes_get_a_verdict(apdu: bytes, changes: list[tuple[int, int]], size: int, more: bytes) -> None:
    octets = bytearray(apdu)
    for at, value in changes:
        octets[at % len(octets)] = value
    octets = octets[:size] + more
    at = desk(ciphered("a", HERE, title=TITLE), entry("b", THERE, identity="S1"), ciphered("c", HERE), entry("d", HERE, profile=OTHER))
    for address in (HERE, THERE, "192.0.2.9"):
        verdict = take(at, bytes(octets), address)
        assert (verdict.outcome in (Outcome.ACCEPTED, Outcome.DUPLICATE)) == (not verdict.reason)
        assert bool(verdict.records) == (verdict.outcome is Outcome.ACCEPTED)
        assert verdict.reason.isprintable()


# -- within the association that polls a meter -------------------------------------------------------------------------

def polled(at: Desk, apdu: bytes, name: str = "m", *, counter: int = -1, now: float = 0.0) -> Verdict:
    return at.take_polled(notification(apdu, genuine=counter >= 0)._replace(counter=counter, title=TITLE if counter >= 0 else b""), name, STAMP, now)


def test_the_association_tells_the_meter_and_an_identity_overrules_it_in_clear() -> None:
    site = desk(entry("a", HERE, identity="0001"), entry("b", HERE, identity="0002"))
    assert polled(site, push(), "a").meter == "a", "two meters behind one bridge"
    assert polled(site, push(serial="0002"), "a").meter == "b"
    assert polled(site, push(serial="0003"), "a").outcome is Outcome.REFUSED
    assert polled(site, push(), "gone").outcome is Outcome.UNKNOWN


def test_in_clear_in_the_association_of_a_meter_that_ciphers_is_refused() -> None:
    site = desk(ciphered("m", HERE))
    assert polled(site, push()).outcome is Outcome.REFUSED
    assert polled(site, push(), counter=7).outcome is Outcome.ACCEPTED


def test_what_was_pushed_in_an_association_is_no_news_from_elsewhere() -> None:
    site = desk(ciphered("m", HERE))
    verdict = polled(site, push(5, moment=moment(1)), counter=7)
    assert verdict.mark is not None
    assert verdict.mark[1] == 7
    replay = take(site, sealed(push(5, moment=moment(1)), 7), THERE)
    assert replay.outcome is not Outcome.ACCEPTED, "its title is proven, its counter used"
    assert take(site, sealed(push(6, moment=moment(2)), 8), THERE).outcome is Outcome.ACCEPTED
    late = polled(site, push(7, moment=moment(3)), counter=7)
    assert (late.outcome, late.mark) == (Outcome.ACCEPTED, (verdict.mark[0], 8)), "it waited in an idle association"


def test_the_same_dated_message_by_both_ways_counts_once() -> None:
    site = desk(entry("m", HERE))
    assert take(site, push(5, moment=moment(1))).outcome is Outcome.ACCEPTED
    assert polled(site, push(5, moment=moment(1)), now=500.0).outcome is Outcome.DUPLICATE


@pytest.mark.parametrize(("agreed", "proven"), [(Protection.BOTH, True), (Protection.ENCRYPTED, False)])
def test_only_a_tag_vouches_for_a_system_title(agreed: Protection, proven: bool) -> None:
    site = desk(ciphered("m", HERE, protection=agreed))
    assert polled(site, push(), counter=7).outcome is Outcome.ACCEPTED
    assert (site.directory.title_of(site.directory.entries["m"]) == TITLE) is proven

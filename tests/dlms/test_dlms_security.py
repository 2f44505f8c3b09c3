"""High-level security and ciphering against the standards' examples, a foreign implementation, and hostile meters."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from dlms_scripts import load, sealed_in, secured
from foreign_meter import CLIENT_TITLE, KEYS, METER_TITLE, SECRET, STOC, ForeignMeter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.dlms import wrapper
from edge.dlms.association import Answer, Association, AssociationSettings, Opened, Pushed, Security, State, Written
from edge.dlms.channel import SecureChannel
from edge.dlms.ciphering import MAX_COUNTER, Cipher, Protection
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.counter import InvocationCounters
from edge.dlms.data import Integer
from edge.dlms.gbt import GENERAL_BLOCK_TRANSFER
from edge.errors import FailReason, LocalStateError, MeterError, NotGenuine, Refused, Violation

EK, AK = KEYS[0]
VOLTAGE = Attribute(3, Obis.parse("1-0:32.7.0"), 2)
FORMS = ("general-glo", "glo", "general-ded", "ded")
CHALLENGE = b"CtoS of a client"


# -- worked examples -------------------------------------------------------------------------------------------------------

GREEN_BOOK = "C0010000080000010000FF0200"      # GET of the clock, in the Green Book's example of ciphered APDUs
TITLE = bytes.fromhex("4D4D4D0000BC614E")


@pytest.mark.parametrize(("protection", "sealed"), [
    (Protection.AUTHENTICATED, "1001234567C0010000080000010000FF020006725D910F9221D263877516"),
    (Protection.ENCRYPTED, "2001234567411312FF935A47566827C467BC"),
    (Protection.BOTH, "3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B"),
])
def test_green_book_example_of_a_ciphered_get(protection: Protection, sealed: str) -> None:
    cipher = Cipher(0, EK, AK)
    assert cipher.seal(protection, TITLE, 0x01234567, bytes.fromhex(GREEN_BOOK)) == bytes.fromhex(sealed)
    assert cipher.unseal(TITLE, bytes.fromhex(sealed)) == (protection, 0x01234567, bytes.fromhex(GREEN_BOOK))


def test_green_book_example_of_a_ciphered_initiate_request() -> None:
    request = bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0")
    channel = SecureChannel(Security(TITLE, EK, AK), InvocationCounters(0x01234567, 1))
    assert channel.seal_initiate(request) == bytes.fromhex(
        "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855")


def test_green_book_example_of_gmac_challenges() -> None:
    cipher = Cipher(0, EK, AK)
    assert cipher.gmac(bytes.fromhex("4D4D4D0000000001"), 1, b"P6wRJ21F").hex() == "10000000011a52fe7dd3e72748973c1e28"
    assert cipher.gmac(TITLE, 0x01234567, b"K56iVagY").hex() == "1001234567fe1466afb3dbcd4f9389e2b7"


@pytest.mark.parametrize(("key", "ciphertext", "tag"), [
    ("feffe9928665731c6d6a8f9467308308",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95a"),
    ("feffe9928665731c6d6a8f9467308308" * 2,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853"),
])
def test_gcm_specification_cases_4_and_16(key: str, ciphertext: str, tag: str) -> None:
    """McGrew and Viega, test cases 4 (AES-128) and 16 (AES-256), tag cut to 12 octets: the same primitive, DLMS's cut."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    plain = bytes.fromhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
    sealed = AESGCM(bytes.fromhex(key)).encrypt(bytes.fromhex("cafebabefacedbaddecaf888"), plain,
                                                bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
    assert sealed[:-16].hex() == ciphertext
    assert sealed[-16:-4].hex() == tag


# -- the cipher -----------------------------------------------------------------------------------------------------------

counters = st.integers(0, MAX_COUNTER)
protections = st.sampled_from([Protection.AUTHENTICATED, Protection.ENCRYPTED, Protection.BOTH])


@settings(deadline=None)
@given(st.sampled_from([0, 1, 2]), protections, counters, st.binary(max_size=300))
def test_round_trip(suite: int, protection: Protection, counter: int, plain: bytes) -> None:
    cipher = Cipher(suite, *KEYS[suite])
    assert cipher.unseal(TITLE, cipher.seal(protection, TITLE, counter, plain)) == (protection, counter, plain)


@settings(deadline=None)
@given(st.sampled_from([Protection.AUTHENTICATED, Protection.BOTH]), st.binary(max_size=60), st.data())
def test_no_altered_octet_of_an_authenticated_apdu_gets_through(protection: Protection, plain: bytes, data: st.DataObject) -> None:
    cipher = Cipher(0, EK, AK)
    sealed = bytearray(cipher.seal(protection, TITLE, 7, plain))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        unsealed = cipher.unseal(TITLE, bytes(sealed))
    except NotGenuine:
        return
    assert unsealed.protection is Protection.ENCRYPTED, "only where the tag is said to be missing, which the channel refuses"


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x30")
@example(b"\x30" + bytes(15))
@example(b"\x00" + bytes(40))
@example(b"\x32" + bytes(40))
@example(b"\x70" + bytes(40))
@example(b"\xb0" + bytes(40))
def test_what_no_key_made_is_refused_in_one_way(octets: bytes) -> None:
    try:
        opened = Cipher(0, EK, AK).unseal(TITLE, octets)
    except NotGenuine as why:
        assert "\n" not in str(why)      # noqa: PT017 - which type comes out is the point
    else:
        assert opened.protection is Protection.ENCRYPTED


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=120), st.builds(
    lambda tag, rest: bytes((tag,)) + rest,
    st.sampled_from([0xDB, 0xDC, 0xC8, 0xCC, 0xCD, 0xCF, 0xD4, 0xE0, 0x21, 0x28, 0xC4, 0x0F, 0xC2, 0xD8, 0x61]), st.binary(max_size=120))))
def test_any_apdu_in_a_ciphered_association_ends_in_a_typed_error_or_a_push(octets: bytes) -> None:
    association, _ = waiting()
    if not octets:
        return
    try:
        association.receive_data(wrapper.encode(1, 3, octets), 2.0)
    except MeterError as why:
        assert "\n" not in str(why)      # noqa: PT017 - same
        assert association.state is State.FAILED
        return
    event = association.next_event()
    assert event is None or (isinstance(event, Pushed) and not event.genuine)


@pytest.mark.parametrize(("suite", "length"), [(0, 15), (0, 32), (1, 24), (2, 16), (3, 16)])
def test_wrong_keys_are_told_without_showing_them(suite: int, length: int) -> None:
    with pytest.raises(ValueError, match="security suite") as caught:
        Security(CLIENT_TITLE, b"k" * length, b"k" * length, suite=suite)
    assert "kkk" not in str(caught.value)


def test_nothing_shows_a_key() -> None:
    security = Security(CLIENT_TITLE, b"KEYKEYKEYKEYKEY1", b"KEYKEYKEYKEYKEY2", dedicated_key=b"KEYKEYKEYKEYKEY3")
    asked = AssociationSettings("wrapper", 3, 1, authentication="hls-gmac", security=security, challenge=b"KEYKEYKEY")
    channel = SecureChannel(security, InvocationCounters())
    for shown in (repr(security), str(asked), repr(channel), repr(channel.cipher), repr(channel._global), repr(Association(asked))):
        assert "KEYKEY" not in shown
        assert b"KEYKEY".hex() not in shown


# -- the supply of counters --------------------------------------------------------------------------------------------------

@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9), st.integers(0, 12)), max_size=30))
def test_no_counter_comes_twice_and_none_that_was_not_reserved(blocks: list[tuple[int, int, int]]) -> None:
    supply, end, allowed, taken = InvocationCounters(), 0, set(), []
    for gap, count, uses in blocks:
        supply.supply(end + gap, count)
        allowed |= set(range(end + gap, end + gap + count))
        end += gap + count
        for _ in range(uses):
            if supply.left:
                taken.append(supply.take())
            else:
                with pytest.raises(LocalStateError):
                    supply.take()
    assert taken == sorted(set(taken))
    assert set(taken) <= allowed


def test_a_block_that_reaches_back_or_out_of_32_bits_is_refused() -> None:
    supply = InvocationCounters(100, 10)
    for first, count in ((105, 10), (0, 5), (200, 0), (MAX_COUNTER, 2)):
        with pytest.raises(LocalStateError):
            supply.supply(first, count)
    supply.skip_to(105)
    assert (supply.take(), supply.left) == (105, 4)
    supply.skip_to(5_000)
    assert supply.left == 0


def test_without_counters_nothing_is_sent() -> None:
    association = Association(settings_for(ForeignMeter()), InvocationCounters())
    with pytest.raises(LocalStateError, match="no invocation counter"):
        association.open(0.0)
    assert association.data_to_send() == b""


# -- a foreign implementation on the other side ------------------------------------------------------------------------------

def settings_for(meter: ForeignMeter, **more: Any) -> AssociationSettings:
    security = None
    if meter.protection or meter.mechanism.startswith("hls"):
        dedicated = bytes(range(0x40, 0x40 + len(KEYS[meter.suite][0]))) if "ded" in meter.form else b""
        security = Security(CLIENT_TITLE, *KEYS[meter.suite], suite=meter.suite, protection=Protection(meter.protection),
                            form=meter.form, dedicated_key=dedicated)
    return AssociationSettings("wrapper", 3, 1, authentication=meter.mechanism, password=SECRET, security=security,
                               challenge=CHALLENGE, **{"conformance": 0x401E1D} | more)


def talk(association: Association, meter: ForeignMeter, alter: Any = None) -> list[Any]:
    """Carry APDUs to and fro until nobody speaks; return the events."""
    events = []
    while sent := association.data_to_send():
        for _source, _destination, message in wrapper.WrapperDeframer().feed(sent):
            answer = meter.answer(message)
            association.receive_data(wrapper.encode(1, 3, alter(answer) if alter else answer), 2.0)
    while (event := association.next_event()) is not None:
        events.append(event)
    return events


def opened(meter: ForeignMeter, first: int = 1, **more: Any) -> Association:
    association = Association(settings_for(meter, **more), InvocationCounters(first, 1_000))
    association.open(0.0)
    [event] = talk(association, meter)
    assert isinstance(event, Opened)
    return association


def waiting() -> tuple[Association, ForeignMeter]:
    meter = ForeignMeter()
    association = opened(meter)
    association.get([VOLTAGE], 1.0)
    association.data_to_send()
    return association, meter


@pytest.mark.parametrize(("suite", "protection", "form", "mechanism"), [
    *itertools.product((0, 1, 2), (0x10, 0x20, 0x30), FORMS, ("hls-gmac",)),
    *itertools.product((0,), (0x00, 0x30), ("general-glo",), ("hls-md5", "hls-sha1", "hls-gmac", "hls-sha256")),
    (0, 0x30, "glo", "lls"), (0, 0x30, "general-glo", "none"), (2, 0x00, "general-glo", "hls-gmac"),
])
def test_every_mode_is_understood_by_a_foreign_implementation(suite: int, protection: int, form: str, mechanism: str) -> None:
    meter = ForeignMeter(suite, protection, form, mechanism)
    association = opened(meter)
    for count in (1, 1, 9, 27):          # 27 answers with a length of three octets
        association.get([VOLTAGE] * count, 1.0)
        [answer] = talk(association, meter)
        assert isinstance(answer, Answer)
        assert [result.data for result in answer.results] == [2301] * count
    association.set([(VOLTAGE, Integer(18, 7))], 1.0)
    assert talk(association, meter) == [Written(((VOLTAGE, None),))]
    assert sorted(meter.heard_counters) == list(range(1, len(meter.heard_counters) + 1)), "none twice, none left out"
    assert meter.heard[-2][:2] == b"\xc0\x03"
    assert meter.heard[-1].hex().endswith("00120007")


@pytest.mark.parametrize("form", FORMS)
def test_requests_carry_the_tags_of_their_form(form: str) -> None:
    meter = ForeignMeter(form=form)
    association = opened(meter)
    association.get([VOLTAGE], 1.0)
    assert association.data_to_send()[8] == {"general-glo": 0xDB, "glo": 0xC8, "general-ded": 0xDC, "ded": 0xD0}[form]


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from(FORMS), st.sampled_from([0x10, 0x20, 0x30]))
def test_lists_of_any_length_are_ciphered_right(count: int, form: str, protection: int) -> None:
    """The pinned library makes 11 to 23 items malformed and raises from 24 on."""
    meter = ForeignMeter(form=form, protection=protection, max_pdu=4_096)
    association = opened(meter)
    association.get([VOLTAGE] * count, 1.0)
    [answer] = talk(association, meter)
    assert len(answer.results) == count


class InBlocks(ForeignMeter):
    """Answers every GET with an octet-string of 3,000 octets in blocks of 900."""

    def _served(self, message: bytes) -> bytes:
        if message[0] != 0xC0:
            return super()._served(message)
        whole = b"\x09\x82\x0b\xb8" + bytes(3_000)
        number = int.from_bytes(message[3:7], "big") + 1 if message[1] == 2 else 1
        piece = whole[900 * (number - 1):900 * number]
        return (b"\xc4\x02" + message[2:3] + bytes((number == 4,)) + number.to_bytes(4, "big") + b"\0\x82"
                + len(piece).to_bytes(2, "big") + piece)


@pytest.mark.parametrize("form", FORMS)
def test_block_transfer_is_ciphered_block_by_block(form: str) -> None:
    meter = InBlocks(form=form)
    association = opened(meter)
    association.get([VOLTAGE], 1.0)
    [answer] = talk(association, meter)
    assert answer.results[0].data == bytes(3_000)
    assert [message[1] for message in meter.heard[-4:]] == [1, 2, 2, 2]
    assert sorted(meter.heard_counters) == list(range(1, len(meter.heard_counters) + 1))


def test_list_capacity_leaves_room_for_the_seal() -> None:
    meter = ForeignMeter(max_pdu=256)
    association = opened(meter)
    most = association.list_capacity()
    association.get([VOLTAGE] * most, 1.0)
    assert 256 - 20 < len(association.data_to_send()) - 8 <= 256
    again = opened(meter, 5_000)
    with pytest.raises(LocalStateError, match=f"ask for {most} at most"):
        again.get([VOLTAGE] * (most + 1), 1.0)


def test_authenticated_answers_are_enough_where_both_is_agreed() -> None:
    """The answer is genuine; that it can be read on the way is the meter's choice."""
    meter = ForeignMeter()
    association = opened(meter)
    meter_answers = ForeignMeter(protection=0x10, counter=100)
    association.get([VOLTAGE], 1.0)
    association.data_to_send()
    association.receive_data(wrapper.encode(1, 3, meter_answers.sealed(bytes.fromhex("c401c2001208fd"))), 2.0)
    assert isinstance(association.next_event(), Answer)


# -- hostile meters -----------------------------------------------------------------------------------------------------------

def refused_by(association: Association, answer: bytes, text: str) -> None:
    with pytest.raises(Violation, match=text) as caught:
        association.receive_data(wrapper.encode(1, 3, answer), 2.0)
    assert caught.value.reason is FailReason.SECURITY
    assert association.next_event() is None
    assert association.state is State.FAILED


PLAIN = bytes.fromhex("c401c2001208fd")


def test_plain_answers_are_refused() -> None:
    association, _ = waiting()
    refused_by(association, PLAIN, "in clear in a ciphered association")


def test_encrypted_only_answers_are_refused_where_authentication_is_agreed() -> None:
    association, _ = waiting()
    refused_by(association, ForeignMeter(protection=0x20, counter=50).sealed(PLAIN), "without authentication")


def test_replayed_answers_are_refused() -> None:
    meter = ForeignMeter()
    association = opened(meter)
    association.get([VOLTAGE], 1.0)
    kept: list[bytes] = []
    talk(association, meter, lambda answer: kept.append(answer) or answer)
    for _ in range(16):                  # until the same invoke-id is due again
        association.get([VOLTAGE], 1.0)
        if association._exchange._invoke_id != 2:
            talk(association, meter)
    association.data_to_send()
    refused_by(association, kept[0], "a repetition")


def test_answers_of_another_meter_with_the_same_keys_are_refused() -> None:
    association, _ = waiting()
    cipher = Cipher(0, EK, AK)
    sealed = cipher.seal(Protection.BOTH, b"OTHRmetr", 99, PLAIN)
    refused_by(association, b"\xdb\x08OTHRmetr" + bytes((len(sealed),)) + sealed, "under the system title 4f5448")
    association, _ = waiting()
    refused_by(association, b"\xdb\x08" + METER_TITLE + bytes((len(sealed),)) + sealed, "tag is wrong")


def test_our_own_request_sent_back_is_refused() -> None:
    meter = ForeignMeter()
    association = opened(meter)
    association.get([VOLTAGE], 1.0)
    refused_by(association, association.data_to_send()[8:], "under the system title")


def test_a_title_of_length_zero_means_the_meters() -> None:
    association, meter = waiting()
    message = meter.sealed(PLAIN)
    association.receive_data(wrapper.encode(1, 3, b"\xdb\x00" + message[10:]), 2.0)
    assert isinstance(association.next_event(), Answer)


def test_a_tag_must_hold_its_own_service() -> None:
    association, meter = waiting()
    message = meter.sealed(PLAIN, "glo")
    assert message[0] == 0xCC
    refused_by(association, b"\xcd" + message[1:], "another service than its tag says")


def test_ciphered_in_ciphered_and_dedicated_without_a_key_are_refused() -> None:
    association, meter = waiting()
    refused_by(association, meter.sealed(meter.sealed(PLAIN)), "another ciphered one")
    association, meter = waiting()
    refused_by(association, b"\xdc" + meter.sealed(PLAIN)[1:], "none was agreed")


def test_a_wrong_proof_of_the_meter_ends_the_opening() -> None:
    for mechanism in ("hls-gmac", "hls-md5", "hls-sha1", "hls-sha256"):
        meter = ForeignMeter(mechanism=mechanism, wrong_proof=True)
        association = Association(settings_for(meter), InvocationCounters(1, 100))
        association.open(0.0)
        with pytest.raises(NotGenuine, match="does not prove"):
            talk(association, meter)


def aare_altered(meter: ForeignMeter, alter: Any) -> MeterError:
    association = Association(settings_for(meter), InvocationCounters(1, 100))
    association.open(0.0)
    with pytest.raises(MeterError) as caught:
        talk(association, meter, lambda answer: alter(answer) if answer[0] == 0x61 else answer)
    assert association.next_event() is None
    return caught.value


def without_length(aare: bytes) -> bytes:
    return aare[3:] if aare[1] == 0x81 else aare[2:]


def with_length(body: bytes) -> bytes:
    return b"\x61" + (bytes((len(body),)) if len(body) < 0x80 else bytes((0x81, len(body)))) + body


@pytest.mark.parametrize(("alter", "text"), [
    (lambda body: body[:body.index(b"\xbe")] + bytes.fromhex("be10040e0800065f1f040040121d04000007"), "not ciphered"),
    (lambda body: body.replace(b"\x05\x08\x01\x03", b"\x05\x08\x01\x01"), "without ciphering"),
    (lambda body: body.replace(b"\xa4\x0a\x04\x08" + METER_TITLE, b""), "system title of 0 octets"),
    (lambda body: body.replace(METER_TITLE, CLIENT_TITLE), "own system title"),
    (lambda body: body.replace(METER_TITLE, b"OTHRmetr"), "tag is wrong"),
    (lambda body: body.replace(STOC, CHALLENGE), "our own challenge"),
    (lambda body: body.replace(b"\xaa\x12\x80\x10" + STOC, b""), "challenge has 0 octets"),
    (lambda body: body.replace(b"\xaa\x12\x80\x10" + STOC, b"\xaa\x09\x80\x07" + STOC[:7]), "challenge has 7 octets"),
])
def test_an_opening_that_is_weaker_than_agreed_is_refused(alter: Any, text: str) -> None:
    why = aare_altered(ForeignMeter(), lambda aare: with_length(alter(without_length(aare))))
    assert isinstance(why, NotGenuine)
    assert text in str(why)


def test_another_meter_than_the_registered_one_is_refused_by_its_title() -> None:
    meter = ForeignMeter()
    agreed = settings_for(meter)
    assert agreed.security is not None
    for title, fits in ((METER_TITLE, True), (b"OTHRmetr", False)):
        association = Association(replace(agreed, security=replace(agreed.security, meter_title=title)), InvocationCounters(1, 9))
        association.open(0.0)
        if fits:
            assert talk(association, ForeignMeter())
        else:
            with pytest.raises(NotGenuine, match="4f5448526d657472 is registered"):
                talk(association, ForeignMeter())


def test_high_level_security_that_was_not_set_is_told_so() -> None:
    meter = ForeignMeter()
    aare = meter._aare(wire_aarq(meter))
    association = Association(AssociationSettings("wrapper", 3, 1, authentication="lls", password=b"x"))
    association.open(0.0)
    with pytest.raises(Violation):            # a ciphered initiate-response in an association without keys
        association.receive_data(wrapper.encode(1, 3, aare), 1.0)
    plain = ForeignMeter(protection=0, mechanism="hls-md5")
    association = Association(AssociationSettings("wrapper", 3, 1, authentication="lls", password=b"x"))
    association.open(0.0)
    with pytest.raises(Refused, match="meter edit --authentication"):
        association.receive_data(wrapper.encode(1, 3, plain._aare(wire_aarq(plain))), 1.0)


def wire_aarq(meter: ForeignMeter) -> bytes:
    association = Association(settings_for(meter), InvocationCounters(1, 9))
    association.open(0.0)
    return association.data_to_send()[8:]


@pytest.mark.parametrize("place", range(0, 118, 1))
def test_every_altered_octet_of_a_ciphered_aare_is_harmless(place: int) -> None:
    meter = ForeignMeter()
    aare = meter._aare(wire_aarq(meter))
    for octet in (0x00, 0x7F, 0x80, 0xFF, aare[place % len(aare)] ^ 1):
        association = Association(settings_for(meter), InvocationCounters(1, 9))
        association.open(0.0)
        association.data_to_send()
        altered = bytearray(aare)
        altered[place % len(aare)] = octet
        try:
            association.receive_data(wrapper.encode(1, 3, bytes(altered)), 1.0)
        except MeterError:
            assert association.state is State.FAILED
        assert association.state in (State.FAILED, State.ASSOCIATING), "never accepted before the proof"
        assert association.next_event() is None


def test_pushes_of_a_ciphered_association_tell_whether_they_are_genuine() -> None:
    association, meter = waiting()
    body = bytes.fromhex("0f00000001001208fd")
    association.receive_data(wrapper.encode(1, 3, body), 1.0)
    association.receive_data(wrapper.encode(1, 3, meter.sealed(body)), 1.0)
    first, second = association.next_event(), association.next_event()
    assert isinstance(first, Pushed)
    assert isinstance(second, Pushed)
    assert (first.genuine, first.data, second.genuine, second.data) == (False, 2301, True, 2301)


def test_blocks_that_nobody_asked_for_are_refused() -> None:
    association, _ = waiting()
    with pytest.raises(Violation, match="none is due"):
        association.receive_data(wrapper.encode(1, 3, bytes((GENERAL_BLOCK_TRANSFER,)) + bytes(9)), 2.0)


@pytest.mark.parametrize("item", [item for item in load("hostile")["inputs"] if item["layer"] == "ciphered"], ids=lambda item: item["name"])
def test_recorded_hostile_answers(item: dict[str, Any]) -> None:
    script = load("wrapper_gmac_general_glo")
    channel = SecureChannel(secured(script), InvocationCounters(5, 9))
    channel.learn_title(bytes.fromhex(script["secrets"]["meter_system_title"]))
    for index in (3, 5, 7, 9):
        channel.open(bytes.fromhex(script["exchange"][index]["hex"])[8:])
    good = bytes.fromhex(script["exchange"][11]["hex"])[8:]
    octets = bytes.fromhex(item["hex"])
    assert sealed_in(good)
    if octets[0] != 0xDB:                      # the plain answer: refused one layer above, see test_plain_answers_are_refused
        assert item["kind"] == "plain_answer"
        return
    with pytest.raises(Violation):
        channel.open(octets)
    assert channel.open(good).hex() == "c401c5001208fd"          # and the channel was not moved by any of it

"""Targets: ciphered APDUs, with the right keys in the fuzzer's hand so that it gets behind the tag as well."""

from functools import cache
from itertools import product

from fuzz_engine import ending
from fuzz_exchanges import ALL, MAX_PDU, PUSHES, VOLTAGES, access_answers, action_answers, get_answers, hear
from fuzz_mutation import Case

from edge.dlms import axdr
from edge.dlms.acse import Accepted
from edge.dlms.association import Answer, Association, AssociationSettings, Security, State
from edge.dlms.channel import _DED, _GLO, CIPHERED_TAGS, GENERAL_DED, GENERAL_GLO, GLO_INITIATE_RESPONSE, SecureChannel
from edge.dlms.ciphering import HEADER_BYTES, TAG_BYTES, Cipher, Protection
from edge.dlms.counter import InvocationCounters
from edge.dlms.events import Pushed
from edge.errors import NotGenuine, Violation

EK, AK, DK = bytes(range(16)), bytes(range(0xD0, 0xE0)), bytes(range(0x40, 0x50))
CLIENT_TITLE, METER_TITLE = b"HGWclnt1", b"FRNmetr7"
SECURITY = Security(CLIENT_TITLE, EK, AK, meter_title=METER_TITLE, dedicated_key=DK)
_METER, _DEDICATED = Cipher(0, EK, AK), Cipher(0, DK, AK)
_FORMS = ("general-glo", "glo", "general-ded", "ded")
_SETTINGS = AssociationSettings("wrapper", 3, 1, security=SECURITY, conformance=int(ALL), max_pdu=MAX_PDU)


def sealed(plain: bytes, counter: int, form: str, protection: Protection = Protection.BOTH, title: bytes = METER_TITLE) -> bytes:
    """Cipher an APDU as a meter with the keys would."""
    dedicated = form in ("general-ded", "ded")
    body = (_DEDICATED if dedicated else _METER).seal(protection, title, counter, plain)
    length = axdr.encode_length(len(body))
    own = (_DED if dedicated else _GLO).get(plain[0]) if form in ("glo", "ded") and plain else None
    if own is not None:
        return bytes((own,)) + length + body
    return bytes((GENERAL_DED if dedicated else GENERAL_GLO, len(title))) + title + length + body


def pushed_sealed(plain: bytes, counter: int, protection: Protection, title: bytes, *, named: bool) -> bytes:
    """Cipher an APDU as a meter that pushes it, with or without its title in the APDU."""
    body = _METER.seal(protection, title, counter, plain)
    name = title if named else b""
    return bytes((GENERAL_GLO, len(name))) + name + axdr.encode_length(len(body)) + body


def sealed_initiate(plain: bytes, counter: int) -> bytes:
    """Cipher an initiate-response as the meter would."""
    body = _METER.seal(Protection.BOTH, METER_TITLE, counter, plain)
    return bytes((GLO_INITIATE_RESPONSE,)) + axdr.encode_length(len(body)) + body


def meter_gmac(counter: int, challenge: bytes) -> bytes:
    """The meter's proof of its keys."""
    return _METER.gmac(METER_TITLE, counter, challenge)


def ciphered_apdu(case: Case) -> str:
    """Violation kinds and nothing else. What opens was sealed by the meter, octet for octet behind tag, title and length (which no
    tag covers), and with a counter that rose: nothing altered, shortened, lengthened or repeated ever opens.
    """
    channel = SecureChannel(SECURITY, InvocationCounters())
    highest = {"glo": -1, "ded": -1}

    def play() -> str:
        for apdu in filter(None, case):
            if apdu[0] not in CIPHERED_TAGS:
                continue
            opened = channel.open(apdu)
            body, counter, plain, key = _genuine()[apdu[-TAG_BYTES:]]
            assert apdu.endswith(body)
            assert opened == plain
            assert counter > highest[key], "the same counter was taken twice"
            highest[key] = counter
        return f"open {highest['glo'] >= 0} {highest['ded'] >= 0}"

    word = ending(play)
    assert word.split(":")[0] in (Violation.__name__, NotGenuine.__name__) or word.startswith("open")
    return word


def sealed_answer(case: Case) -> str:
    """Rightly sealed APDUs with anything inside, in an association that waits for a GET. The first octet of a piece says how it is
    sealed: by form, protection, counter, title. What is told to come from the meter was authenticated under its title, with
    a rising counter; an answer never comes in clear, without authentication, as a repetition or under another title.
    """
    association = Association(_SETTINGS, InvocationCounters(1, 200))
    association.state = State.READY
    association._settle(Accepted(ALL, MAX_PDU))
    association.get(VOLTAGES[:1], 0.0)
    association.data_to_send()
    counter, apdus, good = 0, [], set()
    for piece in filter(None, case):
        how, plain = piece[0], piece[1:]
        protection = (Protection.BOTH, Protection.BOTH, Protection.AUTHENTICATED, Protection.ENCRYPTED)[how >> 2 & 3]
        repeated, strange, clear = how >> 4 == 1, how >> 4 == 2, how >> 4 == 3
        counter += 0 if repeated else 1 + (how >> 6 == 3) * 1_000
        apdu = plain if clear else sealed(plain, max(counter, 0), _FORMS[how & 3], protection, CLIENT_TITLE if strange else METER_TITLE)
        if not (clear or strange or protection is Protection.ENCRYPTED):
            good.add(apdu)
        apdus.append(apdu)
    word, events, last = hear(association, tuple(apdus), destination=3)
    for event in events:
        assert isinstance(event, Pushed | Answer)
        if isinstance(event, Answer):
            assert last in good
    genuine = sum(event.genuine for event in events if isinstance(event, Pushed))
    assert genuine <= len([apdu for apdu in apdus if apdu in good])
    return f"{word}, {len(events)} events, {genuine} genuine"




@cache
def _genuine() -> dict[bytes, tuple[bytes, int, bytes, str]]:
    """What the meter sealed: tag of the cipher -> what it covers, counter, content, key."""
    made = {}
    for apdu, counter, content, key in _sealed():
        body = apdu[-(HEADER_BYTES + len(content) + TAG_BYTES):]
        made[apdu[-TAG_BYTES:]] = body, counter, content, key
    return made


@cache
def _sealed() -> tuple[tuple[bytes, int, bytes, str], ...]:
    plain = [case[0] for case in (*get_answers()[:12], *action_answers()[:3], *access_answers()[:2])] + [PUSHES[0], b"\xc5\x01\xc1\x00"]
    return tuple((sealed(content, counter, form, protection), counter, content, "ded" if "ded" in form else "glo")
                 for counter, (content, form, protection) in enumerate(product(plain, _FORMS, (Protection.BOTH, Protection.AUTHENTICATED))))


def genuine_apdus() -> list[Case]:
    """Everything the meter sealed, one by one and in runs."""
    made = [apdu for apdu, *_ in _sealed()]
    return [*((apdu,) for apdu in made), *(tuple(made[at:at + 6]) for at in range(0, len(made), 6))]


def sealed_answers() -> list[Case]:
    """Answers to the GET and to others, sealed in each way."""
    plain = [apdu[:2] + b"\xc1" + apdu[3:] for case in get_answers() for apdu in case[:1]][:20] + [case[0] for case in action_answers()]
    return [*((bytes((how,)) + apdu,) for how in (0, 1, 2, 3, 8, 12, 0x10, 0x20, 0x30) for apdu in plain),
            (b"\x00" + PUSHES[0], b"\x10" + PUSHES[0], b"\x00" + plain[0]), (b"\x30" + PUSHES[0], b"\x01" + PUSHES[1], b"\xc0" + plain[0])]

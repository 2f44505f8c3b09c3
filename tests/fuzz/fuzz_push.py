"""Targets: what comes unasked: notifications, streams and datagrams of anybody, and what becomes of them."""

from fuzz_ciphered import AK, CLIENT_TITLE, EK, METER_TITLE, pushed_sealed
from fuzz_corpus import answers, data, streams
from fuzz_engine import ending
from fuzz_exchanges import PUSHES, block_answers, everything_else
from fuzz_meters import STAMP, storable
from fuzz_mutation import Case

from edge.dlms import axdr, hdlc, wrapper
from edge.dlms.ciphering import Cipher, Protection
from edge.dlms.cosem import Attribute
from edge.dlms.hdlc import HdlcFrame
from edge.dlms.hdlc_link import LLC_RESPONSE
from edge.dlms.push import PUSH_TAGS, Pushed, notification
from edge.errors import Violation
from edge.meters.localtime import Reckoning, Zone
from edge.meters.profile import load_profiles
from edge.model import Learned
from edge.push.desk import Desk, Outcome
from edge.push.directory import Directory, Entry, key_digest
from edge.push.heard import Heard
from edge.push.receiver import WINDOW, Item, Message, Receiver, Spoiled

LIMIT_BYTES = 2_048
HERE, THERE, NOBODY = "10.41.0.20", "10.41.0.21", "10.41.0.99"
_GENERIC = load_profiles()["generic-three-phase"]


def push(case: Case) -> str:
    """A notification read by itself: Violation and nothing else; what is read was all there, and only ever what it begins as."""
    apdu = b"".join(case)
    told: Pushed | None = None

    def read() -> str:
        nonlocal told
        told = notification(apdu)
        return "notification"

    word = ending(read)
    if told is None:
        assert word.split(":")[0] == Violation.__name__
        return word
    assert apdu[0] in PUSH_TAGS
    assert not told.genuine
    assert len(told.date_time) in (0, 12)
    assert told.attribute is None or isinstance(told.attribute, Attribute)
    assert len(axdr.encode(told.data)) <= len(apdu)
    return f"{word} {type(told.data).__name__} {len(told.date_time)} {told.attribute is None}"


def push_stream(case: Case) -> str:
    """What anybody may send over TCP. Never raises. Whole or in pieces: the same messages with losses between the same ones; what is
    held never grows above three APDUs; what is sent back are acknowledgements, one for each block at most; once finished, nothing
    comes.
    """
    stream = b"".join(case)
    whole, pieces = Receiver(limit_bytes=LIMIT_BYTES), Receiver(limit_bytes=LIMIT_BYTES)
    found, got = whole.feed(stream), []
    for piece in case:
        got += pieces.feed(piece)
        _within_bounds(pieces)
    assert [item if isinstance(item, Message) else Spoiled for item in got] == [item if isinstance(item, Message) else Spoiled for item in found]
    assert (pieces.finished, pieces.pending) == (whole.finished, whole.pending)
    sent = pieces.data_to_send()
    assert sent == whole.data_to_send()
    assert len(sent) <= (24 + WINDOW) * (stream.count(b"\xe0") + 1)
    if pieces.finished:
        assert pieces.feed(wrapper.encode(1, 16, PUSHES[0])) == []
    return f"{_told(found)}, {pieces.finished}, {pieces.pending}, {len(sent) > 0}"


def push_datagrams(case: Case) -> str:
    """The same, each piece a datagram: one that is damaged spoils no other, nothing is ever sent back, and a whole push in a
    datagram of its own always arrives.
    """
    receiver = Receiver(limit_bytes=LIMIT_BYTES, datagrams=True)
    found: list[Item] = []
    for piece in case:
        found += receiver.feed(piece)
        _within_bounds(receiver)
        assert not receiver.finished
    assert receiver.data_to_send() == b""
    good = receiver.feed(wrapper.encode(1, 16, PUSHES[0]))
    assert Message(PUSHES[0], "wrapper port 1 to 16") in good
    return _told(found)


def push_desk(case: Case) -> str:
    """Whole messages to the desk. The first octet of a piece says from where, and how it is sealed if it is. Never raises; every
    verdict has a reason or a meter; what is accepted can be stored and sent; what came in clear for a ciphered meter, under another
    meter's title, or with a counter that was heard before is never accepted.
    """
    desk = Desk(_directory(), Heard({}))
    words, highest, counter = [], -1, 0
    for piece in filter(None, case[:12]):
        how, plain = piece[0], piece[1:]
        address = (HERE, THERE, NOBODY, HERE)[how & 3]
        kind = how >> 2 & 7
        counter += kind != 3
        apdu = plain
        if kind in (1, 2, 3, 4, 5):
            protection = Protection.ENCRYPTED if kind == 4 else Protection.AUTHENTICATED if kind == 2 else Protection.BOTH
            apdu = pushed_sealed(plain, counter, protection, CLIENT_TITLE if kind == 5 else METER_TITLE, named=how < 0x80)
        verdict = desk.take(apdu, address, STAMP, counter * 100.0)
        words.append(f"{verdict.outcome} {verdict.reason.split(':')[0][:30]}")
        assert verdict.meter or verdict.reason
        assert "\n" not in verdict.reason
        assert len(verdict.reason) <= 300
        for _stream, record in verdict.records:
            storable(record)
        if verdict.outcome is Outcome.ACCEPTED and verdict.meter == "sealed":
            assert kind in (1, 2, 3)
            assert verdict.mark is not None
            assert verdict.mark[1] == counter > highest
            highest = counter
        assert verdict.outcome is Outcome.ACCEPTED or not verdict.records
    return "; ".join(word[:40] for word in words[:3])


def _within_bounds(receiver: Receiver) -> None:
    held = len(receiver._segments._parts)
    held += receiver._wrapper.pending_bytes if receiver._wrapper is not None else 0
    held += receiver._hdlc.pending_bytes if receiver._hdlc is not None else 0
    held += receiver._blocks._bytes if receiver._blocks is not None else 0
    assert held <= 3 * (LIMIT_BYTES + hdlc.LIMIT_BYTES)
    assert len(receiver._first_block) <= LIMIT_BYTES


def _told(items: list[Item]) -> str:
    reasons = dict.fromkeys(ending(lambda item=item: _spoiled(item.reason)) for item in items if isinstance(item, Spoiled))
    return f"{min(sum(isinstance(item, Message) for item in items), 4)} messages, {list(reasons)[:2]}"


def _spoiled(reason: str) -> str:
    raise Violation(reason)


def _directory() -> Directory:
    sealed = Entry("sealed", _GENERIC, Learned("S1"), frozenset({HERE}), Protection.BOTH, METER_TITLE, Cipher(0, EK, AK), key_digest(EK),
                   reckoning=Reckoning(zone=Zone(3600, daylight_saving=True)))
    plain = Entry("plain", _GENERIC, Learned(scalers={}), frozenset({THERE}), reckoning=Reckoning(zone=Zone(3600, daylight_saving=True)))
    return Directory([sealed, plain])


# -- seeds -------------------------------------------------------------------------------------------------------------

def pushes() -> list[Case]:
    """Recorded notifications, and event-notifications with and without their time."""
    recorded = [case for tag in (0x0F, 0xC2) for case in answers(tag, 0)]
    return [*recorded, *((apdu,) for apdu in PUSHES), (bytes.fromhex("c201 0c 07ea0b160707021f00000000 0003 0100200700ff 02 1208fd"),),
            *everything_else()[:20]]


def push_pieces() -> list[Case]:
    """Recorded streams, pushes in wrapper and HDLC frames, in segments, in general blocks."""
    def ui(information: bytes, *, more: bool = False) -> bytes:
        return hdlc.encode_frame(HdlcFrame(b"\x21", b"\x03", hdlc.UI & ~0x10, information, more))

    long = LLC_RESPONSE + PUSHES[0]
    blocks = [tuple(wrapper.encode(1, 16, block) for block in case) for case in block_answers()]
    ours = bytes.fromhex("e0 08 0001 0000 08 0fc0000001000203"), bytes.fromhex("e0 88 0002 0000 08 1208fd1209010000")
    return [*streams("wrapper")[:30], *streams("hdlc")[:30], *blocks, tuple(wrapper.encode(1, 16, block) for block in ours),
            *((wrapper.encode(1, 16, apdu),) for apdu in PUSHES), (ui(long),), (ui(long[:10], more=True), ui(long[10:])), (ui(long) * 3,)]


def desk_pieces() -> list[Case]:
    """Pushes of each make to the desk, from each place, in each way."""
    bodies = [case[0] for case in pushes() if case[0][:1] in (b"\x0f", b"\xc2")]
    energy = axdr.encode([(b"\x01\x00\x01\x08\x00\xff", axdr.Integer(6, 5)), (b"\x00\x00\x2a\x00\x00\xff", b"S1")])
    bodies += [b"\x0f\xc0\x00\x00\x01" + moment + body for moment in (b"\x00", bytes.fromhex("0c07ea0301070c1e0500000000"), bytes.fromhex(
        "0c00010101ff000000ff8000ff"), bytes.fromhex("0c270f0c1fff173b3bff8000ff")) for body in (energy, *data()[:3])]
    return [*((bytes((how,)) + body,) for body in bodies for how in (0, 1, 2, 4, 8, 0x10, 0x14, 0x85)), *((b"\x04" + body, b"\x0c" + body) for body in bodies)]

"""Bytes of a sender -> APDUs: as recorded, however they are cut, joined, damaged; bounded, and nothing is ever raised."""

import pytest
from dlms_scripts import CUTS, load
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dlms import hdlc, wrapper
from edge.push.receiver import Item, Message, Receiver, Spoiled

PLAIN = bytes.fromhex("0fc00000010002031208fd12090106075bcd15")
CIPHERED = bytes((0xDB, 8)) + b"HGW\0\0\0\0\1" + bytes((200, 0x30)) + bytes(range(199))
LLC = b"\xe6\xe7\x00"
CLIENT, METER, OTHER = b"\x21", hdlc.encode_address(1, 17, 2), hdlc.encode_address(1, 18, 2)


def apdus(items: list[Item]) -> list[bytes]:
    return [item.apdu for item in items if isinstance(item, Message)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Spoiled)]


def ui(information: bytes, *, source: bytes = METER, segmented: bool = False, control: int = hdlc.UI) -> bytes:
    return hdlc.encode_frame(hdlc.HdlcFrame(CLIENT, source, control, information, segmented))


def segments(apdu: bytes, size: int, **more: bytes) -> list[bytes]:
    whole = LLC + apdu
    return [ui(whole[at:at + size], segmented=at + size < len(whole), **more) for at in range(0, len(whole), size)]


def block(number: int, data: bytes, *, last: bool = False, streaming: bool = True) -> bytes:
    control = (0x80 if last else 0x40 if streaming else 0) | 1
    return bytes((0xE0, control)) + number.to_bytes(2, "big") + b"\0\0" + bytes((len(data),)) + data


def wrapped(apdu: bytes) -> bytes:
    return wrapper.encode(1, 16, apdu)


# -- as recorded -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "auto"])
@pytest.mark.parametrize("cut", CUTS)
def test_recorded_pushes_however_cut(framing: str, told: bool, cut: str) -> None:
    script = load(f"push_{framing}")
    octets = b"".join(bytes.fromhex(entry["hex"]) for entry in script["exchange"])
    receiver, items = Receiver(framing if told else "auto"), []
    for piece in CUTS[cut](octets):
        items += receiver.feed(piece)
    assert [apdu.hex() for apdu in apdus(items)] == [expected["apdu"] for expected in script["expected"]]
    assert reasons(items) == []
    assert not receiver.pending
    assert receiver.data_to_send() == b""


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
def test_recorded_pushes_as_datagrams(framing: str) -> None:
    for entry, expected in zip(load(f"push_{framing}")["exchange"], load(f"push_{framing}")["expected"], strict=True):
        (message,) = Receiver(datagrams=True).feed(bytes.fromhex(entry["hex"]))
        assert message.apdu.hex() == expected["apdu"]
        assert message.via == ("wrapper port 1 to 16" if framing == "wrapper" else "HDLC 1 to 16")


# -- segments ----------------------------------------------------------------------------------------------------------

def test_segments_are_put_together() -> None:
    receiver = Receiver()
    pieces = segments(PLAIN, 8)
    assert [receiver.feed(piece) for piece in pieces[:-1]] == [[]] * (len(pieces) - 1)
    assert receiver.pending
    assert receiver.feed(pieces[-1]) == [Message(PLAIN, "HDLC 1/17 (logical/physical, 2 octets) to 16")]
    assert not receiver.pending


@pytest.mark.parametrize(("between", "whole"), [
    (b"\x7e\xa0\x1f\x21", []), (b"noise", []), (ui(LLC + PLAIN, source=OTHER), [PLAIN]), (ui(LLC + PLAIN), [PLAIN])],
    ids=["half", "noise", "other", "new"])
def test_what_comes_between_segments_spoils_them(between: bytes, whole: list[bytes]) -> None:
    """They bear no numbers: only an undisturbed series is believed."""
    pieces = segments(PLAIN, 8)
    items = Receiver().feed(b"".join(pieces[:2]) + between + b"".join(pieces[2:]))
    assert apdus(items) == whole
    assert reasons(items)[0] == "HDLC segments of a push that broke off"


def test_a_new_push_after_a_broken_one_is_taken() -> None:
    items = Receiver().feed(segments(PLAIN, 8)[0] + ui(LLC + CIPHERED))
    assert apdus(items) == [CIPHERED]
    assert len(reasons(items)) == 1


def test_segments_in_datagrams_only_where_a_loss_would_show() -> None:
    receiver, items = Receiver(datagrams=True), []
    for piece in segments(CIPHERED, 64):
        items += receiver.feed(piece)
    assert items == [Message(CIPHERED, "HDLC 1/17 (logical/physical, 2 octets) to 16")]
    (first, *_) = [Receiver(datagrams=True).feed(piece) for piece in segments(PLAIN, 8)]
    assert "datagrams" in reasons(first)[0]


@pytest.mark.parametrize(("frame", "says"), [
    (hdlc.encode_frame(hdlc.HdlcFrame(CLIENT, METER, hdlc.SNRM)), "control 0x93"),
    (ui(LLC + PLAIN, control=0x11), "control 0x11"),
    (ui(PLAIN), "without an LLC header"),
    (ui(b""), "without an LLC header"),
    (ui(LLC), "nothing behind it"),
])
def test_frames_that_are_no_push(frame: bytes, says: str) -> None:
    receiver = Receiver()
    assert says in reasons(receiver.feed(frame))[0]
    assert apdus(receiver.feed(ui(LLC + PLAIN, control=0x03) + ui(LLC + PLAIN, control=0x30))) == [PLAIN, PLAIN], "and it goes on"


# -- general blocks ----------------------------------------------------------------------------------------------------

def test_streamed_blocks_need_no_answer() -> None:
    receiver = Receiver()
    octets = b"".join(wrapped(block(n + 1, CIPHERED[at:at + 50], last=at + 50 >= len(CIPHERED)))
                      for n, at in enumerate(range(0, len(CIPHERED), 50)))
    assert apdus(receiver.feed(octets)) == [CIPHERED]
    assert receiver.data_to_send() == b""


def test_a_sender_that_waits_for_its_turn_is_answered() -> None:
    """Block by block without streaming: each is acknowledged, on the ports it came from."""
    receiver = Receiver()
    assert receiver.feed(wrapped(block(1, PLAIN[:9], streaming=False))) == []
    assert receiver.data_to_send() == wrapper.encode(16, 1, bytes.fromhex("e088" "0001" "0001" "00"))
    assert apdus(receiver.feed(wrapped(block(2, PLAIN[9:], last=True)))) == [PLAIN]


def test_a_datagram_is_never_answered_and_a_lost_block_is_said() -> None:
    receiver = Receiver(datagrams=True)
    assert receiver.feed(wrapped(block(1, PLAIN[:5], streaming=False))) == []
    assert receiver.data_to_send() == b""
    assert receiver.feed(wrapped(block(1, PLAIN[:5], streaming=False))) == [], "doubled by the network"
    assert reasons(receiver.feed(wrapped(block(3, PLAIN[9:], last=True)))) == [
        "the last general block, and one before it is missing"]
    assert reasons(receiver.feed(wrapped(block(2, PLAIN[5:9])))) == ["a general block without those before it"]
    for part in (block(1, PLAIN[:5]), block(1, PLAIN[:5]), block(2, PLAIN[5:], last=True)):
        items = receiver.feed(wrapped(part))
    assert apdus(items) == [PLAIN], "the next transfer is whole"


@pytest.mark.parametrize("hostile", [
    b"\xe0", b"\xe0\x80\x00\x00\x00\x00\x00", block(0, b"x"), block(1, block(1, b"x", last=True), last=True), block(7, b"x"),
    block(1, b"x")[:-1]])
def test_blocks_that_cannot_be(hostile: bytes) -> None:
    receiver = Receiver()
    assert len(reasons(receiver.feed(wrapped(hostile)))) == 1
    assert apdus(receiver.feed(wrapped(PLAIN))) == [PLAIN]


# -- out of step -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("octets", "says"), [
    (b"GET / HTTP/1.1\r\n", "0x47 begins neither"),
    (b"\0\2" + bytes(6), "version 2"),
    (b"\0\1\0\1\0\x10\0\0", "announces 0 octets"),
    (b"\0\1\0\1\0\x10\xff\xff", "announces 65535 octets"),
    (b"\0\1\0\1\0\x10\0\2\x0f\0" + b"Port already in use\r\n", "Port already in use"),
])
def test_a_stream_that_is_no_push(octets: bytes, says: str) -> None:
    receiver = Receiver()
    assert says in " ".join(reasons(receiver.feed(octets)))
    assert receiver.finished
    assert receiver.feed(wrapped(PLAIN)) == []


def test_what_stood_before_a_fault_is_not_lost() -> None:
    octets = wrapped(PLAIN) + b"\0\1" + bytes(6) + wrapped(PLAIN)
    items = Receiver().feed(octets)
    assert (apdus(items), len(reasons(items))) == ([PLAIN], 1)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 20])
def test_a_datagram_that_is_cut_off(size: int) -> None:
    receiver = Receiver(datagrams=True)
    assert f"cut off {size} octets" in reasons(receiver.feed(wrapped(PLAIN)[:size]))[0]
    assert not receiver.pending
    assert apdus(receiver.feed(wrapped(PLAIN) * 2)) == [PLAIN, PLAIN], "each datagram for itself"
    (item,) = receiver.feed(ui(LLC + PLAIN)[:-1])
    assert "in no good HDLC frame" in item.reason
    assert apdus(receiver.feed(ui(LLC + PLAIN))) == [PLAIN]


# -- whatever comes ----------------------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.sampled_from([wrapped(PLAIN), wrapped(CIPHERED), ui(LLC + PLAIN), b"".join(segments(CIPHERED, 40)), b"~", b"~~"]),
    st.sampled_from([wrapped(block(n, PLAIN[:n], last=n == 3)) for n in (1, 2, 3)] + segments(PLAIN, 7)),
    st.binary(max_size=40))


@settings(max_examples=80, deadline=None)
@given(st.lists(PIECES, max_size=8), st.sampled_from(["auto", "wrapper", "hdlc"]), st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_any_stream_comes_out_the_same_however_it_is_cut(pieces: list[bytes], framing: str, sizes: list[int]) -> None:
    octets = b"".join(pieces)
    limit_bytes = 300
    outcomes = []
    for plan in ([max(len(octets), 1)], [1], sizes):
        receiver, items, at, turn = Receiver(framing, limit_bytes=limit_bytes), [], 0, 0
        while at < len(octets):
            size = plan[turn % len(plan)]
            items += receiver.feed(octets[at:at + size])
            at, turn = at + size, turn + 1
        outcomes.append((apdus(items), reasons(items), receiver.data_to_send(), receiver.finished))
        assert held(receiver) <= 3 * limit_bytes + hdlc.LIMIT_BYTES + 64
    assert outcomes[0] == outcomes[1] == outcomes[2]


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=8), st.sampled_from(["auto", "wrapper", "hdlc"]))
def test_any_datagrams_are_taken_and_never_answered(pieces: list[bytes], framing: str) -> None:
    receiver = Receiver(framing, limit_bytes=300, datagrams=True)
    for piece in pieces:
        items = receiver.feed(piece)
        assert all(len(apdu) <= 300 for apdu in apdus(items))
        assert receiver.data_to_send() == b""
        assert held(receiver) <= 3 * 300 + 64


def held(receiver: Receiver) -> int:
    """Octets that a receiver keeps for later."""
    blocks = 0 if receiver._blocks is None else receiver._blocks._bytes
    return (sum(part.pending_bytes for part in (receiver._wrapper, receiver._hdlc) if part is not None)
            + len(receiver._segments._parts) + blocks + len(receiver._first_block))

"""Targets: byte streams into frames, frames into the HDLC link."""

from fuzz_corpus import streams
from fuzz_engine import ending
from fuzz_mutation import Case

from edge.dlms import hdlc, wrapper
from edge.dlms.hdlc import HdlcFrame
from edge.dlms.hdlc_link import LLC_REQUEST, LLC_RESPONSE, MAX_APDU_BYTES, HdlcLink, LinkState
from edge.dlms.hdlc_parameters import LinkParameters
from edge.dlms.link import LinkEvent
from edge.errors import BridgeBusy, Violation

CLIENT, SERVER, STRANGER = hdlc.encode_address(1), hdlc.encode_address(1, 1234, 4), hdlc.encode_address(1, 17, 4)
GOOD = HdlcFrame(CLIENT, SERVER, 0x30, LLC_RESPONSE + bytes.fromhex("c401c1001208fd"))
_MOST_ABANDONED = hdlc.LIMIT_BYTES + 3      # each time at least one octet of what is held goes away
_old = hdlc.Deframer()                      # lives through all executions, as one behind a chattering bridge does


def hdlc_deframer(case: Case) -> str:
    """Never raises. Whole or in pieces: the same frames, the same octets held, never more than one frame's. A frame that comes
    out stands in the input octet for octet. A good frame behind any garbage is found, at the latest at the time-out.
    """
    stream = b"".join(case)
    whole, pieces = hdlc.Deframer(), hdlc.Deframer()
    found, got = whole.feed(stream), []
    for piece in case:
        got += pieces.feed(piece)
        assert pieces.pending_bytes <= hdlc.LIMIT_BYTES + 2
    assert got == found
    assert pieces.pending_bytes == whole.pending_bytes
    assert all(hdlc.encode_frame(frame) in stream for frame in found)
    behind = whole.feed(hdlc.encode_frame(GOOD))
    for _ in range(_MOST_ABANDONED):
        if whole.pending_bytes <= 1:
            break
        behind += whole.abandon()
    assert behind[-1:] == [GOOD]
    _old.feed(stream)
    assert _old.pending_bytes <= hdlc.LIMIT_BYTES + 2
    assert len(_old.text()) <= 200
    return f"{min(len(found), 8)} frames, {min(len(behind), 3)} behind, {bool(whole.discarded_bytes)}, text {bool(pieces.text())}"


def wrapper_deframer(case: Case) -> str:
    """Violation or BridgeBusy and nothing else. Whole or in pieces: the same end; what comes out in pieces before a fault begins
    the stream octet for octet; without a fault nothing is lost, and no more is held than one frame.
    """
    stream = b"".join(case)
    frames: list[wrapper.WrapperFrame] = []
    pieces, whole = wrapper.WrapperDeframer(limit_bytes=2048), wrapper.WrapperDeframer(limit_bytes=2048)

    def in_pieces() -> str:
        for piece in case:
            frames.extend(pieces.feed(piece))
            assert pieces.pending_bytes <= wrapper.HEADER_BYTES + 2048
        return "no fault"

    def at_once() -> str:
        whole.feed(stream)
        return "no fault"

    word = ending(in_pieces)
    assert stream.startswith(b"".join(wrapper.encode(*frame) for frame in frames))
    assert word.split(":")[0] == ending(at_once).split(":")[0]
    assert word.split(":")[0] in ("no fault", Violation.__name__, BridgeBusy.__name__)
    if word == "no fault":
        assert sum(8 + len(frame.apdu) for frame in frames) + pieces.pending_bytes == len(stream)
    return f"{min(len(frames), 4)} frames, {word}, text {bool(pieces.text())}"


def hdlc_link(case: Case) -> str:
    """A link that hears anything, with good checksums too. MeterError kinds and nothing else; what it sends are whole frames to its
    meter, one for each that it heard and one for each call at most; an answer is held up to the largest APDU; its timers come
    to an end.
    """
    link = HdlcLink(client=CLIENT, server=SERVER, proposal=LinkParameters(512, 512), repeat_s=1.0, repeats=2)
    heard: list[LinkEvent] = []
    calls = 0

    def play() -> str:
        nonlocal calls
        now = 0.0
        heard.extend(link.open(now))
        for piece in case:
            calls += 1
            now += 0.25
            heard.extend(_act(link, piece, now))
            heard.extend(link.handle_timer(now))      # as a session does after each piece
            assert len(link._answer) <= MAX_APDU_BYTES + len(LLC_RESPONSE) + hdlc.LIMIT_BYTES
            assert link.next_timer() is None or link.next_timer() > now
        for _ in range(8):
            if (due := link.next_timer()) is None:
                return "quiet"
            calls += 1
            heard.extend(link.handle_timer(due))
        raise AssertionError("its timers never end")

    word = ending(play)
    sent = link.data_to_send()
    frames = hdlc.Deframer().feed(sent)
    assert sent == b"".join(map(hdlc.encode_frame, frames))
    assert all((frame.destination, frame.source) == (SERVER, CLIENT) for frame in frames)
    assert len(frames) <= 1 + calls + link.traffic.received_frames
    return f"{link.state.value}, {min(len(heard), 4)} events, {word}"


def _act(link: HdlcLink, piece: bytes, now: float) -> list[LinkEvent]:
    """Let the first octet of a piece choose what happens; the rest is what it happens with."""
    choice, rest = piece[:1], piece[1:]
    match choice[0] & 7 if choice else 7:
        case 0 | 1:
            return link.receive(rest, now)
        case 2:         # the very I-frame that is due, its content any
            control = link._receive_number << 1 | link._send_number << 5 | (choice[0] >> 3 & 1) << 4
            return _framed(link, SERVER, control, LLC_RESPONSE * (choice[0] >> 7 ^ 1) + rest, now, more=bool(choice[0] & 0x20))
        case 3:         # any control field at all
            return _framed(link, SERVER, rest[0] if rest else 0x73, rest[1:], now, more=bool(choice[0] & 0x20))
        case 4:         # RR with the N(R) that is due, or another
            return _framed(link, SERVER, (link._send_number + (choice[0] >> 5)) % 8 << 5 | 0x11, b"", now)
        case 5:
            return _framed(link, STRANGER, rest[0] if rest else 0x10, rest[1:], now)
        case 6:
            due = link.next_timer()
            return link.handle_timer(max(now, due)) if due is not None else []
        case _:
            if link.state is LinkState.CONNECTED and not link._segments and not link._answer_due:
                link.send(rest or LLC_REQUEST, now)
            return []


def _framed(link: HdlcLink, source: bytes, control: int, information: bytes, now: float, *, more: bool = False) -> list[LinkEvent]:
    return link.receive(hdlc.encode_frame(HdlcFrame(CLIENT, source, control, information[:2000], more)), now)


def hdlc_streams() -> list[Case]:
    """Recorded streams of HDLC."""
    return streams("hdlc")


def wrapper_streams() -> list[Case]:
    """Recorded streams of the wrapper."""
    return streams("wrapper")


def link_conversations() -> list[Case]:
    """Some whole lives of a link, written with the choices of `_act`."""
    ua = b"\x03\x73" + LinkParameters(512, 512).encode()
    value = bytes.fromhex("c401c1001208fd")
    lives = [
        (ua, b"\x07" + b"q" * 20, b"\x0a" + value),                                       # a request and its answer
        (ua, b"\x07" + b"q" * 1500, b"\x04", b"\x04", b"\x0a" + value),                   # in segments, each acknowledged
        (ua, b"\x07q", b"\x2a" + b"a" * 200, b"\x2a\x80" + b"b" * 200, b"\x8a" + b"c"),   # an answer in segments
        (ua, b"\x07q", b"\x06", b"\xe4", b"\x06", b"\x04", b"\x0a" + value),              # silence, RR, repetition
        (ua, b"\x03\x13" + LLC_RESPONSE + bytes.fromhex("0fc00000010002031208fd12090106075bcd15")),     # a push in UI
        (b"\x03\x1f",), (ua, b"\x07q", b"\x03\x1f"), (ua, b"\x07q", b"\x03\x97abc"), (ua, ua, b"\x07q", b"\x03\x19"), (b"\x06",) * 4,
    ]
    frames = [tuple(b"\x00" + frame for frame in case) for case in streams("hdlc")[:12]]
    return [*lives, *frames]

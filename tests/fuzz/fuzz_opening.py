"""Targets: the meter's side of opening an association: UA, AARE, and the proof of high-level security.

What must hold for each (`_opened`): MeterError kinds and nothing else; Opened comes at most once, offers nothing that was
not asked for, and only behind an AARE; with high-level security only behind the right f(CtoS) too.
"""

from collections.abc import Sequence

from fuzz_ciphered import CLIENT_TITLE, METER_TITLE, SECURITY, meter_gmac, sealed, sealed_initiate
from fuzz_corpus import conversations, hostile, scripts
from fuzz_engine import ending
from fuzz_exchanges import PUSHES
from fuzz_framing import CLIENT, SERVER
from fuzz_mutation import Case

from edge.dlms import axdr, hdlc, hls, wrapper
from edge.dlms.association import Association, AssociationSettings, Opened, State
from edge.dlms.conformance import OFFERED
from edge.dlms.counter import InvocationCounters
from edge.dlms.events import Pushed
from edge.dlms.hdlc import HdlcFrame
from edge.dlms.hdlc_link import LLC_RESPONSE

CHALLENGE, STOC, SECRET = b"CtoS of a client", b"StoC of a meter!", b"a secret of HLS"
_PROOF = b"PROOF"          # in a piece: the right f(CtoS) is put in its place
_WRAPPER = AssociationSettings("wrapper", 1, 1, authentication="lls", password=b"12345678")
_HDLC = AssociationSettings("hdlc", 1, 1, 1234, 4, authentication="lls", password=b"12345678", max_info_bytes=512)
_SHA256 = AssociationSettings("wrapper", 1, 1, authentication="hls-sha256", password=SECRET, challenge=CHALLENGE)
_GMAC = AssociationSettings("wrapper", 1, 1, authentication="hls-gmac", challenge=CHALLENGE, security=SECURITY)


def _opened(settings: AssociationSettings, received: Sequence[bytes]) -> tuple[str, bool]:
    """Let a new association hear these bytes; return a word for the end and whether it stands."""
    association = Association(settings, InvocationCounters(1, 200))
    association.open(0.0)

    def play() -> str:
        for octets in received:
            association.receive_data(octets, 1.0)
            association.handle_timer(1.0)
            assert len(association.data_to_send()) <= 2_000
            if association.state is State.READY:
                break
        return association.state.value

    word = ending(play)
    events = []
    while (event := association.next_event()) is not None:
        if not isinstance(event, Pushed):
            events.append(event)
    assert len(events) == (association.state is State.READY)
    for event in events:
        assert isinstance(event, Opened)
        assert not event.conformance & ~OFFERED
        assert event.server_max_pdu == 0 or event.server_max_pdu >= 13
    return word, bool(events)


def aare(case: Case) -> str:
    """AAREs for a password, over the wrapper."""
    word, opened = _opened(_WRAPPER, [_framed(apdu) for apdu in case if apdu])
    assert not opened or any(apdu[:1] == b"\x61" for apdu in case)
    return f"{word}, {opened}"


def hdlc_opening(case: Case) -> str:
    """UA with parameters, then an AARE in I-frames: the first octet of a piece is the control field, the rest its information, in a
    frame with good checksums; control field FF stands for the I-frame that is due.
    """
    frames = []
    number = 0
    for piece in filter(None, case):
        control, information = piece[0], piece[1:2_000]
        if control == 0xFF:
            control, information = number << 1 | 0x30, LLC_RESPONSE + information
            number = (number + 1) & 7
        frames.append(hdlc.encode_frame(HdlcFrame(CLIENT, SERVER, control, information)))
    word, opened = _opened(_HDLC, frames)
    return f"{word}, {opened}"


def digest_opening(case: Case) -> str:
    """AARE and proof with SHA-256, in clear. `PROOF` in a piece stands for the right digest: without it, nothing opens."""
    titles, challenges = hls.Titles(b"", METER_TITLE), hls.Challenges(CHALLENGE, STOC)
    right = hls.digest("hls-sha256", SECRET, own=titles.meter, other=titles.client, answered=challenges.client, sent=challenges.meter)
    word, opened = _opened(_SHA256, [_framed(apdu.replace(_PROOF, b"\x09\x20" + right)) for apdu in case if apdu])
    assert not opened or any(_PROOF in apdu for apdu in case)
    return f"{word}, {opened}"


def sealed_opening(case: Case) -> str:
    """AARE and proof with GMAC, ciphered with the right keys. The first octet of a piece says what the rest is: an
    initiate-response to be sealed into a good AARE, an APDU to be sealed, or an APDU as it is. `PROOF` stands for the right
    GMAC: without it, nothing opens.
    """
    apdus = []
    for number, piece in enumerate(filter(None, case)):
        how, rest = piece[0] % 3, piece[1:]
        if how == 0:
            apdus.append(aare_of(sealed_initiate(rest, number), high=True))
        elif how == 1:
            apdus.append(sealed(rest.replace(_PROOF, b"\x09\x11" + meter_gmac(number + 500, CHALLENGE)), number, "general-glo"))
        elif rest:
            apdus.append(rest)
    word, opened = _opened(_GMAC, list(map(_framed, apdus)))
    assert not opened or any(_PROOF in piece for piece in case)
    return f"{word}, {opened}"


def _framed(apdu: bytes) -> bytes:
    return wrapper.encode(1, 1, apdu[:0xFFFF])


def _counted(octets: bytes) -> bytes:
    return axdr.encode_length(len(octets)) + octets


def aare_of(initiate: bytes, *, high: bool = False, mechanism: int = 5, context: int = 3) -> bytes:
    """An AARE that accepts, with this initiate-response; `high`: and wants the proof of high-level security."""
    body = bytes.fromhex("a109060760857405080100")[:-1] + bytes((context,)) + bytes.fromhex("a203020100a305a1030201") + (b"\x0e" if high else b"\0")
    if high:
        body += (b"\xa4\x0a\x04\x08" + METER_TITLE + bytes.fromhex("880207808907608574050802") + bytes((mechanism,))
                 + bytes((0xAA, len(STOC) + 2, 0x80, len(STOC))) + STOC)
    return b"\x61" + _counted(body + b"\xbe" + _counted(b"\x04" + _counted(initiate)))


# -- seeds -------------------------------------------------------------------------------------------------------------

INITIATE = bytes.fromhex("0800065f1f040000121d04000007")


def aares() -> list[Case]:
    """Recorded AAREs, one with long lengths, refusals, and a push before."""
    recorded = [case[:2] for case in conversations() if case[0][:1] == b"\x61"]
    return [*recorded, (aare_of(INITIATE, context=1),), (PUSHES[0], aare_of(INITIATE, context=1)), (aare_of(b"\x0e\x01\x06\x00", context=1),),
            (aare_of(INITIATE, context=1).replace(b"\xbe\x10", b"\xbe\x81\x10"),), *((push,) for push in PUSHES), *hostile("apdu")[:20]]


def hdlc_openings() -> list[Case]:
    """A UA of each recorded form, then the AARE."""
    answer = b"\xff" + aare_of(INITIATE, context=1)
    found = []
    for script in scripts():
        if script["framing"] == "hdlc":
            for entry in script["exchange"][:4]:
                frames = hdlc.Deframer().feed(bytes.fromhex(entry["hex"]))
                found += [(bytes((frame.control,)) + frame.information, answer) for frame in frames if frame.control == hdlc.UA]
    return [*dict.fromkeys(found), (b"\x73", b"\x73", answer), (b"\x1f",), (b"\x73", b"\xff" + PUSHES[2]), (b"\x73", b"\x97abc")]


def digest_openings() -> list[Case]:
    """An opening that succeeds, and what goes wrong with it."""
    first = aare_of(INITIATE, high=True, mechanism=6, context=1)
    proof = bytes.fromhex("c701c1 00 01 00") + _PROOF
    return [(first, proof), (first, proof.replace(_PROOF, b"\x09\x20" + bytes(32))), (first, bytes.fromhex("c701c1 03 00")), (first, bytes.fromhex("c701c1 00 00")), (first, PUSHES[3]), (PUSHES[0], first, proof),
            (first.replace(STOC, CHALLENGE), proof), (aare_of(INITIATE, context=1), proof), (first, bytes.fromhex("c702c1 01 00000001 09 00 01 00") + _PROOF)]


def sealed_openings() -> list[Case]:
    """An opening that succeeds, and what goes wrong with it."""
    begin, proof = b"\x00" + INITIATE, bytes.fromhex("01 c701c1 00 01 00") + _PROOF
    return [(begin, proof), (begin, proof.replace(_PROOF, b"\x09\x11" + bytes(17))), (b"\x00" + bytes.fromhex("0e010600"),),
            (b"\x02" + aare_of(INITIATE, high=True), proof), (begin, bytes.fromhex("01 c701c1 03 00")), (begin, bytes.fromhex("01 c701c1 00 00")),
            (b"\x01" + PUSHES[0], begin, proof), (begin, b"\x02" + PUSHES[3]), (begin, bytes.fromhex("01 c702c1 01 00000001 15 00 01 00") + _PROOF),
            (b"\x02" + aare_of(sealed_initiate(INITIATE, 0), high=True).replace(METER_TITLE, CLIENT_TITLE), proof)]

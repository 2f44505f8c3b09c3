"""Bytes from one sender -> whole APDUs (pure). The sender may be anybody.

    TCP stream ─┐            ┌─ wrapper frames ───────────────┐
                ├─► feed ────┤                                ├─► general blocks put together ─► Message
    datagrams ──┘            └─ HDLC frames and segments ─────┘
                                            what is none of it, with the reason ─────────────► Spoiled

Wrapper (IEC 62056-47) and HDLC (IEC 62056-46) are told apart by the first octet: 00 begins a wrapper header, 7E an HDLC
frame. `feed` never raises. The outcome of a stream is the same whole or byte by byte, and memory is bounded by three
APDUs of the limit and the piece that is fed. A wrapper stream that is out of step is `finished`: there is no way back
into it. HDLC goes on behind noise.

What is answered. A push is a service that the meter begins and nobody confirms (IEC 62056-5-3, data-notification and
event-notification); HDLC UI frames have no answer either. Delivery is TCP's, or hope. Newer editions add a
DataNotificationConfirm (tag 0x10) where the push setup's operation method asks for one. It is not sent: the
service-class bit does not tell who wants it (meters of older editions set it and expect nothing), and no meter that
speaks it has been seen. Such a meter repeats itself as often as its retries say, and repetitions are recognised. Only
blocks of a general block transfer whose sender waits for its turn are acknowledged, and only within a wrapper stream:
the address that a datagram comes from is nothing but a claim, so nothing is sent to it.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from edge.dlms import hdlc, wrapper
from edge.dlms.channel import CIPHERED_TAGS
from edge.dlms.gbt import GENERAL_BLOCK_TRANSFER, BlockTransfer
from edge.dlms.hdlc_link import LLC_REQUEST, LLC_RESPONSE
from edge.errors import MeterError, Violation

Framing = Literal["auto", "wrapper", "hdlc"]

WINDOW = 8
"""Blocks of a general block transfer that may come in a row."""

_WRAPPER_FIRST, _UI, _LAST_BLOCK = 0x00, hdlc.UI & ~hdlc.POLL_FINAL, 0x80
_LLC = (LLC_RESPONSE, LLC_REQUEST)
_LLC_BYTES = len(LLC_RESPONSE)


class Message(NamedTuple):
    """A whole APDU, perhaps ciphered. `via` says in words between which addresses of framing it travelled."""

    apdu: bytes
    via: str


class Spoiled(NamedTuple):
    """Something that is no message, in one line: damaged, too long, or no push at all."""

    reason: str


Item = Message | Spoiled


class _Place(NamedTuple):
    """Whence and whither within one sender. `ports` are those of a wrapper, None for HDLC."""

    text: str
    ports: tuple[int, int] | None = None


class Receiver:
    """What one sender has sent so far. For a stream one object, for datagrams one per sender and conversation."""

    def __init__(self, framing: Framing = "auto", *, limit_bytes: int = 16_384, datagrams: bool = False) -> None:
        """`limit_bytes` bounds one APDU. With `datagrams` each `feed` is a datagram of its own, whole or spoiled."""
        self.finished = False
        self._framing: Framing = framing
        self._limit_bytes = limit_bytes
        self._datagrams = datagrams
        self._wrapper: wrapper.WrapperDeframer | None = None
        self._hdlc: hdlc.Deframer | None = None
        self._segments = _Segments(limit_bytes)
        self._blocks: BlockTransfer | None = None
        self._blocks_of: _Place | None = None
        self._first_block = b""
        self._out = bytearray()

    @property
    def pending(self) -> bool:
        """Tell whether something has begun and is not whole yet."""
        begun = self._wrapper is not None and self._wrapper.pending_bytes > 0
        return begun or (self._hdlc is not None and self._hdlc.pending_bytes > 1) or (
            self._segments.begun or self._blocks is not None)

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it. Always empty for datagrams."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes (or one datagram), return what is complete now, in order."""
        if self.finished or not data:
            return []
        framing = self._framing
        if framing == "auto":
            framing = "wrapper" if data[0] == _WRAPPER_FIRST else "hdlc"
            if framing == "hdlc" and data[0] != hdlc.FLAG:
                self.finished = not self._datagrams
                return [Spoiled(f"0x{data[0]:02x} begins neither a wrapper header nor an HDLC frame")]
            if not self._datagrams:
                self._framing = framing
        return list(self._wrapper_items(data) if framing == "wrapper" else self._hdlc_items(data))

    # -- wrapper ---------------------------------------------------------------------------------------------------

    def _wrapper_items(self, data: bytes) -> Iterator[Item]:
        if self._wrapper is None or self._datagrams:
            self._wrapper = wrapper.WrapperDeframer(self._limit_bytes)
        try:
            for source, destination, apdu in self._wrapper.frames(data):
                place = _Place(f"wrapper port {source} to {destination}", (source, destination))
                yield from self._whole(apdu, place)
        except MeterError as fault:
            self.finished = not self._datagrams
            self._wrapper = None
            yield Spoiled(str(fault))
            return
        if self._datagrams:
            if self._wrapper.pending_bytes:
                yield Spoiled(f"a datagram is cut off {self._wrapper.pending_bytes} octets into a wrapper frame")
            self._wrapper = None

    # -- HDLC ------------------------------------------------------------------------------------------------------

    def _hdlc_items(self, data: bytes) -> Iterator[Item]:
        if self._hdlc is None:
            self._hdlc = hdlc.Deframer()
        noise_bytes = self._hdlc.discarded_bytes
        for frame in self._hdlc.frames(data):
            yield from self._hdlc_frame(frame, self._hdlc.discarded_bytes)
        if self._datagrams:
            for frame in self._hdlc.abandon():
                yield from self._hdlc_frame(frame, self._hdlc.discarded_bytes)
            if lost_bytes := self._hdlc.discarded_bytes - noise_bytes:
                yield Spoiled(f"a datagram with {lost_bytes} octets in no good HDLC frame")
            self._hdlc.clear()

    def _hdlc_frame(self, frame: hdlc.HdlcFrame, noise_bytes: int) -> Iterator[Item]:
        # A push has no link, so its frames are UI; some meter-side libraries number all but the first, as I-frames.
        if frame.control & ~hdlc.POLL_FINAL != _UI and frame.control & 1:
            yield Spoiled(f"an HDLC frame with control 0x{frame.control:02x}: a push comes in UI frames")
            return
        place = _Place(f"HDLC {hdlc.address_text(frame.source)} to {hdlc.address_text(frame.destination)}")
        if self._segments.broken_off(frame, place, noise_bytes):
            yield Spoiled("HDLC segments of a push that broke off")
        try:
            whole = self._segments.take(frame, place, noise_bytes, datagrams=self._datagrams)
        except Violation as fault:
            yield Spoiled(str(fault))
            return
        if whole is not None:
            yield from self._whole(whole, place)

    # -- APDUs -----------------------------------------------------------------------------------------------------

    def _whole(self, apdu: bytes, place: _Place) -> Iterator[Item]:
        if apdu[0] != GENERAL_BLOCK_TRANSFER:
            yield Message(apdu, place.text)
            return
        try:
            whole = self._block(apdu, place)
        except Violation as fault:
            self._drop_blocks()
            yield Spoiled(str(fault))
            return
        if whole is not None:
            self._drop_blocks()
            nested = whole[:1] in (b"", bytes((GENERAL_BLOCK_TRANSFER,)))
            yield Spoiled("general blocks that hold nothing, or a general block") if nested else (
                Message(whole, place.text))

    def _block(self, block: bytes, place: _Place) -> bytes | None:
        """Take a general block; return the whole APDU with the last one. Raises Violation: all blocks are dropped."""
        first = int.from_bytes(block[2:4], "big") == 1
        if first and block == self._first_block and place == self._blocks_of:
            return None      # a datagram that the network has doubled
        if first:
            self._blocks, self._blocks_of = BlockTransfer(WINDOW, self._limit_bytes), place
            self._first_block = block
        elif self._blocks is None or place != self._blocks_of:
            raise Violation("a general block without those before it")
        assert self._blocks is not None
        # What it acknowledges says nothing: there is nothing of ours, and some senders leave the field as it was.
        turn = self._blocks.receive(block[:4] + b"\0\0" + block[6:])
        answers = place.ports is not None and not self._datagrams
        if turn.whole is None and not answers and block[1] & _LAST_BLOCK:
            raise Violation("the last general block, and one before it is missing")
        if answers and place.ports is not None:
            source, destination = place.ports
            for apdu in turn.send:
                self._out += wrapper.encode(destination, source, apdu)
        return turn.whole

    def _drop_blocks(self) -> None:
        self._blocks = self._blocks_of = None
        self._first_block = b""


class _Segments:
    """Puts the segments of UI frames together. They bear no numbers: whatever comes between them spoils them."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes + _LLC_BYTES
        self._place: _Place | None = None
        self._parts = bytearray()
        self._noise_bytes = 0

    @property
    def begun(self) -> bool:
        return self._place is not None

    def broken_off(self, frame: hdlc.HdlcFrame, place: _Place, noise_bytes: int) -> bool:
        """Drop what was begun, and tell so, where this frame cannot be the next of it."""
        torn = self.begun and (
            place != self._place or noise_bytes != self._noise_bytes or frame.information.startswith(_LLC))
        if torn:
            self._drop()
        return torn

    def take(self, frame: hdlc.HdlcFrame, place: _Place, noise_bytes: int, *, datagrams: bool) -> bytes | None:
        """Return the APDU once it is whole. Raises Violation: what was held is dropped, or this frame."""
        if not self.begun and not frame.information.startswith(_LLC):
            raise Violation("HDLC UI information without an LLC header")
        if not self.begun and frame.segmented and datagrams and not _ciphered(frame.information[_LLC_BYTES:]):
            raise Violation("HDLC segments of a push in clear in datagrams: one that is lost would not be missed")
        self._place, self._noise_bytes = place, noise_bytes
        self._parts += frame.information
        if len(self._parts) > self._limit_bytes:
            self._drop()
            raise Violation(f"HDLC segments of one push grow above {self._limit_bytes} octets")
        if frame.segmented:
            return None
        whole = bytes(self._parts[_LLC_BYTES:])
        self._drop()
        if not whole:
            raise Violation("an HDLC UI frame with an LLC header and nothing behind it")
        return whole

    def _drop(self) -> None:
        self._place = None
        self._parts.clear()


def _ciphered(apdu: bytes) -> bool:
    return apdu[:1] != b"" and apdu[0] in CIPHERED_TAGS

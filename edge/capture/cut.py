"""Cuts what passed into frames and APDUs, and puts altered APDUs back into frames of the same form (pure).

    pieces ─► frames (whole wrapper or HDLC frames) ─► messages (APDUs, from one frame or several segments)
    altered messages ─► frames: same segments, same lengths, new checksums

What belongs to no frame is counted and dropped, but for a bridge's words.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edge.dlms import hdlc, wrapper
from edge.dlms.hdlc import HdlcFrame
from edge.dlms.hdlc_link import LLC_REQUEST, LLC_RESPONSE, Kind, kind_of
from edge.dlms.wrapper import WrapperFrame
from edge.errors import MeterError

LLC_BYTES = 3


class Piece(NamedTuple):
    """Bytes as they passed, in order of time. `connection` counts from 1."""

    connection: int
    sent: bool
    octets: bytes

    def __repr__(self) -> str:
        """Leave the bytes out: a password may be in them."""
        return f"Piece({self.connection}, sent={self.sent}, {len(self.octets)} octets)"


class Frame(NamedTuple):
    """One frame. `repeats`: the frame, by its place, that this one is a repetition of."""

    connection: int
    sent: bool
    content: HdlcFrame | WrapperFrame
    repeats: int | None = None

    @property
    def octets(self) -> bytes:
        """The frame as it travels."""
        if isinstance(self.content, HdlcFrame):
            return hdlc.encode_frame(self.content)
        return wrapper.encode(*self.content)

    @property
    def client_sap(self) -> int:
        """The client that it is from or for; -1 where an address is malformed."""
        if isinstance(self.content, WrapperFrame):
            return self.content.source if self.sent else self.content.destination
        address = self.content.source if self.sent else self.content.destination
        return address[0] >> 1 if len(address) == 1 else -1


class Message(NamedTuple):
    """One APDU, and the frames that carry it, by their places."""

    connection: int
    sent: bool
    apdu: bytes
    frames: tuple[int, ...]


class Cut(NamedTuple):
    """A recording cut up. `words` are what a bridge said; `stray_bytes` belonged to no frame."""

    frames: tuple[Frame, ...]
    messages: tuple[Message, ...]
    stray_bytes: int = 0
    words: tuple[str, ...] = ()


def cut(pieces: Sequence[Piece], framing: str, client_sap: int) -> Cut:
    """Cut pieces up. Connections of another client (one that asked for a counter) and late frames before the first
    request are left out.
    """
    cutter = _Cutter(framing)
    for piece in pieces:
        cutter.feed(piece)
    cutter.end()
    wanted = {connection for connection in {frame.connection for frame in cutter.frames}
              if next((frame.client_sap for frame in cutter.frames
                       if frame.connection == connection and frame.sent), None) == client_sap}
    begun: set[int] = set()
    frames: list[Frame] = []
    for frame in cutter.frames:
        if frame.sent:
            begun.add(frame.connection)
        if frame.connection in wanted and frame.connection in begun:
            frames.append(frame)
    marked, messages, unfinished = _messages(frames)
    if unfinished:      # segments of what never became whole: nobody can say what is in them
        marked, messages, _ = _messages([frame for at, frame in enumerate(frames) if at not in unfinished])
    return Cut(tuple(marked), tuple(messages), cutter.stray_bytes, tuple(cutter.words))


def rebuilt(whole: Cut, apdus: Mapping[int, bytes], addresses: Mapping[bytes, bytes]) -> list[Frame]:
    """Return the frames with other APDUs (by the place of their message) and other HDLC addresses in them.

    An APDU must be as long as the one it stands for.
    """
    frames = list(whole.frames)
    for place, message in enumerate(whole.messages):
        apdu = apdus.get(place, message.apdu)
        assert len(apdu) == len(message.apdu)
        for at, part in zip(message.frames, _parts(whole, message, apdu), strict=True):
            frames[at] = frames[at]._replace(content=_with(frames[at].content, part))
    for at, frame in enumerate(frames):
        content = frame.content
        if frame.repeats is not None:
            content = _with(content, _information(frames[frame.repeats]))
        if isinstance(content, HdlcFrame):
            content = content._replace(destination=addresses.get(content.destination, content.destination),
                                       source=addresses.get(content.source, content.source))
        frames[at] = frame._replace(content=content)
    return frames


class _Cutter:
    def __init__(self, framing: str) -> None:
        self.frames: list[Frame] = []
        self.stray_bytes = 0
        self.words: list[str] = []
        self._framing = framing
        self._hdlc: dict[tuple[int, bool], hdlc.Deframer] = {}
        self._wrapper: dict[tuple[int, bool], wrapper.WrapperDeframer | None] = {}

    def feed(self, piece: Piece) -> None:
        way = (piece.connection, piece.sent)
        content: Sequence[HdlcFrame | WrapperFrame]
        if self._framing == "hdlc":
            content = self._hdlc.setdefault(way, hdlc.Deframer()).feed(piece.octets)
        else:
            content = self._feed_wrapper(way, piece.octets)
        self.frames += [Frame(*way, each) for each in content]

    def _feed_wrapper(self, way: tuple[int, bool], octets: bytes) -> Sequence[WrapperFrame]:
        deframer = self._wrapper.setdefault(way, wrapper.WrapperDeframer())
        if deframer is None:
            self.stray_bytes += len(octets)
            return ()
        try:
            return deframer.feed(octets)
        except MeterError:
            self.stray_bytes += deframer.pending_bytes
            self.words.append(deframer.text())
            self._wrapper[way] = None
            return ()

    def end(self) -> None:
        """Count what was left."""
        for deframer in self._hdlc.values():
            self.stray_bytes += deframer.discarded_bytes + max(deframer.pending_bytes - 1, 0)      # a flag may be left
            self.words.append(deframer.text())
        for open_end in self._wrapper.values():
            self.stray_bytes += 0 if open_end is None else open_end.pending_bytes
        self.words = [words for words in self.words if words]


def _messages(frames: Sequence[Frame]) -> tuple[list[Frame], list[Message], set[int]]:
    """Put APDUs together; mark repeated HDLC frames, and name those whose content is not understood."""
    marked, messages, unfinished = list(frames), list[Message](), set[int]()
    begun: dict[tuple[int, bool], list[int]] = {}
    last: dict[tuple[int, bool], int] = {}
    for at, frame in enumerate(frames):
        content, way = frame.content, (frame.connection, frame.sent)
        if isinstance(content, WrapperFrame):
            messages.append(Message(*way, content.apdu, (at,)))
            continue
        kind = kind_of(content.control)
        if content.control in (hdlc.SNRM, hdlc.DISC):
            for each in (way, (frame.connection, not frame.sent)):
                unfinished.update(begun.pop(each, ()))
                last.pop(each, None)
        if kind not in (Kind.I, Kind.UI) or not content.information:
            unfinished |= {at} if kind is Kind.OTHER and content.control not in (hdlc.SNRM, hdlc.DISC) else set()
            continue
        before = last.get(way)
        if kind is Kind.I:
            if before is not None and _same(frames[before].content, content):
                marked[at] = frame._replace(repeats=before)
                continue
            last[way] = at
        parts = begun.setdefault(way, [])
        parts.append(at)
        if not content.segmented:
            whole = b"".join(_information(frames[part]) for part in begun.pop(way))
            messages.append(Message(*way, without_llc(whole), tuple(parts)))
    for parts in begun.values():
        unfinished.update(parts)
    return marked, messages, unfinished


def _same(one: HdlcFrame | WrapperFrame, other: HdlcFrame) -> bool:
    """Tell whether two I-frames that follow each other have one N(S) and one content."""
    return (isinstance(one, HdlcFrame) and (one.control >> 1 & 7, one.information, one.segmented)
            == (other.control >> 1 & 7, other.information, other.segmented))


def without_llc(information: bytes) -> bytes:
    """Return what stands behind the LLC header, where there is one."""
    return information[LLC_BYTES:] if information[:LLC_BYTES] in (LLC_REQUEST, LLC_RESPONSE) else information


def _information(frame: Frame) -> bytes:
    return frame.content.information if isinstance(frame.content, HdlcFrame) else frame.content.apdu


def _parts(whole: Cut, message: Message, apdu: bytes) -> list[bytes]:
    """Cut an APDU, with its LLC header, into pieces as long as those that it came in."""
    old = [_information(whole.frames[at]) for at in message.frames]
    joined = b"".join(old)
    new = joined[:len(joined) - len(message.apdu)] + apdu
    parts, at = [], 0
    for part in old:
        parts.append(new[at:at + len(part)])
        at += len(part)
    return parts


def _with(content: HdlcFrame | WrapperFrame, part: bytes) -> HdlcFrame | WrapperFrame:
    if isinstance(content, HdlcFrame):
        return content._replace(information=part)
    return content._replace(apdu=part)

"""What carries APDUs between client and meter; of its two kinds the TCP wrapper is here, HDLC in `hdlc_link`."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edge.dlms import wrapper
from edge.dlms.push import PUSH_TAGS
from edge.errors import BridgeBusy, LocalStateError, MeterError, NoAnswer, Violation

MIN_LIMIT_BYTES = 2048
"""No meter is cut off for an APDU of up to this size, even where a smaller one was agreed: some do not keep to it."""


class LinkUp(NamedTuple):
    """The link stands: APDUs may be sent."""


class LinkDown(NamedTuple):
    """The link was closed as asked."""


class Received(NamedTuple):
    """A whole APDU for this client, or a push for any client of this connection."""

    apdu: bytes


LinkEvent = LinkUp | LinkDown | Received


@dataclass(slots=True)
class Traffic:
    """Counters of one connection, below the APDU: octets with all framing, frames, and turns of the conversation.

    A round trip is counted when something arrives after something was sent.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    sent_frames: int = 0
    received_frames: int = 0
    round_trips: int = 0
    repeated_frames: int = 0       # sent again, or asked for again, at the link layer
    ignored_frames: int = 0        # good, and not for us: other addresses, echoes, repetitions by the meter
    noise_bytes: int = 0           # in no good frame


class Link(Protocol):
    """A link driven by bytes and `now` (seconds, monotonic). Raises MeterError; it is of no use afterwards."""

    traffic: Traffic

    def open(self, now: float) -> list[LinkEvent]:
        """Begin; LinkUp comes at once or later."""

    def send(self, apdu: bytes, now: float) -> None:
        """Send one APDU; only while the link is up and the last answer has come."""

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        """Take bytes from the other side."""

    def close(self, now: float) -> list[LinkEvent]:
        """End it; LinkDown comes at once or later."""

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""

    def next_timer(self) -> float | None:
        """Return when `handle_timer` is due."""

    def handle_timer(self, now: float) -> list[LinkEvent]:
        """Repeat where that is safe."""

    def fault(self, silence: MeterError) -> MeterError:
        """Return `silence`, or a better reason for it if a bridge spoke."""


class WrapperLink:
    """APDUs in wrapper frames. There is no link to set up and nothing to repeat: TCP does that."""

    def __init__(self, *, client_sap: int, server_logical: int, limit_bytes: int) -> None:
        """`limit_bytes` is the largest APDU agreed; 0 means no limit."""
        self.traffic = Traffic()
        self._client_sap = client_sap
        self._server_logical = server_logical
        self._deframer = wrapper.WrapperDeframer(max(limit_bytes, MIN_LIMIT_BYTES) if limit_bytes else 0xFFFF)
        self._out = b""
        self._asked = False

    def open(self, now: float) -> list[LinkEvent]:
        """Be up at once."""
        del now
        return [LinkUp()]

    def send(self, apdu: bytes, now: float) -> None:
        """Put the header before it; raise LocalStateError above 65,535 octets."""
        del now
        try:
            frame = self.frame(apdu)
        except ValueError as why:
            raise LocalStateError(str(why)) from why
        self._out += frame
        self._asked = True
        self.traffic.sent_bytes += len(frame)
        self.traffic.sent_frames += 1

    def frame(self, apdu: bytes) -> bytes:
        """Return the frame of a request. Raises ValueError above 65,535 octets."""
        return wrapper.encode(self._client_sap, self._server_logical, apdu)

    def answer_header(self, octets: int) -> bytes:
        """Return the header of an answer whose APDU has so many octets."""
        return wrapper.encode(self._server_logical, self._client_sap, bytes(octets))[:wrapper.HEADER_BYTES]

    def sent_whole(self, octets: int) -> None:
        """Count a frame of `ShortCut`, which has its header and goes another way."""
        self._asked = True
        self.traffic.sent_bytes += octets
        self.traffic.sent_frames += 1

    def took_whole(self, octets: int) -> None:
        """Count the frame that `ShortCut` has read."""
        self._asked = False
        traffic = self.traffic
        traffic.received_bytes += octets
        traffic.received_frames += 1
        traffic.round_trips += 1

    @property
    def amid_frame(self) -> bool:
        """Tell whether what comes next belongs to a frame that has begun."""
        return self._deframer.pending_bytes > 0

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        """Cut frames; raise Violation at bad headers and wrong ports, BridgeBusy at a line of text."""
        del now
        traffic = self.traffic
        traffic.received_bytes += len(data)
        events: list[LinkEvent] = []
        for source, destination, apdu in self._deframer.feed(data):
            traffic.received_frames += 1
            push = apdu[0] in PUSH_TAGS
            if source != self._server_logical or (destination != self._client_sap and not push):
                raise Violation(f"wrapper frame from port {source} to {destination}; "
                                f"{self._server_logical} to {self._client_sap} is due")
            if self._asked and not push:
                self._asked = False
                traffic.round_trips += 1
            events.append(Received(apdu))
        return events

    def close(self, now: float) -> list[LinkEvent]:
        """Be down at once: closing the TCP connection is all there is."""
        del now
        return [LinkDown()]

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        out, self._out = self._out, b""
        return out

    def next_timer(self) -> float | None:
        """Return None: the deadlines of the exchanges are all there is."""
        return None

    def handle_timer(self, now: float) -> list[LinkEvent]:
        """Do nothing."""
        del now
        return []

    def fault(self, silence: MeterError) -> MeterError:
        """Prefer what a bridge said; tell how much of a frame came."""
        text = self._deframer.text()
        if text:
            return BridgeBusy(f"the bridge says {text!r}")
        if self._deframer.pending_bytes and isinstance(silence, NoAnswer):
            return NoAnswer(f"{silence}; {self._deframer.pending_bytes} octets of a frame came, the rest did not")
        return silence

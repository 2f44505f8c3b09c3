"""The client's side of one HDLC link (IEC 62056-46 clause 6.4): two-way alternate, window 1.

    DISCONNECTED --SNRM/UA--> CONNECTED --I, RR--> CONNECTED --DISC/UA or DM--> DISCONNECTED

What is repeated here, and why that is safe: SNRM (it sets the link to its start, however often it comes) and the last
I-frame *if the meter says, when polled with RR, that it has not got it* (its N(S) keeps it from being taken twice). A
request is never repeated because of silence alone.

Late frames of an earlier session are the danger of this link, since UA carries no number. Therefore: everything but UA
and DM is dropped while the answer to SNRM is due; a second UA is taken (and its parameters with it) only until the
first I-frame has come; each I-frame must carry the next N(S) and must acknowledge all that was sent. Anything else ends
the link.
"""

from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from edge.dlms import hdlc
from edge.dlms.channel import CIPHERED_TAGS
from edge.dlms.hdlc import HdlcFrame
from edge.dlms.hdlc_parameters import LinkParameters
from edge.dlms.link import LinkDown, LinkEvent, LinkUp, Received, Traffic
from edge.dlms.push import PUSH_TAGS
from edge.errors import (
    BridgeBusy,
    ConnectionLost,
    FailReason,
    LocalStateError,
    MeterError,
    NoAnswer,
    Refused,
    Violation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LLC_REQUEST, LLC_RESPONSE = b"\xe6\xe6\x00", b"\xe6\xe7\x00"
MAX_APDU_BYTES = 65_535


class LinkState(Enum):
    """Where the link stands."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTING = "disconnecting"


class Kind(Enum):
    """What a control field says, numbers and P/F bit aside."""

    I = "I"  # noqa: E741 - the standard's name of the frame
    RR = "RR"
    RNR = "RNR"
    REJ = "REJ"
    UA = "UA"
    DM = "DM"
    FRMR = "FRMR"
    UI = "UI"
    OTHER = "other"


_SUPERVISORY = {0x01: Kind.RR, 0x05: Kind.RNR, 0x09: Kind.REJ}
_UNNUMBERED = {0x63: Kind.UA, 0x0F: Kind.DM, 0x87: Kind.FRMR, 0x03: Kind.UI}


def kind_of(control: int) -> Kind:
    """Classify a control field."""
    if not control & 1:
        return Kind.I
    if control & 2:
        return _UNNUMBERED.get(control & ~hdlc.POLL_FINAL, Kind.OTHER)
    return _SUPERVISORY.get(control & 0x0F, Kind.OTHER)


class HdlcLink:
    """One link, one TCP connection. Drives nothing by itself: see `edge.dlms.link.Link`."""

    def __init__(
        self, *, client: bytes, server: bytes, proposal: LinkParameters | None, repeat_s: float, repeats: int,
    ) -> None:
        """Addresses as on the wire; `proposal` None sends SNRM without parameters.

        After `repeat_s` of silence something is sent again, at most `repeats` times in a row.
        """
        self.traffic = Traffic()
        self.state = LinkState.DISCONNECTED
        self.agreed = LinkParameters()
        self._client, self._server = client, server
        self._proposal = proposal
        self._repeat_s, self._repeats = repeat_s, repeats
        self._deframer = hdlc.Deframer()
        self._out: list[bytes] = []
        self._send_number = self._receive_number = 0
        self._segments: list[bytes] = []          # information fields of the request, the first one is on its way
        self._unacknowledged = b""                # that frame, as sent
        self._answer = bytearray()
        self._answer_due = self._polled = self._turn_open = self._information_came = False
        self._timer: float | None = None
        self._left = 0
        self._stranger = b""                      # the last address that was not the meter's

    # -- what the association calls ------------------------------------------------------------------------------------

    def open(self, now: float) -> list[LinkEvent]:
        """Send SNRM."""
        if self.state is not LinkState.DISCONNECTED:
            raise LocalStateError(f"HDLC link opened while {self.state.value}")
        self.state = LinkState.CONNECTING
        self._left = self._repeats
        self._set_normal_mode(now)
        return []

    def send(self, apdu: bytes, now: float) -> None:
        """Send one APDU in as many I-frames as the agreed information length asks for."""
        if self.state is not LinkState.CONNECTED or self._segments or self._answer_due:
            raise LocalStateError("APDU sent over an HDLC link that is down or busy")
        whole = LLC_REQUEST + apdu
        size = self.agreed.max_info_transmit
        self._segments = [whole[at:at + size] for at in range(0, len(whole), size)]
        self._answer_due = True
        self._left = self._repeats
        self._send_segment(now)

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        """Take bytes; raise Violation, Refused or ConnectionLost as the frames in them demand."""
        self.traffic.received_bytes += len(data)
        return self._handle(self._deframer.feed(data), now)

    def close(self, now: float) -> list[LinkEvent]:
        """Send DISC; the answer, or silence, brings LinkDown."""
        if self.state is not LinkState.CONNECTED:
            self.state, self._timer = LinkState.DISCONNECTED, None
            return [LinkDown()]
        self.state = LinkState.DISCONNECTING
        self._left = 0
        self._emit(hdlc.DISC)
        self._timer = now + self._repeat_s
        return []

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def next_timer(self) -> float | None:
        """Return when to repeat or poll."""
        return self._timer

    def handle_timer(self, now: float) -> list[LinkEvent]:
        """After silence: look behind a damaged frame first, then repeat what may be repeated."""
        if self._timer is None or now < self._timer:
            return []
        self._timer = None
        events = self._handle(self._deframer.abandon(), now)
        if events or self._timer is not None:
            return events
        if self.state is LinkState.DISCONNECTING:
            self.state = LinkState.DISCONNECTED
            return [LinkDown()]
        if self._left > 0 and (self._answer_due or self.state is LinkState.CONNECTING):
            self._left -= 1
            self.traffic.repeated_frames += 1
            if self.state is LinkState.CONNECTING:
                self._set_normal_mode(now)
            else:
                self._polled = True
                self._ready(now)
        return []

    def fault(self, silence: MeterError) -> MeterError:
        """Prefer what a bridge said; name the state and the address that answered instead."""
        text = self._deframer.text()
        if text:
            return BridgeBusy(f"the bridge says {text!r}")
        if isinstance(silence, NoAnswer):
            where = f" from address {hdlc.address_text(self._server)}" if self.state is LinkState.CONNECTING else ""
            other = f"; address {hdlc.address_text(self._stranger)} spoke" if self._stranger else ""
            return NoAnswer(f"{silence}{where}{other}")
        return silence

    # -- sending ---------------------------------------------------------------------------------------------------

    def _emit(self, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
        frame = hdlc.encode_frame(HdlcFrame(self._server, self._client, control, information, segmented))
        self._write(frame)
        return frame

    def _write(self, frame: bytes) -> None:
        self._out.append(frame)
        self._turn_open = True
        self.traffic.sent_frames += 1
        self.traffic.sent_bytes += len(frame)

    def _set_normal_mode(self, now: float) -> None:
        self._emit(hdlc.SNRM, self._proposal.encode() if self._proposal else b"")
        self._timer = now + self._repeat_s

    def _send_segment(self, now: float) -> None:
        control = self._receive_number << 5 | hdlc.POLL_FINAL | self._send_number << 1
        self._unacknowledged = self._emit(control, self._segments[0], segmented=len(self._segments) > 1)
        self._send_number = (self._send_number + 1) & 7
        self._timer = now + self._repeat_s

    def _ready(self, now: float) -> None:
        self._emit(self._receive_number << 5 | hdlc.POLL_FINAL | 0x01)
        self._timer = now + self._repeat_s

    # -- receiving -------------------------------------------------------------------------------------------------

    def _handle(self, frames: list[HdlcFrame], now: float) -> list[LinkEvent]:
        events: list[LinkEvent] = []
        for frame in frames:
            if frame.destination != self._client or frame.source != self._server:
                self.traffic.ignored_frames += 1
                if frame.destination == self._client:
                    self._stranger = frame.source
                continue
            kind = kind_of(frame.control)
            row = self._ROWS.get((self.state, kind))
            if row is None:
                if self.state in self._DROPPING:
                    self.traffic.ignored_frames += 1
                    continue
                raise Violation(f"HDLC {kind.value} frame (control {frame.control:02x}) while {self.state.value}")
            self.traffic.received_frames += 1
            if self._turn_open:
                self._turn_open = False
                self.traffic.round_trips += 1
            event = row(self, frame, now)
            if event is not None:
                events.append(event)
        self.traffic.noise_bytes = self._deframer.discarded_bytes
        return events

    def _connected(self, frame: HdlcFrame, _now: float) -> LinkEvent:
        self.agreed = LinkParameters.decode(frame.information).limited(self._proposal)
        self.state, self._timer = LinkState.CONNECTED, None
        return LinkUp()

    def _second_ua(self, frame: HdlcFrame, _now: float) -> None:
        """Take the true UA after one that was left over from an earlier session: both lie before the first I-frame."""
        if self._information_came:
            raise Violation("HDLC UA in the middle of a session: answers of two sessions are mixed")
        self.traffic.ignored_frames += 1
        self.agreed = LinkParameters.decode(frame.information).limited(self._proposal)

    def _information(self, frame: HdlcFrame, now: float) -> LinkEvent | None:
        send_sequence, receive_sequence = frame.control >> 1 & 7, frame.control >> 5
        if send_sequence == (self._receive_number - 1) & 7:
            self.traffic.ignored_frames += 1        # the meter repeats what was taken already
            return None
        if not self._answer_due or send_sequence != self._receive_number or receive_sequence != self._send_number:
            raise Violation(f"HDLC I-frame with N(S) {send_sequence}, N(R) {receive_sequence}; "
                            f"{self._receive_number}, {self._send_number} are due")
        if len(self._segments) > 1:
            raise Violation("HDLC answer to half a request")
        self._segments.clear()
        self._information_came = True
        self._receive_number = (self._receive_number + 1) & 7
        self._polled = False
        self._left = self._repeats
        self._answer += frame.information
        if len(self._answer) > MAX_APDU_BYTES + len(LLC_RESPONSE):
            raise Violation(f"HDLC segments of one answer grow above {MAX_APDU_BYTES} octets")
        if frame.segmented:
            if frame.control & hdlc.POLL_FINAL:
                self._ready(now)
            else:
                self._timer = now + self._repeat_s
            return None
        return self._whole()

    def _whole(self) -> Received:
        answer = bytes(self._answer)
        self._answer.clear()
        self._answer_due, self._timer = False, None
        return Received(_without_llc(answer))

    def _receive_ready(self, frame: HdlcFrame, now: float) -> None:
        acknowledged = frame.control >> 5 == self._send_number
        if acknowledged and len(self._segments) > 1:
            del self._segments[0]
            self._left = self._repeats
            self._polled = False
            self._send_segment(now)
        elif not acknowledged and self._polled and self._segments:
            self._again(frame.control >> 5, now)
        elif self._answer_due:                      # the meter has the request and no answer yet
            self._timer = now + self._repeat_s

    def _not_ready(self, _frame: HdlcFrame, now: float) -> None:
        if self._answer_due:
            self._timer = now + self._repeat_s      # it is asked again then

    def _reject(self, frame: HdlcFrame, now: float) -> None:
        if not self._segments or frame.control >> 5 == self._send_number:
            raise Violation("HDLC REJ for a frame that was never sent")
        if self._left <= 0:
            raise Violation("HDLC REJ again and again")
        self._left -= 1
        self._again(frame.control >> 5, now)

    def _again(self, wanted: int, now: float) -> None:
        """Send the last I-frame once more: the meter says that it has not got it."""
        if wanted != (self._send_number - 1) & 7:
            raise Violation(f"HDLC N(R) {wanted} asks for a frame that was acknowledged before")
        self._polled = False
        self.traffic.repeated_frames += 1
        self._write(self._unacknowledged)
        self._timer = now + self._repeat_s

    def _unnumbered(self, frame: HdlcFrame, _now: float) -> LinkEvent:
        message = _without_llc(frame.information)
        if message[0] not in PUSH_TAGS and message[0] not in CIPHERED_TAGS:      # what is sealed, its channel judges
            raise Violation("HDLC UI frame that holds an answer: answers come in I-frames")
        return Received(message)

    def _refused(self, _frame: HdlcFrame, _now: float) -> None:
        raise Refused("the meter refuses the HDLC link (DM instead of UA): another client may hold it",
                      reason=FailReason.ASSOCIATION_REFUSED, temporary=True)

    def _dropped(self, _frame: HdlcFrame, _now: float) -> None:
        raise ConnectionLost("the meter has dropped the HDLC link (DM): connect again")

    def _frame_reject(self, frame: HdlcFrame, _now: float) -> None:
        raise Violation(f"the meter rejects a frame (FRMR {frame.information[:3].hex()}): connect again")     # it has 3

    def _down(self, _frame: HdlcFrame, _now: float) -> LinkEvent:
        self.state, self._timer = LinkState.DISCONNECTED, None
        return LinkDown()

    # (state, frame) -> what happens; a missing row is a Violation, unless the frame is one to drop
    _ROWS: ClassVar[dict[tuple[LinkState, Kind], "Callable[[HdlcLink, HdlcFrame, float], LinkEvent | None]"]] = {
        (LinkState.CONNECTING, Kind.UA): _connected,
        (LinkState.CONNECTING, Kind.DM): _refused,
        (LinkState.CONNECTING, Kind.UI): _unnumbered,
        (LinkState.CONNECTED, Kind.I): _information,
        (LinkState.CONNECTED, Kind.RR): _receive_ready,
        (LinkState.CONNECTED, Kind.RNR): _not_ready,
        (LinkState.CONNECTED, Kind.REJ): _reject,
        (LinkState.CONNECTED, Kind.UA): _second_ua,
        (LinkState.CONNECTED, Kind.DM): _dropped,
        (LinkState.CONNECTED, Kind.FRMR): _frame_reject,
        (LinkState.CONNECTED, Kind.UI): _unnumbered,
        (LinkState.DISCONNECTING, Kind.UA): _down,
        (LinkState.DISCONNECTING, Kind.DM): _down,
    }
    _DROPPING = frozenset((LinkState.CONNECTING, LinkState.DISCONNECTING, LinkState.DISCONNECTED))


def _without_llc(information: bytes) -> bytes:
    if not information.startswith(LLC_RESPONSE) or len(information) == len(LLC_RESPONSE):
        raise Violation("HDLC information without the LLC header E6 E7 00, or with nothing behind it")
    return information[len(LLC_RESPONSE):]

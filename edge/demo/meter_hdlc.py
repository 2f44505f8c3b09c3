"""The simulated meter's HDLC link: one server address, one link per client address, window 1 (sans-IO).

    NDM --SNRM/UA--> NRM --I, RR--> NRM --DISC/UA--> NDM        (IEC 62056-46; in NDM everything else gets DM)

Frames to other addresses are met with silence, as the standard says and real meters do. Frame coding is
`edge.dlms.hdlc`,
which is checked against recordings; the state machine here is the meter's own.
"""

from collections.abc import Sequence
from typing import Protocol

from edge.demo.meter_apdu import CosemServer, Counters
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.dlms import hdlc
from edge.dlms.hdlc import HdlcFrame

DEFAULT_INFO_BYTES = 128
LLC_REQUEST, LLC_RESPONSE = b"\xe6\xe6\x00", b"\xe6\xe7\x00"
RR, RNR = 0x01, 0x05
UI = 0x13
APDU_LIMIT_BYTES = 16_384      # a request longer than this is dropped with its link
INTER_OCTET_S = 2.0            # half a frame older than this is forgotten, as after a client that died in mid-frame


class Link:
    """One client's link. Numbers as in the standard: `_vs` next N(S) to send, `_vr` next N(S) expected."""

    def __init__(self, server: CosemServer, max_info_bytes: int, spare_bytes: int = 0) -> None:
        """Start disconnected (NDM). `spare_bytes` of the information field are left unused by segments."""
        self._spare_bytes = spare_bytes
        self.server = server
        self._own_info_bytes = max_info_bytes
        self.connected = False
        self.last_request = 0.0
        self._vs = self._vr = 0
        self._info_bytes = max_info_bytes      # largest information field this meter may send
        self._request = bytearray()            # segments of the client's APDU so far
        self._pending: list[bytes] = []        # segments of the answer not sent yet
        self._last: tuple[int, bytes, bool] | None = None   # N(S), information, segmented: for repetition

    def drop(self) -> None:
        """Fall back to NDM: the link and its association are gone."""
        self.connected = False
        self.server.release()
        self._forget()

    def _forget(self) -> None:
        self._vs = self._vr = 0
        self._request.clear()
        self._pending = []
        self._last = None

    def handle(self, frame: HdlcFrame, now: float) -> tuple[int, bytes, bool] | None:
        """Answer one frame with (control, information, segmented), or stay silent."""
        control = frame.control
        if control == hdlc.SNRM:
            return self._snrm(frame.information)
        if control == hdlc.DISC and self.connected:
            self.drop()
            return hdlc.UA, self._parameters(), False
        if not self.connected:
            return (hdlc.DM, b"", False) if control & hdlc.POLL_FINAL else None
        if not control & 1:
            return self._information(frame, now)
        # UI and what this meter does not know gets no answer.
        return self._receive_ready(control) if control & 0x0F in (RR, RNR) else None

    # -- mode setting ----------------------------------------------------------------------------------------------

    def _snrm(self, information: bytes) -> tuple[int, bytes, bool]:
        self.drop()
        client_receives = _parameter(information, 0x06, DEFAULT_INFO_BYTES)
        self._info_bytes = min(self._own_info_bytes, client_receives)
        self.connected = True
        return hdlc.UA, self._parameters(), False

    def _parameters(self) -> bytes:
        """UA parameters: 05 what this meter sends at most, 06 what it receives, windows 1."""
        sizes = b"".join(
            bytes((name, 1, size)) if size < 0x100 else bytes((name, 2)) + size.to_bytes(2, "big")
            for name, size in ((0x05, self._info_bytes), (0x06, self._own_info_bytes)))
        body = sizes + b"\x07\x04\x00\x00\x00\x01\x08\x04\x00\x00\x00\x01"
        return bytes((0x81, 0x80, len(body))) + body

    # -- information transfer --------------------------------------------------------------------------------------

    def _information(self, frame: HdlcFrame, now: float) -> tuple[int, bytes, bool] | None:
        number = frame.control >> 1 & 7
        if number != self._vr:
            # A repetition: its answer was lost on the way. Nothing is executed twice.
            return self._repeat()
        self._vr = (self._vr + 1) & 7
        self._request += frame.information
        if len(self._request) > APDU_LIMIT_BYTES:
            self.drop()
            return hdlc.DM, b"", False
        if frame.segmented:
            return self._vr << 5 | hdlc.POLL_FINAL | RR, b"", False
        request = bytes(self._request)
        self._request.clear()
        if request[:3] != LLC_REQUEST:
            return None
        answer = self.server.answer(request[3:], now)
        if answer is None:
            return self._vr << 5 | hdlc.POLL_FINAL | RR, b"", False
        whole, size = LLC_RESPONSE + answer, max(self._info_bytes - self._spare_bytes, 1)
        self._pending = [whole[start:start + size] for start in range(0, len(whole), size)]
        return self._next_segment()

    def _next_segment(self) -> tuple[int, bytes, bool]:
        information = self._pending.pop(0)
        self._last = (self._vs, information, bool(self._pending))
        self._vs = (self._vs + 1) & 7
        return self._repeat() or (hdlc.DM, b"", False)

    def _repeat(self) -> tuple[int, bytes, bool] | None:
        """Send the last I-frame (again), with the N(R) of now."""
        if self._last is None:
            return self._vr << 5 | hdlc.POLL_FINAL | RR, b"", False
        number, information, segmented = self._last
        return self._vr << 5 | hdlc.POLL_FINAL | number << 1, information, segmented

    def _receive_ready(self, control: int) -> tuple[int, bytes, bool] | None:
        expected = control >> 5
        if self._last is not None and expected == self._last[0]:
            return self._repeat()
        if self._pending and expected == self._vs:
            return self._next_segment()
        return self._vr << 5 | hdlc.POLL_FINAL | RR, b"", False


class HdlcServer:
    """The meter on its serial line. It knows nothing of TCP connections, so its links outlive them."""

    def __init__(self, model: MeterModel, settings: MeterSettings, counters: Counters) -> None:
        """Start with every link disconnected."""
        self._model = model
        self._settings = settings
        self._counters = counters
        self._deframer = hdlc.Deframer()
        self._links: dict[bytes, Link] = {}
        self._heard_at = 0.0

    def reset(self) -> None:
        """A power cut: every link is gone."""
        self._links.clear()
        self._deframer.clear()

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes from the line, return the frames to send. `now` is Unix time; never raises."""
        if now - self._heard_at > INTER_OCTET_S:
            self._deframer.clear()
        self._heard_at = now
        answers = []
        for frame in self._deframer.feed(data):
            if frame.destination not in self._settings.hdlc_addresses:
                continue      # another meter's on the same line
            answer = self._link(frame.source, now).handle(frame, now)
            if answer is not None:
                control, information, segmented = answer
                notice = self._settings.manners.notify_before
                if notice and not control & 1:
                    answers.append(hdlc.encode_frame(
                        HdlcFrame(frame.source, frame.destination, UI, LLC_RESPONSE + notice)))
                answers.append(hdlc.encode_frame(
                    HdlcFrame(frame.source, frame.destination, control, information, segmented)))
        return answers

    def connection_lost(self) -> None:
        """TCP ended at the bridge; the meter does not notice."""

    def _link(self, client: bytes, now: float) -> Link:
        link = self._links.get(client)
        if link is None:
            server = CosemServer(self._model, self._settings.manners, self._counters, client[0] >> 1, streams=False)
            link = self._links[client] = Link(
                server, self._settings.max_info_bytes, self._settings.segment_spare_bytes)
        limit = self._settings.inactivity_s
        if limit is not None and link.connected and now - link.last_request > limit:
            link.drop()
        link.last_request = now
        return link


class OnLine(Protocol):
    """One meter on a serial line."""

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """See `HdlcServer`."""

    def reset(self) -> None:
        """See `HdlcServer`."""


class Bus:
    """Several meters on one serial line: each hears everything, only the one that is addressed answers."""

    def __init__(self, meters: Sequence[OnLine]) -> None:
        """The meters, in any order."""
        self.meters = tuple(meters)

    def reset(self) -> None:
        """A power cut for all of them."""
        for meter in self.meters:
            meter.reset()

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """See `HdlcServer`."""
        return [frame for meter in self.meters for frame in meter.receive(data, now)]

    def connection_lost(self) -> None:
        """TCP ended at the bridge; the meters do not notice."""


def _parameter(information: bytes, wanted: int, default: int) -> int:
    """Read one SNRM parameter of any width; the default where it is not there."""
    place = 3
    while place + 2 <= len(information) and information[:2] == b"\x81\x80":
        name, size = information[place], information[place + 1]
        if name == wanted:
            return int.from_bytes(information[place + 2:place + 2 + size], "big") or default
        place += 2 + size
    return default

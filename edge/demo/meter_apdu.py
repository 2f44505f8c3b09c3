"""The simulated meter's application layer for one client: association, GET in all its forms, SET, ACTION (sans-IO).

It shares no code with the gateway's client. What the standard (IEC 62056-5-3) leaves open follows the recorded
independent meter (tests/captures) and, where `Manners` says so, the Microstar meter.
"""

from dataclasses import dataclass, field
from typing import Literal

from edge.demo import meter_acse as acse
from edge.demo import meter_objects as objects
from edge.demo.meter_model import OBJECT_UNDEFINED, MeterModel

# Conformance bits (IEC 62056-5-3, Conformance; the 24 bits as one number)
ATTRIBUTE_0_GET, BLOCK_GET, MULTIPLE_REFERENCES, GET, SET, ACTION = 0x2000, 0x1000, 0x0200, 0x10, 0x08, 0x01
WITH_LIST = 0x00121D       # block GET, multiple references, GET, SET, selective access, ACTION
MICROSTAR = 0x00301D       # attribute-0 GET instead of multiple references

NOT_ASSOCIATED = bytes((0xD8, 0x01, 0x02))         # service-not-allowed, service-not-supported
SERVICE_UNKNOWN = bytes((0xD8, 0x02, 0x02))        # service-unknown, service-not-supported
BUSY = bytes((0xD8, 0x02, 0x01))                   # operation-not-possible
# Data-Access-Result
TEMPORARY_FAILURE, NO_LONG_GET, BLOCK_NUMBER_INVALID, OTHER_REASON = 2, 16, 19, 250

BLOCK_HEADER_BYTES = 12    # tag, choice, invoke-id, last, number (4), result, length of up to three bytes


@dataclass(slots=True)
class Counters:
    """What one meter was asked, over all its clients and connections."""

    connections: int = 0
    refused_connections: int = 0
    associations: int = 0
    rejected: int = 0
    requests: int = 0
    gets: int = 0
    attributes: int = 0


@dataclass(slots=True)
class Manners:
    """How the application layer behaves; every field may be changed while the meter runs.

    `passwords`: client SAP -> password, None = no authentication for this SAP. Busy bursts: of every `busy_every`
    requests the first `busy_length` are answered with `busy_answer` (0 = never busy).
    """

    passwords: dict[int, bytes | None] = field(default_factory=lambda: {16: None, 1: b"00000000"}, repr=False)
    conformance: int = WITH_LIST
    max_pdu: int = 1024
    announce_own_pdu: bool = False        # True: the AARE names `max_pdu` even if the client's is smaller (Microstar)
    list_limit: int = 64                  # more attributes in one list than this: exception-response
    list_stops_at_error: bool = True      # after the first refused item the rest is refused with 4, as recorded
    busy_every: int = 0
    busy_length: int = 0
    busy_answer: Literal["temporary-failure", "exception"] = "temporary-failure"


class CosemServer:
    """The association of one client SAP. One APDU in, at most one APDU out."""

    def __init__(self, model: MeterModel, manners: Manners, counters: Counters, client_sap: int) -> None:
        """Start without an association."""
        self._model = model
        self._manners = manners
        self._counters = counters
        self._sap = client_sap
        self._public = True
        self.conformance = 0
        self.client_max_pdu = 0
        self.associated = False
        self._blocks: list[bytes] = []
        self._block = 0

    def release(self) -> None:
        """Forget the association, as after DISC or a closed connection."""
        self.associated = False
        self._blocks = []

    def answer(self, apdu: bytes, now: float) -> bytes | None:
        """Answer one APDU; None where a meter stays silent (it is empty). `now` is Unix time in seconds."""
        if not apdu:
            return None
        if apdu[0] == 0x60:
            return self._associate(apdu)
        if apdu[0] == 0x62 and self.associated:
            self.release()
            return acse.RLRE
        self._counters.requests += 1
        if not self.associated or len(apdu) < 4:
            return NOT_ASSOCIATED
        if self._manners.busy_every and (self._counters.requests - 1) % self._manners.busy_every < (
                self._manners.busy_length):
            return self._busy(apdu)
        return self._serve(apdu, now)

    def _serve(self, apdu: bytes, now: float) -> bytes:
        tag = apdu[0]
        if tag == 0xC0:
            return self._get(apdu, now)
        if tag == 0xC1 and self.conformance & SET:
            return self._set(apdu, now)
        if tag == 0xC3 and self.conformance & ACTION:
            return self._action(apdu)
        return SERVICE_UNKNOWN

    def _busy(self, apdu: bytes) -> bytes:
        if self._manners.busy_answer == "exception" or apdu[0] != 0xC0:
            return BUSY
        if apdu[1] == 3:
            return bytes((0xC4, 0x03, apdu[2], apdu[3])) + bytes((0x01, TEMPORARY_FAILURE)) * apdu[3]
        return bytes((0xC4, 0x01, apdu[2], 0x01, TEMPORARY_FAILURE))

    # -- association -----------------------------------------------------------------------------------------------

    def _associate(self, apdu: bytes) -> bytes | None:
        self.release()
        request = acse.parse_request(apdu)
        if request is None:
            return None
        diagnostic = self._judge(request)
        self.conformance = self._manners.conformance & request.conformance
        self.client_max_pdu = request.max_pdu
        own = self._manners.max_pdu
        announced = own if self._manners.announce_own_pdu or not request.max_pdu else min(own, request.max_pdu)
        self.associated = diagnostic == 0
        self._public = self._manners.passwords.get(self._sap) is None
        if self.associated:
            self._counters.associations += 1
        else:
            self._counters.rejected += 1
        return acse.response(accepted=self.associated, diagnostic=diagnostic, conformance=self.conformance,
                             max_pdu=announced)

    def _judge(self, request: acse.AssociationRequest) -> int:
        """Return 0 to accept, else the diagnostic."""
        if request.context != acse.LOGICAL_NAME_CONTEXT:
            return acse.CONTEXT_UNKNOWN
        if self._sap not in self._manners.passwords:
            return acse.NO_REASON
        password = self._manners.passwords[self._sap]
        if password is None:
            return acse.MECHANISM_UNKNOWN if request.mechanism else 0
        if not request.mechanism:
            return acse.AUTHENTICATION_REQUIRED
        if request.mechanism != acse.LOW_LEVEL_MECHANISM:
            return acse.MECHANISM_UNKNOWN
        return 0 if request.password == password else acse.AUTHENTICATION_FAILED

    # -- GET -------------------------------------------------------------------------------------------------------

    def _get(self, apdu: bytes, now: float) -> bytes:
        choice = apdu[1]
        if choice == 1 and len(apdu) == 13 and apdu[12] == 0:
            self._counters.gets += 1
            self._counters.attributes += 1
            self._blocks = []
            result = self._read(apdu[3:12], now)
            if isinstance(result, int):
                return bytes((0xC4, 0x01, apdu[2], 0x01, result))
            return self._fit(apdu[2], bytes((0xC4, 0x01, apdu[2], 0x00)), result)
        if choice == 2 and len(apdu) == 7:
            return self._next_block(apdu)
        if choice == 3 and len(apdu) > 3 and self.conformance & MULTIPLE_REFERENCES:
            self._blocks = []
            return self._get_list(apdu, now)
        return SERVICE_UNKNOWN

    def _read(self, descriptor: bytes, now: float) -> bytes | int:
        if descriptor[8] == 0 and not self.conformance & ATTRIBUTE_0_GET:
            return OBJECT_UNDEFINED
        return self._model.read(descriptor, now, public=self._public)

    def _get_list(self, apdu: bytes, now: float) -> bytes:
        count, place = apdu[3], 4
        if count > self._manners.list_limit or len(apdu) != place + 10 * count or any(apdu[place + 9::10]):
            return SERVICE_UNKNOWN                      # selective access in a list is more than this meter does
        self._counters.gets += 1
        self._counters.attributes += count
        results: list[bytes] = []
        refused = False
        for start in range(place, len(apdu), 10):
            result = OBJECT_UNDEFINED if refused else self._read(apdu[start:start + 9], now)
            if isinstance(result, int):
                # The recorded meter names the first refusal 4 as well, whatever a single GET would say.
                refused = self._manners.list_stops_at_error
                results.append(bytes((0x01, OBJECT_UNDEFINED if refused else result)))
            else:
                results.append(b"\x00" + result)
        return self._fit(apdu[2], bytes((0xC4, 0x03, apdu[2])), bytes((count,)) + b"".join(results))

    def _fit(self, invoke_id: int, header: bytes, data: bytes) -> bytes:
        """Send whole what the client can take, else the first of several blocks."""
        limit = self.client_max_pdu
        if not limit or len(header) + len(data) <= limit:
            return header + data
        if not self.conformance & BLOCK_GET:
            return bytes((0xC4, 0x01, invoke_id, 0x01, OTHER_REASON))
        size = max(limit - BLOCK_HEADER_BYTES, 1)
        self._blocks = [data[start:start + size] for start in range(0, len(data), size)]
        self._block = 1
        return self._block_response(invoke_id)

    def _next_block(self, apdu: bytes) -> bytes:
        number = int.from_bytes(apdu[3:7], "big")
        if not self._blocks:
            return _block_refused(apdu[2], number, NO_LONG_GET)
        if number != self._block:
            self._blocks = []
            return _block_refused(apdu[2], number, BLOCK_NUMBER_INVALID)
        self._block += 1
        return self._block_response(apdu[2])

    def _block_response(self, invoke_id: int) -> bytes:
        last = self._block == len(self._blocks)
        raw = self._blocks[self._block - 1]
        number = self._block.to_bytes(4, "big")
        if last:
            self._blocks = []
        return bytes((0xC4, 0x02, invoke_id, last)) + number + b"\x00" + objects.length(len(raw)) + raw

    # -- SET, ACTION -----------------------------------------------------------------------------------------------

    def _set(self, apdu: bytes, now: float) -> bytes:
        if apdu[1] != 1 or len(apdu) < 14 or apdu[12]:
            return SERVICE_UNKNOWN
        result = self._model.write(apdu[3:12], apdu[13:], now, public=self._public)
        return bytes((0xC5, 0x01, apdu[2], result))

    def _action(self, apdu: bytes) -> bytes:
        if apdu[1] != 1 or len(apdu) < 13:
            return SERVICE_UNKNOWN
        result = self._model.act(apdu[3:12], public=self._public)
        # A refused method has no return-parameters at all, as recorded for an undefined object.
        return bytes((0xC7, 0x01, apdu[2], result, 0x00)) if result != OBJECT_UNDEFINED else bytes(
            (0xC7, 0x01, apdu[2], result))


def _block_refused(invoke_id: int, number: int, result: int) -> bytes:
    return bytes((0xC4, 0x02, invoke_id, 0x01)) + number.to_bytes(4, "big") + bytes((0x01, result))

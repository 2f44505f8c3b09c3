"""The simulated meter's application layer for one client: association, protection, and who answers what (sans-IO).

It shares no code with the gateway's client. What the standard (IEC 62056-5-3) leaves open follows the recorded
independent meter (tests/captures) and, where `Manners` says so, the Microstar meter.

    none --AARQ/AARE--> associated                                   (no authentication, or a password)
    none --AARQ/AARE--> pending --ACTION reply_to_HLS--> associated  (high-level security: passes 1 and 2, then 3 and 4)
"""

from edge.demo import meter_acse as acse
from edge.demo import meter_objects as objects
from edge.demo.meter_access import access
from edge.demo.meter_cosem import READ_WRITE_DENIED, TEMPORARY_FAILURE
from edge.demo.meter_data import BadData, whole
from edge.demo.meter_gate import Gate
from edge.demo.meter_gbt import TAG as GENERAL_BLOCK
from edge.demo.meter_gbt import GeneralBlocks
from edge.demo.meter_get import SERVICE_UNKNOWN, Agreement, Getter
from edge.demo.meter_manners import (
    ACCESS,
    ACTION,
    EVERYTHING,
    GENERAL_BLOCK_TRANSFER,
    MICROSTAR,
    SET,
    WITH_LIST,
    Counters,
    Manners,
    Secured,
)
from edge.demo.meter_model import MeterModel, key
from edge.demo.meter_security import Cipher, SecurityFault
from edge.demo.meter_set import Setter

__all__ = ["EVERYTHING", "MICROSTAR", "WITH_LIST", "CosemServer", "Counters", "Manners", "Secured"]

NOT_ASSOCIATED = bytes((0xD8, 0x01, 0x02))         # service-not-allowed, service-not-supported
BUSY = bytes((0xD8, 0x02, 0x01))                   # operation-not-possible
REPLY_TO_HLS = key(objects.CLASS_ASSOCIATION, objects.ASSOCIATION, 1)
ACCESS_TAG = 0xD9
CIPHERING_BYTES = 30       # what general-glo-ciphering adds: tag, title, lengths, security control, counter, tag


class CosemServer:
    """The association of one client SAP. One APDU in; out comes one, none, or with general blocks a window of them."""

    def __init__(self, model: MeterModel, manners: Manners, counters: Counters, client_sap: int, *,
                 streams: bool = True) -> None:
        """Start without an association. `streams` False: never more than one APDU at a time (half-duplex HDLC)."""
        self._model = model
        self._manners = manners
        self._counters = counters
        self._sap = client_sap
        self._gate = Gate(model.device, manners, client_sap)
        self._streams = streams
        self.agreed = Agreement()
        self.associated = False
        self._pending = False                      # high-level security: passes 3 and 4 are still to come
        self._cipher: Cipher | None = None         # set where APDUs are protected
        self._getter = Getter(model, manners, counters, self.agreed)
        self._setter = Setter(model, counters, self.agreed)
        self._blocks = GeneralBlocks(manners.gbt_window, manners.gbt_loses)

    @property
    def conformance(self) -> int:
        """What was negotiated."""
        return self.agreed.conformance

    def release(self) -> None:
        """Forget the association, as after DISC or a closed connection."""
        self.associated = self._pending = False
        self._cipher = None
        self._getter.forget()
        self._setter.forget()
        self._blocks.forget()

    def answer(self, apdu: bytes, now: float) -> bytes | None:
        """Answer one APDU with one; None where a meter stays silent. `now` is Unix time in seconds."""
        answers = self.answers(apdu, now)
        return answers[0] if answers else None

    def answers(self, apdu: bytes, now: float) -> list[bytes]:
        """Answer one APDU with those to send, in order."""
        if not apdu:
            return []
        if apdu[0] == 0x60:
            associated = self._associate(apdu, now)
            return [] if associated is None else [associated]
        if apdu[0] == 0x62 and self.associated:
            return [self._release_on_request()]
        return self._requested(apdu, now)

    def _release_on_request(self) -> bytes:
        if self._manners.refuse_release:
            return SERVICE_UNKNOWN
        self.release()
        return acse.RLRE

    def _requested(self, apdu: bytes, now: float) -> list[bytes]:
        """Answer an xDLMS APDU."""
        self._counters.requests += 1
        if not (self.associated or self._pending) or len(apdu) < 4:
            return [NOT_ASSOCIATED]
        manners = self._manners
        if manners.busy_every and (self._counters.requests - 1) % manners.busy_every < manners.busy_length:
            return [self._busy(apdu)]
        if apdu[0] == GENERAL_BLOCK and self.agreed.conformance & GENERAL_BLOCK_TRANSFER:
            return self._general_block(apdu, now)
        self._blocks.forget()
        answer = self._protected(apdu, now)
        return self._pack(answer, window=1) if answer else []

    # -- protection and general blocks -----------------------------------------------------------------------------

    def _protected(self, apdu: bytes, now: float) -> bytes:
        """Answer one whole APDU, ciphered or not; empty to stay silent."""
        cipher = self._cipher
        if cipher is None:
            return self._serve(apdu, now)
        try:
            plain = cipher.open(apdu)
        except (SecurityFault, BadData) as fault:
            return self._refuse(fault, plain=apdu[0] in (0xC0, 0xC1, 0xC3))
        answer = self._serve(plain, now)
        return answer if answer[0] == 0xD8 else cipher.seal(answer)

    def _general_block(self, apdu: bytes, now: float) -> list[bytes]:
        try:
            request, blocks, window = self._blocks.take(apdu)
        except BadData:
            return [SERVICE_UNKNOWN]
        if request is None:
            return blocks if self._streams else blocks[:1]
        answer = self._protected(request, now)
        number = int.from_bytes(apdu[2:4], "big")
        return self._pack(answer, window, in_blocks=True, acknowledged=number) if answer else []

    def _pack(self, answer: bytes, window: int, *, in_blocks: bool = False, acknowledged: int = 0) -> list[bytes]:
        """Send an answer as it is, or cut into general blocks where they were agreed and it is too long."""
        limit, agreed = self.agreed.client_max_pdu, self.agreed.conformance & GENERAL_BLOCK_TRANSFER
        if not in_blocks and (not limit or len(answer) <= limit or not agreed):
            return [answer]
        return self._blocks.start(answer, limit or 0xFFFF, window if self._streams else 1, acknowledged)

    def _serve(self, apdu: bytes, now: float) -> bytes:
        """Answer one plain APDU."""
        if len(apdu) < 4:
            return SERVICE_UNKNOWN
        if self._pending:
            return self._reply_to_hls(apdu, now)
        tag = apdu[0]
        if tag == ACCESS_TAG and self.agreed.conformance & ACCESS:
            return access(apdu, self._model, self.agreed, self._counters, now)
        if tag == 0xC0:
            answer = self._getter.get(apdu, now)
        elif (tag == 0xC1 and self.agreed.conformance & SET) or (tag == 0xC3 and self.agreed.conformance & ACTION):
            answer = self._setter.serve(apdu, now)
        else:
            return SERVICE_UNKNOWN
        if self._manners.invoke_id == "other" and answer[0] != 0xD8:
            answer = answer[:2] + bytes((answer[2] ^ 0x01,)) + answer[3:]
        return answer

    def _busy(self, apdu: bytes) -> bytes:
        if self._manners.busy_answer == "exception" or apdu[0] != 0xC0:
            return BUSY
        if apdu[1] == 3:
            return bytes((0xC4, 0x03, apdu[2], apdu[3])) + bytes((0x01, TEMPORARY_FAILURE)) * apdu[3]
        return bytes((0xC4, 0x01, apdu[2], 0x01, TEMPORARY_FAILURE))

    def _refuse(self, fault: Exception, *, plain: bool) -> bytes:
        """Exception-response as recorded: 6 with the lowest accepted counter, else 5; empty for silence."""
        self._counters.security_faults += 1
        secured = self._manners.secured.get(self._sap)
        manner = "told" if secured is None else secured.counter_fault
        state = 0x01 if plain else 0x02
        counter = fault.counter if isinstance(fault, SecurityFault) else None
        if counter is None or manner == "untold":
            return bytes((0xD8, state, 0x05))
        return b"" if manner == "silent" else bytes((0xD8, state, 0x06)) + counter.to_bytes(4, "big")

    # -- association -----------------------------------------------------------------------------------------------

    def _associate(self, apdu: bytes, now: float) -> bytes | None:
        self.release()
        request = acse.parse_request(apdu)
        if request is None:
            return None
        try:
            entry = self._gate.enter(request, now)
        except SecurityFault as fault:
            return self._refuse(fault, plain=True) or None
        if entry is None:
            return None
        agreed, manners, initiate = self.agreed, self._manners, entry.initiate
        agreed.conformance = entry.offered & initiate.conformance
        agreed.client_max_pdu = initiate.max_pdu
        agreed.public = entry.public
        agreed.overhead_bytes = CIPHERING_BYTES if entry.ciphered else 0
        self._blocks = GeneralBlocks(manners.gbt_window if self._streams else 1, manners.gbt_loses)
        self.associated = entry.diagnostic == 0
        self._pending = entry.accepted and not self.associated
        self._cipher = entry.cipher if entry.accepted and entry.ciphered else None
        if not entry.accepted:
            self._counters.rejected += 1
        elif self.associated:
            self._counters.associations += 1
        return self._gate.response(entry, agreed.conformance)

    def _reply_to_hls(self, apdu: bytes, now: float) -> bytes:
        """Passes 3 and 4: check f(StoC), send f(CtoS)."""
        if apdu[:2] != b"\xc3\x01" or apdu[3:12] != REPLY_TO_HLS:
            return NOT_ASSOCIATED
        try:
            proof = whole(apdu[13:]).octets()
        except BadData:
            proof = b""
        answer = self._gate.prove(proof, now)
        invoke_id = apdu[2]
        if answer is None:
            self._counters.rejected += 1
            self._pending = False                  # the refusal itself is still ciphered
            return bytes((0xC7, 0x01, invoke_id, READ_WRITE_DENIED, 0x00))
        self._pending, self.associated = False, True
        self._counters.associations += 1
        return bytes((0xC7, 0x01, invoke_id, 0x00, 0x01, 0x00)) + objects.octets(answer)

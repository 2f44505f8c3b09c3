"""Who may associate with the simulated meter: passwords, high-level security, lock-out (sans-IO).

Passes 1 and 2 are AARQ and AARE, passes 3 and 4 the ACTION reply_to_HLS_authentication. IEC 62056-5-3, 5.5 and 7.
"""

import hashlib
from dataclasses import dataclass

from edge.demo import meter_acse as acse
from edge.demo.meter_data import BadData
from edge.demo.meter_device import Device
from edge.demo.meter_manners import GENERAL_PROTECTION, HLS_GMAC, LOW, Manners, Secured
from edge.demo.meter_security import Cipher, SecurityFault

CHALLENGE_BYTES = (8, 64)
TITLE_NOT_RECOGNISED = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """The verdict on one AARQ. `diagnostic` 0: associated; 14 and accepted: passes 3 and 4 are to follow."""

    initiate: acse.Initiate
    diagnostic: int
    accepted: bool
    public: bool = False
    offered: int = 0
    cipher: Cipher | None = None
    ciphered: bool = False
    challenge: bytes = b""
    mechanism: int = 0


class Gate:
    """The entrance for one client SAP."""

    def __init__(self, device: Device, manners: Manners, sap: int) -> None:
        """Counters and lock-out are the device's, so that they outlive connections."""
        self._device = device
        self._manners = manners
        self._sap = sap
        self._entry: Entry | None = None
        self._to_server = b""

    def enter(self, request: acse.AssociationRequest, now: float) -> Entry | None:
        """Judge an AARQ. None: it is not even to be refused. Raises SecurityFault where protection is at fault."""
        secured = self._manners.secured.get(self._sap)
        if secured is not None:
            entry = self._enter_secured(request, secured)
        else:
            initiate = acse.parse_initiate(request.initiate)
            if initiate is None:
                return None
            diagnostic = self._judge(request, now)
            entry = Entry(initiate, diagnostic, accepted=diagnostic == 0, offered=self._manners.conformance,
                          public=self._manners.passwords.get(self._sap) is None)
        self._entry = entry
        return entry

    def _judge(self, request: acse.AssociationRequest, now: float) -> int:
        """Judge a client without high-level security: 0 to accept, else the diagnostic."""
        if request.context != acse.LOGICAL_NAMES:
            return acse.CONTEXT_UNKNOWN
        if self._sap not in self._manners.passwords:
            return acse.NO_REASON
        password = self._manners.passwords[self._sap]
        if password is None:
            return acse.MECHANISM_UNKNOWN if request.mechanism else 0
        if not request.mechanism:
            return acse.AUTHENTICATION_REQUIRED
        if request.mechanism != LOW:
            return acse.MECHANISM_UNKNOWN
        return 0 if self._knows(request.value, password, now) else acse.AUTHENTICATION_FAILED

    def _knows(self, given: bytes, password: bytes, now: float) -> bool:
        """Compare a password; while locked not even the right one will do."""
        manners, device = self._manners, self._device
        failures, since = device.failures.get(self._sap, (0, 0.0))
        if manners.lock_after and failures >= manners.lock_after and now - since < manners.lock_s:
            return False
        if given == password:
            device.failures.pop(self._sap, None)
        else:
            device.failures[self._sap] = (failures + 1, now)
        return given == password

    def _enter_secured(self, request: acse.AssociationRequest, secured: Secured) -> Entry | None:
        device, manners = self._device, self._manners
        ciphered = request.context == acse.CIPHERED and secured.suite is not None
        cipher = Cipher(
            secured, self._sap, manners.system_title, request.title, device.client_counters, device.own_counters)
        diagnostic = self._judge_secured(request, secured, ciphered=ciphered)
        plain = request.initiate
        if ciphered and diagnostic in (0, acse.AUTHENTICATION_REQUIRED):
            if plain[:1] != bytes((acse.GLO_INITIATE_REQUEST,)):
                raise SecurityFault("a plain InitiateRequest in a ciphered context")
            try:
                plain = cipher.open_initiate(plain[1:])
            except BadData as fault:
                raise SecurityFault(str(fault)) from fault
        initiate = acse.parse_initiate(plain)
        if initiate is None:
            # what could not be read cannot be answered in kind; a refusal names what the meter has
            initiate = acse.Initiate(manners.conformance, manners.max_pdu, b"")
            if diagnostic == acse.AUTHENTICATION_REQUIRED:
                return None
        if not cipher.use_dedicated(initiate.dedicated_key):
            raise SecurityFault("a dedicated key of another length")
        accepted = diagnostic == acse.AUTHENTICATION_REQUIRED
        self._to_server = request.value
        return Entry(
            initiate, diagnostic, accepted=accepted, cipher=cipher, ciphered=ciphered,
            offered=manners.conformance | (GENERAL_PROTECTION if ciphered else 0),
            challenge=self._challenge(secured) if accepted else b"",
            mechanism=secured.mechanism if accepted else 0)

    def _judge_secured(self, request: acse.AssociationRequest, secured: Secured, *, ciphered: bool) -> int:
        """Judge a client with high-level security; AUTHENTICATION_REQUIRED means go on to passes 3 and 4."""
        wanted = acse.CIPHERED if ciphered else acse.LOGICAL_NAMES
        if request.context != wanted or (secured.policy and not ciphered):
            return acse.CONTEXT_UNKNOWN
        if request.mechanism != secured.mechanism:
            return acse.MECHANISM_UNKNOWN if request.mechanism else acse.AUTHENTICATION_FAILED
        titled = ciphered or secured.mechanism == HLS_GMAC
        if (titled and len(request.title) != 8) or request.title != (secured.client_title or request.title):
            return TITLE_NOT_RECOGNISED
        if not CHALLENGE_BYTES[0] <= len(request.value) <= CHALLENGE_BYTES[1]:
            return acse.AUTHENTICATION_FAILED
        return acse.AUTHENTICATION_REQUIRED

    def response(self, entry: Entry, conformance: int) -> bytes:
        """The AARE for an entry; a secured one ciphers its InitiateResponse."""
        manners = self._manners
        own, theirs = manners.max_pdu, entry.initiate.max_pdu
        announced = own if manners.announce_own_pdu or not theirs else min(own, theirs)
        if manners.announce_no_limit:
            announced = 0
        if manners.wrong_conformance:
            conformance = entry.initiate.conformance
        information = acse.initiate_response(conformance, announced)
        cipher = entry.cipher if entry.accepted and entry.ciphered else None
        if cipher is not None:
            information = bytes((acse.GLO_INITIATE_RESPONSE,)) + cipher.seal_initiate(information)
        return acse.response(
            accepted=entry.accepted, diagnostic=entry.diagnostic, information=information,
            context=acse.CIPHERED if cipher is not None else acse.LOGICAL_NAMES,
            title=manners.system_title if entry.mechanism else b"", mechanism=entry.mechanism,
            challenge=entry.challenge, long_lengths=manners.long_aare)

    def prove(self, proof: bytes, now: float) -> bytes | None:
        """Pass 3: check f(StoC); pass 4: the meter's own proof, or None to refuse."""
        del now
        entry, secured = self._entry, self._manners.secured.get(self._sap)
        if entry is None or entry.cipher is None or secured is None:
            return None
        if not entry.cipher.proves(proof, entry.challenge, self._to_server):
            return None
        answer = entry.cipher.proof(entry.challenge, self._to_server)
        return answer[:-1] + bytes((answer[-1] ^ 1,)) if secured.wrong_proof else answer

    def _challenge(self, secured: Secured) -> bytes:
        if secured.challenges:
            return secured.challenges.pop(0)
        self._device.challenges += 1
        return hashlib.sha256(f"{self._device.serial} {self._device.challenges}".encode()).digest()[:16]

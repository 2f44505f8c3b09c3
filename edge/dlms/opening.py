"""From the link to a usable association: AARQ, AARE, and the proof of high-level security (IEC 62056-5-3 clause 9.3.2).

    request() ─► AARQ ─► AARE ─► receive() ─┬─ none, LLS: accepted
                                            └─ HLS: ACTION f(StoC) ─► ACTION-response f(CtoS) ─► receive(): accepted

The meter proves itself too: an association of high-level security is accepted only with its right f(CtoS).
"""

from edge.dlms import acse, apdu, hls
from edge.dlms.acse import Accepted, Protected
from edge.dlms.action import ActionExchange, ActionRequest
from edge.dlms.channel import SecureChannel
from edge.dlms.cosem import Obis
from edge.dlms.hls import Challenges, Titles
from edge.dlms.settings import AssociationSettings
from edge.errors import FailReason, LocalStateError, NotGenuine, Refused, Violation

_CURRENT_ASSOCIATION = Obis(0, 0, 40, 0, 0)
_ASSOCIATION_CLASS, _REPLY_TO_HLS = 15, 1


class Opening:
    """One opening. `accepted` is set when it is through."""

    def __init__(self, settings: AssociationSettings, channel: SecureChannel | None, invoke_id: int) -> None:
        """`channel` is there where keys are set, whether APDUs are ciphered or not."""
        self.accepted: Accepted | None = None
        self._settings = settings
        self._channel = channel
        self._invoke_id = invoke_id
        self._hls = settings.authentication in hls.HLS
        self._negotiated: Accepted | None = None
        self._proof: ActionExchange | None = None
        self._titles = Titles(settings.security.client_title if settings.security else b"", b"")
        self._challenges = Challenges(settings.challenge, b"")
        if self._hls and not settings.challenge:
            raise LocalStateError(f"{settings.authentication} without a challenge")

    def request(self) -> bytes:
        """Build the AARQ; takes an invocation counter where it is ciphered."""
        settings, channel = self._settings, self._channel
        mechanism = hls.MECHANISMS[settings.authentication]
        value = settings.challenge if self._hls else settings.password if settings.authentication == "lls" else None
        ciphered = b""
        if settings.ciphered and channel is not None:
            assert settings.security is not None
            ciphered = channel.seal_initiate(acse.initiate_request(
                conformance=settings.conformance, max_pdu=settings.max_pdu,
                dedicated_key=settings.security.dedicated_key))
        return acse.aarq(conformance=settings.conformance, max_pdu=settings.max_pdu, mechanism=mechanism, value=value,
                         title=self._titles.client, ciphered_initiate=ciphered)

    @property
    def answer_tag(self) -> int:
        """First octet of what is due, in clear."""
        return apdu.AARE if self._proof is None else self._proof.answer_tag

    def receive(self, answer: bytes) -> bytes | None:
        """Take the AARE or, in clear, the ACTION-response; return the ACTION-request to send, or None when done."""
        if self._proof is not None:
            self._check_proof(answer)
            return None
        told = acse.answered(answer, self._settings.conformance, Protected(
            proof_follows=self._hls, unseal=self._unseal if self._settings.ciphered else None))
        if not self._hls:
            self.accepted = told.accepted
            return None
        self._negotiated = told.accepted
        self._titles = Titles(self._titles.client, told.title)
        self._challenges = Challenges(self._challenges.client, told.challenge)
        self._check_challenge(told.title)
        self._proof = ActionExchange(
            (ActionRequest(_ASSOCIATION_CLASS, _CURRENT_ASSOCIATION, _REPLY_TO_HLS, self._prove()),), self._invoke_id)
        return self._proof.request

    def _unseal(self, title: bytes, content: bytes) -> bytes:
        assert self._channel is not None
        self._channel.learn_title(title)
        return self._channel.open_initiate(content)

    def _check_challenge(self, title: bytes) -> None:
        shortest, longest = hls.CHALLENGE_BYTES
        theirs = self._challenges.meter
        if not shortest <= len(theirs) <= longest:
            raise NotGenuine(f"the meter's challenge has {len(theirs)} octets instead of {shortest} to {longest}")
        if theirs == self._challenges.client:      # otherwise our own answer, sent back, would be its proof
            raise NotGenuine("the meter sends back our own challenge")
        if self._channel is not None and not self._settings.ciphered:
            self._channel.learn_title(title)

    def _prove(self) -> bytes:
        settings = self._settings
        if settings.authentication == "hls-gmac":
            assert self._channel is not None
            channel = self._channel
            return channel.cipher.gmac(self._titles.client, channel.counters.take(), self._challenges.meter)
        return hls.proof(settings.authentication, settings.password, self._titles, self._challenges)

    def _check_proof(self, answer: bytes) -> None:
        assert self._proof is not None
        if self._proof.receive(answer) is not None:
            raise Violation("the meter's proof comes in blocks")
        (result,) = self._proof.results
        if result.error is not None:
            raise Refused(f"association refused: the meter does not take our proof of the secret: {result.error.text}; "
                          "check keys, secret and system title", reason=FailReason.ASSOCIATION_REFUSED)
        given = result.data
        if not isinstance(given, bytes):
            raise NotGenuine("the meter takes our proof and gives none of its own")
        settings = self._settings
        if settings.authentication == "hls-gmac":
            assert self._channel is not None
            hls.check_gmac(self._channel.cipher, self._titles.meter, self._challenges.client, given)
        else:
            hls.check_proof(settings.authentication, settings.password, self._titles, self._challenges, given)
        self.accepted = self._negotiated

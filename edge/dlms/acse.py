"""Opening an association: AARQ out, AARE in (IEC 62056-5-3 clause 9.4; ACSE in BER).

Coding is dlms_cosem's. It trusts its input, prints and raises at random (decision 0002), so an AARE is checked here
first: its lengths, and the initiate-response inside.
"""

import re
from typing import NamedTuple

from dlms_cosem import enumerations
from dlms_cosem.protocol import acse as library_acse
from dlms_cosem.protocol.acse.user_information import UserInformation
from dlms_cosem.protocol.xdlms import ConfirmedServiceError, InitiateRequest
from dlms_cosem.protocol.xdlms import conformance as library_conformance

from edge.dlms import apdu
from edge.dlms.axdr import decode_length
from edge.dlms.conformance import Conformance
from edge.errors import FailReason, Refused, Violation

DLMS_VERSION = 6
_AUTHENTICATION_REQUIRED = 14       # result 0 with this diagnostic: accepted so far, a high-level exchange must follow
_AUTHENTICATION = frozenset((11, 12, 13))       # mechanism name not recognised, required; authentication failure
_USER_INFORMATION = 0xBE
_SHORTEST_GET_BYTES = 13            # GET-request-normal without selection
# 08 | no or some quality of service | version | conformance as [APPLICATION 31], 24 bits | max PDU | VAA name 0007
_INITIATE_RESPONSE = re.compile(rb"\x08(?:\x00|\x01.).\x5f\x1f\x04\x00.{3}.{2}\x00\x07", re.DOTALL)
_CONFIRMED_SERVICE_ERROR = re.compile(rb"\x0e[\x01\x05\x06][\x00-\x0a].", re.DOTALL)


class Accepted(NamedTuple):
    """What was negotiated: services both sides have, and the largest APDU the meter takes (0 = no limit)."""

    conformance: Conformance
    server_max_pdu: int


def aarq(*, password: bytes | None, conformance: int, max_pdu: int) -> bytes:
    """Build an AARQ without AP title: LLS with a password, the lowest level without one."""
    proposed = library_conformance.Conformance.from_bytes(conformance.to_bytes(4, "big"))
    request = library_acse.ApplicationAssociationRequest(
        user_information=UserInformation(
            content=InitiateRequest(proposed_conformance=proposed, client_max_receive_pdu_size=max_pdu)),
        authentication=None if password is None else enumerations.AuthenticationMechanism.LLS,
        authentication_value=password,
    )
    return bytes(request.to_bytes())


def accepted(aare: bytes, offered: int) -> Accepted:
    """Read an AARE. Raises Refused with result and diagnostic in words, or Violation if it is malformed."""
    checked = _checked(aare)
    try:
        response = library_acse.ApplicationAssociationResponse.from_bytes(checked)
        result, diagnostic = response.result, response.result_source_diagnostics
        initiate = response.user_information.content if response.user_information else None
    except Exception as why:  # noqa: BLE001 - ten types are known to come out of this parser, decision 0002
        raise Violation(f"AARE is malformed: {type(why).__name__} while reading it") from None
    if result != enumerations.AssociationResult.ACCEPTED:
        raise Refused(
            f"association refused: {_words(result)}, {_words(diagnostic)}; check password, client SAP, server address",
            reason=FailReason.ASSOCIATION_REFUSED,
            # meters count wrong passwords and lock themselves, so "transient" is not believed of one
            temporary=(result == enumerations.AssociationResult.REJECTED_TRANSIENT
                       and diagnostic.value not in _AUTHENTICATION))
    if isinstance(initiate, ConfirmedServiceError):
        raise Refused(f"association refused: initiate error {_words(initiate.error)}",
                      reason=FailReason.ASSOCIATION_REFUSED)
    if response.ciphered or diagnostic.value == _AUTHENTICATION_REQUIRED:
        raise Refused("association refused: the meter wants high-level security or ciphering, which is not supported",
                      reason=FailReason.ASSOCIATION_REFUSED)
    if initiate is None or initiate.negotiated_dlms_version_number != DLMS_VERSION:
        raise Violation("AARE accepts, and holds no initiate-response of DLMS version 6")
    if 0 < initiate.server_max_receive_pdu_size < _SHORTEST_GET_BYTES:
        raise Violation(f"AARE: the meter takes APDUs of {initiate.server_max_receive_pdu_size} octets, one GET has "
                        f"{_SHORTEST_GET_BYTES}")
    negotiated = int.from_bytes(initiate.negotiated_conformance.to_bytes(), "big")
    return Accepted(Conformance(negotiated & offered), initiate.server_max_receive_pdu_size)


def _words(code: "enumerations.AssociationResult | enumerations.AcseServiceUserDiagnostics") -> str:
    return f"{code.name.lower().replace('_', ' ')} ({code.value})"


def _checked(aare: bytes) -> bytes:
    """Return the AARE in the form the library reads (one length octet), its parts known to be whole."""
    length, at = decode_length(aare, 1)
    body = aare[at:]
    if aare[0] != apdu.AARE or length != len(body) or not 0 < length <= 0xFF:
        raise Violation(f"AARE announces {length} octets, holds {len(body)}")
    at = 0
    while at < len(body):
        tag = body[at]
        length, at = decode_length(body, at + 1)
        if at + length > len(body) or not length:
            raise Violation(f"AARE field 0x{tag:02x} of {length} octets does not fit")
        if tag == _USER_INFORMATION:
            _check_user_information(body[at:at + length])
        at += length
    return bytes((apdu.AARE, len(body))) + body


def _check_user_information(field: bytes) -> None:
    length, at = decode_length(field, 1)
    content = field[at:]
    if field[0] != 0x04 or length != len(content):
        raise Violation("AARE user-information is no octet-string of its length")
    if not (_INITIATE_RESPONSE.fullmatch(content) or _CONFIRMED_SERVICE_ERROR.fullmatch(content)):
        raise Violation("AARE user-information holds neither an initiate-response nor a service error")

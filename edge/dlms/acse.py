"""Opening an association: AARQ out, AARE in (IEC 62056-5-3 clause 9.4; ACSE in BER).

Coding is dlms_cosem's. It trusts its input, prints and raises at random (decision 0002), so an AARE is checked here
first: its lengths, and the initiate-response inside, which is deciphered before the library sees it.
"""

import re
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from dlms_cosem import enumerations
from dlms_cosem.protocol import acse as library_acse
from dlms_cosem.protocol.acse.user_information import UserInformation
from dlms_cosem.protocol.xdlms import ConfirmedServiceError, GlobalCipherInitiateRequest, InitiateRequest
from dlms_cosem.protocol.xdlms import conformance as library_conformance

from edge.dlms import apdu
from edge.dlms.axdr import decode_length, encode_length
from edge.dlms.conformance import Conformance
from edge.errors import FailReason, NotGenuine, Refused, Violation

DLMS_VERSION = 6
_AUTHENTICATION_REQUIRED = 14       # result 0 with this diagnostic: accepted so far, a high-level exchange must follow
_AUTHENTICATION = frozenset((11, 12, 13))       # mechanism name not recognised, required; authentication failure
_RESULT, _DIAGNOSTIC, _METER_TITLE, _METER_CHALLENGE, _USER_INFORMATION = 0xA2, 0xA3, 0xA4, 0xAA, 0xBE
_BY_PROVIDER = b"\xa2"
_USERS: type[IntEnum] = enumerations.AcseServiceUserDiagnostics
_PROVIDERS: type[IntEnum] = enumerations.AcseServiceProviderDiagnostics
_OCTET_STRING, _CHARSTRING = 0x04, 0x80
_SHORTEST_GET_BYTES = 13            # GET-request-normal without selection
# 08 | no or some quality of service | version | conformance as [APPLICATION 31], 24 bits | max PDU | VAA name 0007
_INITIATE_RESPONSE = re.compile(rb"\x08(?:\x00|\x01.).\x5f\x1f\x04\x00.{3}.{2}\x00\x07", re.DOTALL)
_CONFIRMED_SERVICE_ERROR = re.compile(rb"\x0e[\x01\x05\x06][\x00-\x0a].", re.DOTALL)


class Accepted(NamedTuple):
    """What was negotiated: services both sides have, and the largest APDU the meter takes (0 = no limit)."""

    conformance: Conformance
    server_max_pdu: int


class Answered(NamedTuple):
    """An accepting AARE. `title` and `challenge` (StoC) are b"" where it has none."""

    accepted: Accepted
    title: bytes
    challenge: bytes


class Protected(NamedTuple):
    """What an AARE is read with where the association is ciphered or of high-level security.

    `unseal` gets the meter's title and the ciphered initiate-response; None = it must be in clear.
    """

    proof_follows: bool
    unseal: Callable[[bytes, bytes], bytes] | None


def initiate_request(*, conformance: int, max_pdu: int, dedicated_key: bytes = b"") -> bytes:
    """Build the xDLMS InitiateRequest that travels inside an AARQ, in clear."""
    return bytes(_initiate(conformance, max_pdu, dedicated_key).to_bytes())


def aarq(
    *, conformance: int, max_pdu: int, mechanism: int = 0, value: bytes | None = None, title: bytes = b"",
    ciphered_initiate: bytes = b"",
) -> bytes:
    """Build an AARQ.

    `mechanism` and `value` are the authentication's: 0 and None for none, else the LLS password or the challenge.
    `title` b"" leaves the calling AP title out. `ciphered_initiate` (glo-initiateRequest) makes it a ciphered context.
    """
    content = (GlobalCipherInitiateRequest.from_bytes(ciphered_initiate) if ciphered_initiate
               else _initiate(conformance, max_pdu, b""))
    request = library_acse.ApplicationAssociationRequest(
        user_information=UserInformation(content=content), system_title=title or None, ciphered=bool(ciphered_initiate),
        authentication=enumerations.AuthenticationMechanism(mechanism) if mechanism else None,
        authentication_value=value)
    encoded = bytes(request.to_bytes())
    return encoded[:1] + encode_length(len(encoded) - 2) + encoded[2:]      # it writes one length octet, always


def accepted(aare: bytes, offered: int) -> Accepted:
    """Read the AARE of an association without high-level security and ciphering; errors as of `answered`."""
    return answered(aare, offered, Protected(proof_follows=False, unseal=None)).accepted


def answered(aare: bytes, offered: int, protected: Protected) -> Answered:
    """Read an AARE. Raises Refused with result and diagnostic in words, or Violation kinds."""
    fields = _fields(aare)
    _check_result(fields)      # before anything else can be wrong with it: a meter that refuses may count the attempts
    title, challenge = _inner(fields, _METER_TITLE, _OCTET_STRING), _inner(fields, _METER_CHALLENGE, _CHARSTRING)
    if _USER_INFORMATION in fields:
        fields[_USER_INFORMATION] = _plain_user_information(fields, title, protected)
    try:
        response = library_acse.ApplicationAssociationResponse.from_bytes(_written(fields))
        diagnostic = response.result_source_diagnostics
        initiate = response.user_information.content if response.user_information else None
    except Exception as why:  # noqa: BLE001 - ten types are known to come out of this parser, decision 0002
        raise Violation(f"AARE is malformed: {type(why).__name__} while reading it") from None
    if isinstance(initiate, ConfirmedServiceError):
        raise Refused(f"association refused: initiate error {_named(initiate.error, type(initiate.error), '')}",
                      reason=FailReason.ASSOCIATION_REFUSED)
    if (response.ciphered and protected.unseal is None) or (
            diagnostic.value == _AUTHENTICATION_REQUIRED and not protected.proof_follows):
        raise Refused("association refused: the meter wants high-level security or ciphering, which is not set for it; "
                      "see `meter edit --authentication` and `--security`", reason=FailReason.ASSOCIATION_REFUSED)
    if protected.unseal is not None and not response.ciphered:
        raise NotGenuine("the AARE accepts with an application context without ciphering")
    if initiate is None or initiate.negotiated_dlms_version_number != DLMS_VERSION:
        raise Violation("AARE accepts, and holds no initiate-response of DLMS version 6")
    if 0 < initiate.server_max_receive_pdu_size < _SHORTEST_GET_BYTES:
        raise Violation(f"AARE: the meter takes APDUs of {initiate.server_max_receive_pdu_size} octets, one GET has "
                        f"{_SHORTEST_GET_BYTES}")
    negotiated = int.from_bytes(initiate.negotiated_conformance.to_bytes(), "big")
    return Answered(Accepted(Conformance(negotiated & offered), initiate.server_max_receive_pdu_size), title, challenge)


def _initiate(conformance: int, max_pdu: int, dedicated_key: bytes) -> InitiateRequest:
    proposed = library_conformance.Conformance.from_bytes(conformance.to_bytes(4, "big"))
    return InitiateRequest(proposed_conformance=proposed, client_max_receive_pdu_size=max_pdu,
                           dedicated_key=dedicated_key or None)


def _check_result(fields: dict[int, bytes]) -> None:
    """Raise Refused where the AARE says that it refuses, in whatever words and of whatever form the rest of it is.

    Makers have codes of their own. One that is not known may mean a wrong password as well as any.
    """
    result = _number(fields.get(_RESULT, b""))
    if not result:      # accepted; or none at all, which the reading of the rest finds out
        return
    told = fields.get(_DIAGNOSTIC, b"")
    code = _number(told[2:]) if told[1:2] == b"\x03" else None
    by_provider = told[:1] == _BY_PROVIDER
    known, kind = (_PROVIDERS, "provider diagnostic") if by_provider else (_USERS, "diagnostic")
    why = "no diagnostic" if code is None else _named(code, known, kind)
    # meters count wrong passwords and lock themselves, so "transient" is not believed of one, nor of what may be one
    harmless = code in list(known) and (by_provider or code not in _AUTHENTICATION)
    raise Refused(
        f"association refused: {_named(result, enumerations.AssociationResult, 'result')}, {why}; check password, "
        "client SAP, server address", reason=FailReason.ASSOCIATION_REFUSED,
        temporary=result == enumerations.AssociationResult.REJECTED_TRANSIENT and harmless)


def _number(integer: bytes) -> int | None:
    """Return what a BER INTEGER of one octet says, None for anything else."""
    return integer[-1] if integer[:-1] == b"\x02\x01" else None


def _named(code: int, known: type[IntEnum], kind: str) -> str:
    try:
        return f"{known(code).name.lower().replace('_', ' ')} ({code})"
    except ValueError:
        return f"{kind} {code}, which is not of the standard"


def _fields(aare: bytes) -> dict[int, bytes]:
    """Cut an AARE into its fields, known to be whole; raise Violation."""
    length, at = decode_length(aare, 1)
    body = aare[at:]
    if aare[0] != apdu.AARE or length != len(body) or not 0 < length <= 0x1FF:
        raise Violation(f"AARE announces {length} octets, holds {len(body)}")
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(body):
        tag = body[at]
        length, at = decode_length(body, at + 1)
        if at + length > len(body) or not length or tag in fields:
            raise Violation(f"AARE field 0x{tag:02x} of {length} octets does not fit, or comes twice")
        fields[tag] = body[at:at + length]
        at += length
    return fields


def _written(fields: dict[int, bytes]) -> bytes:
    """Put fields together as the library reads them: one length octet each. Title and challenge were read here."""
    body = b"".join(bytes((tag, len(content))) + content for tag, content in fields.items()
                    if tag not in (_METER_TITLE, _METER_CHALLENGE) and len(content) <= 0xFF)
    if not 0 < len(body) <= 0xFF:
        raise Violation(f"AARE of {len(body)} octets beside title and challenge")
    return bytes((apdu.AARE, len(body))) + body


def _inner(fields: dict[int, bytes], tag: int, kind: int) -> bytes:
    """Return the octet-string inside a field, b"" where the field is missing."""
    field = fields.get(tag)
    if field is None:
        return b""
    length, at = decode_length(field, 1)
    if field[0] != kind or length != len(field) - at:
        raise Violation(f"AARE field 0x{tag:02x} is not what it should hold")
    return field[at:]


def _plain_user_information(fields: dict[int, bytes], title: bytes, protected: Protected) -> bytes:
    """Return the field with an initiate-response or service error in clear, checked; raise Violation kinds."""
    content = _inner(fields, _USER_INFORMATION, _OCTET_STRING)
    # Only what accepts must be ciphered: a meter that refuses may not even have the keys.
    if protected.unseal is not None and fields.get(_RESULT) == b"\x02\x01\x00" and content[:1] != b"\x0e":
        content = protected.unseal(title, content)
    elif protected.unseal is not None and not _INITIATE_RESPONSE.fullmatch(content) and content[:1] != b"\x0e":
        content = b"\x0e\x01\x06\x00"      # a refusal's ciphered part is of no interest
    if not (_INITIATE_RESPONSE.fullmatch(content) or _CONFIRMED_SERVICE_ERROR.fullmatch(content)):
        raise Violation("AARE user-information holds neither an initiate-response nor a service error")
    return bytes((_OCTET_STRING, len(content))) + content

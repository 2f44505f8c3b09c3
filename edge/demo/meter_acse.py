"""Association requests as the simulated meter reads them, and its answers (sans-IO, the meter's own code).

ACSE APDUs in BER: IEC 62056-5-3, clauses on AARQ, AARE, RLRQ, RLRE and the xDLMS InitiateRequest inside them.
"""

from dataclasses import dataclass

LOGICAL_NAME_CONTEXT = bytes((0x60, 0x85, 0x74, 0x05, 0x08, 0x01, 0x01))
LOW_LEVEL_MECHANISM = bytes((0x60, 0x85, 0x74, 0x05, 0x08, 0x02, 0x01))
RLRE = bytes((0x63, 0x03, 0x80, 0x01, 0x00))

# acse-service-user diagnostics
NO_REASON, CONTEXT_UNKNOWN, MECHANISM_UNKNOWN, AUTHENTICATION_FAILED, AUTHENTICATION_REQUIRED = 1, 2, 11, 13, 14


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """The parts of an AARQ that this meter looks at. `mechanism` and `context` are object identifiers as in BER."""

    context: bytes
    mechanism: bytes
    password: bytes
    conformance: int
    max_pdu: int

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"AssociationRequest(conformance={self.conformance:06x}, max_pdu={self.max_pdu})"


def parse_request(apdu: bytes) -> AssociationRequest | None:
    """Read an AARQ; None when it is not a well-formed one with an InitiateRequest in clear."""
    if apdu[:1] != b"\x60":
        return None
    body = _element(apdu, 0)
    if body is None or body[1] != len(apdu):
        return None
    fields: dict[int, bytes] = {}
    place = len(apdu) - len(body[0])
    while place < len(apdu):
        element = _element(apdu, place)
        if element is None:
            return None
        fields[apdu[place]] = element[0]
        place = element[1]
    initiate = _initiate(fields.get(0xBE, b""))
    if initiate is None:
        return None
    return AssociationRequest(
        context=fields.get(0xA1, b"\x06\x00")[2:], mechanism=fields.get(0x8B, b""), password=fields.get(0xAC, b"")[2:],
        conformance=initiate[0], max_pdu=initiate[1])


def response(*, accepted: bool, diagnostic: int, conformance: int, max_pdu: int) -> bytes:
    """Build the AARE as the recorded meter does: a refusal carries the InitiateResponse too."""
    negotiated = conformance.to_bytes(3, "big") + max_pdu.to_bytes(2, "big")
    initiate = b"\x08\x00\x06\x5f\x1f\x04\x00" + negotiated + b"\x00\x07"
    body = (
        b"\xa1\x09\x06\x07" + LOGICAL_NAME_CONTEXT
        + bytes((0xA2, 0x03, 0x02, 0x01, 0 if accepted else 1))
        + bytes((0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, diagnostic))
        + bytes((0xBE, len(initiate) + 2, 0x04, len(initiate))) + initiate
    )
    return bytes((0x61, len(body))) + body


def _element(data: bytes, place: int) -> tuple[bytes, int] | None:
    """Take the BER element at `place`: its content and where the next one starts."""
    if place + 2 > len(data):
        return None
    size, start = data[place + 1], place + 2
    if size & 0x80:
        more = size & 0x7F
        size, start = int.from_bytes(data[start:start + more], "big"), start + more
    return (data[start:start + size], start + size) if start + size <= len(data) else None


def _initiate(user_information: bytes) -> tuple[int, int] | None:
    """Read conformance and max PDU from octet-string { InitiateRequest }."""
    inner = _element(user_information, 0)
    if inner is None or user_information[:1] != b"\x04" or inner[0][:1] != b"\x01":
        return None
    data, place = inner[0], 1
    if data[place:place + 1] == b"\x01":            # dedicated key: an octet-string to step over
        place += 1 + data[place + 1] if len(data) > place + 1 else 0
    place += 1
    for _ in ("response-allowed", "quality-of-service"):
        place += 2 if data[place:place + 1] == b"\x01" else 1
    tail = data[place:]
    if len(tail) != 10 or tail[:1] != b"\x06" or tail[1:5] != b"\x5f\x1f\x04\x00":
        return None
    return int.from_bytes(tail[5:8], "big"), int.from_bytes(tail[8:10], "big")

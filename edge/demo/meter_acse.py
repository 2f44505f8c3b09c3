"""Association requests as the simulated meter reads them, and its answers (sans-IO, the meter's own code).

ACSE APDUs in BER: IEC 62056-5-3, clauses on AARQ, AARE, RLRQ, RLRE and the xDLMS InitiateRequest inside them.
"""

from dataclasses import dataclass

CONTEXT = bytes((0x60, 0x85, 0x74, 0x05, 0x08, 0x01))          # and 1 for plain logical names, 3 for ciphered
MECHANISM = bytes((0x60, 0x85, 0x74, 0x05, 0x08, 0x02))        # and the mechanism's number
LOGICAL_NAMES, CIPHERED = 1, 3
RLRE = bytes((0x63, 0x03, 0x80, 0x01, 0x00))
GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE = 0x21, 0x28

# acse-service-user diagnostics
NO_REASON, CONTEXT_UNKNOWN, MECHANISM_UNKNOWN, AUTHENTICATION_FAILED, AUTHENTICATION_REQUIRED = 1, 2, 11, 13, 14


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """The parts of an AARQ that this meter looks at. `mechanism` 0: none; `initiate` as it came, plain or ciphered."""

    context: int
    mechanism: int
    value: bytes                     # password, or challenge to the server
    title: bytes
    initiate: bytes

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"AssociationRequest(context={self.context}, mechanism={self.mechanism})"


@dataclass(frozen=True, slots=True)
class Initiate:
    """An xDLMS InitiateRequest."""

    conformance: int
    max_pdu: int
    dedicated_key: bytes

    def __repr__(self) -> str:
        """Leave the key out."""
        return f"Initiate(conformance={self.conformance:06x}, max_pdu={self.max_pdu})"


def parse_request(apdu: bytes) -> AssociationRequest | None:
    """Read an AARQ; None when it is not a well-formed one."""
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
    information = fields.get(0xBE, b"")
    inner = _element(information, 0)
    if inner is None or information[:1] != b"\x04":
        return None
    context, mechanism = fields.get(0xA1, b"")[2:], fields.get(0x8B, b"")
    return AssociationRequest(
        context=context[6] if len(context) == 7 and context[:6] == CONTEXT else 0,
        mechanism=0 if not mechanism else mechanism[6] if len(mechanism) == 7 and mechanism[:6] == MECHANISM else 0xFF,
        value=_inner(fields.get(0xAC, b"")), title=_inner(fields.get(0xA6, b"")), initiate=inner[0])


def parse_initiate(data: bytes) -> Initiate | None:
    """Read a plain InitiateRequest; None when it is none."""
    if data[:1] != b"\x01":
        return None
    dedicated_key, place = b"", 2
    if data[1:2] == b"\x01":
        key = _element(data, 1)                     # usage flag 01 in the place of a tag, then length and key
        if key is None:
            return None
        dedicated_key, place = key
    for _ in ("response-allowed", "quality-of-service"):
        place += 2 if data[place:place + 1] == b"\x01" else 1
    tail = data[place:]
    if len(tail) != 10 or tail[:1] != b"\x06" or tail[1:5] != b"\x5f\x1f\x04\x00":
        return None
    return Initiate(int.from_bytes(tail[5:8], "big"), int.from_bytes(tail[8:10], "big"), dedicated_key)


def initiate_response(conformance: int, max_pdu: int) -> bytes:
    """Build the plain InitiateResponse."""
    return b"\x08\x00\x06\x5f\x1f\x04\x00" + conformance.to_bytes(3, "big") + max_pdu.to_bytes(2, "big") + b"\x00\x07"


def response(*, accepted: bool, diagnostic: int, information: bytes, context: int = LOGICAL_NAMES, title: bytes = b"",
             mechanism: int = 0, challenge: bytes = b"", long_lengths: bool = False) -> bytes:
    """Build the AARE as the recorded meter does: a refusal carries the InitiateResponse too."""
    def element(tag: int, content: bytes) -> bytes:
        return bytes((tag,)) + _length(len(content), long_form=long_lengths and tag == 0xBE) + content

    body = (
        element(0xA1, b"\x06\x07" + CONTEXT + bytes((context,)))
        + bytes((0xA2, 0x03, 0x02, 0x01, 0 if accepted else 1))
        + bytes((0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, diagnostic))
        + (element(0xA4, element(0x04, title)) if title else b"")
    )
    if mechanism:
        body += b"\x88\x02\x07\x80" + element(0x89, MECHANISM + bytes((mechanism,)))
        body += element(0xAA, element(0x80, challenge))
    body += element(0xBE, element(0x04, information))
    return b"\x61" + _length(len(body), long_form=long_lengths) + body


def _length(size: int, *, long_form: bool) -> bytes:
    if size < 0x80 and not long_form:
        return bytes((size,))
    return bytes((0x81, size)) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")


def _inner(content: bytes) -> bytes:
    """The content of the one element inside `content`; empty where there is none."""
    element = _element(content, 0)
    return b"" if element is None else element[0]


def _element(data: bytes, place: int) -> tuple[bytes, int] | None:
    """Take the BER element at `place`: its content and where the next one starts."""
    if place + 2 > len(data):
        return None
    size, start = data[place + 1], place + 2
    if size & 0x80:
        more = size & 0x7F
        size, start = int.from_bytes(data[start:start + more], "big"), start + more
    return (data[start:start + size], start + size) if start + size <= len(data) else None

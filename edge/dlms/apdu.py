"""xDLMS APDUs in the clear: tags, GET requests, exception-response, service errors (IEC 62056-5-3 clause 9.5).

Building and cutting up only; what an answer means within an exchange stands in `get`. The request bodies are our own
rather than dlms_cosem's because they are built for every poll (decision 0002).
"""

import struct
from functools import lru_cache

from edge.dlms.axdr import encode_length
from edge.dlms.cosem import Attribute, Obis
from edge.errors import CounterTooLow, FailReason, Refused, Violation

GET_REQUEST, GET_RESPONSE = 0xC0, 0xC4
SET_REQUEST, SET_RESPONSE = 0xC1, 0xC5
ACTION_REQUEST, ACTION_RESPONSE = 0xC3, 0xC7
ACCESS_REQUEST, ACCESS_RESPONSE = 0xD9, 0xDA
AARE, RLRE = 0x61, 0x63
CONFIRMED_SERVICE_ERROR, EXCEPTION_RESPONSE = 0x0E, 0xD8
NORMAL, BLOCK, LIST = 1, 2, 3          # the choices inside GET request and GET response (2 is "next" in a request)

INVOKE_FLAGS = 0xC0
"""Invoke-Id-And-Priority: confirmed service, high priority. The four low bits are the invoke-id."""

_DESCRIPTOR = struct.Struct(">H6sb")

_STATE_ERRORS = {1: "service not allowed", 2: "service unknown"}
_SERVICE_ERRORS = {
    1: "operation not possible", 2: "service not supported", 3: "other reason", 4: "PDU too long",
    5: "deciphering error", 6: "invocation counter error",
}
_DECIPHERING_ERROR = 5
_COUNTER_ERROR = 6       # followed by the lowest counter the meter would take


@lru_cache(maxsize=256)
def _get_body(attributes: tuple[Attribute, ...]) -> bytes:
    """Return what follows the invoke-id. The same few lists are asked for again and again."""
    descriptors = [selected(attribute) for attribute in attributes]
    if len(descriptors) == 1:
        return descriptors[0]
    return b"".join((encode_length(len(descriptors)), *descriptors))


def descriptor(class_id: int, obis: Obis, member: int) -> bytes:
    """Write an attribute or method descriptor: class, logical name, number. Raises struct.error out of range."""
    return _DESCRIPTOR.pack(class_id, bytes(obis), member)


def selected(attribute: Attribute) -> bytes:
    """Write an attribute descriptor with its selective access. Raises struct.error out of range."""
    class_id, obis, number, selection = attribute
    return _DESCRIPTOR.pack(class_id, bytes(obis), number) + (b"\x01" + selection if selection else b"\x00")


def invoke(tag: int, choice: int, invoke_id: int) -> bytes:
    """Write the three octets that a GET, SET or ACTION request begins with."""
    return bytes((tag, choice, INVOKE_FLAGS | invoke_id))


def check_invoke_id(answer: bytes, invoke_id: int, shortest: int) -> int:
    """Return the choice of a response; raise Violation if it is too short or answers another request."""
    if len(answer) < shortest:
        raise Violation(f"response 0x{answer[:1].hex()} of {len(answer)} octets is cut short")
    if answer[2] & 0x0F != invoke_id:
        raise Violation(f"response with invoke-id {answer[2] & 0x0F}, {invoke_id} was asked")
    return answer[1]


def get_request(attributes: tuple[Attribute, ...], invoke_id: int) -> bytes:
    """Build GET-request-normal for one attribute, GET-request-with-list for more.

    Raises ValueError where a class, a group or an attribute number is out of range.
    """
    try:
        body = _get_body(attributes)
    except struct.error as why:
        raise ValueError(f"attribute out of range: {why}") from why
    return bytes((GET_REQUEST, NORMAL if len(attributes) == 1 else LIST, INVOKE_FLAGS | invoke_id)) + body


def get_next(block_number: int, invoke_id: int) -> bytes:
    """Build GET-request-next: the block `block_number` was taken, send the one after it."""
    return bytes((GET_REQUEST, BLOCK, INVOKE_FLAGS | invoke_id)) + block_number.to_bytes(4, "big")


def refusal(apdu: bytes) -> Refused:
    """Turn an exception-response or a confirmed-service-error into the error to raise; raise Violation if malformed.

    Neither carries an invoke-id, so it cannot be said which request it belongs to: the connection ends with it.
    """
    if apdu[0] == EXCEPTION_RESPONSE:
        expected = 7 if apdu[2:3] == bytes((_COUNTER_ERROR,)) else 3
        if len(apdu) != expected:
            raise Violation(f"exception-response of {len(apdu)} octets instead of {expected}")
        state, service = apdu[1], apdu[2]
        text = (f"the meter answered with an exception: {_STATE_ERRORS.get(state, 'state error')} ({state}), "
                f"{_SERVICE_ERRORS.get(service, 'service error')} ({service})")
        if service == _COUNTER_ERROR:
            lowest = int.from_bytes(apdu[3:], "big")
            return CounterTooLow(f"{text}; it takes {lowest} and above", lowest)
        if service == _DECIPHERING_ERROR:
            return Refused(f"{text}; check keys, system title and security policy", reason=FailReason.SECURITY)
    else:
        if len(apdu) != 4:
            raise Violation(f"confirmed-service-error of {len(apdu)} octets instead of 4")
        text = f"the meter answered with a service error: service {apdu[1]}, error type {apdu[2]}, code {apdu[3]}"
    return Refused(text, reason=FailReason.EXCEPTION_RESPONSE)

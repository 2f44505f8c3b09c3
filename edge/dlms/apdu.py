"""xDLMS APDUs in the clear: GET requests, exception-response, service errors, notifications (IEC 62056-5-3 clause 9.5).

Building and cutting up only; what an answer means within an exchange stands in `get`. The request bodies are our own
rather than dlms_cosem's because they are built for every poll (decision 0002).
"""

import struct
from functools import lru_cache
from typing import NamedTuple

from edge.dlms.axdr import AxdrValue, decode, decode_length, encode_length
from edge.dlms.cosem import Attribute
from edge.errors import FailReason, Refused, Violation

GET_REQUEST, GET_RESPONSE = 0xC0, 0xC4
AARE, RLRE = 0x61, 0x63
CONFIRMED_SERVICE_ERROR, DATA_NOTIFICATION, EVENT_NOTIFICATION, EXCEPTION_RESPONSE = 0x0E, 0x0F, 0xC2, 0xD8
NORMAL, BLOCK, LIST = 1, 2, 3          # the choices inside GET request and GET response (2 is "next" in a request)

INVOKE_FLAGS = 0xC0
"""Invoke-Id-And-Priority: confirmed service, high priority. The four low bits are the invoke-id."""

_DESCRIPTOR = struct.Struct(">H6sb")
_DATE_TIME_OCTETS = 12

_STATE_ERRORS = {1: "service not allowed", 2: "service unknown"}
_SERVICE_ERRORS = {
    1: "operation not possible", 2: "service not supported", 3: "other reason", 4: "PDU too long",
    5: "deciphering error", 6: "invocation counter error",
}
_COUNTER_ERROR = 6       # followed by the lowest counter the meter would take


class Pushed(NamedTuple):
    """Something the meter sent unasked: a data-notification, or another push service (`data` is None then).

    `date_time` holds the twelve octets of a date-time or nothing; `apdu` is the whole message.
    """

    apdu: bytes
    data: AxdrValue = None
    date_time: bytes = b""


@lru_cache(maxsize=256)
def _get_body(attributes: tuple[Attribute, ...]) -> bytes:
    """Return what follows the invoke-id. The same few lists are asked for again and again."""
    descriptors = [
        _DESCRIPTOR.pack(class_id, bytes(obis), attribute) + (b"\x01" + selection if selection else b"\x00")
        for class_id, obis, attribute, selection in attributes]
    if len(descriptors) == 1:
        return descriptors[0]
    return b"".join((encode_length(len(descriptors)), *descriptors))


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
    else:
        if len(apdu) != 4:
            raise Violation(f"confirmed-service-error of {len(apdu)} octets instead of 4")
        text = f"the meter answered with a service error: service {apdu[1]}, error type {apdu[2]}, code {apdu[3]}"
    return Refused(text, reason=FailReason.EXCEPTION_RESPONSE)


def notification(apdu: bytes) -> Pushed:
    """Read a data-notification strictly; raise Violation if it is malformed. Other push services stay unread."""
    if apdu[0] != DATA_NOTIFICATION:
        return Pushed(apdu)
    # tag, long-invoke-id-and-priority (4), date-time (octet-string, empty or 12), data
    if len(apdu) < 6:
        raise Violation(f"data-notification of {len(apdu)} octets is cut short")
    length, at = decode_length(apdu, 5)
    if length not in (0, _DATE_TIME_OCTETS) or at + length >= len(apdu):
        raise Violation(f"data-notification with a date-time of {length} octets")
    return Pushed(apdu, decode(apdu[at + length:]), apdu[at:at + length])

"""What a meter sends unasked: data-notification and event-notification (IEC 62056-5-3 clauses 9.3.10, 9.3.11, 9.5).

    0F | long-invoke-id-and-priority (4) | date-time: octet-string, empty or 12 | data
    C2 | date-time: 00, or 01 octet-string | class (2) | OBIS (6) | attribute (1) | data
"""

from typing import NamedTuple

from edge.dlms.axdr import AxdrValue, decode, decode_length
from edge.dlms.cosem import Attribute, Obis
from edge.errors import Violation

DATA_NOTIFICATION, EVENT_NOTIFICATION = 0x0F, 0xC2
PUSH_TAGS = frozenset((DATA_NOTIFICATION, EVENT_NOTIFICATION))

_DATE_TIME_OCTETS = 12
_DESCRIPTOR_OCTETS = 9


class Pushed(NamedTuple):
    """Something the meter sent unasked.

    `date_time` holds the twelve octets of a date-time or nothing; `apdu` is the whole message in clear. `attribute` is
    what an event-notification reports on, None in a data-notification. `invoke_id` is the 24-bit number of a
    data-notification, 0 in the other. `genuine` tells that it came authenticated, under the meter's key. One that came
    within an association has the meter's highest invocation counter there, -1 in clear, and its system title.
    """

    apdu: bytes
    data: AxdrValue = None
    date_time: bytes = b""
    attribute: Attribute | None = None
    invoke_id: int = 0
    genuine: bool = False
    counter: int = -1
    title: bytes = b""


def notification(apdu: bytes, *, genuine: bool = False) -> Pushed:
    """Read a notification APDU strictly; raise Violation if it is malformed or none."""
    if apdu[:1] == bytes((DATA_NOTIFICATION,)):
        return _data_notification(apdu, genuine=genuine)
    if apdu[:1] == bytes((EVENT_NOTIFICATION,)):
        return _event_notification(apdu, genuine=genuine)
    raise Violation(f"APDU 0x{apdu[:1].hex()} is no notification")


def _data_notification(apdu: bytes, *, genuine: bool) -> Pushed:
    if len(apdu) < 6:
        raise Violation(f"data-notification of {len(apdu)} octets is cut short")
    date_time, at = _date_time(apdu, 5)
    return Pushed(apdu, decode(apdu[at:]), date_time, None, int.from_bytes(apdu[2:5], "big"), genuine)


def _event_notification(apdu: bytes, *, genuine: bool) -> Pushed:
    if len(apdu) < 2 or apdu[1] not in (0, 1):
        raise Violation("event-notification without the flag of its time")
    date_time, at = _date_time(apdu, 2) if apdu[1] else (b"", 2)
    end = at + _DESCRIPTOR_OCTETS
    if end >= len(apdu):
        raise Violation(f"event-notification of {len(apdu)} octets is cut short")
    attribute = Attribute(int.from_bytes(apdu[at:at + 2], "big"), Obis.from_bytes(apdu[at + 2:at + 8]),
                          int.from_bytes(apdu[at + 8:end], "big", signed=True))
    return Pushed(apdu, decode(apdu[end:]), date_time, attribute, 0, genuine)


def _date_time(apdu: bytes, at: int) -> tuple[bytes, int]:
    length, at = decode_length(apdu, at)
    if length not in (0, _DATE_TIME_OCTETS) or at + length >= len(apdu):
        raise Violation(f"notification with a date-time of {length} octets")
    return apdu[at:at + length], at + length

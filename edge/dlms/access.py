"""One ACCESS exchange: GETs, SETs and ACTIONs in one request (IEC 62056-5-3 clauses 9.3.6 and 9.5).

    D9 | long-invoke-id-and-priority (4) | date-time | specifications | data, one for each (null-data for a GET)
    DA | long-invoke-id-and-priority (4) | date-time | specifications, optional | data, one for each | results

There is no block transfer of its own: longer than an APDU travels by general block transfer.
"""

import struct
from typing import Literal, NamedTuple

from edge.dlms import apdu
from edge.dlms.axdr import AxdrValue, decode_at, decode_length, encode, encode_length
from edge.dlms.cosem import AccessError, ActionError, Attribute
from edge.errors import Violation

_CHOICES = {"get": 1, "set": 2, "action": 3}
_WITH_SELECTION = {"get": 4, "set": 5}
_CONFIRMED_HIGH_PRIORITY = 0xC0
_ID_BYTES = 4


class AccessPart(NamedTuple):
    """One part of a request. For "action", `target.attribute` is the method. `data` is what a SET or ACTION carries."""

    service: Literal["get", "set", "action"]
    target: Attribute
    data: AxdrValue = None

    def __repr__(self) -> str:
        """Leave the data out: it may be a key."""
        return f"AccessPart({self.service} {self.target})"


class AccessResult(NamedTuple):
    """What came of one part: `error` None = done. `data` is what a GET read or an ACTION returned."""

    part: AccessPart
    error: AccessError | ActionError | None
    data: AxdrValue = None


class Accessed(NamedTuple):
    """The ACCESS is answered: one result for each part of the request, in its order."""

    results: tuple[AccessResult, ...]


class AccessExchange:
    """One request and its answer. See `events.Exchange`."""

    answer_tag = apdu.ACCESS_RESPONSE

    def __init__(self, parts: tuple[AccessPart, ...], invoke_id: int) -> None:
        """Prepare the request; raise ValueError for a part that cannot be written."""
        self.results: tuple[AccessResult, ...] = ()
        self._parts = parts
        self._invoke_id = invoke_id
        count = encode_length(len(parts))
        specifications = b"".join(map(_specification, parts))
        data = b"".join(encode(None if part.service == "get" else part.data) for part in parts)
        head = bytes((apdu.ACCESS_REQUEST, _CONFIRMED_HIGH_PRIORITY)) + invoke_id.to_bytes(3, "big")
        self.request = head + b"\x00" + count + specifications + count + data

    def receive(self, answer: bytes) -> bytes | None:
        """Take the ACCESS-response. Raises Violation."""
        if len(answer) < 1 + _ID_BYTES + 2:
            raise Violation(f"ACCESS-response of {len(answer)} octets is cut short")
        if int.from_bytes(answer[2:1 + _ID_BYTES], "big") != self._invoke_id:
            raise Violation(f"ACCESS-response with another invoke-id than {self._invoke_id}, which was asked")
        length, at = decode_length(answer, 1 + _ID_BYTES)
        if length not in (0, 12) or at + length >= len(answer):
            raise Violation(f"ACCESS-response with a date-time of {length} octets")
        at = self._echo(answer, at + length)
        values = []
        at = self._count(answer, at, "values")
        for _ in self._parts:
            value, at = decode_at(answer, at)
            values.append(value)
        at = self._count(answer, at, "results")
        if at + 2 * len(self._parts) != len(answer):
            raise Violation("ACCESS-response whose results do not fill its rest")
        results = []
        for part, value in zip(self._parts, values, strict=True):
            if answer[at] != _CHOICES[part.service]:
                raise Violation(f"ACCESS-response with a result of choice {answer[at]} for a {part.service}")
            results.append(_result(part, answer[at + 1], value))
            at += 2
        self.results = tuple(results)
        return None

    def outcome(self) -> Accessed:
        """Return the event that ends the exchange."""
        return Accessed(self.results)

    def _echo(self, answer: bytes, at: int) -> int:
        """Pass over the specifications, which a meter may repeat word by word."""
        flag = answer[at]
        if not flag:
            return at + 1
        due = encode_length(len(self._parts)) + b"".join(map(_specification, self._parts))
        if flag != 1 or answer[at + 1:at + 1 + len(due)] != due:
            raise Violation("ACCESS-response to another request")
        return at + 1 + len(due)

    def _count(self, answer: bytes, at: int, what: str) -> int:
        count, at = decode_length(answer, at)
        if count != len(self._parts):
            raise Violation(f"ACCESS-response with {count} {what}, {len(self._parts)} parts were asked")
        return at


def _specification(part: AccessPart) -> bytes:
    class_id, obis, number, selection = part.target
    if selection and part.service == "action":
        raise ValueError("a method has no selective access")
    try:
        written = apdu.descriptor(class_id, obis, number)
    except struct.error as why:
        raise ValueError(f"attribute or method out of range: {why}") from why
    if selection:
        return bytes((_WITH_SELECTION[part.service],)) + written + selection
    return bytes((_CHOICES[part.service],)) + written


def _result(part: AccessPart, code: int, value: AxdrValue) -> AccessResult:
    if not code:
        return AccessResult(part, None, value)
    return AccessResult(part, ActionError(code) if part.service == "action" else AccessError(code))

"""One ACTION exchange: normal, with-list, and both in blocks both ways (IEC 62056-5-3 clauses 9.3.5 and 9.5).

    C3 01 normal | 02 next-pblock | 03 with-list | 04 with-first-pblock | 05 with-list-and-first-pblock | 06 with-pblock
    C7 01 normal | 02 with-pblock | 03 with-list | 04 next-pblock
"""

import struct
from enum import Enum
from typing import NamedTuple

from edge.dlms import apdu
from edge.dlms.axdr import AxdrValue, decode, decode_at, decode_length, encode, encode_length
from edge.dlms.blocks import BlockReader, BlockWriter
from edge.dlms.cosem import AccessError, ActionError, Obis
from edge.errors import Violation

NORMAL, NEXT_BLOCK, LIST, FIRST_BLOCK, LIST_FIRST_BLOCK, BLOCK = 1, 2, 3, 4, 5, 6
_ANSWER_NORMAL, _ANSWER_BLOCK, _ANSWER_LIST, _ANSWER_NEXT = 1, 2, 3, 4
_NULL_DATA = b"\x00"


class _NoData(Enum):
    NO_DATA = "no data"


NO_DATA = _NoData.NO_DATA
"""Stands for parameters that are left out, or for an answer without any; None is null-data."""


class ActionRequest(NamedTuple):
    """One method of one object, and its parameters."""

    class_id: int
    obis: Obis
    method: int
    data: AxdrValue = NO_DATA

    def __str__(self) -> str:
        """Return "class/OBIS method n" for messages, without the parameters."""
        return f"{self.class_id}/{self.obis} method {self.method}"

    def __repr__(self) -> str:
        """Leave the parameters out: they may be a key."""
        return f"ActionRequest({self})"


class ActionResult(NamedTuple):
    """What came of one method: `error` None = done. `data` NO_DATA = it returned nothing.

    `data_error`: it was done, and what it returned cannot be read.
    """

    request: ActionRequest
    error: ActionError | None
    data: AxdrValue = NO_DATA
    data_error: AccessError | None = None


class Invoked(NamedTuple):
    """The ACTION is answered: one result for each method, in the order of the request."""

    results: tuple[ActionResult, ...]


class ActionExchange:
    """One request, its blocks where it is longer than the meter takes, and what answers it. See `events.Exchange`."""

    answer_tag = apdu.ACTION_RESPONSE

    def __init__(
        self, requests: tuple[ActionRequest, ...], invoke_id: int, *, room: int = 0, blocks: bool = False,
    ) -> None:
        """Prepare the request. `room` is the largest APDU, 0 = no limit; `blocks`: block transfer was negotiated.

        Raises ValueError for parameters or a method that cannot be written, or a request that does not fit.
        """
        self.results: tuple[ActionResult, ...] = ()
        self._requests = requests
        self._invoke_id = invoke_id
        self._room = room
        self._writer: BlockWriter | None = None
        self._reader = BlockReader()
        listed = len(requests) > 1
        try:
            head = b"".join(apdu.descriptor(each.class_id, each.obis, each.method) for each in requests)
        except struct.error as why:
            raise ValueError(f"method out of range: {why}") from why
        data = b"".join(_NULL_DATA if each.data is NO_DATA and listed else
                        b"" if each.data is NO_DATA else encode(each.data) for each in requests)
        if listed:
            count = encode_length(len(requests))
            head, data = count + head, count + data
        flag = b"" if listed else b"\x01" if data else b"\x00"
        self.request = apdu.invoke(apdu.ACTION_REQUEST, LIST if listed else NORMAL, invoke_id) + head + flag + data
        if room and len(self.request) > room:
            if not blocks or not data:
                raise ValueError(f"ACTION of {len(self.request)} octets, the meter takes {room} and no blocks")
            self._writer = BlockWriter(data)
            first = apdu.invoke(apdu.ACTION_REQUEST, LIST_FIRST_BLOCK if listed else FIRST_BLOCK, invoke_id) + head
            self.request = first + self._writer.following(room - len(first))

    def receive(self, answer: bytes) -> bytes | None:
        """Take one ACTION-response; return the next request, or None when all are answered. Raises Violation."""
        choice = apdu.check_invoke_id(answer, self._invoke_id, 4)
        writer = self._writer
        if choice == _ANSWER_NEXT and writer is not None and not self._reader.number:
            return self._next_block(writer, answer)
        if choice == _ANSWER_BLOCK:
            whole = self._reader.take_coded(answer, 3)
            if whole is None:
                return (apdu.invoke(apdu.ACTION_REQUEST, NEXT_BLOCK, self._invoke_id)
                        + self._reader.number.to_bytes(4, "big"))
            self.results = self._listed(whole, 0) if len(self._requests) > 1 else (self._from_blocks(whole),)
        elif self._reader.number:
            raise Violation(f"ACTION-response of choice {choice} among blocks")
        elif choice == _ANSWER_LIST and len(self._requests) > 1:
            self.results = self._listed(answer, 3)
        elif choice == _ANSWER_NORMAL and (len(self._requests) == 1 or answer[3]):
            self.results = self._normal(answer)
        else:
            raise Violation(f"ACTION-response of choice {choice} where none such is due")
        if writer is not None and not writer.finished and any(result.error is None for result in self.results):
            raise Violation("ACTION-response says success before the last block")
        return None

    def outcome(self) -> Invoked:
        """Return the event that ends the exchange."""
        return Invoked(self.results)

    def _next_block(self, writer: BlockWriter, answer: bytes) -> bytes:
        number = int.from_bytes(answer[3:7], "big")
        if len(answer) != 7 or number != writer.number or writer.finished:
            raise Violation(f"ACTION-response asks to go on after block {number}, {writer.number} was sent")
        head = apdu.invoke(apdu.ACTION_REQUEST, BLOCK, self._invoke_id)
        return head + writer.following(self._room - len(head))

    def _normal(self, answer: bytes) -> tuple[ActionResult, ...]:
        """Read the answer to one method; one refusal may also stand for a whole list."""
        result, end = _one(self._requests[0], answer, 3)
        if end != len(answer):
            raise Violation(f"{len(answer) - end} octets follow an ACTION-response")
        if len(self._requests) == 1:
            return (result,)
        return tuple(ActionResult(request, result.error) for request in self._requests)

    def _listed(self, octets: bytes, at: int) -> tuple[ActionResult, ...]:
        count, at = decode_length(octets, at)
        if count != len(self._requests):
            raise Violation(f"list of {count} results where {len(self._requests)} methods were called")
        results = []
        for request in self._requests:
            result, at = _one(request, octets, at)
            results.append(result)
        if at != len(octets):
            raise Violation(f"{len(octets) - at} octets follow a list of results")
        return tuple(results)

    def _from_blocks(self, whole: bytes) -> ActionResult:
        """Read what blocks carried: meters send the returned data alone, or result and data as in one piece."""
        try:
            return ActionResult(self._requests[0], None, decode(whole))
        except Violation:
            result, end = _one(self._requests[0], whole, 0)
            if end != len(whole):
                raise Violation(f"{len(whole) - end} octets follow the answer to an ACTION in blocks") from None
            return result


def _one(request: ActionRequest, octets: bytes, at: int) -> tuple[ActionResult, int]:
    """Read Action-Response-With-Optional-Data at `at`."""
    if at >= len(octets):
        raise Violation("ACTION-response ends before its result")
    error = ActionError(octets[at]) if octets[at] else None
    following = octets[at + 1:at + 3]
    if following[:1] in (b"", b"\x00"):      # some meters leave even the flag away
        return ActionResult(request, error), at + 1 + len(following[:1])
    if following == b"\x01\x00":
        value, end = decode_at(octets, at + 3)
        return ActionResult(request, error, value), end
    if following == b"\x01\x01" and at + 3 < len(octets) and octets[at + 3]:
        return ActionResult(request, error, NO_DATA, AccessError(octets[at + 3])), at + 4
    raise Violation("ACTION-response with neither data nor error behind its result")

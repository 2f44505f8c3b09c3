"""One SET exchange: normal, with-list, and both in blocks (IEC 62056-5-3 clauses 9.3.4 and 9.5).

    C1 01 normal | 02 with-first-datablock | 03 with-datablock | 04 with-list | 05 with-list-and-first-datablock
    C5 01 normal | 02 datablock            | 03 last-datablock | 04 last-datablock-with-list | 05 with-list
"""

import struct
from typing import NamedTuple

from edge.dlms import apdu
from edge.dlms.axdr import AxdrValue, decode_length, encode, encode_length
from edge.dlms.blocks import BlockWriter
from edge.dlms.cosem import AccessError, Attribute
from edge.errors import Violation

NORMAL, FIRST_BLOCK, BLOCK, LIST, LIST_FIRST_BLOCK = 1, 2, 3, 4, 5
_ANSWER_NORMAL, _ANSWER_BLOCK, _ANSWER_LAST, _ANSWER_LAST_LIST, _ANSWER_LIST = 1, 2, 3, 4, 5


class SetResult(NamedTuple):
    """What the meter said to one attribute: `error` None = it was set."""

    attribute: Attribute
    error: AccessError | None


class Written(NamedTuple):
    """The SET is answered: one result for each attribute, in the order of the request."""

    results: tuple[SetResult, ...]


class SetExchange:
    """One request, its blocks where it is longer than the meter takes, and what answers it. See `events.Exchange`."""

    answer_tag = apdu.SET_RESPONSE

    def __init__(
        self, items: tuple[tuple[Attribute, AxdrValue], ...], invoke_id: int, *, room: int, blocks: bool,
    ) -> None:
        """Prepare the request. `room` is the largest APDU, 0 = no limit; `blocks`: block transfer was negotiated.

        Raises ValueError for a value or an attribute that cannot be written, or a request that does not fit.
        """
        self.results: tuple[SetResult, ...] = ()
        self._attributes = tuple(attribute for attribute, _value in items)
        self._invoke_id = invoke_id
        self._room = room
        self._writer: BlockWriter | None = None
        self._listed = len(items) > 1
        try:
            head = b"".join(map(apdu.selected, self._attributes))
        except struct.error as why:
            raise ValueError(f"attribute out of range: {why}") from why
        data = b"".join(encode(value) for _attribute, value in items)
        if self._listed:
            count = encode_length(len(items))
            head, data = count + head, count + data
        self.request = apdu.invoke(apdu.SET_REQUEST, LIST if self._listed else NORMAL, invoke_id) + head + data
        if room and len(self.request) > room:
            if not blocks:
                raise ValueError(f"SET of {len(self.request)} octets, the meter takes {room} and no blocks")
            self._writer = BlockWriter(data)
            first = apdu.invoke(apdu.SET_REQUEST, LIST_FIRST_BLOCK if self._listed else FIRST_BLOCK, invoke_id) + head
            self.request = first + self._writer.following(room - len(first))

    def receive(self, answer: bytes) -> bytes | None:
        """Take one SET-response; return the next block, or None when all are answered. Raises Violation."""
        choice = apdu.check_invoke_id(answer, self._invoke_id, 4)
        codes: tuple[int, ...]
        writer = self._writer
        if writer is not None and choice == _ANSWER_BLOCK:
            return self._next_block(writer, answer)
        if writer is None and choice == _ANSWER_NORMAL and not self._listed:
            end = 4
            codes = (answer[3],)
        elif writer is None and choice == _ANSWER_LIST and self._listed:
            codes, end = self._codes(answer)
        elif writer is not None and choice in (_ANSWER_NORMAL, _ANSWER_LAST) and not self._listed:
            codes, end = (answer[3],), self._numbered(writer, answer, 4) if choice == _ANSWER_LAST else 4
        elif writer is not None and choice == _ANSWER_LAST_LIST and self._listed:
            codes, end = self._codes(answer)
            end = self._numbered(writer, answer, end)
        else:
            raise Violation(f"SET-response of choice {choice} where none such is due")
        if end != len(answer):
            raise Violation(f"SET-response of {len(answer)} octets, {end} are due")
        if writer is not None and not writer.finished and not any(codes):
            raise Violation("SET-response says success before the last block")
        self.results = tuple(SetResult(attribute, AccessError(code) if code else None)
                             for attribute, code in zip(self._attributes, codes, strict=True))
        return None

    def outcome(self) -> Written:
        """Return the event that ends the exchange."""
        return Written(self.results)

    def _next_block(self, writer: BlockWriter, answer: bytes) -> bytes:
        if self._numbered(writer, answer, 3) != len(answer) or writer.finished:
            raise Violation("SET-response that asks for a block after the last one, or is too long")
        head = apdu.invoke(apdu.SET_REQUEST, BLOCK, self._invoke_id)
        return head + writer.following(self._room - len(head))

    @staticmethod
    def _numbered(writer: BlockWriter, answer: bytes, at: int) -> int:
        number = int.from_bytes(answer[at:at + 4], "big")
        if at + 4 > len(answer) or number != writer.number:
            raise Violation(f"SET-response acknowledges block {number}, {writer.number} was sent")
        return at + 4

    def _codes(self, answer: bytes) -> tuple[tuple[int, ...], int]:
        count, at = decode_length(answer, 3)
        if count != len(self._attributes) or at + count > len(answer):
            raise Violation(f"list of {count} results where {len(self._attributes)} attributes were set")
        return tuple(answer[at:at + count]), at + count

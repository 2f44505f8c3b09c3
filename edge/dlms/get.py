"""One GET exchange: normal, with-list, and the block transfer of their answers (IEC 62056-5-3 clause 9.3.3).

Every answer must carry the invoke-id of the request, blocks must come in order from 1, a list must have exactly the
items asked for, and nothing may follow. Anything else is a Violation: the connection ends, nothing is guessed.
"""

from typing import NamedTuple

import msgspec

from edge.dlms import apdu
from edge.dlms.axdr import AxdrValue, decode, decode_at, decode_length
from edge.dlms.blocks import BlockReader
from edge.dlms.cosem import AccessError, Attribute
from edge.dlms.layout import ListLayout
from edge.errors import FailReason, Refused, Violation

_DATA, _ERROR = 0, 1      # Get-Data-Result
_NO_BLOCKS = BlockReader()
"""Stands in until a block comes, and is never given one."""


class GetResult(msgspec.Struct, frozen=True, gc=False):
    """What came back for one attribute: `data` (None may also be null-data), or `error` and no data.

    One is made for each value of each poll: no other class is made as fast.
    """

    attribute: Attribute
    data: AxdrValue
    error: AccessError | None = None


class Answer(NamedTuple):
    """The GET is answered: one result for each attribute, in the order of the request."""

    results: tuple[GetResult, ...]


class GetMemo:
    """The list that was answered last: its request, and how the answer was laid out."""

    __slots__ = ("attributes", "layout", "request")

    def __init__(self) -> None:
        """Start with nothing known."""
        self.attributes: tuple[Attribute, ...] = ()
        self.request = b""
        self.layout: ListLayout | None = None


class GetExchange:
    """One request and everything that answers it.

    Shape of an exchange, for this and every other service: `request` is sent first; each answer APDU goes to `receive`,
    which returns the next request to send, or None when `results` are complete.
    """

    __slots__ = ("_attributes", "_invoke_id", "_memo", "_reader", "request", "results")
    answer_tag = apdu.GET_RESPONSE

    def __init__(self, attributes: tuple[Attribute, ...], invoke_id: int, memo: GetMemo | None = None) -> None:
        """Prepare the request for one attribute or more; raise ValueError for an attribute out of range.

        `memo` outlives the exchange. Where the very same tuple is asked for again it saves time, and does nothing else.
        """
        self._memo = memo
        if memo is not None and attributes is memo.attributes:
            request = memo.request
            self.request = b"".join((request[:2], bytes((apdu.INVOKE_FLAGS | invoke_id,)), request[3:]))
        else:
            self.request = apdu.get_request(attributes, invoke_id)
        self.results: tuple[GetResult, ...] = ()
        self._attributes = attributes
        self._invoke_id = invoke_id
        self._reader = _NO_BLOCKS

    def receive(self, answer: bytes) -> bytes | None:
        """Take one GET-response APDU; raise Violation, or Refused where the meter refuses a list as a whole."""
        choice = apdu.check_invoke_id(answer, self._invoke_id, 5)
        if choice == apdu.BLOCK:
            return self._block(answer)
        if choice == apdu.LIST and not self._reader.number:
            self._list(answer, 3)
        elif choice == apdu.NORMAL:
            self._normal(answer)
        else:
            raise Violation(f"GET-response of choice {choice} is unknown, or comes among blocks")
        return None

    def outcome(self) -> Answer:
        """Return the event that ends the exchange."""
        return Answer(self.results)

    def _normal(self, answer: bytes) -> None:
        if answer[3] == _ERROR:
            if len(answer) != 5:
                raise Violation("octets follow the error in a GET-response")
            self._refused(answer[4])
            return
        if answer[3] != _DATA or self._reader.number or len(self._attributes) != 1:
            raise Violation("GET-response with one value where none is due")
        value, end = decode_at(answer, 4)
        if end != len(answer):
            raise Violation(f"{len(answer) - end} octets follow the value in a GET-response")
        self.results = (GetResult(self._attributes[0], value),)

    def _list(self, answer: bytes, at: int) -> None:
        attributes, memo = self._attributes, self._memo
        if memo is not None and memo.layout is not None and attributes is memo.attributes and (
                values := memo.layout.read(answer, at)) is not None:
            self.results = tuple(map(GetResult, attributes, values))
            return
        count, at = decode_length(answer, at)
        if len(attributes) == 1 or count != len(attributes):
            raise Violation(f"list of {count} results where {len(attributes)} attributes were asked")
        results: list[GetResult] = []
        end = len(answer)
        for attribute in attributes:
            if at >= end:
                raise Violation(f"list of results ends after {len(results)} of {count}")
            choice = answer[at]
            if choice == _DATA:
                value, at = decode_at(answer, at + 1)
                results.append(GetResult(attribute, value))
            elif choice == _ERROR and at + 1 < end:
                results.append(GetResult(attribute, None, _access_error(answer[at + 1])))
                at += 2
            else:
                raise Violation(f"result {len(results) + 1} of {count} is neither data nor error")
        if at != end:
            raise Violation(f"{end - at} octets follow a list of results")
        self.results = tuple(results)
        if memo is not None:
            memo.attributes, memo.request = attributes, self.request
            memo.layout = ListLayout.of([result.data for result in results])

    def _block(self, answer: bytes) -> bytes | None:
        # C4 02 invoke-id | last-block | block-number (4) | 0: octet-string, 1: data-access-result
        if len(answer) < 10:
            raise Violation(f"data block of {len(answer)} octets is cut short")
        last, number, choice = answer[3] != 0, int.from_bytes(answer[4:8], "big"), answer[8]
        if number != self._reader.number + 1:
            raise Violation(f"data block {number} where {self._reader.number + 1} is due")
        if choice == _ERROR and len(answer) == 10:
            self._refused(answer[9])
            return None
        length, at = decode_length(answer, 9)
        if choice != _DATA or at + length != len(answer):
            raise Violation(f"data block {number} announces {length} octets, holds {len(answer) - at}")
        if self._reader is _NO_BLOCKS:
            self._reader = BlockReader()
        whole = self._reader.take(number, answer[at:], last=last)
        if whole is None:
            return apdu.get_next(number, self._invoke_id)
        if len(self._attributes) == 1:
            self.results = (GetResult(self._attributes[0], decode(whole)),)
        else:
            self._list(whole, 0)
        return None

    def _refused(self, code: int) -> None:
        error = _access_error(code)
        if len(self._attributes) > 1:
            raise Refused(f"the meter refused a list of {len(self._attributes)} attributes: {error.text}",
                          reason=FailReason.EXCEPTION_RESPONSE, temporary=error.temporary)
        self.results = (GetResult(self._attributes[0], None, error),)


def _access_error(code: int) -> AccessError:
    if code == 0:
        raise Violation("data-access-result 'success' in the place of an error")
    return AccessError(code)

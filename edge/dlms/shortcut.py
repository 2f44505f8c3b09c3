"""The shortest way for what nearly every poll is: the same list again, in clear over the TCP wrapper.

    wrapper header, C4 03 | invoke-id | count, 00 tag value, 00 tag value, ...      the list is `ListLayout`'s

Sixteen requests are made once, one for each invoke-id. An answer is taken here when it is one whole frame, every octet
before its list is what it must be, and the list is laid out as the last one was. For anything else `read` returns None
and decides nothing: the general way (`wrapper`, `get`, `axdr`) takes the same octets.
"""

from edge.dlms import apdu
from edge.dlms.cosem import Attribute
from edge.dlms.get import GetResult
from edge.dlms.layout import ListLayout
from edge.dlms.link import WrapperLink
from edge.dlms.wrapper import HEADER_BYTES

_INVOKE_ID_AT = HEADER_BYTES + 2
_LIST_AT = _INVOKE_ID_AT + 1
_NOTHING = -1


class ShortCut:
    """Of one list on one association. `asked`: the invoke-id of the request that `read` waits for, else -1."""

    __slots__ = ("_attributes", "_head", "_link", "_requests", "asked", "layout")

    def __init__(
        self, attributes: tuple[Attribute, ...], request: bytes, layout: ListLayout, link: WrapperLink,
    ) -> None:
        """Take what was asked and how its answer was laid out. `request` is the APDU under any invoke-id."""
        self.asked = _NOTHING
        self.layout = layout
        self._attributes, self._link = attributes, link
        frame = link.frame(request)
        self._requests = tuple(
            frame[:_INVOKE_ID_AT] + bytes((apdu.INVOKE_FLAGS | invoke_id,)) + frame[_LIST_AT:]
            for invoke_id in range(16))
        start = bytes((apdu.GET_RESPONSE, apdu.LIST))
        self._head = link.answer_header(len(start) + 1 + layout.size_bytes) + start

    def request(self, invoke_id: int) -> bytes:
        """Return the frame that asks for the list again."""
        self.asked = invoke_id
        frame = self._requests[invoke_id]
        self._link.sent_whole(len(frame))
        return frame

    def read(self, frame: bytes) -> tuple[GetResult, ...] | None:
        """Return the results if `frame` is the answer to the newest request, and laid out as the last one."""
        values = self.layout.read(frame, _LIST_AT)
        if values is None or frame[_INVOKE_ID_AT] & 0x0F != self.asked or not frame.startswith(self._head):
            return None
        self.asked = _NOTHING
        self._link.took_whole(len(frame))
        return tuple(map(GetResult, self._attributes, values))

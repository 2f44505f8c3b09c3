"""The shortest way for what nearly every poll is: the same list again, in clear over the TCP wrapper.

    wrapper header, C4 03 | invoke-id | count, 00 tag | value | 00 tag | value | ...

Sixteen requests are made once, one for each invoke-id. An answer is taken here when it is one whole frame in which
every octet that is not a value is what the answer before had there, and its invoke-id is the one that was asked. For
anything else `read` returns None and decides nothing: the general way (`wrapper`, `get`, `axdr`) takes the same octets.
"""

import struct
from itertools import repeat

from edge.dlms import apdu, wrapper
from edge.dlms.cosem import Attribute
from edge.dlms.get import GetResult
from edge.dlms.layout import ListLayout

_INVOKE_ID_AT = wrapper.HEADER_BYTES + 2


class ShortCut:
    """Of one list on one association."""

    __slots__ = ("_attributes", "_heads", "_shape", "layout", "requests")

    def __init__(
        self, attributes: tuple[Attribute, ...], request: bytes, layout: ListLayout,
        client_sap: int, server_logical: int,
    ) -> None:
        """Take what was asked and how its answer was laid out. `request` is the APDU under any invoke-id."""
        frame = wrapper.encode(client_sap, server_logical, request)
        self.requests = tuple(
            frame[:_INVOKE_ID_AT] + bytes((apdu.INVOKE_FLAGS | invoke_id,)) + frame[_INVOKE_ID_AT + 1:]
            for invoke_id in range(16))
        self._attributes, self.layout = attributes, layout
        first, *others = layout.kinds
        values = first.layout.format[1:] + "".join(f"2s{kind.layout.format[1:]}" for kind in others)
        self._shape = struct.Struct(f">{_INVOKE_ID_AT}sB3s{values}")
        length = self._shape.size - wrapper.HEADER_BYTES
        header = wrapper.encode(server_logical, client_sap, bytes(length))[:wrapper.HEADER_BYTES]
        self._heads = (header + bytes((apdu.GET_RESPONSE, apdu.LIST)), bytes((len(layout.kinds), 0, first.tag)),
                       *(bytes((0, kind.tag)) for kind in others))

    def read(self, frame: bytes, invoke_id: int) -> tuple[GetResult, ...] | None:
        """Return the results if `frame` is the answer to the request under `invoke_id` and laid out as the last one."""
        if len(frame) != self._shape.size:
            return None
        parts = self._shape.unpack(frame)
        if parts[1] & 0x0F != invoke_id or parts[::2] != self._heads:
            return None
        # GetResult(attribute, kind(value), None) for each, without a Python call for each
        return tuple(map(tuple.__new__, repeat(GetResult), zip(
            self._attributes, map(int.__new__, self.layout.kinds, parts[3::2]), repeat(None))))

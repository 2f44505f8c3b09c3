"""Image transfer: what the object says, what is asked of it, and which blocks are still to be sent (pure).

IEC 62056-6-2, class 18. The meter keeps which blocks it has, over power cuts and associations, so that a transfer goes
on from there, whoever was restarted in between:

    initiate(identifier, size) ─► block(number, octets) … ─► verify ─► activate
                                   │ bitmap (attribute 3), else the first missing one (attribute 4)
"""

import heapq
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

from edge.dlms.action import ActionRequest
from edge.dlms.axdr import Integer
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.data import BitString
from edge.meters.dutyspec import ImageSpec

CLASS_IMAGE_TRANSFER = 18
BLOCK_SIZE, BITMAP, FIRST_MISSING, ENABLED, STATUS, TO_ACTIVATE = 2, 3, 4, 5, 6, 7
_INITIATE, _BLOCK, _VERIFY, _ACTIVATE = 1, 2, 3, 4
_NOTHING = Integer(15, 0)
_DOUBLE_LONG_UNSIGNED = 6


class TransferStatus(IntEnum):
    """Attribute 6."""

    NOT_INITIATED = 0
    INITIATED = 1
    VERIFICATION_INITIATED = 2
    VERIFICATION_SUCCESSFUL = 3
    VERIFICATION_FAILED = 4
    ACTIVATION_INITIATED = 5
    ACTIVATION_SUCCESSFUL = 6
    ACTIVATION_FAILED = 7

    @property
    def text(self) -> str:
        """Return it in words."""
        return self.name.lower().replace("_", " ")


class Activation(NamedTuple):
    """One entry of attribute 7: what would be activated. `signature` is the maker's business."""

    size_bytes: int
    identifier: bytes
    signature: bytes


def attribute(spec: ImageSpec, number: int) -> Attribute:
    """Return the reference to one attribute."""
    return Attribute(CLASS_IMAGE_TRANSFER, Obis.parse(spec.obis), number)


def initiate(spec: ImageSpec, identifier: bytes, size_bytes: int) -> ActionRequest:
    """Return the call that begins a transfer; what the meter had of another one is gone then."""
    return _call(spec, _INITIATE, (identifier, Integer(_DOUBLE_LONG_UNSIGNED, size_bytes)))


def transfer(spec: ImageSpec, number: int, octets: bytes) -> ActionRequest:
    """Return the call that sends a block, counted from 0."""
    return _call(spec, _BLOCK, (Integer(_DOUBLE_LONG_UNSIGNED, number), octets))


def verify(spec: ImageSpec) -> ActionRequest:
    """Return the call that lets the meter check what it has."""
    return _call(spec, _VERIFY, _NOTHING)


def activate(spec: ImageSpec) -> ActionRequest:
    """Return the call that lets the meter run it."""
    return _call(spec, _ACTIVATE, _NOTHING)


def status_of(data: Any) -> TransferStatus | str:
    """Read attribute 6; a plain str says why it is none."""
    if isinstance(data, Integer) and int(data) in list(TransferStatus):
        return TransferStatus(int(data))
    return f"image_transfer_status {data!r} is none of 0 to 7"


def activations(data: Any) -> list[Activation]:
    """Read attribute 7; what is no entry of it is passed over."""
    found = []
    for entry in data if isinstance(data, list) else ():
        match entry:
            case (Integer() as size, bytes() as identifier, bytes() as signature):
                found.append(Activation(int(size), bytes(identifier), bytes(signature)))
    return found


class Missing:
    """Which blocks of an image the meter is not known to have. `block_bytes` is the meter's, the last is the rest."""

    def __init__(self, size_bytes: int, block_bytes: int) -> None:
        """All of them are missing. ValueError where there can be no blocks."""
        if size_bytes < 1 or block_bytes < 1:
            raise ValueError(f"no blocks: {size_bytes} octets by {block_bytes}")
        self.size_bytes = size_bytes
        self.block_bytes = block_bytes
        self.count = -(-size_bytes // block_bytes)
        self._missing = set(range(self.count))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._missing)

    def span(self, number: int) -> tuple[int, int]:
        """Return offset and length of a block in the image."""
        offset = number * self.block_bytes
        return offset, min(self.block_bytes, self.size_bytes - offset)

    def told(self, bitmap: Any, first: Any) -> bool:
        """Take the meter's word for what it has: the bitmap, where it is one of these blocks, else the first missing.

        False: it has told neither; then what was thought before still is.
        """
        if isinstance(bitmap, BitString) and self.count <= bitmap.length < self.count + 8:      # some fill the octet
            bits = "".join(f"{octet:08b}" for octet in bitmap.octets)
            self._missing = {number for number in range(self.count) if bits[number] == "0"}
            return True
        if isinstance(first, Integer) and 0 <= int(first) <= self.count:
            # Nothing is said of those behind it that it may have: they are sent again, which does no harm.
            self._missing = set(range(int(first), self.count))
            return True
        return False

    def sent(self, numbers: Iterable[int]) -> None:
        """Note blocks that the meter says it has taken."""
        self._missing.difference_update(numbers)

    def following(self, most: int) -> tuple[int, ...]:
        """Return the next blocks to send, at most so many, lowest first."""
        return tuple(heapq.nsmallest(most, self._missing))


def _call(spec: ImageSpec, method: int, data: Any) -> ActionRequest:
    return ActionRequest(CLASS_IMAGE_TRANSFER, Obis.parse(spec.obis), method, data)

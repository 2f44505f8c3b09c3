"""Class 18, image transfer: firmware into the simulated meter by blocks, with resume (pure). IEC 62056-6-2, 4.4.6.

What has come stays over power cuts and associations, so that a client can go on from the first missing block. The image
itself is kept until it is activated or replaced.
"""

import hashlib
import math
from typing import ClassVar

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import (
    NO_SUCH_METHOD,
    OTHER_REASON,
    READ_WRITE_DENIED,
    SUCCESS,
    TEMPORARY_FAILURE,
    CosemObject,
    Outcome,
)
from edge.demo.meter_data import BadData, Item
from edge.demo.meter_device import EVENT_IMAGE_ACTIVE, EVENT_IMAGE_READY, Device

NOT_INITIATED, INITIATED, VERIFYING, VERIFIED, VERIFICATION_FAILED, _, ACTIVATED, _ = range(8)
LIMIT_BYTES = 4 << 20


class ImageTransfer(CosemObject):
    """Methods: initiate, block_transfer, verify, activate. `expected_sha256`: verification fails for another image."""

    __slots__ = ("_blocks", "_device", "_enabled", "_identifier", "_image", "_size", "_until", "expected_sha256",
                 "firmware", "status")
    class_id = objects.CLASS_IMAGE
    attributes, methods = 7, 4
    writable: ClassVar[frozenset[int]] = frozenset({5})

    def __init__(self, device: Device) -> None:
        """Nothing transferred yet, and transfer enabled."""
        super().__init__(objects.IMAGE_TRANSFER)
        self._device = device
        self._enabled = True
        self._identifier = b""
        self._size = 0
        self._blocks: list[bool] = []
        self._image = bytearray()
        self._until = 0.0                                  # verification is over then
        self.status = NOT_INITIATED
        self.expected_sha256: bytes | None = None
        self.firmware = b"1.0.0"                           # the identifier of the image that runs

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        self._settle(now)
        if attribute == 7:
            return self._to_activate()
        return (
            objects.integer(0x06, self._device.fittings.image_block_bytes),
            objects.bits(self._blocks),
            objects.integer(0x06, self._first_missing()),
            bytes((0x03, self._enabled)),
            bytes((0x16, self.status)),
        )[attribute - 2]

    def _to_activate(self) -> bytes:
        """image_to_activate_info; the signature is the image's SHA-256."""
        if self.status not in (VERIFIED, ACTIVATED):
            return objects.sequence([], 0x01)
        signature = hashlib.sha256(self._image).digest()
        info = [objects.integer(0x06, self._size), objects.octets(self._identifier), objects.octets(signature)]
        return objects.sequence([objects.sequence(info, 0x02)], 0x01)

    def set(self, attribute: int, value: Item, now: float) -> int:
        """image_transfer_enabled may be set."""
        del now
        if attribute != 5:
            return READ_WRITE_DENIED
        self._enabled = bool(value.number())
        return SUCCESS

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        """See `CosemObject`."""
        self._settle(now)
        if not 1 <= method <= 4:
            return Outcome(NO_SUCH_METHOD)
        if not self._enabled:
            return Outcome(READ_WRITE_DENIED)
        if method == 1:
            identifier, size = argument.items(2)
            return Outcome(self._initiate(identifier.octets(), size.number()))
        if method == 2:
            number, block = argument.items(2)
            return Outcome(self._take(number.number(), block.octets()))
        return Outcome(self._verify(now) if method == 3 else self._activate(now))

    def _initiate(self, identifier: bytes, size: int) -> int:
        if not 0 < size <= LIMIT_BYTES:
            return OTHER_REASON
        count = math.ceil(size / self._device.fittings.image_block_bytes)
        self._identifier, self._size = identifier, size
        self._blocks, self._image = [False] * count, bytearray(size)
        self.status = INITIATED
        return SUCCESS

    def _take(self, number: int, block: bytes) -> int:
        if self.status not in (INITIATED, VERIFICATION_FAILED):
            return OTHER_REASON
        size = self._device.fittings.image_block_bytes
        if not 0 <= number < len(self._blocks) or len(block) != min(size, self._size - number * size):
            raise BadData("no block of this image")
        if number in self._device.fittings.image_loses:
            self._device.fittings.image_loses.discard(number)
            return SUCCESS
        self._image[number * size:number * size + len(block)] = block
        self._blocks[number] = True
        return SUCCESS

    def _verify(self, now: float) -> int:
        if self.status == VERIFYING:
            return TEMPORARY_FAILURE
        if self.status not in (INITIATED, VERIFIED, VERIFICATION_FAILED) or not all(self._blocks):
            return OTHER_REASON
        wait_s = self._device.fittings.image_verify_s
        if wait_s and self.status != VERIFIED:
            self.status, self._until = VERIFYING, now + wait_s
            return TEMPORARY_FAILURE
        return self._conclude(now)

    def _settle(self, now: float) -> None:
        if self.status == VERIFYING and now >= self._until:
            self._conclude(now)

    def _conclude(self, now: float) -> int:
        right = self.expected_sha256 in (None, hashlib.sha256(self._image).digest())
        self.status = VERIFIED if right else VERIFICATION_FAILED
        if right:
            self._device.log(EVENT_IMAGE_READY, now)
        return SUCCESS if right else OTHER_REASON

    def _activate(self, now: float) -> int:
        if self.status != VERIFIED:
            return OTHER_REASON
        self.status, self.firmware = ACTIVATED, self._identifier
        self._device.log(EVENT_IMAGE_ACTIVE, now)
        return SUCCESS

    def _first_missing(self) -> int:
        return self._blocks.index(False) if False in self._blocks else len(self._blocks)

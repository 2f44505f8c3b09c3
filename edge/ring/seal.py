"""Frames of an encrypted ring: AES-256-GCM under a key of the segment's own (docs/decisions/0019-ring-encryption.md).

    payload of a sealed frame  =  nonce (12, random) | ciphertext | tag (16)            flag 32 in its head
    associated data            =  bytes 0..19 of the head, as they stand on flash
    key of a segment           =  HKDF-SHA256(ring key, salt: ring uuid, info: "halow-ring segment" | uid u32)
    key check value            =  HKDF-SHA256(ring key, salt: ring uuid, info: "halow-ring check"), 8 bytes

The checksum of the frame goes over all of this, so damage is found and slots are put together without any key. A frame
whose checksum is right and whose tag is not was altered by somebody, and counts as damage too.
"""

import os
from collections.abc import Callable
from functools import lru_cache

from edge.ring.frame import Frame, FrameFlag, frame_head
from edge.ring.layout import SEALED, SlotHeader

KEY_BYTES = 32
NONCE_BYTES, TAG_BYTES, CHECK_BYTES = 12, 16, 8
SEAL_BYTES = NONCE_BYTES + TAG_BYTES      # what sealing adds to a payload
_SEGMENT, _CHECK = b"halow-ring segment", b"halow-ring check"
_SEALS_KEPT = 64


class Seal:
    """The key of one segment. Never shows it."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        """Take a derived key, `random` gives the nonces."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - slow to load, off by default
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - same

        self._aes, self._random, self._wrong_tag = AESGCM(key), random, InvalidTag

    def seal(self, frame: Frame) -> Frame:
        """Return the frame as it goes to flash. Nonces are drawn: there is no counter for a power cut to turn back."""
        flags = frame.flags | FrameFlag.SEALED
        head = frame_head(frame.type, flags, frame.records, len(frame.payload) + SEAL_BYTES, frame.first_seq)
        nonce = self._random(NONCE_BYTES)
        return frame._replace(flags=flags, payload=nonce + self._aes.encrypt(nonce, frame.payload, head))

    def unseal(self, frame: Frame) -> Frame | None:
        """Return what was sealed; None where this key did not seal it as it stands, or nobody did."""
        payload = frame.payload
        if not frame.flags & FrameFlag.SEALED or len(payload) < SEAL_BYTES:
            return None
        head = frame_head(frame.type, frame.flags, frame.records, len(payload), frame.first_seq)
        try:
            plain = self._aes.decrypt(payload[:NONCE_BYTES], payload[NONCE_BYTES:], head)
        except self._wrong_tag:
            return None
        return frame._replace(flags=frame.flags & ~FrameFlag.SEALED, payload=plain)


class Keyring:
    """A ring's key, and the keys that come of it."""

    def __init__(self, key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        """Take `KEY_BYTES` of key; `random` gives the nonces."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a ring's key has {KEY_BYTES} bytes")
        self._key, self._random = key, random
        self._seal = lru_cache(maxsize=_SEALS_KEPT)(self._new_seal)

    def check(self, ring: bytes) -> bytes:
        """Return what each header of the ring says of its key: enough to tell another one, nothing to guess it by."""
        return self._derive(ring, _CHECK, CHECK_BYTES)

    def seal_of(self, header: SlotHeader) -> Seal | None:
        """Return what the frames of a segment are sealed with, None where they are not."""
        return self._seal(header.ring, header.uid) if header.incompatible & SEALED else None

    def _new_seal(self, ring: bytes, uid: int) -> Seal:
        return Seal(self._derive(ring, _SEGMENT + uid.to_bytes(4, "little"), KEY_BYTES), self._random)

    def _derive(self, ring: bytes, info: bytes, length: int) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - same
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - same

        return HKDF(algorithm=SHA256(), length=length, salt=ring, info=info).derive(self._key)

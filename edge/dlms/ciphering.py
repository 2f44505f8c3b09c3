"""AES-GCM as DLMS/COSEM uses it: security suites 0, 1 and 2, symmetric part (IEC 62056-5-3 clause 5.3, SP 800-38D).

    sealed = SC (1) | invocation counter (4) | information, in clear or encrypted | tag (12), where authenticated
    nonce  = system title of the sender (8) | invocation counter (4)

    authenticated only             tag over SC | AK | information
    encrypted only                 no tag: whoever can alter bytes on the way alters the text unnoticed
    authenticated and encrypted    tag over SC | AK and the encrypted information

The primitive is AESGCM of `cryptography` (docs/decisions/0013-ciphering.md): it keeps the key schedule, and an APDU
costs a quarter of what a cipher object per call costs.
"""

from enum import IntFlag
from hmac import compare_digest
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.errors import NotGenuine

TITLE_BYTES, TAG_BYTES, HEADER_BYTES = 8, 12, 5
KEY_BYTES = {0: 16, 1: 16, 2: 32}
"""Security suite -> length of each of its symmetric keys: AES-128, AES-128, AES-256."""

MAX_COUNTER = 0xFFFF_FFFF
_SUITE_BITS, _UNSUPPORTED_BITS = 0x0F, 0xC0        # broadcast key, compression
_AUTHENTICATED, _ENCRYPTED, _BOTH = 0x10, 0x20, 0x30      # plain numbers: enum arithmetic costs more than the cipher


class Protection(IntFlag):
    """How an APDU is protected: bits 4 and 5 of the security control octet."""

    NONE = 0
    AUTHENTICATED = 0x10
    ENCRYPTED = 0x20
    BOTH = 0x30


PROTECTIONS = {int(each): each for each in (Protection.AUTHENTICATED, Protection.ENCRYPTED, Protection.BOTH)}


class Unsealed(NamedTuple):
    """What was under the seal, and what the seal said."""

    protection: Protection
    counter: int
    information: bytes


class Cipher:
    """One encryption key with its authentication key. Never shows either."""

    def __init__(self, suite: int, encryption_key: bytes, authentication_key: bytes) -> None:
        """Raise ValueError where a key has not the length of the suite; the text holds no key."""
        check_keys(suite, encryption_key, authentication_key)
        self._suite = suite
        self._controls = {protection: bytes((suite | protection,)) for protection in PROTECTIONS.values()}
        self._aes = AESGCM(encryption_key)
        self._authentication_key = authentication_key

    def seal(self, protection: Protection, title: bytes, counter: int, information: bytes) -> bytes:
        """Protect `information`. The same title and counter must never come a second time under the same key."""
        control, nonce = self._controls[protection], _nonce(title, counter)
        header = control + nonce[TITLE_BYTES:]
        if protection is Protection.BOTH:
            return header + self._aes.encrypt(nonce, information, control + self._authentication_key)[:TAG_BYTES - 16]
        if protection is Protection.AUTHENTICATED:
            return header + information + self._tag(nonce, control, information)
        return header + self._aes.encrypt(nonce, information, None)[:len(information)]

    def unseal(self, title: bytes, sealed: bytes) -> Unsealed:
        """Check and decipher; raise NotGenuine for anything that this key did not seal for this suite."""
        control = sealed[0] if sealed else 0
        kind = control & _BOTH
        tag_bytes = TAG_BYTES if kind & _AUTHENTICATED else 0
        if len(sealed) < HEADER_BYTES + tag_bytes or not kind:
            raise NotGenuine(f"a ciphered APDU with security control 0x{control:02x} and {len(sealed)} octets")
        if control & _UNSUPPORTED_BITS or control & _SUITE_BITS != self._suite:
            raise NotGenuine(f"security control 0x{control:02x} where suite {self._suite} and nothing else is due")
        nonce = title + sealed[1:HEADER_BYTES]
        end = len(sealed) - tag_bytes
        information, tag = sealed[HEADER_BYTES:end], sealed[end:]
        if kind == _AUTHENTICATED:
            expected = self._tag(nonce, sealed[:1], information)
        else:
            # GCM encrypts by a key stream, so encrypting again deciphers. AESGCM.decrypt itself takes 16-octet tags
            # only; the tag is computed anew instead and compared in constant time, before anything is handed out.
            information = self._aes.encrypt(nonce, information, None)[:len(information)]
            expected = b"" if kind == _ENCRYPTED else self._aes.encrypt(
                nonce, information, sealed[:1] + self._authentication_key)[-16:TAG_BYTES - 16]
        if not compare_digest(expected, tag):
            raise NotGenuine("the authentication tag is wrong: altered on the way, or other keys than the meter's")
        return Unsealed(PROTECTIONS[kind], int.from_bytes(sealed[1:HEADER_BYTES], "big"), information)

    def gmac(self, title: bytes, counter: int, challenge: bytes) -> bytes:
        """Return what proves the keys over a challenge, as HLS mechanism 5 sends it: SC | counter | tag."""
        control, nonce = self._controls[Protection.AUTHENTICATED], _nonce(title, counter)
        return control + nonce[TITLE_BYTES:] + self._tag(nonce, control, challenge)

    def _tag(self, nonce: bytes, control: bytes, information: bytes) -> bytes:
        return self._aes.encrypt(nonce, b"", control + self._authentication_key + information)[:TAG_BYTES]


def check_keys(suite: int, *keys: bytes) -> None:
    """Raise ValueError for an unknown suite or a key of another length than the suite's; the text holds no key."""
    if suite not in KEY_BYTES:
        raise ValueError(f"security suite {suite} is not known; there are 0, 1 and 2")
    for key in keys:
        if len(key) != KEY_BYTES[suite]:
            raise ValueError(f"a key of {len(key)} octets; security suite {suite} has keys of {KEY_BYTES[suite]}")


def _nonce(title: bytes, counter: int) -> bytes:
    if len(title) != TITLE_BYTES:
        raise ValueError(f"a system title has {TITLE_BYTES} octets, not {len(title)}")
    if not 0 <= counter <= MAX_COUNTER:
        raise ValueError(f"invocation counter {counter} is outside of 32 bits")
    return title + counter.to_bytes(4, "big")

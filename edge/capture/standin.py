"""What stands in a recording instead of secrets and identities: values of the same length, known to all (pure)."""

from edge.dlms.ciphering import KEY_BYTES

ENCRYPTION_KEY, AUTHENTICATION_KEY, DEDICATED_KEY = 0x00, 0xD0, 0x40
"""First octet of each key of the recordings; the others count up. The first two are the Green Book's examples."""

CLIENT_TITLE = bytes.fromhex("4847570000000001")
MAKER_OCTETS = 3
SHORTEST_NUMBER = 6
"""Digits in a row, in an identity, that are taken for a serial number wherever they are met."""

_DIGITS = "9876543210"


def key(first: int, suite: int) -> bytes:
    """Return a key of a suite's length."""
    return bytes((first + at) & 0xFF for at in range(KEY_BYTES[suite]))


def filler(mark: str, length: int) -> bytes:
    """Return `length` octets of one letter."""
    return mark.encode() * length


def meter_title(title: bytes) -> bytes:
    """Return a system title with the maker's letters and no number."""
    return title[:MAKER_OCTETS] + bytes(len(title) - MAKER_OCTETS - 1) + b"\x01" if title else b""


def identity(text: bytes) -> bytes:
    """Return another identity of the same form: digits for digits, letters for letters behind the maker's three."""
    digits = 0
    out = bytearray()
    for at, octet in enumerate(text):
        if 0x30 <= octet <= 0x39:
            out += _DIGITS[digits % 10].encode()
            digits += 1
        else:
            out.append(octet if at < MAKER_OCTETS and chr(octet).isalpha() else 0x58)
    if bytes(out) == text:
        return bytes(0x30 if 0x30 <= octet <= 0x39 else octet for octet in text)
    return bytes(out)


def numbers(text: bytes) -> list[bytes]:
    """Return the runs of digits in an identity that are long enough to be a serial number."""
    runs, run = [], bytearray()
    for octet in (*text, 0):
        if 0x30 <= octet <= 0x39:
            run.append(octet)
            continue
        if len(run) >= SHORTEST_NUMBER:
            runs.append(bytes(run))
        run.clear()
    return runs

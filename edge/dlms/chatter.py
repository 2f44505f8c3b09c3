"""What a serial bridge says in plain text between, or instead of, the meter's frames.

ser2net refuses a second client with "Port already in use", others announce an idle time-out or a lost carrier in the
middle of the byte stream. Such words are the cause of the trouble, so they are kept for the error text.
"""

KEPT_BYTES = 160
_LETTERS = 4


class Chatter:
    """Collects the bytes outside frames, the last `KEPT_BYTES` of them."""

    def __init__(self) -> None:
        """Start with nothing heard."""
        self._heard = bytearray()

    def hear(self, octets: bytes) -> None:
        """Take bytes that belong to no frame."""
        self._heard += octets
        del self._heard[:-KEPT_BYTES]

    def forget(self) -> None:
        """Drop what was heard: a good frame came after it."""
        self._heard.clear()

    def text(self) -> str:
        """Return what was heard as one line if it reads as text, "" if it is noise or nothing."""
        return plain_text(bytes(self._heard))


def plain_text(octets: bytes) -> str:
    """Return `octets` as one line of ASCII, or "" if they do not read as text (HDLC flags are skipped)."""
    octets = octets.replace(b"~", b" ")
    printable = bytes(octet for octet in octets if 32 <= octet < 127 or octet in b"\r\n\t")
    letters = sum(chr(octet).isalpha() for octet in printable)
    if letters < _LETTERS or len(printable) < 0.9 * len(octets):
        return ""
    return " ".join(printable.decode("ascii").split())

"""Bytes on the wire as hexadecimal lines, with the password masked (pure)."""

from collections.abc import Callable

FRAGMENT_OCTETS = 2
"""Shortest part of a password that is masked while the association is being opened (HDLC may cut it in two)."""

_ACCEPTED_OR_NOT = (b"\xe6\xe7\x00\x61", b"\x61")      # AARE behind the LLC header, or behind the wrapper's


class HexTrace:
    """Turns each piece of bytes into one line, "TX 7e a0 ..." or "RX ...", and hands it to `write`.

    The password's octets become "**". In an HDLC frame so do the two of its checksum, which would tell a guess from the
    truth.
    """

    def __init__(self, secret: bytes, write: Callable[[str], None]) -> None:
        """`secret` b"" masks nothing."""
        self._secret = secret
        self._write = write
        self._opening = True

    def __call__(self, direction: str, data: bytes) -> None:
        """Write one line."""
        hidden = self._hidden(data) if self._secret and direction == "TX" else set()
        if direction == "RX" and (_ACCEPTED_OR_NOT[0] in data or data[8:9] == _ACCEPTED_OR_NOT[1]):
            self._opening = False
        octets = ("**" if at in hidden else f"{octet:02x}" for at, octet in enumerate(data))
        self._write(f"{direction} {' '.join(octets)}")

    def _hidden(self, data: bytes) -> set[int]:
        """Return the places that must not be shown."""
        secret, hidden = self._secret, set[int]()
        shortest = min(FRAGMENT_OCTETS if self._opening else len(secret), len(secret))
        for size in range(shortest, len(secret) + 1):
            for start in range(len(secret) - size + 1):
                part = secret[start:start + size]
                at = data.find(part)
                while at >= 0:
                    hidden.update(range(at, at + size))
                    at = data.find(part, at + 1)
        if hidden and data[:1] == data[-1:] == b"\x7e":
            hidden.update((len(data) - 3, len(data) - 2))
        return hidden

"""The opening of IEC 62056-21 mode E on a serial line: text first, then HDLC (sans-IO).

    /?!            ->   /MMMZident          the meter names itself; Z is its fastest speed
    ACK 2 Z 2      ->   ACK 2 Z 2           the client takes mode E; from then on HDLC

Anything else is met with silence. After half a minute without a word the line is in text mode again.
"""

from typing import Protocol

ACK = 0x06
END = b"\r\n"
LONGEST_LINE_BYTES = 64
TEXT_AGAIN_S = 30.0            # without HDLC for so long, and the meter listens for a sign-on again


class Line(Protocol):
    """The HDLC side."""

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes, return frames to send."""

    def connection_lost(self) -> None:
        """TCP ended at the bridge."""

    def reset(self) -> None:
        """A power cut."""


class ModeE:
    """One serial line whose meters open in text mode."""

    def __init__(self, line: Line, identification: bytes) -> None:
        """`identification` as it follows the slash: maker's three letters, speed, name. ValueError when too short."""
        if len(identification) < 5:
            raise ValueError("an identification has a maker, a speed and a name")
        self._line = line
        self._identification = identification
        self._text = bytearray()
        self._hdlc = self._offered = False
        self._heard_at = 0.0

    def reset(self) -> None:
        """A power cut: text mode."""
        self._hdlc = self._offered = False
        self._text.clear()
        self._line.reset()

    def connection_lost(self) -> None:
        """TCP ended at the bridge; the meter does not notice."""
        self._line.connection_lost()

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes from the line, return what to send."""
        if self._hdlc and now - self._heard_at > TEXT_AGAIN_S:
            self.reset()
        self._heard_at = now
        if self._hdlc:
            return self._line.receive(data, now)
        self._text += data
        answers: list[bytes] = []
        while END in self._text:
            line, _, rest = bytes(self._text).partition(END)
            self._text[:] = rest
            if self._takes_mode_e(line):
                self._hdlc, self._offered = True, False
                self._text.clear()
                return [*answers, line + END, *self._line.receive(rest, now)]
            self._offered = line[-3:] == b"/?!"
            answers += [b"/" + self._identification + END] if self._offered else []
        del self._text[:-LONGEST_LINE_BYTES]
        return answers

    def _takes_mode_e(self, line: bytes) -> bool:
        return self._offered and line == bytes((ACK,)) + b"2" + self._identification[3:4] + b"2"

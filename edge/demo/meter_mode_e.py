"""The opening of IEC 62056-21 mode E on a serial line: text first, then HDLC (sans-IO).

    /?!            ->   /MMMZident          the meter names itself; Z is its fastest speed
    ACK 2 Z 2      ->   ACK 2 Z 2           the client takes mode E at that speed or a slower one; from then on HDLC

Anything else is met with silence, and mode E where there is none with a readout. After half a minute without a word the
line is in text mode again.
"""

from typing import Protocol

from edge.demo.meter_apdu import Counters
from edge.demo.meter_hdlc import HdlcServer
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings, SignOn

ACK = 0x06
END = b"\r\n"
LONGEST_LINE_BYTES = 64
TEXT_AGAIN_S = 30.0            # without HDLC for so long, and the meter listens for a sign-on again
SPEEDS = (300, 600, 1200, 2400, 4800, 9600, 19200)      # Z = "0" to "6"
READOUT = b"\x021-0:1.8.0*255(001234.5*kWh)\r\n!\r\n\x03"
_EVEN = bytes(octet | (octet.bit_count() & 1) << 7 for octet in range(128))


class Line(Protocol):
    """The HDLC side."""

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes, return frames to send."""

    def connection_lost(self) -> None:
        """TCP ended at the bridge."""

    def reset(self) -> None:
        """A power cut."""


class ModeE:
    """One meter that opens in text mode. `baud` is the speed at which it listens and speaks now."""

    def __init__(self, line: Line, sign_on: SignOn) -> None:
        """Begin in text mode."""
        self.baud = SPEEDS[0]
        self._line = line
        self._sign_on = sign_on
        self._text = bytearray()
        self._hdlc = self._offered = False
        self._heard_at = 0.0

    def reset(self) -> None:
        """A power cut: text mode."""
        self._hdlc = self._offered = False
        self.baud = SPEEDS[0]
        self._text.clear()
        self._line.reset()

    def connection_lost(self) -> None:
        """TCP ended at the bridge; the meter does not notice."""
        self._line.connection_lost()

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes from the line, return what to send, at the speed of `baud`."""
        if now - self._heard_at > TEXT_AGAIN_S and (self._hdlc or self.baud != SPEEDS[0]):
            self.reset()
        self._heard_at = now
        if self._hdlc:
            return self._line.receive(data, now)
        answers, frames = self._read(data)
        return answers + ([] if frames is None else self._line.receive(frames, now))

    def _read(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        """Take text; return the answers to it and, once mode E is taken, what follows it."""
        self._text += self._plain(data)
        answers: list[bytes] = []
        while END in self._text:
            line, _, rest = bytes(self._text).partition(END)
            self._text[:] = rest
            if self._offered and line[:1] == bytes((ACK,)):
                taken, answer = self._selected(line)
                answers += answer
                if taken:
                    return answers, rest
                continue
            self._offered = self._is_meant(line)
            answers += [self._sent(b"/" + self._sign_on.identification + END)] if self._offered else []
        del self._text[:-LONGEST_LINE_BYTES]
        return answers, None

    def _is_meant(self, line: bytes) -> bool:
        start = line.rfind(b"/?")
        return start >= 0 and line[start:] in (b"/?!", b"/?" + self._sign_on.address + b"!")

    def _selected(self, line: bytes) -> tuple[bool, list[bytes]]:
        """Take the option that the client chose; return whether it is mode E, and the answers."""
        sign_on, self._offered = self._sign_on, False
        fastest = sign_on.identification[3:4]
        if len(line) != 4 or not b"0" <= line[2:3] <= fastest:
            return False, []
        if line[1:2] + line[3:4] != b"22":
            return False, []
        self._text.clear()
        self.baud = SPEEDS[line[2] - ord("0")]
        if not sign_on.mode_e:
            return False, [self._sent(READOUT)]
        self._hdlc = True
        return True, [self._sent(line + END)] if sign_on.confirms else []

    def _plain(self, data: bytes) -> bytes:
        """Return the text in what was heard; an octet with a wrong parity bit is not heard."""
        return bytes(octet & 0x7F for octet in data if _EVEN[octet & 0x7F] == octet) if self._sign_on.parity else data

    def _sent(self, text: bytes) -> bytes:
        return text.translate(_EVEN + bytes(128)) if self._sign_on.parity else text


def server_side(model: MeterModel, settings: MeterSettings, counters: Counters) -> ModeE | HdlcServer:
    """Return one meter on a serial line, with its sign-on where the settings ask for one."""
    server = HdlcServer(model, settings, counters)
    return ModeE(server, settings.sign_on) if settings.sign_on is not None else server

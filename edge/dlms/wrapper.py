"""The TCP wrapper: an eight-octet header before each APDU (IEC 62056-47).

    0x0001 version | source port | destination port | length of the APDU        four unsigned 16-bit numbers
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from edge.dlms.chatter import KEPT_BYTES, plain_text
from edge.errors import BridgeBusy, Violation

HEADER_BYTES = 8
VERSION = 1
_HEADER = struct.Struct(">HHHH")


class WrapperFrame(NamedTuple):
    """One APDU with the wrapper ports (client SAP, logical device) it came from and goes to."""

    source: int
    destination: int
    apdu: bytes


def encode(source: int, destination: int, apdu: bytes) -> bytes:
    """Put the header before an APDU of at most 65,535 octets; raise ValueError where a number does not fit."""
    try:
        return _HEADER.pack(VERSION, source, destination, len(apdu)) + apdu
    except struct.error as why:
        raise ValueError(f"no wrapper header for ports {source}, {destination} and {len(apdu)} octets") from why


class WrapperDeframer:
    """Cuts a byte stream into frames. There is no way back into step after bad bytes: the first fault is the end."""

    def __init__(self, limit_bytes: int = 0xFFFF) -> None:
        """`limit_bytes` bounds one APDU, and with it the memory held here."""
        self.limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[WrapperFrame]:
        """Take bytes, return the frames that are complete now.

        Raises Violation at a wrong version, an empty APDU or one above the limit, BridgeBusy at a line of plain text;
        the deframer is of no use afterwards.
        """
        if not self._buffer and len(data) > HEADER_BYTES:       # what a meter sends to one request, as a rule
            version, source, destination, length = _HEADER.unpack_from(data)
            if version == VERSION and length == len(data) - HEADER_BYTES <= self.limit_bytes:
                return [WrapperFrame(source, destination, data[HEADER_BYTES:])]
        return list(self.frames(data))

    def frames(self, data: bytes) -> Iterator[WrapperFrame]:
        """Do as `feed`, frame by frame: those before a fault come out first. To be used up before the next call."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= HEADER_BYTES and not buffer[at]:
                version, source, destination, length = _HEADER.unpack_from(buffer, at)
                if version != VERSION:
                    raise Violation(f"wrapper header with version {version}")
                if not 0 < length <= self.limit_bytes:
                    raise Violation(f"wrapper header announces {length} octets, the limit is {self.limit_bytes}")
                end = at + HEADER_BYTES + length
                if end > len(buffer):
                    break
                frame = WrapperFrame(source, destination, bytes(buffer[at + HEADER_BYTES:end]))
                at = end
                yield frame
        finally:
            del buffer[:at]
        if buffer and buffer[0]:      # the first octet of every header is 0
            self._listen()

    @property
    def pending_bytes(self) -> int:
        """How much of an unfinished frame is held."""
        return len(self._buffer)

    def text(self) -> str:
        """Return what stands at the place of a header if it reads as text, else ""."""
        return plain_text(bytes(self._buffer[:KEPT_BYTES])) if self._buffer[:1].strip(b"\0") else ""

    def _listen(self) -> None:
        """Wait for the end of the first line if a bridge seems to speak; raise what can be said already.

        What comes behind that line changes nothing, so that it makes no difference in how many pieces it all arrives.
        """
        heard = bytes(self._buffer[:KEPT_BYTES])
        line, end, _ = heard.lstrip(b"\r\n").partition(b"\n")
        if not all(32 <= octet < 127 or octet in b"\r\t" for octet in line):
            raise Violation(f"0x{heard[0]:02x} instead of a wrapper header")
        if end or len(heard) == KEPT_BYTES:
            words = plain_text(line) or " ".join(line.decode("ascii").split())
            if not words:
                raise Violation(f"0x{heard[0]:02x} instead of a wrapper header")
            raise BridgeBusy(f"the bridge says {words!r}")

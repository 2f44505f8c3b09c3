"""HDLC frames, format type 3, both directions (ISO/IEC 13239, IEC 62056-46 clause 6.4).

    7E | A, S, length (16 bits) | destination 1/2/4 | source 1/2/4 | control | HCS | information | FCS | 7E

There is no byte stuffing: 7E may stand anywhere inside, and only the 11-bit length tells where a frame ends. HCS is
there only with information. Both checksums are CRC-16/X-25, low octet first, each from the first octet after the flag.
"""

from binascii import crc_hqx
from collections.abc import Iterator
from typing import NamedTuple

from edge.dlms.chatter import Chatter
from edge.errors import Violation

FLAG = 0x7E
SNRM, DISC, UA, DM, FRMR, UI = 0x93, 0x53, 0x73, 0x1F, 0x97, 0x13      # with the P/F bit
POLL_FINAL = 0x10
LIMIT_BYTES = 2047        # largest value of the length field


_MIRROR = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
_CRC_START, _CRC_GOOD = 0xFFFF, 0xF0B8
_GOOD_AFTER_HEADER = _CRC_GOOD     # over a header and its HCS the register always holds the residue; FCS goes on there


def crc_x25(octets: bytes | bytearray, state: int = _CRC_START) -> int:
    """Return the CRC register after `octets`; the checksum on the wire is its complement.

    X-25 is the CRC of `binascii.crc_hqx` with the bits of every octet, and of the register, in the other order. In C,
    because a meter chooses how much there is to sum: a loop here would let it hold everybody else up.
    """
    return _mirrored(crc_hqx(octets.translate(_MIRROR), _mirrored(state)))


def _mirrored(register: int) -> int:
    return _MIRROR[register & 0xFF] << 8 | _MIRROR[register >> 8]


class HdlcFrame(NamedTuple):
    """One frame. Addresses as on the wire (`encode_address` makes them), `control` with its P/F bit."""

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False


def encode_address(logical: int, physical: int | None = None, address_bytes: int = 1) -> bytes:
    """Encode a server address (upper = logical device, lower = physical device) or a client SAP (one octet).

    Raises ValueError where a part does not fit: 7 bits each in the forms of one and two octets, 14 in that of four.
    The one-octet form has no lower part.
    """
    part_bits = 14 if address_bytes == 4 else 7
    parts = [logical] if address_bytes == 1 else [logical, physical or 0]
    if address_bytes not in (1, 2, 4) or not all(0 <= part < 1 << part_bits for part in parts):
        raise ValueError(f"HDLC address {logical}/{physical} does not fit {address_bytes} octets")
    if address_bytes == 1 and physical is not None:
        raise ValueError(f"an HDLC address of one octet has no physical part ({physical}): use 2 or 4 octets")
    octets = bytearray()
    for part in parts:
        octets += bytes((part >> 7 << 1, (part & 0x7F) << 1)) if address_bytes == 4 else bytes((part << 1,))
    octets[-1] |= 1
    return bytes(octets)


def address_text(octets: bytes) -> str:
    """Write an address the way it is registered: `1/17 (logical/physical, 4 octets)`, `1` for one octet."""
    try:
        logical, physical = decode_address(octets)
    except Violation:
        return octets.hex()
    return str(logical) if physical is None else f"{logical}/{physical} (logical/physical, {len(octets)} octets)"


def decode_address(octets: bytes) -> tuple[int, int | None]:
    """Return (logical, physical) of an address on the wire; raise Violation for a form that does not exist."""
    if len(octets) not in (1, 2, 4) or _address_end(octets, 0) != len(octets):
        raise Violation(f"HDLC address {octets.hex()} is malformed")
    sevens = [octet >> 1 for octet in octets]
    if len(octets) == 4:
        return sevens[0] << 7 | sevens[1], sevens[2] << 7 | sevens[3]
    return sevens[0], sevens[1] if len(octets) == 2 else None


def encode_frame(frame: HdlcFrame) -> bytes:
    """Return the frame as it travels, with both flags; raise ValueError above 2,047 octets."""
    destination, source, control, information, segmented = frame
    length = 5 + len(destination) + len(source) + (2 + len(information) if information else 0)
    if length > LIMIT_BYTES:
        raise ValueError(f"an HDLC frame of {length} octets is longer than {LIMIT_BYTES}")
    header = b"".join((
        (0xA800 if segmented else 0xA000).__or__(length).to_bytes(2, "big"), destination, source, bytes((control,))))
    check = (crc_x25(header) ^ 0xFFFF).to_bytes(2, "little")
    if not information:
        return b"".join((b"~", header, check, b"~"))
    total = (crc_x25(information, _GOOD_AFTER_HEADER) ^ 0xFFFF).to_bytes(2, "little")
    return b"".join((b"~", header, check, information, total, b"~"))


class Deframer:
    """Finds frames in a byte stream that may hold noise, text, halves of frames and idle flags.

    Each possible start is judged as soon as the bytes for it are there (format, addresses, HCS), so that noise which
    looks like a long frame is not waited for. What fails is skipped up to the next flag; nothing is ever raised. Memory
    is bounded by `limit_bytes` and the largest piece fed.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        """`limit_bytes` is the largest length field believed."""
        self.limit_bytes = limit_bytes
        self.discarded_bytes = 0          # outside frames, or in frames that failed their checks; flags not counted
        self._buffer = bytearray()
        self._chatter = Chatter()

    def feed(self, data: bytes) -> list[HdlcFrame]:
        """Take bytes, return the frames that are complete now: checksums good, addresses legal, to whomever they go."""
        return list(self.frames(data))

    def frames(self, data: bytes) -> Iterator[HdlcFrame]:
        """Do as `feed`, frame by frame: `discarded_bytes` counts what lay before it. To be used up before the next."""
        self._buffer += data
        return self._scan(0)

    def abandon(self) -> list[HdlcFrame]:
        """Stop waiting for the rest of the frame that has begun; return the whole frames behind its start."""
        return list(self._scan(1)) if self._buffer else []

    def text(self) -> str:
        """Return the plain text heard since the last good frame, or ""; what still looks like a frame is not in it."""
        return self._chatter.text()

    def clear(self) -> None:
        """Drop everything held."""
        self._buffer.clear()
        self._chatter.forget()

    @property
    def pending_bytes(self) -> int:
        """How much of an unfinished frame is held."""
        return len(self._buffer)

    def _scan(self, at: int) -> Iterator[HdlcFrame]:
        buffer = self._buffer
        if at:
            self._discard(0, at)
        while True:
            start = buffer.find(FLAG, at)
            if start < 0:
                self._discard(at, len(buffer))
                buffer.clear()
                return
            if start > at:
                self._discard(at, start)
            while start + 1 < len(buffer) and buffer[start + 1] == FLAG:
                start += 1
            found = self._judge(start)
            if found is _WAIT:
                del buffer[:start]
                return
            if isinstance(found, HdlcFrame):
                at = start + 1 + _length(buffer, start)     # its closing flag may open the next one
                self._chatter.forget()
                yield found
            else:
                at = start + 1

    def _judge(self, start: int) -> "HdlcFrame | _Verdict":  # noqa: C901, PLR0911 - one verdict per field, in wire order
        """Look at the frame that may start with the flag at `start`: the frame, _BAD, or _WAIT for more bytes."""
        buffer = self._buffer
        have = len(buffer)
        if have < start + 2:
            return _WAIT
        if buffer[start + 1] & 0xF0 != 0xA0:
            return _BAD
        if have < start + 3:
            return _WAIT
        length = _length(buffer, start)
        if not 7 <= length <= self.limit_bytes:
            return _BAD
        middle = _address_end(buffer, start + 3)
        control_at = _address_end(buffer, middle) if middle > 0 else middle
        if control_at <= 0:
            return _WAIT if control_at == 0 else _BAD
        rest = start + 1 + length - (control_at + 1)          # octets from behind the control field to the closing flag
        if rest not in (2, 4) and rest < 5:
            return _BAD
        if have < control_at + 3:
            return _WAIT
        if crc_x25(buffer[start + 1:control_at + 3]) != _CRC_GOOD:    # the FCS of a short frame, else the HCS
            return _BAD
        end = start + 1 + length
        if have <= end:
            return _WAIT
        if buffer[end] != FLAG or (rest > 2 and crc_x25(buffer[control_at + 3:end], _GOOD_AFTER_HEADER) != _CRC_GOOD):
            return _BAD
        return HdlcFrame(
            bytes(buffer[start + 3:middle]), bytes(buffer[middle:control_at]), buffer[control_at],
            bytes(buffer[control_at + 3:end - 2]) if rest > 2 else b"", bool(buffer[start + 1] & 0x08))

    def _discard(self, at: int, end: int) -> None:
        noise = bytes(self._buffer[at:end])
        self.discarded_bytes += len(noise) - noise.count(FLAG)
        self._chatter.hear(noise)


class _Verdict(NamedTuple):
    name: str


_WAIT, _BAD = _Verdict("wait"), _Verdict("bad")


def _length(octets: bytes | bytearray, start: int) -> int:
    return (octets[start + 1] & 0x07) << 8 | octets[start + 2]


def _address_end(octets: bytes | bytearray, at: int) -> int:
    """Return where the address at `at` ends, 0 if it is not all there yet, -1 if no legal form fits."""
    for size in (1, 2, 3, 4):
        if at + size > len(octets):
            return 0
        if octets[at + size - 1] & 1:
            return at + size if size != 3 else -1
    return -1

"""Hostile inputs out of good ones: real bytes with something wrong (pure; every choice comes from `rng`).

A case is what a target gets in one execution: pieces of bytes in order (parts of a stream, the answers of a meter). It
is changed in the ways that break decoders: bits, numbers at their bounds, length fields, things left out, doubled,
swapped, taken from another case, or repeated until they nest or overflow.
"""

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Case = tuple[bytes, ...]

MAX_CASE_BYTES = 65_536
MAX_PIECES = 48
_OCTETS = bytes((0x00, 0x01, 0x02, 0x7E, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA0, 0xFE, 0xFF))
_BOUNDS = tuple(bound + step for bound in (1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFE) for step in (-1, 0, 1))
_TOKENS = tuple(map(bytes.fromhex, (
    # A-XDR: what counts, nests, announces; floats and times
    "00", "01", "0101", "0201", "0200", "0100", "1302", "13", "1301ffff", "0984ffffffff", "0a81ff", "0402", "0c03efbfbd", "177fc00000",
    "18fff0000000000000", "19", "1a", "1b", "ff", "1600", "0f80", "11ff", "1208fd", "0600000001", "07eaffff80",
    # answers and refusals
    "c401c100", "c402c1010000000100", "c402c1000000000100", "c403c101", "c501c100", "c502c100000001", "c503c10000000001", "c701c100",
    "c702c10100000001", "c704c100000001", "da400000010000", "d80206ffffffff", "d80102", "0e010600", "0fc0000001", "c200", "e0c100010000",
    "e00100010000",
    # associations and ciphering
    "61", "be10040e", "a203020101", "aa12", "a40a0408", "db08", "dc08", "cc", "d4", "30ffffffff",
    # frames
    "e6e700", "7e", "7e7e", "7ea0", "818012", "0501ff", "0702ffff", "000100010001", "0d0a")))


class Mutator:
    """Changes cases. The same `rng` state and the same calls make the same cases."""

    def __init__(self, rng: random.Random) -> None:
        """Take the source of every choice."""
        self._rng = rng
        self._in_pieces: Sequence[Callable[[bytearray, bytes], None]] = (
            self._flip, self._flip, self._octet, self._octet, self._number, self._number, self._length, self._length, self._cut_out,
            self._cut_off, self._token, self._token, self._double, self._repeat, self._graft, self._noise)
        self._in_cases: Sequence[Callable[[list[bytes], Case], None]] = (
            self._drop, self._again, self._swap, self._part, self._join, self._borrow, self._borrow)

    def mutate(self, case: Case, other: Case) -> Case:
        """Return a changed `case`; `other` lends what is spliced in. Never empty, never above the limits."""
        rng = self._rng
        pieces = list(case) or [b""]
        for _ in range(1 + (rng.getrandbits(3) < 3) + (rng.getrandbits(4) == 0) * rng.randrange(8)):
            if rng.getrandbits(2) == 0:
                rng.choice(self._in_cases)(pieces, other)
            else:
                place = rng.randrange(len(pieces))
                piece = bytearray(pieces[place])
                rng.choice(self._in_pieces)(piece, other[place % len(other)] if other else b"")
                pieces[place] = bytes(piece)
        return _limited(pieces)

    # -- inside a piece ------------------------------------------------------------------------------------------------

    def _at(self, piece: bytearray) -> int:
        """Pick a place, more often near the beginning, where heads are."""
        size = len(piece)
        return self._rng.randrange(min(size, 16) if self._rng.getrandbits(1) else size) if size else 0

    def _flip(self, piece: bytearray, _other: bytes) -> None:
        if piece:
            piece[self._at(piece)] ^= 1 << self._rng.getrandbits(3)

    def _octet(self, piece: bytearray, _other: bytes) -> None:
        if piece:
            piece[self._at(piece)] = self._rng.choice(_OCTETS) if self._rng.getrandbits(1) else self._rng.getrandbits(8)

    def _number(self, piece: bytearray, _other: bytes) -> None:
        size = self._rng.choice((1, 2, 4))
        at = self._at(piece)
        piece[at:at + size] = (self._rng.choice(_BOUNDS) & (1 << 8 * size) - 1).to_bytes(size, "big")

    def _length(self, piece: bytearray, _other: bytes) -> None:
        """Alter an octet that announces what follows it, or write it in another form."""
        size = len(piece)
        announcing = [at for at in range(min(size, 80)) if piece[at] == size - at - 1]
        at = self._rng.choice(announcing) if announcing else self._at(piece)
        length = piece[at] if piece else 0
        piece[at:at + 1] = self._rng.choice((
            bytes(((length + 1) & 0xFF,)), bytes(((length - 1) & 0xFF,)), bytes((0x81, length)), bytes((0x82, 0, length)),
            bytes((0x84, 0, 0, 0, length)), b"\x00", b"\x80", b"\x84\xff\xff\xff\xff", b"\x82\xff\xff"))

    def _cut_out(self, piece: bytearray, _other: bytes) -> None:
        at = self._at(piece)
        del piece[at:at + 1 + self._rng.randrange(1 + min(len(piece), 24))]

    def _cut_off(self, piece: bytearray, _other: bytes) -> None:
        del piece[self._at(piece):]

    def _token(self, piece: bytearray, _other: bytes) -> None:
        token, at = self._rng.choice(_TOKENS), self._at(piece)
        piece[at:at + (len(token) if self._rng.getrandbits(1) else 0)] = token

    def _double(self, piece: bytearray, _other: bytes) -> None:
        at = self._at(piece)
        part = piece[at:at + 1 + self._rng.randrange(32)]
        piece[at:at] = part

    def _repeat(self, piece: bytearray, _other: bytes) -> None:
        """Say the same many times: what nests, nests deep; what counts, overflows."""
        at = self._at(piece)
        part = bytes(piece[at:at + self._rng.choice((1, 2, 3, 4, 9, 16))]) or b"\x01\x01"
        piece[at:at] = part * self._rng.choice((4, 30, 30, 200, 200, 2_000))

    def _graft(self, piece: bytearray, other: bytes) -> None:
        if other:
            start = self._rng.randrange(len(other))
            piece[self._at(piece):] = other[start:]

    def _noise(self, piece: bytearray, _other: bytes) -> None:
        at = self._at(piece)
        piece[at:at] = self._rng.randbytes(1 + self._rng.getrandbits(4))

    # -- among pieces --------------------------------------------------------------------------------------------------

    def _drop(self, pieces: list[bytes], _other: Case) -> None:
        if len(pieces) > 1:
            del pieces[self._rng.randrange(len(pieces))]

    def _again(self, pieces: list[bytes], _other: Case) -> None:
        place = self._rng.randrange(len(pieces))
        pieces[place:place] = [pieces[place]] * self._rng.choice((1, 1, 2, 12))

    def _swap(self, pieces: list[bytes], _other: Case) -> None:
        one, two = self._rng.randrange(len(pieces)), self._rng.randrange(len(pieces))
        pieces[one], pieces[two] = pieces[two], pieces[one]

    def _part(self, pieces: list[bytes], _other: Case) -> None:
        place = self._rng.randrange(len(pieces))
        at = self._rng.randrange(1 + len(pieces[place]))
        pieces[place:place + 1] = [pieces[place][:at], pieces[place][at:]]

    def _join(self, pieces: list[bytes], _other: Case) -> None:
        if len(pieces) > 1:
            place = self._rng.randrange(len(pieces) - 1)
            pieces[place:place + 2] = [pieces[place] + pieces[place + 1]]

    def _borrow(self, pieces: list[bytes], other: Case) -> None:
        if other:
            pieces[self._rng.randrange(1 + len(pieces)):self._rng.randrange(1 + len(pieces))] = [self._rng.choice(other)]


def _limited(pieces: list[bytes]) -> Case:
    kept: list[bytes] = []
    room = MAX_CASE_BYTES
    for piece in pieces[:MAX_PIECES]:
        kept.append(piece[:room])
        room -= len(kept[-1])
    return tuple(kept)


# -- cases as one string of bytes: files, and other engines ------------------------------------------------------------

def packed(case: Case) -> bytes:
    """Write a case as one string: each piece behind its length in two octets, the last one without."""
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in case[:-1]) + b"\xff\xff" + (case[-1] if case else b"")


def unpacked(octets: bytes) -> Case:
    """Read what `packed` wrote; any other string is some case too."""
    pieces, at = [], 0
    while at + 2 <= len(octets) and len(pieces) < MAX_PIECES - 1:
        size = int.from_bytes(octets[at:at + 2], "big")
        at += 2
        if size == 0xFFFF:
            break
        pieces.append(octets[at:at + size])
        at += size
    return (*pieces, octets[at:])

"""Blocks of the services' own block transfer: GET answers, SET and ACTION both ways (IEC 62056-5-3 clause 9.3).

    DataBlock-SA   last-block (1) | block-number (4) | raw data: octet-string

Numbers run from 1 in each direction of each service invocation.
"""

from edge.dlms.axdr import decode_length, encode_length
from edge.errors import Violation

MAX_ANSWER_BYTES = 262_144
"""Largest answer put together from blocks; a profile of 2,880 rows with ten columns has 160 kB."""

_HEAD_BYTES = 1 + 4
_LENGTH_BYTES = 3          # of an octet-string up to 65,535


class BlockWriter:
    """Cuts the raw data of a request into DataBlock-SAs."""

    def __init__(self, raw: bytes) -> None:
        """Take the coded data of the whole request."""
        self._raw = raw
        self._at = 0
        self.number = 0      # of the block given out last

    @property
    def finished(self) -> bool:
        """Tell whether the last block has been given out."""
        return self._at >= len(self._raw)

    def following(self, room: int) -> bytes:
        """Return the next block, of `room` octets at most with its own head. Raises ValueError where nothing fits."""
        size = room - _HEAD_BYTES - _LENGTH_BYTES
        if size < 1:
            raise ValueError(f"no data fits {room} octets")
        piece = self._raw[self._at:self._at + size]
        self._at += len(piece)
        self.number += 1
        return bytes((self.finished,)) + self.number.to_bytes(4, "big") + encode_length(len(piece)) + piece


class BlockReader:
    """Puts the blocks of an answer together; nothing is skipped, doubled or guessed."""

    __slots__ = ("_bytes", "_pieces", "number")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.number = 0      # of the block taken last
        self._pieces: list[bytes] = []
        self._bytes = 0

    def take(self, number: int, piece: bytes, *, last: bool) -> bytes | None:
        """Take the next block; return the whole with the last one. Raises Violation."""
        if number != self.number + 1:
            raise Violation(f"data block {number} where {self.number + 1} is due")
        if not piece and not last:
            raise Violation(f"data block {number} is empty, and not the last")
        self.number = number
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes > MAX_ANSWER_BYTES:
            raise Violation(f"answer in blocks grows above {MAX_ANSWER_BYTES} octets")
        return b"".join(self._pieces) if last else None

    def take_coded(self, answer: bytes, at: int) -> bytes | None:
        """Take a DataBlock-SA that fills the rest of `answer`; as `take`."""
        if len(answer) < at + _HEAD_BYTES + 1:
            raise Violation(f"data block of {len(answer) - at} octets is cut short")
        number = int.from_bytes(answer[at + 1:at + 5], "big")
        length, start = decode_length(answer, at + _HEAD_BYTES)
        if start + length != len(answer):
            raise Violation(f"data block {number} announces {length} octets, holds {len(answer) - start}")
        return self.take(number, answer[start:], last=answer[at] != 0)

"""General block transfer: any APDU, ciphered or not, in numbered blocks with a window (IEC 62056-5-3 clause 9.3.9).

    E0 | last (1 bit) streaming (1) window (6) | block-number (2) | block-number-ack (2) | block-data: octet-string

Each side numbers its blocks from 1 for each service invocation. A block with `streaming` is followed by another; one
without hands the turn over, and its receiver tells by block-number-ack up to where nothing is missing. Blocks after a
gap are dropped and sent again by the other side. `window` is how many blocks in a row the sender of this one can take.
"""

from typing import NamedTuple

from edge.dlms.axdr import decode_length, encode_length
from edge.dlms.blocks import MAX_ANSWER_BYTES
from edge.errors import Violation

GENERAL_BLOCK_TRANSFER = 0xE0
HEAD_BYTES = 1 + 1 + 2 + 2 + 3       # with the length of block-data up to 65,535
MAX_REPEATS = 3
"""Turns in a row without progress, on either side, after which the transfer is given up."""

_LAST, _STREAMING, _WINDOW = 0x80, 0x40, 0x3F
_MAX_NUMBER = 0xFFFF


class Turn(NamedTuple):
    """What follows from a block: APDUs to send, in order, and the whole APDU once it is complete."""

    send: tuple[bytes, ...] = ()
    whole: bytes | None = None


class BlockTransfer:
    """Both directions of one service invocation. Make a new one for each request."""

    def __init__(self, window: int, limit_bytes: int = MAX_ANSWER_BYTES) -> None:
        """`window` (1..63) is what this side can take in a row, `limit_bytes` bounds what is put together."""
        self._window = window
        self._limit_bytes = limit_bytes
        self._own: list[bytes] = []       # block-data of the request
        self._acknowledged = 0
        self._number = 0                  # of our block sent last
        self._peer_window = 1
        self._received = 0                # the peer's last block before any gap
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._complete = False
        self._stuck = 0
        self._progress = (0, 0)

    def start(self, message: bytes, room: int) -> tuple[bytes, ...]:
        """Cut a request into blocks of `room` octets each; return those to send now. Raises ValueError if none fits."""
        size = room - HEAD_BYTES
        if size < 1 or len(message) > size * _MAX_NUMBER:
            raise ValueError(f"{len(message)} octets cannot be sent in blocks of {room}")
        self._own = [message[at:at + size] for at in range(0, len(message), size)]
        return self._burst()

    def receive(self, block: bytes) -> Turn:
        """Take one block from the meter. Raises Violation."""
        if len(block) < 7:
            raise Violation(f"general block of {len(block)} octets is cut short")
        control, number = block[1], int.from_bytes(block[2:4], "big")
        length, at = decode_length(block, 6)
        if at + length != len(block) or not number:
            raise Violation(f"general block {number} announces {length} octets, holds {len(block) - at}")
        self._peer_window = control & _WINDOW
        self._note_acknowledgement(int.from_bytes(block[4:6], "big"))
        if number == self._received + 1 and not self._complete:
            # An empty block that says "last" before any data came only acknowledges: no answer is empty.
            self._take(block[at:], last=bool(control & _LAST) and (length or self._bytes) > 0)
        if self._complete:
            return Turn(whole=b"".join(self._pieces))
        if control & _STREAMING and not control & _LAST:
            return Turn()
        self._check_progress()
        return Turn(send=self._burst() if self._outstanding else (self._acknowledgement(),))

    @property
    def _outstanding(self) -> bool:
        return self._acknowledged < len(self._own)

    def _take(self, piece: bytes, *, last: bool) -> None:
        self._received += 1
        self._pieces.append(piece)
        self._bytes += len(piece)
        self._complete = last
        if self._bytes > self._limit_bytes or self._received >= _MAX_NUMBER:
            raise Violation(f"general blocks grow above {self._limit_bytes} octets or {_MAX_NUMBER} blocks")

    def _note_acknowledgement(self, acknowledged: int) -> None:
        if acknowledged > self._number:
            raise Violation(f"general block acknowledges block {acknowledged}, {self._number} were sent")
        self._acknowledged = max(self._acknowledged, min(acknowledged, len(self._own)))

    def _check_progress(self) -> None:
        progress = (self._received, self._acknowledged)
        self._stuck = self._stuck + 1 if progress == self._progress else 0
        self._progress = progress
        if self._stuck >= MAX_REPEATS:
            raise Violation(f"general block transfer: the same block was lost {self._stuck} times over")

    def _burst(self) -> tuple[bytes, ...]:
        """Send as many blocks as the meter's window takes, from the first that it has not acknowledged."""
        if not self._peer_window:
            raise Violation("general block transfer: the meter's window is 0")
        first = self._acknowledged
        end = min(first + self._peer_window, len(self._own))
        blocks = []
        for index in range(first, end):
            control = _LAST if index + 1 == len(self._own) else 0 if index + 1 == end else _STREAMING
            blocks.append(self._block(control, index + 1, self._own[index]))
        self._number = max(self._number, end)
        return tuple(blocks)

    def _acknowledgement(self) -> bytes:
        """Say up to where nothing is missing: an empty block, and the last one as far as this side is concerned."""
        self._number += 1
        if self._number > _MAX_NUMBER:
            raise Violation("general block transfer of more than 65,535 turns")
        return self._block(_LAST, self._number, b"")

    def _block(self, control: int, number: int, data: bytes) -> bytes:
        return b"".join((bytes((GENERAL_BLOCK_TRANSFER, control | self._window)), number.to_bytes(2, "big"),
                         self._received.to_bytes(2, "big"), encode_length(len(data)), data))

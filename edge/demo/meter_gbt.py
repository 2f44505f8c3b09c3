"""General block transfer on the simulated meter, both ways, with windows, streaming and lost blocks (sans-IO).

IEC 62056-5-3, general-block-transfer: E0, block control (last, streaming, window), block number, number acknowledged,
block data. A whole APDU, ciphered if it is, is cut into blocks; each side says how many it takes without an answer.
Each side counts what it sends in one exchange from 1 on, blocks without data, which only acknowledge, among them.
"""

from edge.demo.meter_data import BadData, take_octets
from edge.demo.meter_objects import length

TAG = 0xE0
LAST, STREAMING, WINDOW = 0x80, 0x40, 0x3F
HEADER_BYTES = 9           # tag, control, two numbers, length of up to three octets
LONGEST_BYTES = 1 << 20


class GeneralBlocks:
    """One exchange after the other on one association: a request comes in blocks, an answer goes out in blocks."""

    def __init__(self, own_window: int, loses: set[int]) -> None:
        """`own_window`: blocks taken without an acknowledgement; `loses`: blocks going out that are lost, once each."""
        self._own_window = own_window
        self._loses = loses
        self._incoming = bytearray()
        self._expected = 1
        self._outgoing: list[bytes] = []
        self._received = 0                 # the client's last block, which every block of ours acknowledges
        self._before = 0                   # our own blocks before the first of the answer: acknowledgements

    def forget(self) -> None:
        """Drop what is under way, both ways."""
        self._incoming.clear()
        self._expected, self._outgoing, self._before = 1, [], 0

    def take(self, apdu: bytes) -> tuple[bytes | None, list[bytes], int]:
        """Take one general block: (the whole request if that was its last block, blocks to send, the client's window).

        Raises BadData when it is malformed, or goes on with nothing.
        """
        if len(apdu) < 7:
            raise BadData("a general block cut short")
        control, number, acknowledged = apdu[1], int.from_bytes(apdu[2:4], "big"), int.from_bytes(apdu[4:6], "big")
        data, end = take_octets(apdu, 6)
        if end != len(apdu):
            raise BadData("octets after a general block")
        window = max(control & WINDOW, 1)
        if self._outgoing and not data:
            self._received = number
            return None, self._go_on(acknowledged - self._before, window), window
        if number == 1:
            self.forget()
        if not data or number > self._expected:
            # a hole: say what came in order, the client sends the rest again
            return None, [self._acknowledgement()], window
        if number == self._expected:
            self._incoming += data
            self._expected += 1
        if len(self._incoming) > LONGEST_BYTES:
            self.forget()
            raise BadData("longer than this meter takes")
        if control & LAST:
            whole, before = bytes(self._incoming), self._before
            self.forget()
            self._before = before
            return whole, [], window
        return None, [] if control & STREAMING else [self._acknowledgement()], window

    def start(self, apdu: bytes, limit_bytes: int, window: int, acknowledged: int = 0) -> list[bytes]:
        """Cut an answer for a client that takes `limit_bytes` and `window` blocks at once; the first blocks to send."""
        size = max(limit_bytes - HEADER_BYTES, 1)
        self._outgoing = [apdu[start:start + size] for start in range(0, len(apdu), size)]
        self._received = acknowledged
        return self._go_on(0, window)

    def _go_on(self, acknowledged: int, window: int) -> list[bytes]:
        """Send the blocks after `acknowledged`, a window of them."""
        total = len(self._outgoing)
        if acknowledged >= total:
            self._outgoing, self._before = [], 0
            return []
        acknowledged = max(acknowledged, 0)
        until = min(acknowledged + window, total)
        blocks = []
        for number in range(acknowledged + 1, until + 1):
            control = (LAST if number == total else STREAMING if number < until else 0) | self._own_window
            if number in self._loses:
                self._loses.discard(number)
                continue
            data = self._outgoing[number - 1]
            numbers = (self._before + number).to_bytes(2, "big") + self._received.to_bytes(2, "big")
            blocks.append(bytes((TAG, control)) + numbers + length(len(data)) + data)
        return blocks

    def _acknowledgement(self) -> bytes:
        self._before += 1
        numbers = self._before.to_bytes(2, "big") + (self._expected - 1).to_bytes(2, "big")
        return bytes((TAG, self._own_window)) + numbers + b"\x00"

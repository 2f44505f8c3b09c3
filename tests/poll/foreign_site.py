"""A ciphered meter over TCP whose cryptography is not ours, and a registry to count in."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from foreign_meter import ForeignMeter

from edge.dlms.association import AssociationSettings
from edge.poll.counters import CounterDesk, counter_desk
from edge.poll.session import MeterSession
from edge.poll.transport import TcpTransport
from edge.store.registry import Registry


class WireMeter(ForeignMeter):
    """As ForeignMeter; refuses counters that it has had, as a meter must. `object_counter` is what 0-0:43.1.0 tells."""

    lowest = 0
    associations = 0
    object_counter = None
    refuse: Callable[[bytes], bytes | None] = staticmethod(lambda _message: None)

    def answer(self, message: bytes) -> bytes:
        if self.object_counter is not None and message[:1] == b"\x60" and message[12:13] != b"\x03":
            return bytes.fromhex("6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f04000000100400") + b"\0\x07"
        if self.object_counter is not None and message[:2] == b"\xc0\x01":
            return b"\xc4\x01" + message[2:3] + b"\0\x06" + self.object_counter.to_bytes(4, "big")
        if (special := self.refuse(message)) is not None:
            return special
        counter = self._counter_of(message)
        if counter < self.lowest:
            return b"\xd8\x01\x06" + self.lowest.to_bytes(4, "big")
        self.lowest = counter + 1
        self.associations += message[:1] == b"\x60"
        return super().answer(message)

    def _counter_of(self, message: bytes) -> int:
        at = 12 + max(message[10] - 0x80, 0)
        if message[:1] == b"\x60":
            field = 2 if message[1] < 0x80 else 3
            while message[field] != 0xBE:
                field += 2 + message[field + 1]
            at = field + 7
        return int(struct.unpack_from(">I", message, at)[0])


class Conversation(asyncio.Protocol):
    """One connection: wrapper frames in, wrapper frames out."""

    def __init__(self, meter: WireMeter, open_ones: set[asyncio.BaseTransport]) -> None:
        self.meter, self.open_ones, self.received = meter, open_ones, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.open_ones.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_ones.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        while len(self.received) >= 8:
            _version, source, destination, length = struct.unpack_from(">HHHH", self.received)
            if len(self.received) < 8 + length:
                return
            message, self.received = self.received[8:8 + length], self.received[8 + length:]
            answer = self.meter.answer(message)
            self.transport.write(struct.pack(">HHHH", 1, destination, source, len(answer)) + answer)


@asynccontextmanager
async def served(meter: WireMeter) -> AsyncIterator[int]:
    """Serve it on a port of its own."""
    open_ones: set[asyncio.BaseTransport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(meter, open_ones), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in open_ones.copy():
            transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)      # let the aborted ones go


def desk_of(settings: AssociationSettings, registry: Registry) -> CounterDesk:
    async def reserve(scope: str, count: int, at_least: int) -> int:
        return registry.reserve_counters(scope, count, at_least)

    made = counter_desk("m", settings, reserve)
    assert made is not None
    return made


def session(port: int, settings: AssociationSettings, desk: CounterDesk) -> MeterSession:
    return MeterSession(lambda: TcpTransport.connect("127.0.0.1", port, timeout_s=2.0), settings, counters=desk)

"""A TCP proxy that reads MQTT 5 or 3.1.1 as it passes and can cut: the judge of what was sent and acknowledged on the wire.

Brokers lose acknowledged messages of their own when killed, so a client is judged here and not at a subscriber.

    async with WireTap(("127.0.0.1", broker_port)) as tap:
        ... client connects to tap.port ...
        tap.blackhole()     # nothing passes any more, nobody is told (no FIN, no RST); new connections hang too
        tap.heal()          # new connections pass again; those of the black hole stay dead
        tap.reset()         # RST to both sides of every connection
        tap.published, tap.acked
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

CONNECT, PUBLISH, PUBACK = 1, 3, 4


@dataclass(frozen=True, slots=True)
class Published:
    """A PUBLISH that reached the proxy from the client."""

    connection: int
    packet_id: int          # 0 at QoS 0
    topic: str
    payload: bytes
    at: float               # time.monotonic()


@dataclass(frozen=True, slots=True)
class Acked:
    """A PUBACK that the proxy passed to the client, with the PUBLISH that it answers."""

    publish: Published
    reason: int
    at: float


def packets(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Take the whole packets out of `buffer`: (first byte, body). Raises ValueError on a length of over four bytes."""
    found = []
    while True:
        length, used = 0, 1
        while True:
            if used >= len(buffer):
                return found
            length |= (buffer[used] & 0x7F) << 7 * (used - 1)
            used += 1
            if not buffer[used - 1] & 0x80:
                break
            if used > 4:
                raise ValueError("remaining length of more than four bytes")
        if len(buffer) < used + length:
            return found
        found.append((buffer[0], bytes(buffer[used:used + length])))
        del buffer[:used + length]


def publish_of(connection: int, first: int, body: bytes, level: int = 5) -> Published:
    """Read a PUBLISH (3.3); `level` 5 has properties, 4 is MQTT 3.1.1."""
    length = int.from_bytes(body[:2], "big")
    topic, rest = body[2:2 + length].decode(), body[2 + length:]
    packet_id = 0
    if first & 0x06:
        packet_id, rest = int.from_bytes(rest[:2], "big"), rest[2:]
    properties, used = 0, 0
    while level >= 5:
        properties |= (rest[used] & 0x7F) << 7 * used
        used += 1
        if not rest[used - 1] & 0x80:
            break
    return Published(connection, packet_id, topic, rest[used + properties:], time.monotonic())


@dataclass(slots=True)
class _Pair:
    number: int
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    dead: bool = False
    level: int = 5          # of the protocol, from CONNECT
    open: dict[int, Published] = field(default_factory=dict)


class WireTap:
    """The proxy. `on_packet` is called with ("published", Published) and ("acked", Acked) as they pass.

    Without `keep` that is all: `published` and `acked` stay empty, for tests of many hours.
    """

    def __init__(self, target: tuple[str, int], *, port: int = 0, keep: bool = True,
                 on_packet: "Callable[[str, Published | Acked], None] | None" = None) -> None:
        self.target = target
        self.port = port
        self.published: list[Published] = []
        self.acked: list[Acked] = []
        self.levels: list[int] = []         # protocol level of each CONNECT
        self.connections = 0
        self.on_packet, self._keep = on_packet, keep
        self._pairs: dict[int, _Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._blackhole = False
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pair in list(self._pairs.values()):
            self._abort(pair)
        await self._server.wait_closed()

    @property
    def acked_payloads(self) -> list[tuple[str, bytes]]:
        """Topic and payload of every publication that was acknowledged with success, in order."""
        return [(acked.publish.topic, acked.publish.payload) for acked in self.acked if acked.reason < 0x80]

    def blackhole(self) -> None:
        """Swallow everything, on the connections there are and on new ones. Nobody is told."""
        self._blackhole = True
        for pair in self._pairs.values():
            pair.dead = True

    def heal(self) -> None:
        """Pass new connections again. Those of the black hole stay dead, as after a lost NAT entry."""
        self._blackhole = False

    def reset(self) -> None:
        """RST both sides of every connection."""
        for pair in list(self._pairs.values()):
            self._abort(pair)

    def _abort(self, pair: _Pair) -> None:
        for writer in (pair.client, pair.server):
            if writer is not None:
                raw = writer.get_extra_info("socket")
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        pair = self._pairs[self.connections] = _Pair(self.connections, writer, dead=self._blackhole)
        try:
            if not pair.dead:
                from_server, pair.server = await asyncio.open_connection(*self.target)
                back = asyncio.create_task(self._pump(pair, from_server, writer, self._saw_from_server))
                self._tasks.add(back)
                back.add_done_callback(self._tasks.discard)
                await self._pump(pair, reader, pair.server, self._saw_from_client)
                back.cancel()
            else:
                await self._swallow(reader)
        except OSError:
            pass            # the broker is away: the client sees its connection close
        finally:
            self._tasks.discard(task)
            self._pairs.pop(pair.number, None)
            self._abort_or_close(pair)

    def _abort_or_close(self, pair: _Pair) -> None:
        for writer in (pair.client, pair.server):
            if writer is not None:
                writer.close()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while await reader.read(65_536):
                pass

    async def _pump(self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                    saw: Callable[[_Pair, int, bytes], None]) -> None:
        buffer = bytearray()
        try:
            while data := await reader.read(65_536):
                if pair.dead:
                    await self._swallow(reader)
                    return
                buffer += data
                for first, body in packets(buffer):
                    saw(pair, first, body)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass            # reset by one side: the other is closed just below
        if not pair.dead:
            writer.close()

    def _saw_from_client(self, pair: _Pair, first: int, body: bytes) -> None:
        if first >> 4 == CONNECT:
            pair.level = body[6]            # behind the name, "MQTT"
            self.levels.append(pair.level)
        elif first >> 4 == PUBLISH:
            published = publish_of(pair.number, first, body, pair.level)
            if self._keep:
                self.published.append(published)
            if published.packet_id:
                pair.open[published.packet_id] = published
            if self.on_packet:
                self.on_packet("published", published)

    def _saw_from_server(self, pair: _Pair, first: int, body: bytes) -> None:
        if first >> 4 == PUBACK:
            published = pair.open.pop(int.from_bytes(body[:2], "big"), None)
            assert published is not None, "a PUBACK for nothing"
            acked = Acked(published, body[2] if len(body) > 2 else 0, time.monotonic())
            if self._keep:
                self.acked.append(acked)
            if self.on_packet:
                self.on_packet("acked", acked)

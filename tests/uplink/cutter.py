"""A TCP proxy that counts MQTT packets in each direction over all connections, and cuts once: after the N-th."""

import asyncio
from contextlib import suppress
from typing import Self

FORTH, BACK = "to the server", "to the gateway"


class Cutter:
    """`async with Cutter(port, (direction, n)) as proxy: ... proxy.port, proxy.passed`. Packets pass one by one; None: no cut."""

    def __init__(self, target_port: int, cut: tuple[str, int] | None) -> None:
        self.passed = {FORTH: 0, BACK: 0}
        self.cuts = 0
        self._target_port, self._cut = target_port, cut
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._ends.append(writer)
        with suppress(OSError):                # the server is gone
            back, forth = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._ends.append(forth)
            pumps = {asyncio.ensure_future(self._pump(FORTH, reader, forth)), asyncio.ensure_future(self._pump(BACK, back, writer))}
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                forth.transport.abort()
        writer.transport.abort()

    async def _pump(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass packets until one side ends, or the cut comes: behind the N-th packet, which still arrives."""
        buffer = bytearray()
        with suppress(OSError):
            while data := await reader.read(65_536):
                buffer += data
                while (size := _size(buffer)) and len(buffer) >= size:
                    writer.write(bytes(buffer[:size]))
                    del buffer[:size]
                    self.passed[direction] += 1
                    if self._cut == (direction, self.passed[direction]):
                        await writer.drain()
                        await asyncio.sleep(0)      # the packet is on its way before the connection ends
                        self.cuts += 1
                        return
                await writer.drain()


def _size(buffer: bytearray) -> int:
    """Return the length of the packet that `buffer` begins with; 0: its head is not all there (MQTT 5, 2.1.4)."""
    length, used = 0, 1
    while used < len(buffer):
        length |= (buffer[used] & 0x7F) << 7 * (used - 1)
        used += 1
        if not buffer[used - 1] & 0x80:
            return used + length
    return 0

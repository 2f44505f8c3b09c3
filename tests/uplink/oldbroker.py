"""A broker that speaks MQTT 3.1.1 only: in front of one that speaks both, it refuses whoever comes with 5."""

import asyncio
from contextlib import suppress

BY_CONNACK = b"\x20\x02\x00\x01"           # unacceptable protocol version (3.1.1, 3.2.2.3)
BY_CONNACK_OF_5 = b"\x20\x03\x00\x84\x00"  # unsupported protocol version (5, 3.2.2.2)
BY_CLOSING = b""


class OldBroker:
    """`async with OldBroker(("127.0.0.1", port)) as old:` listens on old.port; `refusal` None lets 5 through."""

    def __init__(self, target, refusal=BY_CONNACK):
        self.target, self.refusal = target, refusal
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        forth = None
        try:
            connect = await reader.read(65_536)
            level = connect[connect.index(b"MQTT") + 4] if b"MQTT" in connect else 0
            if level == 4 or self.refusal is None:
                back, forth = await asyncio.open_connection(*self.target)
                forth.write(connect)
                await self._pumps((reader, forth), (back, writer))
            else:
                writer.write(self.refusal)
        except OSError:
            pass            # the broker is away: the client sees its connection close
        finally:
            self._tasks.discard(asyncio.current_task())
            for sink in (writer, forth):
                if sink is not None:
                    sink.close()

    async def _pumps(self, *ways):
        """Until one side ends."""
        async def pump(source, sink):
            with suppress(OSError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()

        pumps = [asyncio.create_task(pump(*way)) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in pumps:
                one.cancel()

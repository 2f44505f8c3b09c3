"""Meters behind the stations: python3 bridge.py UID HOST 1:PORT 2:PORT ...

Listens on PORT in the namespace of station 1, 2, ..., and passes each connection on to the same port of HOST, from the
board's own namespace and as user UID, whom the board's packet filter lets out.
"""

import asyncio
import os
import socket
import sys


def listen(station: str, port: int, home: int) -> socket.socket:
    """Return a listening socket that lives in a station's namespace."""
    namespace = os.open(f"/run/netns/s{station}", os.O_RDONLY)
    try:
        os.setns(namespace, os.CLONE_NEWNET)
        return socket.create_server(("0.0.0.0", port))
    finally:
        os.setns(home, os.CLONE_NEWNET)
        os.close(namespace)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until the end."""
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(host: str, listeners: list[socket.socket]) -> None:
    """Serve until ended."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError as error:
            print(f"bridge: {host}:{port}: {error}")
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    servers = [await asyncio.start_server(connected, sock=one) for one in listeners]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    pairs = [pair.split(":") for pair in sys.argv[3:]]
    sockets = [listen(number, int(where), own) for number, where in pairs]
    os.setegid(int(sys.argv[1]))
    os.seteuid(int(sys.argv[1]))
    asyncio.run(main(sys.argv[2], sockets))

"""Byte pipes to a meter (I/O edge): the port, TCP behind it, and which pipe a meter asks for. Serial lines: `serial`.

Foreign exceptions stop here: what comes out is Unreachable, ConnectionLost or NoAnswer, and BridgeBusy for a serial
line that another program has.
"""

import asyncio
import socket
from collections.abc import Awaitable
from typing import Protocol, Self, cast

from edge.endpoint import Endpoint, SerialLine, endpoint
from edge.errors import ConfigError, Unreachable
from edge.model import Meter
from edge.poll.inbox import Inbox, plain
from edge.poll.serial import SerialTransport


class Transport(Protocol):
    """An open, ordered byte pipe to one meter, or to several in turn. Used by one task at a time."""

    @property
    def top_baud(self) -> int | None:
        """Highest speed that `set_line` may be asked for; None: the line's settings are a bridge's, not ours."""

    def write(self, data: bytes) -> None:
        """Send; never blocks. A pipe that is gone is noticed by the next `read`."""

    def read(self, deadline: float | None) -> Awaitable[bytes]:
        """Wait for bytes and return all there are.

        `deadline` is loop time. Raises NoAnswer when it passes, ConnectionLost when the other side has ended the
        connection and nothing is left to read. Cancelling loses no bytes.
        """

    def waiting(self) -> bytes:
        """Take what has arrived unasked, without waiting; b"" when nothing has. Raises ConnectionLost as `read`."""

    def ready(self, gap_s: float) -> Awaitable[None]:
        """Wait until something may be sent: `gap_s` after the last byte came, or longer where the line needs it."""

    def set_line(self, baud: int, shape: str | None = None) -> None:
        """Change speed and character format ("8N1"; None: the line's own) from the next byte on.

        Only where there is a `top_baud`. Raises ConnectionLost.
        """

    async def close(self, within_s: float) -> None:
        """End it politely, at the latest after `within_s` hard. Cancelling ends it hard."""

    def abort(self) -> None:
        """End it hard, at once."""


async def connect(place: Endpoint, *, timeout_s: float) -> Transport:
    """Open the pipe to a place. Raises Unreachable or BridgeBusy. Cancelling leaves nothing open."""
    if isinstance(place, SerialLine):
        return await SerialTransport.open(place, timeout_s=timeout_s)
    return await TcpTransport.connect(place.host, place.port, timeout_s=timeout_s)


async def connect_for(meter: Meter, timeout_s: float) -> Transport:
    """Open the pipe that a meter is registered with. Raises as `connect`, and ConfigError for a place that is none."""
    try:
        place = endpoint(meter.host, meter.port)
    except ValueError as error:
        raise ConfigError(f"meter {meter.name}: host: {error}") from error
    return await connect(place, timeout_s=timeout_s)


class TcpTransport(asyncio.Protocol):
    """A TCP connection. Use `connect`."""

    top_baud: int | None = None

    def __init__(self, where: str) -> None:
        """`where` is "host:port", for messages."""
        self._inbox = Inbox(where)
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, host: str, port: int, *, timeout_s: float) -> Self:
        """Open a connection. Raises Unreachable with the system's reason. Cancelling leaves no socket behind."""
        where = f"{host}:{port}"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, made = await loop.create_connection(lambda: cls(where), host, port)
        except TimeoutError as error:
            raise Unreachable(f"{where}: no TCP connection within {timeout_s:g} s: check address and link") from error
        except socket.gaierror as error:
            raise Unreachable(f"{where}: the host name is unknown: {error.strerror}") from error
        except (UnicodeError, OverflowError) as error:     # the resolver's, for what can be no name and no port
            raise Unreachable(f"{where}: this is no host name or no port: correct the address") from error
        except OSError as error:
            raise Unreachable(f"{where}: no TCP connection: {plain(error)}") from error
        return made

    def write(self, data: bytes) -> None:
        """See Transport."""
        if self._transport is not None and not self._inbox.ended:
            self._transport.write(data)

    def read(self, deadline: float | None) -> Awaitable[bytes]:
        """See Transport."""
        return self._inbox.read(deadline)

    def waiting(self) -> bytes:
        """See Transport."""
        return self._inbox.waiting()

    def ready(self, gap_s: float) -> Awaitable[None]:
        """See Transport."""
        return self._inbox.rest(gap_s)

    def set_line(self, baud: int, shape: str | None = None) -> None:
        """See Transport."""
        raise NotImplementedError(f"the settings of a serial line behind TCP are its bridge's: {baud} {shape}")

    async def close(self, within_s: float) -> None:
        """See Transport. Sends FIN after all that was written and waits for the system to let go."""
        if self._transport is None or self._gone.done():
            return
        self._transport.close()
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(self._gone)
        except TimeoutError:
            pass      # the deadline of a polite close is what `abort` below is for
        finally:
            self.abort()

    def abort(self) -> None:
        """See Transport."""
        self._inbox.end("ended from here")
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        self._transport = cast("asyncio.Transport", transport)      # uvloop's transports are no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have arrived."""
        if not self._inbox.put(data):
            self.abort()

    def eof_received(self) -> bool:
        """asyncio: the other side sends no more; a meter's half-closed connection is of no use."""
        self._inbox.end("closed by the other side")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._inbox.end(plain(exc) if exc is not None else "closed")
        if not self._gone.done():
            self._gone.set_result(None)

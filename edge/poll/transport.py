"""Byte pipes to a meter (I/O edge). Today TCP; a serial line would be another class with the same five methods.

Foreign exceptions stop here: what comes out is Unreachable, ConnectionLost or NoAnswer.
"""

import asyncio
import contextlib
import errno
import os
import socket
from typing import Protocol, Self, cast

from edge.errors import ConnectionLost, NoAnswer, Unreachable

RECEIVE_LIMIT_BYTES = 65_536
"""Most bytes that may wait unread: the longest APDU there is. Whoever sends more unasked is no meter."""


class Transport(Protocol):
    """An open, ordered byte pipe to one meter. Used by one task."""

    def write(self, data: bytes) -> None:
        """Send; never blocks. A pipe that is gone is noticed by the next `read`."""

    async def read(self, deadline: float | None) -> bytes:
        """Wait for bytes and return all there are.

        `deadline` is loop time. Raises NoAnswer when it passes, ConnectionLost when the other side has ended the
        connection and nothing is left to read. Cancelling loses no bytes.
        """

    def waiting(self) -> bytes:
        """Take what has arrived unasked, without waiting; b"" when nothing has. Raises ConnectionLost as `read`."""

    async def close(self, within_s: float) -> None:
        """End it politely, at the latest after `within_s` hard. Cancelling ends it hard."""

    def abort(self) -> None:
        """End it hard, at once."""


class TcpTransport(asyncio.Protocol):
    """A TCP connection. Use `connect`."""

    def __init__(self, where: str) -> None:
        """`where` is "host:port", for messages."""
        self.where = where
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._lost = ""
        self._gone: asyncio.Future[None] = self._loop.create_future()

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
            raise Unreachable(f"{where}: no TCP connection: {_plain(error)}") from error
        return made

    def write(self, data: bytes) -> None:
        """See Transport."""
        if self._transport is not None and not self._lost:
            self._transport.write(data)

    async def read(self, deadline: float | None) -> bytes:
        """See Transport."""
        data = self.waiting()
        if data:
            return data
        if self._waiter is not None:
            raise RuntimeError("two tasks read from one connection")
        waiter = self._waiter = self._loop.create_future()
        timer = None if deadline is None else self._loop.call_at(deadline, _expire, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        data = self.waiting()
        if not data:
            raise NoAnswer(f"{self.where}: silence")
        return data

    def waiting(self) -> bytes:
        """See Transport."""
        if self._received:
            data = bytes(self._received)
            self._received.clear()
            return data
        if self._lost:
            raise ConnectionLost(f"{self.where}: {self._lost}")
        return b""

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
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        self._transport = cast("asyncio.Transport", transport)      # uvloop's transports are no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have arrived."""
        self._received += data
        if len(self._received) > RECEIVE_LIMIT_BYTES:
            self._received.clear()
            self._lost = f"more than {RECEIVE_LIMIT_BYTES} bytes arrived unasked"
            self.abort()
        self._wake()

    def eof_received(self) -> bool:
        """asyncio: the other side sends no more; a meter's half-closed connection is of no use."""
        self._lost = self._lost or "closed by the other side"
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._lost = self._lost or (_plain(exc) if exc is not None else "closed")
        if not self._gone.done():
            self._gone.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _plain(error: BaseException) -> str:
    """Name an OS error in words, without the address that asyncio writes into it."""
    code = getattr(error, "errno", None)
    if isinstance(code, int):
        with contextlib.suppress(ValueError):
            return f"{os.strerror(code).lower()} ({errno.errorcode.get(code, code)})"
    return str(error) or type(error).__name__

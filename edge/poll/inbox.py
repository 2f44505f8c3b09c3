"""What has arrived on a pipe and is not read yet: the half of a transport that TCP and serial lines have in common."""

import asyncio
import contextlib
import errno
import os

from edge.errors import ConnectionLost, NoAnswer

LIMIT_BYTES = 65_536
"""Most bytes that may wait unread: the longest APDU there is. Whoever sends more unasked is no meter."""


class Inbox:
    """Bytes in, for one reader; ends once, for one reason."""

    def __init__(self, where: str) -> None:
        """`where` is whom the bytes come from, for messages."""
        self.where = where
        self.ended = ""                      # why nothing more comes
        self._loop = asyncio.get_running_loop()
        self._heard_at = float("-inf")       # loop time
        self._received = bytearray()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> bool:
        """Take what has arrived; False, and the end, when it is more than a meter sends."""
        self._heard_at = self._loop.time()
        self._received += data
        if len(self._received) > LIMIT_BYTES:
            self._received.clear()
            self.end(f"more than {LIMIT_BYTES} bytes arrived unasked")
        self._wake()
        return not self.ended

    def end(self, why: str) -> None:
        """Nothing more will come; the first reason is kept."""
        self.ended = self.ended or why
        self._wake()

    def waiting(self) -> bytes:
        """See `Transport`."""
        if self._received:
            data = bytes(self._received)
            self._received.clear()
            return data
        if self.ended:
            raise ConnectionLost(f"{self.where}: {self.ended}")
        return b""

    async def read(self, deadline: float | None) -> bytes:
        """See `Transport`."""
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

    async def rest(self, gap_s: float) -> None:
        """Return when `gap_s` have passed since the last byte came."""
        rest_s = self._heard_at + gap_s - self._loop.time()
        if rest_s > 0:
            await asyncio.sleep(rest_s)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def plain(error: BaseException) -> str:
    """Name an OS error in words, without the address that asyncio writes into it."""
    code = getattr(error, "errno", None)
    if isinstance(code, int):
        with contextlib.suppress(ValueError):
            return f"{os.strerror(code).lower()} ({errno.errorcode.get(code, code)})"
    return str(error) or type(error).__name__

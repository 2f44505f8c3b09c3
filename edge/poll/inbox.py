"""What has arrived on a pipe and is not read yet: the half of a transport that TCP and serial lines have in common."""

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable

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
        self._now: asyncio.Future[None] = self._loop.create_future()      # done: to wait for nothing
        self._now.set_result(None)
        self._heard_at = float("-inf")       # loop time
        self._received = b""                 # as a rule one whole answer, and then it is copied nowhere
        self._waiter: asyncio.Future[None] | None = None
        self._deadline: float | None = None  # of the reader, loop time
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = float("inf")        # never later than the deadline of a reader

    def put(self, data: bytes) -> bool:
        """Take what has arrived; False, and the end, when it is more than a meter sends."""
        self._heard_at = self._loop.time()
        self._received += data
        if len(self._received) > LIMIT_BYTES:
            self._received = b""
            self.end(f"more than {LIMIT_BYTES} bytes arrived unasked")
        self._wake()
        return not self.ended

    def end(self, why: str) -> None:
        """Nothing more will come; the first reason is kept."""
        self.ended = self.ended or why
        self._disarm()
        self._wake()

    def waiting(self) -> bytes:
        """See `Transport`."""
        if self._received:
            data, self._received = self._received, b""
            return data
        if self.ended:
            raise ConnectionLost(f"{self.where}: {self.ended}")
        return b""

    async def read(self, deadline: float | None) -> bytes:
        """See `Transport`."""
        if self._received or self.ended:
            return self.waiting()
        if self._waiter is not None:
            raise RuntimeError("two tasks read from one connection")
        waiter = self._waiter = self._loop.create_future()
        self._deadline = deadline
        if deadline is not None and deadline < self._alarm_at:
            self._arm(deadline)
        try:
            await waiter
        finally:
            self._waiter = self._deadline = None
        if data := self.waiting():
            return data
        raise NoAnswer(f"{self.where}: silence")

    def rest(self, gap_s: float) -> Awaitable[None]:
        """Return when `gap_s` have passed since the last byte came."""
        if gap_s <= 0 or (rest_s := self._heard_at + gap_s - self._loop.time()) <= 0:
            return self._now
        return asyncio.sleep(rest_s)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # One alarm for many reads: the next deadline is nearly always later than the last one, so the alarm of an answered
    # read is left standing, and when it goes off it is set to the deadline of the read that waits then, if any.

    def _arm(self, at: float) -> None:
        self._disarm()
        self._alarm, self._alarm_at = self._loop.call_at(at, self._expire), at

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, float("inf")

    def _expire(self) -> None:
        self._alarm, self._alarm_at = None, float("inf")
        if self._deadline is None:
            return
        if self._loop.time() >= self._deadline:
            self._wake()
        else:
            self._arm(self._deadline)


def plain(error: BaseException) -> str:
    """Name an OS error in words, without the address that asyncio writes into it."""
    code = getattr(error, "errno", None)
    if isinstance(code, int):
        with contextlib.suppress(ValueError):
            return f"{os.strerror(code).lower()} ({errno.errorcode.get(code, code)})"
    return str(error) or type(error).__name__

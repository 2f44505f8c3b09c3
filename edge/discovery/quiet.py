"""A time-out for answers of unknown length: it begins anew with every piece that comes (I/O edge: the loop's clock).

An object list over a serial line takes a minute, a dead line is known to be dead after seconds: one deadline for the
exchange cannot be right for both.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.errors import NoAnswer


class Quiet:
    """Watches one session: `trace` goes to it, requests go into `watched`."""

    def __init__(self, quiet_s: float) -> None:
        """`quiet_s` of silence end a request."""
        self._quiet_s = quiet_s
        self._running: asyncio.Timeout | None = None

    def trace(self, direction: str, _data: bytes) -> None:
        """Take note that something has come."""
        if direction == "RX" and self._running is not None and not self._running.expired():
            self._running.reschedule(asyncio.get_running_loop().time() + self._quiet_s)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Do one request in here. Raises NoAnswer when nothing has come for `quiet_s`; the request is cancelled."""
        try:
            async with asyncio.timeout(self._quiet_s) as self._running:
                yield
        except TimeoutError:
            raise NoAnswer(f"nothing more came for {self._quiet_s:g} s") from None
        finally:
            self._running = None

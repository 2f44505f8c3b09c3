"""A worker that is ended and begun anew where its settings have changed, or rests where they want none."""

import asyncio
import contextlib
from collections.abc import Callable

from edge.health.promise import Pulse
from edge.health.supervise import Worker

LOOK_S = 300.0
SPARE_S = 30.0


class Renewable:
    """One worker for `supervise`, whatever is renewed inside."""

    def __init__(self, make: Callable[[], Worker | None]) -> None:
        """`make` gives the worker by the settings of that moment; None: there is nothing to do."""
        self._make = make
        self._again = asyncio.Event()

    def renew(self) -> None:
        """End the worker, and begin what `make` gives then."""
        self._again.set()

    async def run(self, pulse: Pulse) -> None:
        """Work until cancelled. Ends as the worker does, if that ends by itself."""
        renewed = True
        while renewed:
            self._again.clear()
            worker = self._make()
            if worker is None:
                await self._rest(pulse)
            else:
                renewed = await self._work(worker, pulse)

    async def _work(self, worker: Worker, pulse: Pulse) -> bool:
        """Work until it is renewed; False where the worker ended before."""
        working, renewed = asyncio.ensure_future(worker(pulse)), asyncio.create_task(self._again.wait())
        try:
            await asyncio.wait({working, renewed}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
                return False
            return True
        finally:
            working.cancel()
            renewed.cancel()
            await asyncio.wait({working, renewed})

    async def _rest(self, pulse: Pulse) -> None:
        while not self._again.is_set():
            pulse(LOOK_S + SPARE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._again.wait()

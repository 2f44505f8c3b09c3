"""Invocation counters for one meter: reserved durably in blocks before use, moved up where the meter asks for more.

    registry ─ reserve ─► block of BLOCK numbers ─► InvocationCounters ─► association

What a block has left when the gateway stops is given up. With one request per poll and a poll every ten seconds a block
lasts almost three hours, and 32 bits last longer than the meter.
"""

import logging
from collections.abc import Awaitable, Callable

from edge.dlms.counter import InvocationCounters
from edge.dlms.settings import AssociationSettings
from edge.errors import ConfigError, CounterUnavailable, EdgeError

log = logging.getLogger(__name__)

Reserve = Callable[[str, int, int], Awaitable[int]]
"""Sets aside (scope, count, at least) counters on flash and returns the first. Raises EdgeError."""

BLOCK = 1024
LOW = 32
"""Reserve more when fewer are left: more than any one answer can make an association send."""

HIGHEST_CLAIM = 0xF000_0000
"""Above this no claim of a meter is followed. It comes unauthenticated: a forged one could use all counters up at once.
What is left above would still last for eighty years of polls every ten seconds."""


class CounterDesk:
    """One meter's supply. Outlives its associations; used by one task at a time."""

    def __init__(self, name: str, scope: str, reserve: Reserve) -> None:
        """`name` is the meter's, for messages; `scope` is `Security.counter_scope`."""
        self.supply = InvocationCounters()
        self._name = name
        self._scope = scope
        self._reserve = reserve
        self._floor = 0

    async def ensure(self) -> None:
        """See to it that at least LOW are left. Raises CounterUnavailable. Cancelling gives up a block at most."""
        if self.supply.left < LOW:
            await self._more(self._floor)

    async def raise_to(self, lowest: int) -> bool:
        """Use nothing below `lowest` from now on; False where that is not to be believed.

        Raises CounterUnavailable.
        """
        if lowest > HIGHEST_CLAIM:
            log.error("meter %s: says that it takes no invocation counter below %d; not believed, give it another key",
                      self._name, lowest)
            return False
        if lowest > self._floor:
            log.warning("meter %s: takes no invocation counter below %d; going on from there", self._name, lowest)
        self._floor = max(self._floor, lowest)
        self.supply.skip_to(lowest)
        await self.ensure()
        return True

    async def _more(self, at_least: int) -> None:
        try:
            first = await self._reserve(self._scope, BLOCK, at_least)
        except EdgeError as error:
            raise CounterUnavailable(f"no invocation counter could be reserved, so nothing is sent: {error}") from error
        self.supply.supply(first, BLOCK)


def counter_desk(name: str, settings: AssociationSettings, reserve: Reserve | None) -> CounterDesk | None:
    """Make the desk of a meter; None where no key is used. Raises ConfigError where nothing can reserve."""
    if settings.security is None or not (settings.ciphered or settings.authentication == "hls-gmac"):
        return None
    if reserve is None:
        raise ConfigError(f"meter {name}: has keys, and there is no registry to keep its invocation counter in")
    return CounterDesk(name, settings.security.counter_scope, reserve)

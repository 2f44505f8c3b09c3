"""Waiting for one's turn at the gate: the asyncio side of `budget.Gate`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager

from edge.clock import Clock
from edge.health.promise import Pulse
from edge.poll.budget import Gate
from edge.poll.pacing import Pacing

log = logging.getLogger(__name__)

PULSE_S = 30.0
"""A queue may be long; whoever waits in it reports this often."""

FIRST = 16
"""Meters asked at once to begin with: where a round trip lasts seconds, fewer would take a minute to open them all."""


@asynccontextmanager
async def turn(
    gate: Gate, lane: Hashable | None, pulse: Pulse, *, payer: str = "", doubtful: bool = False,
    background: bool = False, leaving: bool = False,
) -> AsyncIterator[None]:
    """Hold a place inside the gate. Cancelling gives the place, or the place in the queue, to those behind.

    `payer` is the meter whose use of the lane it is; background work needs none. `leaving` as in `Gate.ask`.
    """
    loop = asyncio.get_running_loop()
    ticket: asyncio.Future[None] = loop.create_future()
    entered = None
    try:
        if not gate.ask(ticket, lane, doubtful=doubtful, background=background, payer=payer, leaving=leaving):
            while not ticket.done():
                pulse(PULSE_S * 2)
                await asyncio.wait({ticket}, timeout=PULSE_S)
        entered = loop.time()
        yield
    finally:
        _wake(gate.leave(ticket, 0.0 if entered is None else loop.time() - entered))


class Turnstile:
    """The gate with a limit that follows the air: told of every exchange, it lets more in at once, or fewer."""

    def __init__(self, most: int, clock: Clock) -> None:
        """Let `most` in at once at the most, and FIRST to begin with. ValueError below 1."""
        first = min(FIRST, most)
        self.gate = Gate(first)
        self.pacing = Pacing(first, most)
        self._clock = clock

    def asked(self, took_s: float, *, answered: bool) -> None:
        """Note how asking a meter ended that was expected to answer, and how long that took."""
        now = self._clock.monotonic()
        inside = max(1, self.gate.state().inside)
        self._limit(self.pacing.answered(now, took_s, inside, waiting=self.gate.wanted()) if answered
                    else self.pacing.missed(now, took_s))

    def most(self, most: int) -> None:
        """Let another number in at once at the most; how many is found out anew. ValueError below 1."""
        first = min(FIRST, most)
        self.pacing = Pacing(first, most)
        self._limit(first)

    def _limit(self, limit: int) -> None:
        if limit != self.gate.limit:
            log.debug("meters asked at once: %d, was %d", limit, self.gate.limit)
            _wake(self.gate.resize(limit))


def _wake(admitted: Iterable[Hashable]) -> None:
    for ticket in admitted:
        assert isinstance(ticket, asyncio.Future)
        if not ticket.done():
            ticket.set_result(None)

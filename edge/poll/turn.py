"""Waiting for one's turn at the gate: the asyncio side of `budget.Gate`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from edge.clock import Clock
from edge.health.promise import Pulse
from edge.poll.blackout import Blackout
from edge.poll.budget import Gate
from edge.poll.pacing import Pacing

log = logging.getLogger(__name__)

PULSE_S = 30.0
"""A queue may be long; whoever waits in it reports this often."""

FIRST = 16
"""Meters asked at once to begin with: where a round trip lasts seconds, fewer would take a minute to open them all."""


ASIDE_S = 2.0
"""A connection that takes longer gives its place away until it is there: it mostly never comes."""


class Place:
    """A place inside the gate, or in its queue."""

    def __init__(self, gate: Gate, ticket: Hashable) -> None:
        """Use `turn`."""
        self._gate = gate
        self._ticket = ticket

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Wait for a connection in the block: where that takes long, others have the place meanwhile."""
        alarm = asyncio.get_running_loop().call_later(ASIDE_S, lambda: _wake(self._gate.aside(self._ticket)))
        try:
            yield
        finally:
            alarm.cancel()
            self._gate.back(self._ticket)


@asynccontextmanager
async def turn(
    gate: Gate, lane: Hashable | None, pulse: Pulse, *, payer: str = "", doubtful: bool = False,
    background: bool = False, leaving: bool = False,
) -> AsyncIterator[Place]:
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
        yield Place(gate, ticket)
    finally:
        _wake(gate.leave(ticket, 0.0 if entered is None else loop.time() - entered))


class Crowd(Protocol):
    """Told how asking meters ends, for what can be seen of many only."""

    def answered(self, meter: str, took_s: float) -> None:
        """Note an answer, and how long it took."""

    def missed(self, meter: str, took_s: float, *, expected: bool) -> bool:
        """Note silence after so long, of one that was `expected` to answer or not; True: the link to all is gone."""


class Alone:
    """Meters that share no radio."""

    def answered(self, meter: str, took_s: float) -> None:
        """See `Crowd`."""

    def missed(self, _meter: str, _took_s: float, *, expected: bool) -> bool:
        """See `Crowd`."""
        _ = expected
        return False


def _nobody(_meter: str) -> None:
    pass


class Turnstile:
    """The gate with a limit that follows the air: a `Crowd` that lets more in at once, or fewer.

    And where the link to all was gone and is back, those who fell silent with it are named to `on_back`.
    """

    def __init__(self, most: int, clock: Clock, on_back: Callable[[str], None] = _nobody) -> None:
        """Let `most` in at once at the most, and FIRST to begin with. ValueError below 1."""
        first = min(FIRST, most)
        self.gate = Gate(first)
        self.pacing = Pacing(first, most)
        self._blackout = Blackout()
        self._on_back = on_back
        self._clock = clock

    def answered(self, _meter: str, took_s: float) -> None:
        """See `Crowd`."""
        gate = self.gate.state()
        inside = max(1, min(gate.inside, gate.limit))      # who comes back from aside says nothing of this limit
        self._limit(self.pacing.answered(self._clock.monotonic(), took_s, inside, waiting=self.gate.wanted()))
        if back := self._blackout.answered():
            log.info("the link is back: %d meters that were silent with it are tried at once", len(back))
            for meter in back:
                self._on_back(meter)

    def missed(self, meter: str, took_s: float, *, expected: bool) -> bool:
        """See `Crowd`."""
        if not expected:
            return self._blackout.lasts
        self._limit(self.pacing.missed(self._clock.monotonic(), took_s))
        return self._blackout.silent(meter)

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

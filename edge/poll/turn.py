"""Waiting for one's turn at the gate: the asyncio side of `budget.Gate`."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from edge.health.promise import Pulse
from edge.poll.budget import Gate

PULSE_S = 30.0
"""A queue may be long; whoever waits in it reports this often."""


@asynccontextmanager
async def turn(
    gate: Gate, lane: Hashable | None, pulse: Pulse, *, doubtful: bool = False, background: bool = False,
) -> AsyncIterator[None]:
    """Hold a place inside the gate. Cancelling gives the place, or the place in the queue, to those behind."""
    ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    try:
        if not gate.ask(ticket, lane, doubtful=doubtful, background=background):
            while not ticket.done():
                pulse(PULSE_S * 2)
                await asyncio.wait({ticket}, timeout=PULSE_S)
        yield
    finally:
        for admitted in gate.leave(ticket):
            assert isinstance(admitted, asyncio.Future)
            if not admitted.done():
                admitted.set_result(None)

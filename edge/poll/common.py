"""What a meter's slots and the time between them have in common."""

from collections.abc import Hashable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from edge.clock import Clock
from edge.health.promise import Pulse
from edge.poll.air import Air
from edge.poll.budget import Gate
from edge.poll.recovery import Recovery
from edge.poll.state import Counters
from edge.poll.turn import Place, turn

PROMISE_MARGIN_S = 60.0
"""Beyond a planned wait: connecting, and the commit of a record to flash."""


@dataclass(frozen=True, slots=True)
class Common:
    """Of the meter `name`: where its turns are asked for, how far up the ladder it is, what is counted of it.

    `lane`: what only one of them may use at a time, None = nothing is shared. `air` says when it may be used.
    """

    name: str
    gate: Gate
    lane: Hashable | None
    recovery: Recovery
    counters: Counters
    clock: Clock
    pulse: Pulse
    air: Air

    def now(self) -> float:
        """Return the time, monotonic seconds."""
        return self.clock.monotonic()

    def turn(self, *, doubtful: bool = False, background: bool = False,
             leaving: bool = False) -> AbstractAsyncContextManager[Place]:
        """Hold a place at the gate, at this meter's cost. See `edge.poll.turn.turn`."""
        return turn(self.gate, self.lane, self.pulse, payer=self.name, doubtful=doubtful, background=background,
                    leaving=leaving)

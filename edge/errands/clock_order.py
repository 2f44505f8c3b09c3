"""The order to look after a meter's clock now: by the same policy as the standing errand, told to who asked.

A clock that the policy leaves alone, or leaves to a person, is left alone here too: the order is refused with its
reason. docs/decisions/0020-clock-policy.md
"""

from typing import Any

from edge.errands.clock_keeper import ClockKeeper
from edge.errors import OrderRefused
from edge.poll.errand import Ask


class ClockSync:
    """The task of that order. See `edge.errands.order.Task`."""

    words = "clock sync"
    recorded = True
    lasts_s = 3.0

    def __init__(self, keeper: ClockKeeper) -> None:
        """`keeper` is made for this order alone."""
        self._keeper = keeper

    async def work(self, ask: Ask) -> dict[str, Any]:
        """See `Task`."""
        outcome = await self._keeper.look_after(ask)
        if not outcome.done:
            raise OrderRefused(outcome.words)
        assert outcome.look is not None
        drift = outcome.look.drift
        return {"summary": outcome.words, "drift_s": round(drift.seconds, 1),
                "uncertainty_s": round(drift.uncertainty_s, 1)}

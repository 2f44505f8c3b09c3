"""Switching a meter's supply: look, switch, look again until it is so. Whether it may be is `relay_policy`'s."""

import asyncio
from dataclasses import dataclass
from typing import Any

from edge.errands.marks import mark
from edge.errands.means import Means, Subject
from edge.errands.relay_policy import at_the_meter
from edge.errors import OrderRefused
from edge.meters import relay
from edge.meters.dutyspec import RelaySpec
from edge.meters.relay import Order, RelayState
from edge.poll.errand import Ask

DUTY = "relay"
LOOKS_AFTER_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""When the state is looked at after switching: some relays take seconds."""


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """The task of looking at the relay."""

    spec: RelaySpec
    words: str = "relay status"
    recorded: bool = False
    lasts_s: float = 1.0

    async def work(self, ask: Ask) -> dict[str, Any]:
        """See `Task`."""
        return _told(await look(ask, self.spec))


@dataclass(frozen=True, slots=True)
class Switch:
    """The task of switching."""

    spec: RelaySpec
    order: Order
    subject: Subject
    means: Means
    recorded: bool = True
    lasts_s: float = 5.0

    @property
    def words(self) -> str:
        """See `Task`."""
        return f"relay {self.order}"

    async def work(self, ask: Ask) -> dict[str, Any]:
        """See `Task`. When it was switched is on flash before it is."""
        before = await look(ask, self.spec)
        if relay.already(self.order, before):
            return _told(before) | {"changed": False, "summary": f"{before}, as it was"}
        if why := at_the_meter(before):
            raise OrderRefused(why)
        await mark(self.subject, DUTY, self.means)
        [result] = await ask.action((relay.request(self.spec, self.order),))
        if result.error is not None:
            raise OrderRefused(f"the meter refuses: {result.error.text}")
        after = before
        for pause_s in LOOKS_AFTER_S:
            await asyncio.sleep(pause_s)
            after = await look(ask, self.spec)
            if relay.done(self.order, after):
                return _told(after) | {"changed": True, "summary": f"{after}; before: {before}"}
        raise OrderRefused(f"the meter says that it has switched, and still is {after}")


async def look(ask: Ask, spec: RelaySpec) -> RelayState:
    """Read the state. OrderRefused where the meter has none to tell."""
    results = await ask.get(relay.attributes(spec))
    for result in results:
        if result.error is not None:
            raise OrderRefused(f"{result.attribute}: {result.error.text}")
    state = relay.state_of(*(result.data for result in results))
    if isinstance(state, str):
        raise OrderRefused(f"{spec.obis}: {state}")
    return state


def _told(state: RelayState) -> dict[str, Any]:
    return {"state": str(state), "output": "closed" if state.closed else "open", "control_state": state.control.text,
            "control_mode": state.mode}

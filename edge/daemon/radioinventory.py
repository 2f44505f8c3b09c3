"""Tells what radio this is and what runs it, as attributes upstream: when it changes, and anew on each connection.

Looked at again whenever the radio comes, goes or shows another interface, and each hour: a kernel upgrade leaves the
driver behind at the next boot, and a radio that is not there is just what must be told.
"""

import asyncio
from collections.abc import Callable, Mapping

from edge.health.promise import Pulse
from halow import inventory
from halow.inventory import Inventory
from halow.model import RadioState

LOOK_S = 5.0
AGAIN_S = 3_600.0
SPARE_S = 30.0

Tell = Callable[[Mapping[str, str | bool]], object]


class RadioInventory:
    """One worker. `tell` sends what changed, and all of it to each new connection."""

    def __init__(self, radio: Callable[[], RadioState | None], tell: Tell,
                 take: Callable[[str, str], Inventory] = inventory.take) -> None:
        """`radio` gives the monitor's newest judgement, None before the first."""
        self._radio, self._tell, self._take = radio, tell, take

    async def run(self, pulse: Pulse) -> None:
        """Take stock until cancelled; reading is done in a thread, as storage may be slow."""
        loop = asyncio.get_running_loop()
        seen: tuple[object, ...] | None = None
        due = loop.time()
        while True:
            pulse(LOOK_S + SPARE_S)
            radio = self._radio()
            facts = radio.facts if radio is not None and radio.present else None
            shown = (radio is not None and radio.present, facts and facts.interface, facts and facts.country,
                     facts and facts.channel)
            if radio is not None and (shown != seen or loop.time() >= due):
                seen, due = shown, loop.time() + AGAIN_S
                found = await asyncio.to_thread(
                    self._take, "" if facts is None else facts.interface, "" if facts is None else facts.country)
                self._tell({**found.attributes(), "radio_channel": "" if facts is None else facts.channel})
            await asyncio.sleep(LOOK_S)

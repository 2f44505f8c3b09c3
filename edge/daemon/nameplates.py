"""What the gateway is and what each meter is, told to ThingsBoard as client attributes.

Follows the registry: what was learned of a meter, and which type it has, changes while the gateway runs.
"""

import asyncio

from edge import __version__
from edge.daemon.enrolment import Enrolment
from edge.health.promise import Pulse
from edge.meters.library import Library
from edge.uplink.attributes import Attributes

LOOK_S = 5.0
SPARE_S = 30.0


class Nameplates:
    """Writes on the board of the uplink."""

    def __init__(self, identity: str, enrolment: Enrolment, library: Library, board: Attributes) -> None:
        """`identity` is the board's own, from `edge.identity`."""
        self._identity, self._enrolment, self._library, self._board = identity, enrolment, library, board
        self._seen: tuple[object, int] = (None, -1)      # Enrolment.enrolled and the library's generation

    async def run(self, pulse: Pulse) -> None:
        """Tell until cancelled."""
        # "Version" is what ThingsBoard's own page of gateways shows.
        self._board.tell("", {"identity": self._identity, "Version": __version__})
        while True:
            pulse(LOOK_S + SPARE_S)
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Tell of the meters what has changed since the last look."""
        enrolled, generation = self._enrolment.enrolled, self._library.generation
        if enrolled is None or (self._seen[0] is enrolled and self._seen[1] == generation):
            return
        self._seen = (enrolled, generation)
        for item in enrolled:
            profile = self._library.get(item.meter.profile)
            self._board.tell(item.meter.name, {
                "meter_identity": item.learned.identity or None, "meter_driver": item.meter.profile,
                "meter_vendor": profile.vendor if profile else None})
        for gone in set(self._board.devices()) - {"", *(item.meter.name for item in enrolled)}:
            self._board.forget(gone)

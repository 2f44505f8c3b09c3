"""What else is said over the gateway's one connection, besides telemetry, announcements and attributes (pure): a port.

ThingsBoard lets one session per device live, so everything that talks with it takes turns on the drain's: claiming,
firmware, remote hands. The drain offers each talk what comes in, and asks for what is due once telemetry has had its
turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.model import Publish


@dataclass(frozen=True, slots=True)
class Said:
    """A publication of a talk. With `answered` it goes at QoS 1, and the PUBACK's reason is told; else at QoS 0."""

    publish: Publish
    answered: Callable[[int], None] | None = None


class Talk(Protocol):
    """One conversation. It outlives connections; all calls come from the uplink's loop and return at once.

    Telemetry waits behind what it sends, so a talk has little in flight at a time, and is honest in `rest_s`.
    """

    topics: tuple[str, ...]
    """What is subscribed to at the start of each connection, at QoS 1."""

    wake: Callable[[], object]
    """The uplink puts its own here: to be called when something became due between two answers of `rest_s`."""

    def began(self) -> None:
        """A connection is there. Nothing of an earlier one is answered any more."""

    def ended(self) -> None:
        """The connection is gone."""

    def heard(self, topic: str, payload: bytes, now: float) -> None:
        """Take a publication of the server; every talk is offered every one. Raises nothing, whatever the bytes."""

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:
        """Return what is to be sent now. `idle`: no telemetry waits; `limit_bytes`: the longest payload it takes."""

    def rest_s(self, now: float) -> float:
        """Return how long `due` has nothing to say unless something is heard or `wake` is called."""

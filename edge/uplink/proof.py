"""Whether the server can still be reached (pure): a talk that says something and waits until it is acknowledged.

A connection alone proves little: one with a wrong time-out is made and lost again and again. So a small publication at
QoS 1, the gateway's own attributes, has to come back acknowledged; lost with its connection it is said again on the
next, refused after a rest.
"""

from collections.abc import Callable

from edge.model import Publish
from edge.uplink.reasons import Judgement, judge
from edge.uplink.talk import Said

TOPIC = "v1/devices/me/attributes"
REFUSED_REST_S = 5.0


class Proof:
    """The talk."""

    wake: Callable[[], object]
    topics: tuple[str, ...] = ()

    def __init__(self) -> None:
        """Nothing is asked for."""
        self.wake = lambda: None
        self._proven: Callable[[], object] = lambda: None
        self._payload: bytes | None = None
        self._connected = self._said = False
        self._not_before = float("-inf")
        self._asked = 0      # an answer to an earlier question proves nothing

    def ask(self, payload: bytes, proven: Callable[[], object]) -> None:
        """Have `payload` (JSON, attributes of the gateway) acknowledged, then call `proven`, once."""
        self._payload, self._proven = payload, proven
        self._asked += 1
        self._said = False
        self._not_before = float("-inf")
        self.wake()

    def stop(self) -> None:
        """It is not asked for any more."""
        self._payload = None

    def began(self) -> None:
        """A connection is there; it may be said."""
        self._connected, self._said = True, False

    def ended(self) -> None:
        """What was said may be lost."""
        self._connected = self._said = False

    def heard(self, topic: str, payload: bytes, now: float) -> None:
        """Nothing that the server says is about this."""

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:      # noqa: ARG002 - the talk's signature
        """Return the publication where it is asked for and not on its way."""
        if self._payload is None or not self._connected or self._said or now < self._not_before:
            return None
        self._said, asked = True, self._asked
        self._not_before = now + REFUSED_REST_S
        return Said(Publish(TOPIC, self._payload), lambda reason: self._answered(reason, asked))

    def rest_s(self, now: float) -> float:
        """Return how long until it is said again."""
        idle = self._payload is None or not self._connected or self._said
        return float("inf") if idle else max(0.0, self._not_before - now)

    def _answered(self, reason: int, asked: int) -> None:
        if asked != self._asked or self._payload is None:
            return
        if judge(reason) is Judgement.TAKEN:
            self._payload = None
            self._proven()
        else:
            self._said = False

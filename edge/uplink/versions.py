"""Which MQTT a server is spoken to in (pure): 5 where it has it, 3.1.1 where it shows that it has not.

    5 ─► "unsupported protocol version" (CONNACK 0x01 of a 3.1.1 server, 0x84 of a newer one)   ─► 3.1.1, at once
    5 ─► closed before the CONNACK, `CLOSED_IN_ROW` times (only `by_closing`)                   ─► 3.1.1, as a guess
    3.1.1 ─► the one or the other                                                               ─► 5

A guess lasts less long: a server that is just starting closes as well. What is known is forgotten when it is old:
servers are upgraded.
"""

from collections.abc import Hashable
from typing import Literal

from edge.config import MqttVersion

Version = Literal["5", "3.1.1"]

CLOSED_IN_ROW = 2
REFUSED_FOR_S = 86_400.0
GUESSED_FOR_S = 3_600.0


class Versions:
    """What is known of each server; it outlives connections. A server is whatever names one, such as (host, port)."""

    def __init__(self, wanted: MqttVersion, *, by_closing: bool) -> None:
        """`wanted` "auto" goes by what is seen. `by_closing`: a connection closed at once may be a refusal."""
        self._wanted = wanted
        self._by_closing = by_closing
        self._old_until: dict[Hashable, float] = {}
        self._closed: dict[Hashable, int] = {}

    def next(self, server: Hashable, now: float) -> Version:
        """Return what to speak on the next connection."""
        if self._wanted != "auto":
            return self._wanted
        return "3.1.1" if now < self._old_until.get(server, now) else "5"

    def refused(self, server: Hashable, version: Version, now: float) -> bool:
        """Note that a server said it does not speak `version`; tell whether `next` is another one now."""
        self._suppose(server, "5" if version == "3.1.1" else "3.1.1", now + REFUSED_FOR_S)
        return self._wanted == "auto"

    def closed(self, server: Hashable, version: Version, now: float) -> None:
        """Note that a connection ended before its CONNACK."""
        self._closed[server] = self._closed.get(server, 0) + 1
        if self._closed[server] >= CLOSED_IN_ROW and self._by_closing:
            self._suppose(server, "5" if version == "3.1.1" else "3.1.1", now + GUESSED_FOR_S)

    def taken(self, server: Hashable, version: Version) -> None:
        """Note a login in `version`."""
        self._closed.pop(server, None)
        if version == "5":
            self._old_until.pop(server, None)

    def _suppose(self, server: Hashable, version: Version, until: float) -> None:
        self._closed.pop(server, None)
        if version == "3.1.1":
            self._old_until[server] = until
        else:
            self._old_until.pop(server, None)

"""What a PUBACK is worth in MQTT 3.1.1 (pure): it has no reason code, so by itself it may be a refusal.

A server that cannot say no in a PUBACK says it by ending the connection: ThingsBoard over a rate limit (4.2.1 on: a
PUBACK, then the end), AWS IoT over a forbidden topic. So a PUBACK counts once the server has answered a ping that was
sent after it came: packets of a connection are handled in order, and whoever answers has not ended it.
"""

from collections import deque
from collections.abc import Set as AbstractSet


class Settling:
    """The PUBACKs of one connection that still wait for their ping, by packet id."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._held: deque[int] = deque()
        self._settled = 0              # PUBACKs given out so far
        self._pings: deque[int] = deque()      # of each ping on its way: the PUBACKs that had come before it

    @property
    def unsettled(self) -> AbstractSet[int]:
        """Packet ids of the PUBACKs that wait."""
        return set(self._held)

    @property
    def wants_ping(self) -> bool:
        """True when something waits and no ping is on its way: one at a time is enough."""
        return bool(self._held) and not self._pings

    def acked(self, packet_id: int) -> None:
        """Take a PUBACK."""
        self._held.append(packet_id)

    def pinged(self) -> None:
        """Note a PINGREQ, whoever sent it."""
        self._pings.append(self._settled + len(self._held))

    def answered(self) -> list[int]:
        """Take a PINGRESP; return what it settles. ValueError for one that nobody asked for."""
        if not self._pings:
            raise ValueError("a PINGRESP for nothing")
        count = self._pings.popleft() - self._settled
        self._settled += count
        return [self._held.popleft() for _ in range(count)]

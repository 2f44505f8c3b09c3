"""Which meters the server counts as connected on one connection (pure).

    a record of it is to be sent ─► connect, PUBACK ─► connected ─► silent, nothing sent for LINGER_S ─► disconnect
              ▲                          │ refused: rests (Parking)                                          │
              └──────────────────────────┴──────────────────────────────────────────────────────────────────┘

ThingsBoard keeps none of it over connections, so each begins with nobody: a meter that sends nothing is not connected.
"""

from collections.abc import Callable, Mapping

from edge.model import Publish

LINGER_S = 30.0            # a backlog of a silent meter comes in pieces: not disconnected after each
LOOK_S = 5.0


def nobody_is_silent(_device: str) -> bool:
    """Where nobody knows better, every meter speaks."""
    return False


class Presence:
    """The meters of one connection. Times are monotonic seconds."""

    def __init__(self, silent: Callable[[str], bool]) -> None:
        """Nobody is connected. `silent` tells of whom nothing is heard, or who is gone from the registry."""
        self.connected: set[str] = set()
        self.changes = 0                       # of `connected`, so far
        self._silent = silent
        self._asked: set[str] = set()
        self._sent_at: dict[str, float] = {}
        self._look_at = float("-inf")

    def missing(self, connects: Mapping[str, Publish]) -> list[tuple[str, Publish]]:
        """Return who must be connected before a batch goes."""
        return [(device, publish) for device, publish in connects.items() if device not in self.connected]

    def may_ask(self, device: str) -> bool:
        """Tell whether a meter's connect is yet to be sent."""
        return device not in self._asked

    def asked(self, device: str) -> None:
        """A connect was sent."""
        self._asked.add(device)

    def answered(self, device: str, *, taken: bool) -> None:
        """Take the answer to a connect."""
        self._asked.discard(device)
        if taken:
            self.connected.add(device)
            self.changes += 1

    def sent(self, connects: Mapping[str, Publish], now: float) -> None:
        """Note that something of these meters was sent."""
        self._sent_at.update(dict.fromkeys(connects, now))

    def leaving(self, now: float) -> list[str]:
        """Return who is connected and silent, looking now and then."""
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_S
        return [device for device in sorted(self.connected)
                if now - self._sent_at.get(device, now) >= LINGER_S and self._silent(device)]

    def left(self, device: str) -> None:
        """A disconnect was sent."""
        self.connected.discard(device)
        self.changes += 1

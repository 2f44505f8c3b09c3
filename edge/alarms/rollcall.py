"""Of whom the server is still to be told which alarms stand (pure).

What the gateway raised it may not know any more: a full disk kept it from being written down, a full ring refused the
record that cleared it. So in each run every device is told of once as it is now, and again where a record was refused.

    start ─► the gateway is owed        a meter is heard ─► it is owed        a record refused, or lost ─► owed again
                                  a record of it is taken: owed no more

A meter that is silent is not told of: whatever comes for a device makes it active at ThingsBoard (decision 36).
"""

REST_S = 300.0
"""After a refusal: each is counted as a loss of the ring's."""


class RollCall:
    """One per run of the gateway. Times are monotonic seconds."""

    def __init__(self) -> None:
        """Nobody has been told of."""
        self._told: set[str] = set()
        self._owed: set[str] = {""}
        self._not_before = float("-inf")

    def anew(self) -> None:
        """What stands has become known only now: what was told of it before counts no more."""
        self._owed |= self._told
        self._told.clear()

    def heard(self, device: str) -> None:
        """Something came of a device."""
        if device not in self._told:
            self._owed.add(device)

    def taken(self, device: str) -> None:
        """The ring has taken a record that tells all that stands at a device."""
        self._told.add(device)
        self._owed.discard(device)

    def refused(self, device: str, now: float) -> None:
        """It has refused one, or lost it."""
        self._told.discard(device)
        self._owed.add(device)
        self._not_before = now + REST_S

    def retain(self, devices: set[str]) -> None:
        """Forget who is registered no longer."""
        self._told &= devices
        self._owed &= devices

    def due(self, now: float) -> tuple[str, ...]:
        """Return of whom to tell, the gateway first."""
        return tuple(sorted(self._owed)) if now >= self._not_before else ()

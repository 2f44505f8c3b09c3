"""ThingsBoard's rate limits (no I/O), for demo and tests.

Source: DefaultTransportRateLimitService.checkLimits. What carries data points (telemetry, attributes) is one telemetry
message and its points, each entry of a sub-device for itself; everything else (connect, disconnect, subscribe, RPC and
its answers, attribute requests) is one regular message. A gateway's own are counted by `rateLimits`, those for its
devices by `gatewayRateLimits`, the names that getSessionLimits tells them by. A limit "20:1,600:60" is two buckets,
filled evenly (bucket4j, Refill.greedy); what does not fit takes nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

KINDS = ("messages", "telemetryMessages", "telemetryDataPoints")


class Bucket:
    """`count` in any `period_s`; full at first."""

    def __init__(self, count: int, period_s: float, now: float) -> None:
        self._count, self._per_s = count, count / period_s
        self._level, self._at = float(count), now

    def has(self, cost: int, now: float) -> bool:
        """Tell whether `cost` is in it."""
        self._level = min(self._count, self._level + (now - self._at) * self._per_s)
        self._at = now
        return self._level >= cost

    def take(self, cost: int) -> None:
        """Take it out."""
        self._level -= cost


def buckets(text: str, now: float) -> list[Bucket]:
    """Return the buckets of "20:1,600:60" (count:seconds)."""
    pairs = [part.split(":") for part in text.split(",") if part]
    return [Bucket(int(count), float(period), now) for count, period in pairs]


class Limits:
    """The books of one gateway. They outlive its sessions: coming back at once does not fill a bucket."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` is monotonic, seconds."""
        self.refused = 0
        self._now = now
        self._of: Mapping[str, Any] | None = None
        self._books: dict[tuple[bool, str], list[Bucket]] = {}

    def allow(self, limits: Mapping[str, Any], *, own: bool, points: int = 0) -> bool:
        """Book a message of the gateway (`own`) or of a device behind it; False, and nothing booked: it is too much."""
        if limits is not self._of:
            self._of, now = limits, self._now()
            self._books = {(whose == "rateLimits", kind): buckets(limits.get(whose, {}).get(kind, ""), now)
                           for whose in ("rateLimits", "gatewayRateLimits") for kind in KINDS}
        costs = {"telemetryMessages": 1, "telemetryDataPoints": points} if points else {"messages": 1}
        now = self._now()
        charged = [(bucket, cost) for kind, cost in costs.items() for bucket in self._books[own, kind]]
        if not all(bucket.has(cost, now) for bucket, cost in charged):
            self.refused += 1
            return False
        for bucket, cost in charged:
            bucket.take(cost)
        return True

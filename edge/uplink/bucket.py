"""Token buckets for the rates of a server (pure)."""

from dataclasses import dataclass

SHARE = 0.8                    # of every limit: clocks differ, and other clients of the tenant count too


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` in any `period_s`."""

    count: float
    period_s: float


class TokenBucket:
    """`SHARE` of one rate. Starts full; a cost above the whole bucket passes when it is full, and is paid off after."""

    def __init__(self, rate: Rate, now: float) -> None:
        self.capacity = max(1.0, rate.count * SHARE)
        self._per_s = self.capacity / rate.period_s
        self._level = self.capacity
        self._at = now

    def wait_s(self, cost: float, now: float) -> float:
        """Return how long until `cost` may pass; 0.0 now."""
        self._level = min(self.capacity, self._level + (now - self._at) * self._per_s)
        self._at = now
        return max(0.0, (min(cost, self.capacity) - self._level) / self._per_s)

    def spend(self, cost: float) -> None:
        """Take `cost` out."""
        self._level -= cost

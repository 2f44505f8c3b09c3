"""How a connection begins, and what is learned of a server that limits rates without saying so (pure).

When a server comes back after an outage, every gateway has a backlog for it. So a connection begins with one small
publication, doubles what is on its way with every round of PUBACKs, and halves it when they get slow: TCP's slow start,
for a receiver that is a queue. On a quick link that is over within a dozen round trips.

A rate limit shows as a PUBACK 0x97 or a closed connection (docs/thingsboard-contract.md). What the server took until
then, over the time it took it in, is the rate that it allows, and the backlog keeps below it. Alarms and live values
are booked, and never held: the backlog gets what they leave.
"""

import math

from edge.uplink.bucket import SHARE

FIRST_BYTES = 2_048            # on the way before the first PUBACK, in two: a silent one must not keep all others back
SLOW_S = 10.0                  # a PUBACK that takes longer, and SLOW_TIMES the best one, is a server in trouble
SLOW_TIMES = 4
FORGET_S = 3_600.0             # without a closing; then the limit may be another
FOLLOWS_S = 120.0              # closings not further apart measure the time between them, rests included
LEAST_PER_S = (1.0, 10.0)      # entries, data points: ThingsBoard Cloud's smallest is some 7,000 an hour
MOST_DOUBLINGS = 64.0


class Ramp:
    """What may be on the way on one connection, in bytes."""

    def __init__(self, window_bytes: int) -> None:
        """Begin small; `window_bytes` is the end of it."""
        self.limit_bytes = min(FIRST_BYTES, window_bytes)
        self._window_bytes = window_bytes
        self._best_s = float("inf")
        self._slowed_at = float("-inf")

    def answered(self, size_bytes: int, sent_at: float, now: float) -> None:
        """Take a PUBACK. One round of slow ones counts once."""
        took_s = now - sent_at
        self._best_s = min(self._best_s, took_s)
        if took_s > max(SLOW_S, SLOW_TIMES * self._best_s):
            if sent_at > self._slowed_at:
                self._slowed_at = now
                self.limit_bytes = max(FIRST_BYTES, self.limit_bytes // 2)
        elif self.limit_bytes < self._window_bytes:
            self.limit_bytes = min(self._window_bytes, self.limit_bytes + size_bytes)


class Quota:
    """The rates that closings have shown, over all connections: device entries and data points a second.

    Each closing makes them what was taken since the one before, or a quarter; from then on they grow, half as fast
    after each closing that follows. So the limit is found in a few, and is met ever more rarely.
    """

    def __init__(self) -> None:
        """No limit is known."""
        self._since = 0.0              # what was taken is counted from then on
        self._taken = (0, 0)
        self._closed_at = float("-inf")
        self._doublings_per_s = 2.0
        self._buckets: tuple[GrowingBucket, ...] = ()

    def began(self, now: float) -> None:
        """A connection begins."""
        if now - self._closed_at > FORGET_S:
            self._buckets, self._doublings_per_s = (), 2.0
        if now - self._closed_at > FOLLOWS_S:
            self._since, self._taken = now, (0, 0)

    def taken(self, entries: int, points: int) -> None:
        """Note what the server took."""
        self._taken = self._taken[0] + entries, self._taken[1] + points

    def closed(self, now: float) -> str:
        """The server has ended a connection for its rate; return what is believed now, for the log."""
        over_s = max(1.0, now - self._since)
        rates = [max(least, count / over_s) for least, count in zip(LEAST_PER_S, self._taken, strict=True)]
        if self._buckets:
            rates = [min(bucket.rate_per_s(now), max(rate, bucket.rate_per_s(now) / 4))
                     for rate, bucket in zip(rates, self._buckets, strict=True)]
        self._doublings_per_s /= 2
        self._buckets = tuple(GrowingBucket(rate * SHARE, self._doublings_per_s, now) for rate in rates)
        self._since, self._closed_at, self._taken = now, now, (0, 0)
        return f"{rates[0]:.3g} entries or {rates[1]:.3g} data points a second"

    def batch_points(self, now: float) -> int | None:
        """Return how many data points a batch should have; None: any number."""
        return max(1, int(self._buckets[1].rate_per_s(now))) if self._buckets else None

    def wait_s(self, entries: int, points: int, now: float) -> float:
        """Return how long a part of the backlog has to wait."""
        return max((bucket.wait_s(cost, now)
                    for bucket, cost in zip(self._buckets, (entries, points), strict=False)), default=0.0)

    def spend(self, entries: int, points: int, now: float) -> None:
        """Book what was sent, backlog or not."""
        for bucket, cost in zip(self._buckets, (entries, points), strict=False):
            bucket.spend(cost, now)


class GrowingBucket:
    """One second of a rate that grows; a cost above the whole bucket passes when it is full, and is paid off after."""

    def __init__(self, rate_per_s: float, doublings_per_s: float, now: float) -> None:
        """It starts empty."""
        self._first_per_s, self._doublings_per_s, self._began_at = rate_per_s, doublings_per_s, now
        self._level, self._at = 0.0, now

    def rate_per_s(self, now: float) -> float:
        """Return the rate as it has grown by now."""
        return self._first_per_s * math.exp2(min(MOST_DOUBLINGS, self._doublings_per_s * (now - self._began_at)))

    def wait_s(self, cost: float, now: float) -> float:
        """Return how long until `cost` may pass; 0.0 now."""
        rate = self.rate_per_s(now)
        self._level = min(rate, self._level + (now - self._at) * rate)
        self._at = now
        return max(0.0, (min(cost, rate) - self._level) / rate)

    def spend(self, cost: float, now: float) -> None:
        """Take `cost` out."""
        self.wait_s(cost, now)
        self._level -= cost

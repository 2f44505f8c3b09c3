"""A duty cycle kept, not only counted: when the next transmission may come (pure).

A leaky bucket. Its content drains at most of what the rule allows, and it holds the rest: so that over no hour,
wherever it begins, more is sent than allowed, and a burst after a quiet time is served at once.

It begins full. Nobody knows what the process before sent in this hour, or the same radio under another rule, and a
bucket that began empty would give its burst again with each restart. That costs no silence: the steady share is there
from the first second, only the burst has to be earned, in a quarter of an hour of quiet.
"""

HOUR_S = 3_600.0
DRAIN_SHARE = 0.8
"""Of the allowance that is given out steadily; what is left is the bucket's size."""


class DutyBudget:
    """One transmitter's budget. `now` is monotonic seconds, times on the air are seconds."""

    def __init__(self, limit_pct: float) -> None:
        """`limit_pct` of an hour may be sent; 100 = no limit. ValueError for what is no share."""
        if not 0.0 < limit_pct <= 100.0:
            raise ValueError(f"a duty cycle lies above 0 and up to 100 %, not {limit_pct!r}")
        self.limit_pct = limit_pct
        self._rate = limit_pct / 100.0 * DRAIN_SHARE
        self._size_s = limit_pct / 100.0 * (1.0 - DRAIN_SHARE) * HOUR_S
        self._content_s = self._size_s
        self._at: float | None = None      # when the content was that; None: not asked yet

    def ready_at(self, cost_s: float, now: float) -> float:
        """Return when `cost_s` on the air fit in, `now` at the earliest. What never fits comes into an empty bucket."""
        if self.limit_pct >= 100.0:
            return now
        over_s = self._level(now) + min(cost_s, self._size_s) - self._size_s
        return now if over_s <= 0.0 else now + over_s / self._rate

    def spent(self, sent_s: float, now: float) -> None:
        """Note what was sent, whether it was allowed or not."""
        self._content_s = self._level(now) + sent_s
        self._at = now

    def _level(self, now: float) -> float:
        if self._at is None:
            self._at = now
        return max(0.0, self._content_s - max(now - self._at, 0.0) * self._rate) if self._content_s else 0.0

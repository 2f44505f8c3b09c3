"""What a backfill says of itself: plain data for status and telemetry (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.meters.ledger import Counts

RATE_OVER_S = 900.0
"""A rate is told of the catch-up under way; one that rested for longer begins anew."""

RATE_AFTER_S = 5.0
"""Before, a rate means nothing."""


@dataclass(frozen=True, slots=True)
class BackfillState:
    """One meter's. Intervals are those of the window; None = not known."""

    meter: str
    state: str                            # "starting", "none", "catching up", "waiting for the ring", "complete"
    expected: int
    present: int
    missing: int
    absent: int
    oldest_missing_s: int | None          # Unix seconds of the meter's clock: when the oldest missing interval ended
    period_s: int | None
    rows: int                             # read since the start
    repeated: int
    undated: int
    rows_per_s: float | None
    eta_s: float | None
    access: str
    not_read: dict[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(slots=True)
class Progress:
    """What a backfill counts while it runs."""

    problem: str = ""                     # why nothing can be read although there is a profile
    trouble: str = ""                     # why the last step failed
    rows: int = 0
    repeated: int = 0
    undated: int = 0
    looked_at: float | None = None
    _since: float = 0.0
    _counted: int = 0
    _last: float = float("-inf")

    def looked(self, now: float) -> None:
        """Note that the meter's clock was read."""
        self.looked_at = now

    def read(self, rows: int, *, undated: int, repeated: int, now: float) -> None:
        """Note what an answer brought."""
        self.rows += rows
        self.undated += undated
        self.repeated += repeated
        if now - self._last > RATE_OVER_S:
            self._since, self._counted = now, 0
        self._counted += rows
        self._last = now

    def state(self, meter: str, counts: Counts, now: float, *, access: str, period_s: int | None,
              not_read: Mapping[str, str], room: bool, problem: str) -> BackfillState:
        """Return it all."""
        running = counts.missing and now - self._last <= RATE_OVER_S and now - self._since >= RATE_AFTER_S
        rate = self._counted / (now - self._since) if running and self._counted else None
        if period_s is None:
            word = "none" if problem else "starting"
        elif self.looked_at is None:
            word = "starting"
        elif not counts.missing:
            word = "complete"
        else:
            word = "catching up" if room else "waiting for the ring"
        return BackfillState(
            meter=meter, state=word, **counts._asdict(), period_s=period_s, rows=self.rows, repeated=self.repeated,
            undated=self.undated, rows_per_s=rate, eta_s=counts.missing / rate if rate and counts.missing else None,
            access=access, not_read=dict(not_read), problem=problem or self.problem or self.trouble)

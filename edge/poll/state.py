"""What a poller says of itself: plain data for status, the page and the gateway's own telemetry."""

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field

from edge.errors import FailReason
from edge.poll.recovery import LadderState
from edge.poll.schedule import Between

LATENESS_KEPT = 128
"""Newest polls whose lateness is kept, for percentiles."""

LATENESS_BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)
"""Of the buckets that all polls are counted in, fixed for good: they are added up over gateways."""

ROUND_TRIPS_AVERAGED = 8


@dataclass(frozen=True, slots=True)
class PollerState:
    """One meter's poller. Ages and times in seconds; None = has not happened.

    `due` slots of the schedule have come so far. Each was served and left one record (`slots == readings + failed`),
    or was run over by the poll before it (`skipped`), or is being served now. `failures` counts by reason; `lateness_s`
    are the newest polls', oldest first. `steps` are those of errands, done between polls.
    Of the skipped ones `held` were, because the duty cycle left no time for them.
    """

    meter: str
    interval_s: float
    between: Between
    connected: bool
    ladder: LadderState
    due: int
    slots: int
    readings: int
    partial: int
    failed: int
    failures: dict[str, int]
    skipped: int
    held: int
    connects: int
    drops_idle: int
    keep_alives: int
    round_trips: int
    round_trip_s: float | None
    lost_records: int
    steps: int
    steps_failed: int
    last_reading_age_s: float | None
    last_failure: str
    last_reason: str             # why the last attempt failed, also while the circuit is open; "" after a reading
    not_read: str
    list_limit: int | None
    identity: str
    lateness_s: tuple[float, ...]
    lateness_counts: tuple[int, ...] = (0,) * (len(LATENESS_BOUNDS_S) + 1)      # by bucket, the one above all last
    lateness_sum_s: float = 0.0


@dataclass(slots=True)
class Counters:
    """What a poller counts while it runs."""

    readings: int = 0
    partial: int = 0
    failures: Counter[FailReason] = field(default_factory=Counter)
    skipped: int = 0
    held: int = 0                # slots given up because the duty cycle left no time
    connects: int = 0
    drops_idle: int = 0          # kept connections found ended between two polls
    keep_alives: int = 0
    round_trips: int = 0
    round_trip_s: float | None = None      # moving average of exchanges
    lost_records: int = 0        # refused by the ring
    steps: int = 0               # of errands
    steps_failed: int = 0
    last_reading_at: float | None = None
    last_failure: str = ""       # of the newest record, "" after a reading
    last_reason: FailReason = FailReason.INTERNAL      # of the newest attempt that failed
    not_read: str = ""
    lateness_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENESS_KEPT))
    lateness_counts: list[int] = field(default_factory=lambda: [0] * (len(LATENESS_BOUNDS_S) + 1))
    lateness_sum_s: float = 0.0

    def late(self, seconds: float) -> None:
        """Note how long after its slot a poll was asked."""
        self.lateness_s.append(seconds)
        self.lateness_counts[bisect_left(LATENESS_BOUNDS_S, seconds)] += 1
        self.lateness_sum_s += seconds

    def took(self, seconds: float) -> None:
        """Note how long an exchange took."""
        before = self.round_trip_s
        self.round_trip_s = seconds if before is None else before + (seconds - before) / ROUND_TRIPS_AVERAGED

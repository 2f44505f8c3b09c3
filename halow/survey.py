"""A survey of one peer, second by second, for a person who turns an antenna (pure).

The average follows within a few seconds; the best so far is what the hand comes back to. A cue is given when the signal
is better than ever, or nearly as good as the best.
"""

from dataclasses import dataclass

from halow.model import LinkState

NEAR_DB = 1.0
"""This close to the best counts as being back at it."""

CSV_HEADER = ("time", "mac", "grade", "rssi_dbm", "rssi_avg_dbm", "trend_db", "margin_db", "best_dbm", "rtt_ms",
              "loss_pct", "retries_pct")
BAR_CELLS = 30
WEAKEST_DBM, STRONGEST_DBM = -100.0, -50.0


@dataclass(frozen=True, slots=True)
class Line:
    """One second. `cue`: 2 = better than ever, 1 = as good as the best, 0 = not. None = not known."""

    state: LinkState
    best_dbm: float | None
    best_age_s: float | None
    rtt_ms: float | None
    loss_pct: float | None
    cue: int

    def text(self) -> str:
        """Return it for the eye: bar, average, trend, best, round trip, loss."""
        state = self.state
        average = state.rssi_avg_dbm
        if average is None:
            return f"{'no frame':>9}  {state.lost_because or state.grade.label}"
        share = (average - WEAKEST_DBM) / (STRONGEST_DBM - WEAKEST_DBM)
        filled = round(min(max(share, 0.0), 1.0) * BAR_CELLS)
        bar = "█" * filled + "·" * (BAR_CELLS - filled)
        trend = state.trend_db
        arrow = " " if trend is None else "▲" if trend >= 0.5 else "▼" if trend <= -0.5 else "="
        mark = ("", " near the best", " BEST")[self.cue]
        return (f"{average:6.1f} dBm {arrow} {bar} best {self.best_dbm:.1f} ({self.best_age_s:.0f} s ago)  "
                f"margin {_of(state.margin_db, 'dB')}  rtt {_of(self.rtt_ms, 'ms')}  loss {_of(self.loss_pct, '%')}  "
                f"{state.grade.label}{mark}")

    def row(self, time: str) -> tuple[str, ...]:
        """Return it for a CSV file, below CSV_HEADER; what is not known is empty."""
        state = self.state
        numbers = (state.rssi_dbm, state.rssi_avg_dbm, state.trend_db, state.margin_db, self.best_dbm, self.rtt_ms,
                   self.loss_pct, state.retries_per_100)
        return (time, state.mac, state.grade.label,
                *("" if number is None else f"{number:.1f}".removesuffix(".0") for number in numbers))


class Survey:
    """One peer's survey. `now` is monotonic seconds."""

    def __init__(self) -> None:
        """Begin without a best."""
        self._best_dbm: float | None = None
        self._best_at = 0.0
        self._asked = self._answered = 0

    def add(self, state: LinkState, now: float, *, asked: bool = False, rtt_ms: float | None = None) -> Line:
        """Take in one second; `asked`: an echo was asked for, `rtt_ms` how long its answer took, None without one."""
        self._asked += asked
        self._answered += asked and rtt_ms is not None
        average, cue = state.rssi_avg_dbm, 0
        if average is not None:
            if self._best_dbm is None or average > self._best_dbm:
                cue = 2 if self._best_dbm is not None else 0
                self._best_dbm, self._best_at = average, now
            elif average >= self._best_dbm - NEAR_DB:
                cue = 1
        loss = 100.0 * (self._asked - self._answered) / self._asked if self._asked else None
        best_age = None if self._best_dbm is None else now - self._best_at
        return Line(state, self._best_dbm, best_age, rtt_ms, loss, cue)


def _of(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.0f} {unit}"

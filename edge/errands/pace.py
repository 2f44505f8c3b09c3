"""How many rows one request of a backfill asks for: learned from what the last ones took (pure).

The exchange must end well before its deadline, the next poll, and the patience of whoever waits for the place. What a
row costs differs by a factor of a thousand: a wrapper on a good link, 9,600 baud behind a bridge.
"""

FIRST_ROWS = 4
MOST_ROWS = 192
"""Rows of one request, whatever they cost: the answer is held in memory whole, and a step stays a step."""

FIRST_ROW_S = 0.25
OVERHEAD_S = 0.2
"""What a request is thought to take besides its rows, until it is known."""

WEIGHT, DEARER = 0.3, 0.6
"""How much one answer counts: what is dearer than thought counts more, what is cheaper has to show it again."""

HEADROOM = 1.5
"""A step is planned to last so much longer than the last ones did: links have tails."""


class Pace:
    """One meter's."""

    def __init__(self, budget_s: float, line_share: float) -> None:
        """`budget_s`: how long one request may take; `line_share`: of the meter's time, 0 < share <= 1."""
        self.rows = FIRST_ROWS              # to ask for next
        self._budget_s = budget_s
        self._rest = (1 - line_share) / line_share
        self._row_s = FIRST_ROW_S
        self._overhead_s = OVERHEAD_S

    @property
    def lasts_s(self) -> float:
        """How long the next request is expected to take."""
        return (self._overhead_s + self.rows * self._row_s) * HEADROOM

    @property
    def overhead_s(self) -> float:
        """How long a request without rows is expected to take."""
        return self._overhead_s * HEADROOM

    def small(self, took_s: float) -> None:
        """Learn from a request that brought next to nothing."""
        self._overhead_s += WEIGHT * (took_s - self._overhead_s)

    def answered(self, rows: int, took_s: float) -> float:
        """Learn from a request that brought `rows`; return how long to rest before the next."""
        self._overhead_s = min(self._overhead_s, took_s)
        if rows:
            row_s = max(took_s - self._overhead_s, took_s / 10) / rows
            self._row_s += (DEARER if row_s > self._row_s else WEIGHT) * (row_s - self._row_s)
        else:
            self.small(took_s)
        affordable = int((self._budget_s / HEADROOM - self._overhead_s) / self._row_s) if self._row_s else MOST_ROWS
        self.rows = max(1, min(affordable, 2 * self.rows, MOST_ROWS))
        return took_s * self._rest

    def failed(self) -> None:
        """A request was not answered: ask for less next time."""
        self.rows = max(1, self.rows // 2)

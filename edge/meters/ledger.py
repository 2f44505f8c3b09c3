"""What is known of one meter's intervals, and which of them to read next (pure).

    ├──────────── window ────────────────────────────┤ newest interval that has ended
      known ████████████████      ██████████    █████    the meter was asked, its rows are on flash or delivered
      held  ██████     █████      ██████████    █████    of those: the meter has a row
                 absent     missing         missing

An interval of `period_s` is the seconds `start..end` of a half-open range; the row of its values carries `end`, when it
was captured. All moments are Unix seconds of the meter's own clock. What has not come to flash yet is missing: after a
power cut it is read again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from edge.meters.ranges import Pair, Ranges

Order = Literal["newest", "oldest"]

MOST_RANGES = 400
"""Pieces of a set that are kept. Beyond, the shortest are forgotten: intervals are read again, never lost."""

NOTHING = Ranges()
_KEPT = ("known", "held", "undelivered", "lost")


class Counts(NamedTuple):
    """Intervals of the window: `expected` = `present` + `missing` + `absent` (the meter has no row)."""

    expected: int
    present: int
    missing: int
    absent: int
    oldest_missing_s: int | None      # when the oldest missing interval ended


@dataclass(slots=True)
class Ledger:
    """The intervals of one meter.

    `undelivered`: put into the ring since it was last known to be drained; suspect when the ring loses records.
    `lost`: to be read again once there is room. `basis`: which meter all this is about, and how its times were read.
    `ring_lost`: how many records the ring had lost when these were last looked at. `on_way`: handed to the ring and not
    on flash yet; not kept, like the rest below it.
    """

    known: Ranges = NOTHING
    held: Ranges = NOTHING
    undelivered: Ranges = NOTHING
    lost: Ranges = NOTHING
    basis: str = ""
    ring_lost: int = 0
    on_way: Ranges = NOTHING
    window: Pair = (0, 0)
    period_s: int = 900
    changed: bool = field(default=False, compare=False)      # since it was last kept

    def look(self, start: int, end: int, period_s: int) -> None:
        """Set the window to the intervals of `start..end`, and forget what is before it."""
        self.window, self.period_s = (min(start, end), end), period_s
        if self.known and self.known.first < self.window[0]:
            far = max(self.known.end, end)
            self.known, self.held, self.undelivered, self.lost = (
                part.within(self.window[0], far) for part in (self.known, self.held, self.undelivered, self.lost))
            self.changed = True

    def rests_on(self, basis: str) -> bool:
        """Note what these intervals rest on; False, and all is forgotten, when it is something else than before."""
        same = self.basis in ("", basis)
        if not same:
            self.known = self.held = self.undelivered = self.lost = NOTHING
        if self.basis != basis:
            self.basis, self.changed = basis, True
        return same

    def missing(self) -> Ranges:
        """Return the intervals of the window that nobody has asked for yet."""
        return Ranges.of(self.window) - self.known - self.on_way

    def wants(self, at_s: int) -> bool:
        """Tell whether a row of this time is news: its interval has none, or nobody asked for it."""
        inside = self.window[0] < at_s <= self.window[1]
        return inside and (at_s - 1) not in (self.held if self._on_grid(at_s) else self.known)

    def rows_at(self, times_s: Iterable[int]) -> Ranges:
        """Return the intervals that rows of these times fill; a row off the grid (power, clock set) fills none."""
        return Ranges.of(*((at_s - self.period_s, at_s) for at_s in times_s if self._on_grid(at_s)))

    def taken(self, known: Ranges, held: Ranges) -> None:
        """Note that these intervals are known now; of `held` there are rows, durable in the ring."""
        self.known, self.held = self.known | known, (self.held - known) | held
        self.undelivered |= held
        self.on_way -= known
        self.changed = True

    def again(self, start: int, end: int) -> None:
        """Forget what is known of `start..end`: it is read again."""
        for name in _KEPT:
            setattr(self, name, getattr(self, name) - Ranges.of((start, end)))
        self.changed = True

    def look_at_ring(self, lost: int) -> None:
        """Compare how many records the ring has lost, ever: another number, and what it had of ours is suspect."""
        if self.ring_lost != lost:
            self.ring_lost, self.changed = lost, True
            self.lost, self.undelivered = self.lost | self.undelivered, NOTHING

    def drained(self) -> None:
        """Note that everything in the ring has been delivered."""
        if self.undelivered:
            self.undelivered, self.changed = NOTHING, True

    def reclaim(self) -> None:
        """Have what was lost read again."""
        if self.lost:
            self.known, self.held, self.lost = self.known - self.lost, self.held - self.lost, NOTHING
            self.changed = True

    def counts(self) -> Counts:
        """Count the intervals of the window."""
        start, end = self.window
        known = self.known.within(start, end)
        absent = (known - self.held).seconds // self.period_s
        open_ = Ranges.of(self.window) - known
        missing = -(-open_.seconds // self.period_s)
        expected = (end - start) // self.period_s
        return Counts(expected, max(expected - missing - absent, 0), missing, absent,
                      min(open_.first + self.period_s, end) if open_ else None)

    def _on_grid(self, at_s: int) -> bool:
        return (self.window[1] - at_s) % self.period_s == 0

    def encode(self) -> dict[str, Any]:
        """Return what has to survive a power cut, ready for JSON."""
        sets = {name: getattr(self, name).longest(MOST_RANGES).encode() for name in _KEPT}
        return {**sets, "basis": self.basis, "ring_lost": self.ring_lost}

    @classmethod
    def decode(cls, kept: Any) -> Self:
        """Rebuild from `encode`'s answer; ValueError for what is none."""
        if not isinstance(kept, dict):
            raise ValueError("no ledger")      # noqa: TRY004 - what was kept is a value, not an argument
        known, held, undelivered, lost = (Ranges.decode(kept.get(name, [])) for name in _KEPT)
        basis, ring_lost = kept.get("basis", ""), kept.get("ring_lost", 0)
        if not isinstance(basis, str) or type(ring_lost) is not int:
            raise ValueError("no ledger")
        return cls(known, held, undelivered, lost, basis, ring_lost)


def next_span(missing: Ranges, order: Order, most: int, period_s: int) -> Pair | None:
    """Return the intervals to ask for next: neighbours, at most `most` of them, the newest or the oldest ones."""
    if not missing or most < 1:
        return None
    if order == "newest":
        start, end = missing.pairs[-1]
        return max(start, end - most * period_s), end
    start, end = missing.pairs[0]
    return start, min(end, start + most * period_s)

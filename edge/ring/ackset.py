"""Which records need no delivery any more: a floor and intervals above it (pure).

The set counts in ordinals (`seq & ORDINAL_MASK`). Ordinals run on over restarts without a hole, and every record that
exists has its own, so neighbours are neighbours whichever epoch they come from, and counting is subtraction.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

from edge.model import SEQ_BITS

ORDINAL_MASK = (1 << SEQ_BITS) - 1
FIRST_ORDINAL = 1      # so that "after 0" means from the start
MAX_INTERVALS = 1024


class AckSet:
    """All ordinals below `floor`, and some disjoint intervals above it.

    Over `MAX_INTERVALS` the smallest interval is forgotten: its records are delivered once more, none is lost.
    """

    __slots__ = ("_above", "_first", "_last", "changes", "floor")

    def __init__(self, floor: int = FIRST_ORDINAL) -> None:
        """Start with everything below `floor` acknowledged."""
        self.floor = max(floor, FIRST_ORDINAL)
        self._first: list[int] = []     # of each interval, ascending, all above the floor
        self._last: list[int] = []      # of each interval, included
        self._above = 0                 # how many ordinals the intervals hold
        self.changes = 0                # grows with every change

    def add(self, first: int, last: int) -> None:
        """Acknowledge `first..last`, both included."""
        first = max(first, self.floor)
        if last < first:
            return
        self.changes += 1
        left = bisect_left(self._last, first - 1)
        right = bisect_right(self._first, last + 1)
        if left < right:
            first = min(first, self._first[left])
            last = max(last, self._last[right - 1])
            self._above -= sum(self._last[i] - self._first[i] + 1 for i in range(left, right))
        if first == self.floor:
            self.floor = last + 1
            del self._first[left:right], self._last[left:right]
            return
        self._first[left:right] = [first]
        self._last[left:right] = [last]
        self._above += last - first + 1
        if len(self._first) > MAX_INTERVALS:
            self._forget(min(range(len(self._first)), key=lambda i: self._last[i] - self._first[i]))

    def _forget(self, index: int) -> None:
        self._above -= self._last[index] - self._first[index] + 1
        del self._first[index], self._last[index]

    @property
    def end(self) -> int:
        """One above the highest acknowledged ordinal: no smaller one may be given again."""
        return self._last[-1] + 1 if self._last else self.floor

    def merge(self, other: "AckSet") -> None:
        """Acknowledge all that `other` has acknowledged."""
        self.add(0, other.floor - 1)
        for first, last in other.intervals():
            self.add(first, last)

    def intervals(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) of each interval above the floor."""
        return zip(self._first, self._last, strict=True)

    def __contains__(self, ordinal: int) -> bool:
        """Tell whether one ordinal is acknowledged."""
        if ordinal < self.floor:
            return True
        at = bisect_right(self._first, ordinal) - 1
        return at >= 0 and ordinal <= self._last[at]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the parts of `first..last` that are not acknowledged, ascending, as (first, last)."""
        first = max(first, self.floor)
        parts: list[tuple[int, int]] = []
        at = bisect_left(self._last, first)
        while first <= last and at < len(self._first) and self._first[at] <= last:
            if first < self._first[at]:
                parts.append((first, self._first[at] - 1))
            first = self._last[at] + 1
            at += 1
        if first <= last:
            parts.append((first, last))
        return parts

    def covers(self, first: int, last: int) -> bool:
        """Tell whether all of `first..last` is acknowledged."""
        return not self.missing(first, last)

    def count_missing(self, end: int) -> int:
        """Return how many ordinals below `end` are not acknowledged."""
        above, at = self._above, len(self._first) - 1
        while at >= 0 and self._last[at] >= end:
            above -= self._last[at] - max(self._first[at], end) + 1
            at -= 1
        return max(0, end - self.floor - above)

    def copy(self) -> "AckSet":
        """Return an independent copy."""
        twin = AckSet(self.floor)
        twin._first, twin._last, twin._above = self._first.copy(), self._last.copy(), self._above
        return twin

    def encode(self, limit_bytes: int) -> list[int]:
        """Return [floor, gap, length, gap, length ...]: each interval relative to the end of the one before it.

        The smallest intervals are left out until the packed form surely fits `limit_bytes`.
        """
        pairs = list(self.intervals())
        while True:
            flat, end = [self.floor], self.floor
            for first, last in pairs:
                flat += (first - end, last - first + 1)
                end = last + 1
            if not pairs or 3 + sum(map(_packed_bytes, flat)) <= limit_bytes:
                return flat
            keep = sorted(pairs, key=lambda pair: pair[0] - pair[1])[: len(pairs) * 3 // 4]
            pairs = sorted(keep)

    @classmethod
    def decode(cls, flat: Any) -> "AckSet":
        """Rebuild a set from `encode`'s list. Raises ValueError when it is not one."""
        if not isinstance(flat, list) or len(flat) % 2 != 1 or any(type(item) is not int or item < 0 for item in flat):
            raise ValueError("not an acknowledgement set")
        acks = cls(flat[0])
        end = acks.floor
        for gap, length in zip(flat[1::2], flat[2::2], strict=True):
            if length:
                acks.add(end + gap, end + gap + length - 1)
            end += gap + length
        return acks


def _packed_bytes(value: int) -> int:
    # msgpack's unsigned forms: fixint, uint 8, 16, 32, 64
    for limit, size in ((0x80, 1), (0x100, 2), (0x10000, 3), (0x1_0000_0000, 5)):
        if value < limit:
            return size
    return 9

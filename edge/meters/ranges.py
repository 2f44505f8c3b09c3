"""Sets of seconds as disjoint ranges (pure): what an interval ledger is made of.

A set is a sorted tuple of half-open pairs `(start, end)`, Unix seconds, that neither touch nor overlap. A year without
a gap is one pair, so a set costs what its gaps cost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of seconds. Operators are those of sets: `|`, `&`, `-`; truth is "not empty"."""

    pairs: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, *pairs: Pair) -> Self:
        """Make a set of any ranges: overlapping, touching, in any order; empty and reversed ones are nothing."""
        return cls(tuple(_joined(sorted(pair for pair in pairs if pair[0] < pair[1]))))

    def __bool__(self) -> bool:
        """Tell whether there is anything in it."""
        return bool(self.pairs)

    def __contains__(self, second: int) -> bool:
        """Tell whether a second is in it."""
        return any(start <= second < end for start, end in self.pairs)

    def __or__(self, other: "Ranges") -> "Ranges":
        """Return the seconds of either."""
        return Ranges(tuple(_joined(sorted((*self.pairs, *other.pairs)))))

    def __and__(self, other: "Ranges") -> "Ranges":
        """Return the seconds of both."""
        return Ranges(tuple(_common(self.pairs, other.pairs)))

    def __sub__(self, other: "Ranges") -> "Ranges":
        """Return the seconds of this one that are not in the other."""
        if not self.pairs or not other.pairs:
            return self
        begin, end = self.pairs[0][0], self.pairs[-1][1]
        return self & Ranges(tuple(_holes(other.pairs, begin, end)))

    def within(self, start: int, end: int) -> "Ranges":
        """Return what of it lies in `start..end`."""
        return self & Ranges.of((start, end))

    @property
    def seconds(self) -> int:
        """How many seconds there are."""
        return sum(end - start for start, end in self.pairs)

    @property
    def first(self) -> int:
        """The first second; ValueError when empty."""
        return min(start for start, _ in self.pairs)

    @property
    def end(self) -> int:
        """The second after the last; ValueError when empty."""
        return max(end for _, end in self.pairs)

    def longest(self, count: int) -> "Ranges":
        """Return the `count` longest ranges only: whoever must forget, forgets little."""
        if len(self.pairs) <= count:
            return self
        kept = sorted(self.pairs, key=lambda pair: pair[0] - pair[1])[:count]
        return Ranges(tuple(sorted(kept)))

    def encode(self) -> list[int]:
        """Return a flat list of starts and ends, as it is kept."""
        return [moment for pair in self.pairs for moment in pair]

    @classmethod
    def decode(cls, flat: Any) -> Self:
        """Rebuild from `encode`'s list; ValueError for what is none."""
        if not isinstance(flat, list) or len(flat) % 2 or not all(type(moment) is int for moment in flat):
            raise ValueError("no list of starts and ends")
        return cls.of(*zip(flat[::2], flat[1::2], strict=True))


def _joined(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Join ascending ranges that touch or overlap."""
    current: Pair | None = None
    for start, end in pairs:
        if current is None:
            current = (start, end)
        elif start <= current[1]:
            current = (current[0], max(current[1], end))
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current


def _common(one: tuple[Pair, ...], other: tuple[Pair, ...]) -> Iterator[Pair]:
    at = by = 0
    while at < len(one) and by < len(other):
        start, end = max(one[at][0], other[by][0]), min(one[at][1], other[by][1])
        if start < end:
            yield start, end
        if one[at][1] < other[by][1]:
            at += 1
        else:
            by += 1


def _holes(pairs: tuple[Pair, ...], begin: int, end: int) -> Iterator[Pair]:
    """What of `begin..end` the ranges leave open."""
    for start, stop in pairs:
        if begin < start:
            yield begin, min(start, end)
        begin = max(begin, stop)
        if begin >= end:
            return
    yield begin, end

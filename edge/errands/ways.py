"""Three ways to read a part of a profile's buffer (pure): by time, by entry number, or not at all.

Selective access: IEC 62056-6-2, 4.3.6, range_descriptor and entry_descriptor. A way is made at each look at the meter's
clock, and says which selection to ask for and of which seconds an answer brought every row that the meter has.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Protocol

from edge.dlms.axdr import Integer
from edge.dlms.datetimes import ClockTime
from edge.dlms.selection import by_clock_range, by_entry, by_range
from edge.errands.pace import MOST_ROWS
from edge.meters.loadrows import Layout, Row
from edge.meters.localtime import HOUR_S, Reckoning
from edge.meters.ranges import Pair, Ranges

Name = Literal["range", "entry", "whole"]
WAYS: tuple[Name, ...] = ("range", "entry", "whole")
"""The better ones first."""

STRIKES = 2
"""Exceptions, or answers to something else, in a row on one way, before the next one is tried."""

WIDE_S = 3 * HOUR_S
"""Limits in local time may be wider than what is wanted, by the hours of daylight saving."""

_DOUBLE_LONG_UNSIGNED = 6


class Way(Protocol):
    """One way to read."""

    def selection(self, span: Pair, count: int) -> bytes:
        """Return the selection that brings (some of) the intervals of `span`, about `count` rows; b"" for none."""

    def covered(self, span: Pair, window: Pair, rows: Sequence[Row]) -> Ranges | str:
        """Take the answer, in the order of capture; return of which seconds all rows are known now.

        A plain str says why it is no answer to what was asked.
        """


class ByRange:
    """By time: exactly what is wanted."""

    def __init__(self, layout: Layout, reckoning: Reckoning, shown: ClockTime | None) -> None:
        """`shown` is what the meter's clock showed; None where it counts seconds."""
        self._layout = layout
        self._reckoning = reckoning
        self._shown = shown

    def selection(self, span: Pair, count: int) -> bytes:
        """See `Way`. The row of an interval carries its end."""
        del count
        first_s, last_s = span[0] + 1, span[1]
        if self._shown is None:
            limits = (Integer(_DOUBLE_LONG_UNSIGNED, first_s), Integer(_DOUBLE_LONG_UNSIGNED, last_s))
            return by_range(self._layout.clock, *limits)
        low, high = self._reckoning.limits(first_s, last_s, self._shown)
        return by_clock_range(low, high, clock=self._layout.clock)

    def covered(self, span: Pair, window: Pair, rows: Sequence[Row]) -> Ranges | str:
        """See `Way`."""
        del window
        strange = sum(row.at_ms is not None and not span[0] - WIDE_S < row.at_s <= span[1] + WIDE_S for row in rows)
        return f"{strange} of {len(rows)} rows are of other times than asked for" if strange else Ranges.of(span)


class Whole:
    """All of it: for a meter without selective access and with a short buffer."""

    def selection(self, span: Pair, count: int) -> bytes:
        """See `Way`."""
        del span, count
        return b""

    def covered(self, span: Pair, window: Pair, rows: Sequence[Row]) -> Ranges:
        """See `Way`."""
        del span, rows
        return Ranges.of(window)


class ByEntry:
    """By number: the place is guessed, read, and the guess mended. An answer with all entries ends any search.

    Entries lie in the order of capture, one a period, except where the meter was off (fewer) or captured out of turn
    (more). Neighbouring entries of one answer on both sides of an interval show that the meter has no row for it, and
    nothing else does. Places are counted from the newest entry (0): the oldest ones fall out of a full buffer.
    """

    def __init__(self, layout: Layout, total: int) -> None:
        """`total` entries are in use, one at least."""
        self._total = total
        self._period_s = layout.period_s
        self._newest_first = layout.newest_first
        self._known: dict[int, int] = {}      # place -> time of its row
        self._asked = (0, 0)
        self._more = 0                        # rows to ask for besides: many may lie within one interval

    def selection(self, span: Pair, count: int) -> bytes:
        """See `Way`; two rows at least."""
        after, before = self._bracket(span)
        first = 0
        if after is not None:
            first = after + (self._known[after] - span[1]) // self._period_s
            first = first if first < before else (after + before) // 2
        self._asked = (first, min(first + max(count, 2) + self._more, self._total) - 1)
        newest, oldest = self._asked
        if self._newest_first:
            return by_entry(newest + 1, oldest + 1)
        return by_entry(self._total - oldest, self._total - newest)

    def covered(self, span: Pair, window: Pair, rows: Sequence[Row]) -> Ranges | str:
        """See `Way`."""
        newest, oldest = self._asked
        wanted = oldest - newest + 1
        dated = [(oldest - place, row.at_s) for place, row in enumerate(rows) if row.at_ms is not None]
        if len(rows) != wanted or not dated:
            return f"of {wanted} entries {len(rows)} came, {len(dated)} of them with a date"
        fresh = any(place not in self._known for place, _ in dated)
        self._known.update((dated[0], dated[-1]))
        found = self._between([at_s for _, at_s in dated], window)
        told = fresh or found & Ranges.of(span)
        # nothing new where the interval must be: it holds more rows than were asked for
        self._more = 0 if told else max(2 * self._more, 1)
        return found

    def _between(self, times: Sequence[int], window: Pair) -> Ranges:
        """Return the intervals of which the entries of one answer hold all rows."""
        newest, oldest = self._asked
        spans = [(one, other) for one, other in pairwise(times) if one < other]
        if oldest == self._total - 1:
            spans.append((window[0], times[0]))
        if newest == 0:      # the interval that has just ended may still get its row
            spans.append((times[-1], window[1] - self._period_s))
        return Ranges.of(*(self._whole(pair, window[1]) for pair in Ranges.of(*spans).pairs))

    def _bracket(self, span: Pair) -> tuple[int | None, int]:
        """Return the nearest known places on both sides: not older than the span's end (if any), and older."""
        after = max((place for place, at_s in self._known.items() if at_s >= span[1]), default=None)
        older = [place for place, at_s in self._known.items() if at_s < span[1] and place > (after or 0)]
        return after, min(older, default=self._total)

    def _whole(self, pair: Pair, grid: int) -> Pair:
        """Return the whole intervals in it: half of one is not all of its rows."""
        start, end = pair
        start += (grid - start) % self._period_s
        return start, max(start, end - (end - grid) % self._period_s)


class Access:
    """By which way one meter is read: found out by trying."""

    def __init__(self) -> None:
        """Begin with the best."""
        self.name: Name = WAYS[0]
        self._strikes = 0

    def begin(self, *, selective: bool) -> None:
        """Try anew; `selective` is whether the meter negotiated selective access at all."""
        self.name, self._strikes = WAYS[0] if selective else WAYS[-1], 0

    def way(self, layout: Layout, total: int, reckoning: Reckoning, shown: ClockTime | None) -> Way | str:
        """Make the way for a buffer of `total` entries; a plain str says why there is nothing to read by it."""
        if self.name == "range":
            return ByRange(layout, reckoning, shown)
        if not total:
            return "the load profile is empty"
        if self.name == "entry":
            return ByEntry(layout, total)
        return Whole() if total <= MOST_ROWS else f"its {total} profile entries come only all at once: too much"

    def worked(self) -> None:
        """Note an answer to what was asked."""
        self._strikes = 0

    def struck(self) -> bool:
        """Note an answer to something else, or an exception; True when there have been too many in a row."""
        self._strikes += 1
        return self._strikes >= STRIKES

    def following(self) -> bool:
        """Take the next way; False when that was the last one, and it begins again with the first."""
        self._strikes = 0
        last = self.name == WAYS[-1]
        self.name = WAYS[0] if last else WAYS[WAYS.index(self.name) + 1]
        return not last

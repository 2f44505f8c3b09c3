"""What a simulated meter's clock showed, and when the meter was powered (pure).

The life of a meter is a few spans, in each of which its clock ran evenly. From them follows which instants a profile
captured, in which order, without a row being stored: a profile of any length costs what its faults cost.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edge.demo.meter_zone import DAY_S, EPOCH, Zone

MAX_SPANS = 512          # of a meter's life; older ones, and the rows in them, are forgotten

ROW_POWER_FAILED, ROW_CLOCK_SET = 0x80, 0x20     # profile status: power down, clock adjusted


class Span(NamedTuple):
    """From `start` (Unix seconds) the clock shows `shown` and runs at `rate`; `flags` mark the first row."""

    start: float
    shown: float
    rate: float
    powered: bool
    flags: int

    def clock(self, now: float) -> float:
        """What the clock shows at `now`, in UTC seconds."""
        return self.shown + (now - self.start) * self.rate

    def true(self, shown: float) -> float:
        """When the clock showed `shown`."""
        return self.start + (shown - self.shown) / self.rate


class Grid(Protocol):
    """The instants at which a profile captures, numbered in the meter's clock."""

    def at_or_after(self, shown: float) -> int:
        """The number of the first instant not before `shown` (UTC seconds)."""

    def instant(self, number: int) -> float:
        """The clock's UTC seconds of instant `number`."""


@dataclass(frozen=True, slots=True)
class Every:
    """Every so many seconds, counted from the epoch."""

    period_s: int

    def at_or_after(self, shown: float) -> int:
        """See `Grid`."""
        return math.ceil(shown / self.period_s)

    def instant(self, number: int) -> float:
        """See `Grid`."""
        return float(number * self.period_s)


@dataclass(frozen=True, slots=True)
class Daily:
    """Every local midnight."""

    zone: Zone

    def at_or_after(self, shown: float) -> int:
        """See `Grid`."""
        number = math.floor((shown + self.zone.offset_s(shown)) / DAY_S)
        return number if self.instant(number) >= shown else number + 1

    def instant(self, number: int) -> float:
        """See `Grid`."""
        return self.zone.utc_s(number * DAY_S)


@dataclass(frozen=True, slots=True)
class Monthly:
    """Every local midnight that begins a month."""

    zone: Zone

    def at_or_after(self, shown: float) -> int:
        """See `Grid`."""
        local = EPOCH.fromtimestamp(shown + self.zone.offset_s(shown), EPOCH.tzinfo)
        number = 12 * local.year + local.month - 1
        return number if self.instant(number) >= shown else number + 1

    def instant(self, number: int) -> float:
        """See `Grid`."""
        first = EPOCH.replace(year=number // 12, month=number % 12 + 1)
        return self.zone.utc_s((first - EPOCH).total_seconds())


class Capture(NamedTuple):
    """One captured row: the clock's UTC seconds, the true Unix time, and the status bits that mark it."""

    shown: float
    true: float
    flags: int


class Run(NamedTuple):
    """The consecutive instants `first` to `last` of a grid that one span captured."""

    span: Span
    first: int
    last: int

    def capture(self, grid: Grid, number: int) -> Capture:
        """The row at instant `number` of this run."""
        shown = grid.instant(number)
        return Capture(shown, self.span.true(shown), self.span.flags if number == self.first else 0)


class Timeline:
    """The spans of one meter, oldest first."""

    def __init__(self, started_at: float, offset_s: float = 0.0, rate: float = 1.0) -> None:
        """Powered from `started_at` (Unix seconds) on, with a clock that is `offset_s` ahead."""
        self.spans = [Span(started_at, started_at + offset_s, rate, True, 0)]

    def clock(self, now: float) -> float:
        """What the clock shows at `now`."""
        for span in reversed(self.spans):
            if span.start <= now:
                return span.clock(now)
        return self.spans[0].clock(now)

    @property
    def powered(self) -> bool:
        """Tell whether the meter has power now."""
        return self.spans[-1].powered

    def step(self, now: float, shown: float, rate: float | None = None) -> None:
        """Set the clock: at `now` it shows `shown`."""
        last = self.spans[-1]
        self._append(Span(now, shown, last.rate if rate is None else rate, last.powered, ROW_CLOCK_SET))

    def power(self, now: float, *, on: bool) -> None:
        """Power goes or comes back at `now`; the clock goes on by its battery."""
        last = self.spans[-1]
        if last.powered != on:
            self._append(Span(now, self.clock(now), last.rate, on, ROW_POWER_FAILED if on else 0))

    def runs(self, grid: Grid, now: float, since: float) -> Iterator[Run]:
        """What was captured from `since` to `now` (both included), as runs in the order of capturing."""
        for place, span in enumerate(self.spans):
            end = self.spans[place + 1].start if place + 1 < len(self.spans) else None
            if not span.powered or span.start > now or (end is not None and end <= since):
                continue
            begin = grid.at_or_after(span.clock(max(span.start, since)))
            if end is None or end > now:
                # an instant is captured in the second that shows it
                stop = grid.at_or_after(math.floor(span.clock(now)) + 1)
            else:
                stop = grid.at_or_after(span.clock(end))
            if begin < stop:
                yield Run(span, begin, stop - 1)

    def _append(self, span: Span) -> None:
        if span.start <= self.spans[-1].start and len(self.spans) > 1:
            self.spans.pop()                # two changes in one moment: the later one counts
        self.spans.append(span)
        if len(self.spans) > MAX_SPANS:
            del self.spans[0]

"""Where a profile's rows come from: computed from the meter's timeline, or written by what happens (pure).

A profile that captures by time keeps no rows: each is computed from spans and seed when it is asked for.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import OTHER_REASON, READ_WRITE_DENIED, SUCCESS
from edge.demo.meter_data import Item
from edge.demo.meter_device import EVENT_LOG_CLEARED, Device
from edge.demo.meter_profile import CLOCK_COLUMN, Column, Profile
from edge.demo.meter_timeline import Capture, Every, Grid, Run


class TimedProfile(Profile):
    """A profile that captures at the instants of a grid, while the meter is powered."""

    __slots__ = ("_cells", "_grid", "_since")
    writable: ClassVar[frozenset[int]] = frozenset({4})

    def __init__(self, obis: bytes, device: Device, columns: Sequence[Column], capacity: int, grid: Grid,
                 cells: Callable[[Capture], list[bytes]]) -> None:
        """`cells` gives the encoded columns after the clock, for one capture."""
        super().__init__(obis, device, [CLOCK_COLUMN, *columns], capacity)
        self._grid = grid
        self._cells = cells
        self._since = device.started_at

    @property
    def period_s(self) -> int:
        """See `Profile`."""
        return self._grid.period_s if isinstance(self._grid, Every) else 0

    def total(self, now: float) -> int:
        """See `Profile`."""
        return sum(run.last - run.first + 1 for run in self._runs(now))

    def rows(self, first: int, last: int, now: float) -> list[tuple[Capture, list[bytes]]]:
        """See `Profile`."""
        out: list[tuple[Capture, list[bytes]]] = []
        passed = 0
        for run in self._runs(now):
            size = run.last - run.first + 1
            for place in range(max(first - passed, 0), min(last - passed, size - 1) + 1):
                capture = run.capture(self._grid, run.first + place)
                stamp = self.device.time(capture.shown)
                out.append((capture, [stamp, *self._cells(capture)]))
            passed += size
        return out

    def within(self, low: float, high: float, now: float) -> list[tuple[int, int]]:
        """See `Profile`."""
        begin, end = self._grid.at_or_after(low), self._grid.at_or_after(high + 1) - 1
        pairs, passed = [], 0
        for run in self._runs(now):
            first, last = max(run.first, begin), min(run.last, end)
            if first <= last:
                pairs.append((passed + first - run.first, passed + last - run.first))
            passed += run.last - run.first + 1
        return pairs

    def set(self, attribute: int, value: Item, now: float) -> int:
        """capture_period (seconds) may be set; that empties the buffer, as the standard says."""
        if attribute != 4 or not isinstance(self._grid, Every):
            return READ_WRITE_DENIED
        period_s = value.number()
        if not 60 <= period_s <= 86_400 or 86_400 % period_s:
            return OTHER_REASON
        self._grid = Every(period_s)
        self.clear(now)
        return SUCCESS

    def clear(self, now: float) -> None:
        """See `Profile`."""
        self._since = now + 1e-3

    def _runs(self, now: float) -> list[Run]:
        return list(self.device.timeline.runs(self._grid, now, self._since))


class EventLog(Profile):
    """Rows that something happening writes: clock and event code."""

    __slots__ = ("_lost",)

    def __init__(self, obis: bytes, device: Device) -> None:
        """The log of `device`."""
        super().__init__(obis, device, [CLOCK_COLUMN, Column(objects.CLASS_DATA, objects.EVENT_CODE, 2)],
                         device.fittings.event_entries)

    def total(self, now: float) -> int:
        """See `Profile`."""
        del now
        return len(self.device.events)

    def rows(self, first: int, last: int, now: float) -> list[tuple[Capture, list[bytes]]]:
        """See `Profile`."""
        del now
        device = self.device
        lines = list(device.events)[first:last + 1]
        return [(Capture(line.shown, line.shown, 0),
                 [device.time(line.shown), bytes((0x11, line.code))]) for line in lines]

    def within(self, low: float, high: float, now: float) -> list[tuple[int, int]]:
        """See `Profile`."""
        del now
        return [(n, n) for n, line in enumerate(self.device.events) if low <= line.shown <= high]

    def clear(self, now: float) -> None:
        """See `Profile`; the clearing itself is the first line of the new log."""
        self.device.events.clear()
        self.device.log(EVENT_LOG_CLEARED, now)

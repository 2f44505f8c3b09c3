"""Class 7, profile generic: rings of rows with selective access by range and by entry (pure). IEC 62056-6-2, 4.3.6.

Where the rows come from is `meter_rows`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, NamedTuple

from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import (
    NO_SUCH_METHOD,
    OTHER_REASON,
    SUCCESS,
    TYPE_UNMATCHED,
    CosemObject,
    Outcome,
    Selection,
    date_time_of,
)
from edge.demo.meter_data import BadData, Item
from edge.demo.meter_device import Device
from edge.demo.meter_timeline import Capture
from edge.demo.meter_zone import read_date_time

BY_RANGE, BY_ENTRY = 1, 2
FIFO = 1
NULL_DATA = b"\x00"


class Rows(bytes):
    """An encoded array that remembers where its rows end, for a meter that puts none into two blocks."""

    ends: tuple[int, ...]


class Column(NamedTuple):
    """A capture object: class, logical name, attribute, data index."""

    class_id: int
    obis: bytes
    attribute: int
    data_index: int = 0

    def encoded(self) -> bytes:
        """As it stands in capture_objects, and in a range descriptor."""
        return objects.sequence([
            b"\x12" + self.class_id.to_bytes(2, "big"), objects.octets(self.obis),
            b"\x0f" + bytes((self.attribute,)), b"\x12" + self.data_index.to_bytes(2, "big")], 0x02)


CLOCK_COLUMN = Column(objects.CLASS_CLOCK, objects.CLOCK, 2)


class Profile(CosemObject):
    """What all profiles share: attributes, selection, null compression. The first column is the clock."""

    __slots__ = ("capacity", "columns", "device")
    class_id, version = objects.CLASS_PROFILE, 1
    attributes, methods = 8, 1
    hidden: ClassVar[frozenset[int]] = frozenset({2})

    def __init__(self, obis: bytes, device: Device, columns: Sequence[Column], capacity: int) -> None:
        """A ring of `capacity` rows of `columns`."""
        super().__init__(obis)
        self.device = device
        self.columns = tuple(columns)
        self.capacity = capacity

    # -- what a subclass knows -------------------------------------------------------------------------------------

    @abstractmethod
    def total(self, now: float) -> int:
        """How many rows there ever were; the ring holds the newest of them."""

    @abstractmethod
    def rows(self, first: int, last: int, now: float) -> list[tuple[Capture, list[bytes]]]:
        """The rows numbered `first` to `last` since the beginning (from 0, both included), all cells encoded."""

    @abstractmethod
    def within(self, low: float, high: float, now: float) -> list[tuple[int, int]]:
        """The numbers of the rows whose time is in `low` to `high` (clock's UTC seconds), as (first, last) pairs."""

    @property
    def period_s(self) -> int:
        """capture_period; 0 when something else triggers capturing."""
        return 0

    # -- services --------------------------------------------------------------------------------------------------

    def value(self, attribute: int, now: float) -> bytes | int:
        """See `CosemObject`."""
        if attribute == 2:
            oldest, total = self._ring(now)
            return self._encode([(oldest, total - 1)], None, now)
        oldest, total = self._ring(now)
        return (
            objects.sequence([column.encoded() for column in self.columns], 0x01),
            objects.integer(0x06, self.period_s),
            bytes((0x16, FIFO)),
            CLOCK_COLUMN.encoded(),
            objects.integer(0x06, total - oldest),
            objects.integer(0x06, self.capacity),
        )[attribute - 3]

    def select(self, attribute: int, selection: Selection, now: float) -> bytes | int:
        """See `CosemObject`."""
        if attribute != 2:
            return OTHER_REASON
        if selection.selector == BY_RANGE:
            return self._by_range(selection.parameters, now)
        if selection.selector == BY_ENTRY:
            return self._by_entry(selection.parameters, now)
        return OTHER_REASON

    def act(self, method: int, argument: Item, now: float) -> Outcome:
        """Method 1, reset: the buffer is empty from now on."""
        del argument
        if method != 1:
            return Outcome(NO_SUCH_METHOD)
        self.clear(now)
        return Outcome(SUCCESS)

    def clear(self, now: float) -> None:
        """Forget every row."""
        raise NotImplementedError

    def _ring(self, now: float) -> tuple[int, int]:
        total = self.total(now)
        return max(0, total - self.capacity), total

    def _by_entry(self, parameters: Item, now: float) -> bytes | int:
        first, last, from_column, to_column = (item.number() for item in parameters.items(4))
        oldest, total = self._ring(now)
        if first < 0 or last < 0 or from_column < 0 or to_column < 0:
            return TYPE_UNMATCHED
        begin = oldest + max(first, 1) - 1
        end = total - 1 if last == 0 else min(oldest + last, total) - 1
        chosen = range(max(from_column, 1) - 1, min(to_column or len(self.columns), len(self.columns)))
        if not chosen:
            return OTHER_REASON
        return self._encode([(begin, end)], list(chosen), now)

    def _by_range(self, parameters: Item, now: float) -> bytes | int:
        restricting, begin, end, selected = parameters.items(4)
        by = _column(restricting)
        device = self.device
        if (by.class_id, by.obis) == (CLOCK_COLUMN.class_id, CLOCK_COLUMN.obis):
            low = read_date_time(date_time_of(begin), device.zone, device.style, fill="low")
            high = read_date_time(date_time_of(end), device.zone, device.style, fill="high")
        elif by.obis == objects.UNIX_TIME:
            low, high = float(begin.number()), float(end.number())
        else:
            return OTHER_REASON
        if low is None or high is None:
            return TYPE_UNMATCHED
        wanted = [_column(item) for item in selected.items()]
        chosen = [place for place, column in enumerate(self.columns) if column in wanted] if wanted else None
        if wanted and not chosen:
            return OTHER_REASON
        oldest, _ = self._ring(now)
        pairs = [(max(first, oldest), last) for first, last in self.within(low, high, now) if last >= oldest]
        return self._encode(pairs, chosen, now)

    def _encode(self, pairs: list[tuple[int, int]], chosen: list[int] | None, now: float) -> bytes:
        fittings = self.device.fittings
        if not fittings.column_selection:
            chosen = None
        lines: list[bytes] = []
        before: tuple[Capture, list[bytes]] | None = None
        for first, last in pairs:
            for row in self.rows(first, last, now) if first <= last else []:
                cells = row[1]
                if before is not None and (fittings.null_time or fittings.null_same):
                    cells = self._compress(row, before)
                lines.append(objects.sequence(cells if chosen is None else [cells[place] for place in chosen], 0x02))
                before = row
        head = b"\x01" + objects.length(len(lines))
        rows = Rows(head + b"".join(lines))
        rows.ends = tuple(accumulate((len(line) for line in lines), initial=len(head)))[1:]
        return rows

    def _compress(self, row: tuple[Capture, list[bytes]], before: tuple[Capture, list[bytes]]) -> list[bytes]:
        """Write null-data where the cell follows from the row before."""
        fittings, (capture, cells) = self.device.fittings, row
        out = list(cells)
        # The last octet is the clock status, the two before it the deviation: both must be as before.
        if fittings.null_time and self.period_s and cells[0][-3:] == before[1][0][-3:] and (
                capture.shown == before[0].shown + self.period_s):
            out[0] = NULL_DATA
        if fittings.null_same:
            out[1:] = [NULL_DATA if cell == old else cell for cell, old in zip(cells[1:], before[1][1:], strict=True)]
        return out


def _column(item: Item) -> Column:
    class_id, obis, attribute, index = item.items(4)
    name = obis.octets()
    if len(name) != 6:
        raise BadData("a logical name has six octets")
    return Column(class_id.number(), name, attribute.number(), index.number())

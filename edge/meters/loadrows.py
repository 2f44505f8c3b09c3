"""What a profile generic object (class 7) says: its capture objects, and its buffer as dated rows (pure).

Source: IEC 62056-6-2, 4.3.6. A buffer may be compressed by null-data, and this is how it is read here, in the order in
which the entries are sent:

    null-data in the clock column    the time of the entry before, and a capture period (less it, with the newest first)
    null-data in any other column    the value of the entry before
    a delta type in any column       the value of the entry before, and so much
    any of them in the first entry   nothing: there is nothing before it

The standard gives null-data no other meaning in a buffer, so a meter that writes it for "no value" cannot be told from
one that repeats itself.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edge.dlms.axdr import AxdrValue, CompactArray, Integer
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.datetimes import ClockTime
from edge.dlms.selection import Column
from edge.errors import Violation
from edge.meters.localtime import DAY_S, RECKONED, WHICH_HOUR, Instant, Reckoning
from edge.meters.objectspec import ColumnSpec
from edge.meters.profile import LoadProfile

CLOCK_CLASS, DATA_CLASS = 8, 1
UNIX_CLOCK = Obis(0, 0, 1, 1, 0)
"""The meter's time as seconds since 1970 (IEC 62056-6-1, abstract objects)."""

LARGEST_FIRST, LIFO = 3, 2
"""Of the sort methods those by which the newest entry is the first (the sort object being the clock)."""

DELTAS = range(28, 34)

REPEATED = "repeated"
"""Doubt about a row's time: another row of the same buffer has the same, because the clock was set back."""

MOST_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """How a meter's profile is laid out. `mapped`: place in the row, and what the profile file says of that column."""

    columns: tuple[Column, ...]
    clock_at: int
    mapped: tuple[tuple[int, ColumnSpec], ...]
    period_s: int
    newest_first: bool

    @property
    def clock(self) -> Column:
        """The column that tells the time."""
        return self.columns[self.clock_at]

    @property
    def clock_attribute(self) -> Attribute:
        """The object that is captured as the time: what it shows now is the meter's now."""
        return Attribute(self.clock.class_id, self.clock.obis, self.clock.attribute)

    @property
    def missing(self) -> int:
        """How many columns there are that no key is known for, the clock aside."""
        return len(self.columns) - 1 - len(self.mapped)


def layout(spec: LoadProfile, captured: AxdrValue, period: AxdrValue, sort_method: AxdrValue) -> Layout | str:
    """Read attributes 3, 4 and 5; a plain str says why such a profile is of no use. Raises Violation for nonsense."""
    columns = columns_of(captured)
    clock_at = next((place for place, column in enumerate(columns) if tells_time(column)), None)
    if clock_at is None:
        return f"captures no clock, only {', '.join(str(column.obis) for column in columns[:4]) or 'nothing'}"
    period_s = int(period) if isinstance(period, Integer) and period > 0 else spec.period_s or 0
    if not 1 <= period_s <= DAY_S:
        return f"has a capture period of {period_s} s; load_profile.period_s of the meter type may say another"
    known = {column.column: column for column in spec.columns}
    mapped = tuple((place, known[column]) for place, column in enumerate(columns) if column in known)
    if not mapped:
        return f"captures none of the columns of the meter type, but {', '.join(str(one.obis) for one in columns[:4])}"
    newest_first = isinstance(sort_method, Integer) and sort_method in (LIFO, LARGEST_FIRST)
    return Layout(columns, clock_at, mapped, period_s, newest_first)


class Row(NamedTuple):
    """One entry. `at_ms` is its time (Unix milliseconds, None without a date), `doubt` why that may not be so.

    Rows of one second, which a clock that was set back makes, are a millisecond apart: each keeps its place upstream.
    """

    at_ms: int | None
    doubt: str
    cells: tuple[AxdrValue, ...]

    @property
    def at_s(self) -> int:
        """Unix seconds; only for a row with a date."""
        assert self.at_ms is not None
        return self.at_ms // 1000


def rows(layout: Layout, buffer: AxdrValue, reckoning: Reckoning, until_s: int) -> list[Row]:
    """Return the rows of a buffer or of a part of it, in the order of capture; `until_s` is the meter's now.

    Raises Violation for what is no buffer of this layout.
    """
    entries = _entries(buffer, len(layout.columns))
    times: list[Instant | None] = []
    filled: list[tuple[AxdrValue, ...]] = []
    before: tuple[AxdrValue, ...] = (None,) * len(layout.columns)
    for entry in entries:
        before = tuple(
            cell if place == layout.clock_at else _uncompressed(cell, old)
            for place, (cell, old) in enumerate(zip(entry, before, strict=True)))
        filled.append(before)
        times.append(_instant(before[layout.clock_at], reckoning))
    stepped = [entry[layout.clock_at] is None for entry in entries]
    step_s = layout.period_s
    if layout.newest_first:
        # the rule looks at the entry before as it was sent; what is decided by neighbours goes by the order of capture
        times = _derived(times, stepped, -step_s)
        return _dated(_which_hour(times[::-1], until_s), filled[::-1])
    times = _which_hour(times, until_s)
    return _dated(_derived(times, stepped, step_s), filled)


# -- entries and cells ---------------------------------------------------------------------------------------------


def columns_of(captured: AxdrValue) -> tuple[Column, ...]:
    """Read attribute 3, capture_objects. Raises Violation for what is none."""
    if not isinstance(captured, list) or len(captured) > MOST_COLUMNS:
        raise Violation(f"capture_objects are no array of at most {MOST_COLUMNS} objects")
    return tuple(_column(item) for item in captured)


def _column(item: AxdrValue) -> Column:
    match item:
        case (Integer() as class_id, bytes() as name, Integer() as attribute, Integer() as index) if len(name) == 6:
            return Column(int(class_id), Obis.from_bytes(name), int(attribute), int(index))
    raise Violation("a capture object is no structure of class, logical name, attribute and data index")


def tells_time(column: Column) -> bool:
    """Tell whether a column is the meter's clock."""
    if column.class_id == CLOCK_CLASS:
        return column.attribute == 2 and column.data_index == 0
    return column.class_id == DATA_CLASS and column.obis == UNIX_CLOCK and column.attribute == 2


def _entries(buffer: AxdrValue, width: int) -> Sequence[tuple[AxdrValue, ...]]:
    found = buffer.items if isinstance(buffer, CompactArray) else buffer
    if not isinstance(found, (list, tuple)):
        raise Violation("a profile's buffer is no array")
    if any(not isinstance(entry, tuple) or len(entry) != width for entry in found):
        raise Violation(f"an entry of the profile's buffer has not the {width} columns that are captured")
    return found


def _uncompressed(cell: AxdrValue, before: AxdrValue) -> AxdrValue:
    if cell is None:
        return before
    if isinstance(cell, Integer) and cell.tag in DELTAS:
        if not isinstance(before, Integer):
            return None
        try:
            return Integer(before.tag, int(before) + int(cell))
        except ValueError:
            raise Violation(f"a difference of {int(cell)} leads out of {before.name}") from None
    return cell


# -- times ---------------------------------------------------------------------------------------------------------


def moment(cell: AxdrValue, reckoning: Reckoning) -> tuple[Instant | None, ClockTime | None]:
    """Return what a clock object or a clock column shows, and the date-time it was read from, if it was one."""
    if isinstance(cell, bytes) and len(cell) == 12:
        shown = ClockTime.parse(cell)
        return reckoning.instant(shown), shown
    if isinstance(cell, Integer) and int(cell) in RECKONED:
        return Instant(int(cell)), None
    return None, None


def _instant(cell: AxdrValue, reckoning: Reckoning) -> Instant | None:
    try:
        return moment(cell, reckoning)[0]
    except Violation:      # twelve octets that are no time: a row without a date, as one with open parts
        return None


def _derived(times: list[Instant | None], stepped: Sequence[bool], step_s: int) -> list[Instant | None]:
    """Give each entry whose time is null-data that of the entry before it and a step."""
    found: list[Instant | None] = []
    for time, null in zip(times, stepped, strict=True):
        before = found[-1] if found else None
        found.append(before._replace(utc_s=before.utc_s + step_s, second=None) if null and before is not None else time)
    return found


def _which_hour(times: list[Instant | None], until_s: int) -> list[Instant | None]:
    """Decide between the two hours that look alike in autumn, where neighbours or the meter's now tell.

    Rows come in the order of capture, so where local time steps back among them the second hour begins. Without a step
    only one of the hours is there; it is the first if the second has not come yet, and in doubt else.
    """
    found: list[Instant | None] = []
    place = 0
    while place < len(times):
        end = place
        while end < len(times) and _open(times[end]):
            end += 1
        found += _decided([time for time in times[place:end] if time is not None], until_s)
        found += times[end:end + 1]
        place = end + 1
    return found


def _open(time: Instant | None) -> bool:
    return time is not None and time.second is not None


def _decided(hour: list[Instant], until_s: int) -> list[Instant]:
    back = next((place for place in range(1, len(hour)) if hour[place].utc_s <= hour[place - 1].utc_s), None)
    found = []
    for place, time in enumerate(hour):
        assert time.second is not None
        later = back is not None and place >= back
        sure = back is not None or time.second > until_s
        doubt = "" if sure and time.doubt == WHICH_HOUR else time.doubt
        found.append(Instant(time.second if later else time.utc_s, doubt))
    return found


def _dated(times: Sequence[Instant | None], filled: Sequence[tuple[AxdrValue, ...]]) -> list[Row]:
    seen: Counter[int] = Counter()
    found = []
    for time, cells in zip(times, filled, strict=True):
        if time is None:
            found.append(Row(None, "", cells))
            continue
        again = seen[time.utc_s]
        seen[time.utc_s] += 1
        found.append(Row(time.utc_s * 1000 + min(again, 999), time.doubt or (REPEATED if again else ""), cells))
    return found

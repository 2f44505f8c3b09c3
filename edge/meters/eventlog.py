"""A meter's event log: its entries as events, and which of them are new (pure). IEC 62056-6-2, class 7.

New is decided by the order in which the meter keeps its entries, not by their times: a clock that is set back writes
older times behind newer ones, and many events share a second.

    known     … a b c d                     read again, the newest of them
    read              c d e f      ──►      e, f are new: the known end stands at the beginning
    read                      x y  ──►      nothing in common: read further back; all of it: cleared, or overrun
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edge.dlms.axdr import Integer, encode
from edge.dlms.cosem import Obis
from edge.dlms.datetimes import ClockTime
from edge.errors import Violation
from edge.meters.dutyspec import EventLogSpec
from edge.meters.exact import Exact, exact
from edge.meters.loadrows import LARGEST_FIRST, LIFO, Layout, Row, columns_of, tells_time

UNKNOWN = "event"
"""The name of a code that the profile does not know; its number says which."""

INFO = "info"
DIGEST_CHARS = 16


class Entry(NamedTuple):
    """One entry in words. `time` is the meter's own, as it tells it; `code` None where there is none to read."""

    name: str
    severity: str
    code: int | None
    time: str
    detail: str


def layout_of(captured: Any, sort_method: Any) -> Layout | str:
    """Read attributes 3 and 5; a plain str says why this is no event log. Raises Violation for nonsense."""
    columns = columns_of(captured)
    clock_at = next((place for place, column in enumerate(columns) if tells_time(column)), None)
    if clock_at is None:
        return "captures no clock"
    newest_first = isinstance(sort_method, Integer) and sort_method in (LIFO, LARGEST_FIRST)
    return Layout(columns, clock_at, (), 0, newest_first)


def digest(row: Row) -> str:
    """Return what tells an entry from others: all that the meter keeps of it."""
    return hashlib.sha256(encode(row.cells)).hexdigest()[:DIGEST_CHARS]


def first_new(known: Sequence[str], read: Sequence[str]) -> int | None:
    """Return the place of the first new entry among those read, None where they have nothing in common with the known.

    Both in the order of capture. The longest end of `known` that `read` begins with decides: entries that look alike
    are counted, not merged.
    """
    for size in range(min(len(known), len(read)), 0, -1):
        if list(known[-size:]) == list(read[:size]):
            return size
    for begin in range(1, len(read)):      # the known are fewer than were read
        if len(known) <= len(read) - begin and list(known) == list(read[begin:begin + len(known)]) and known:
            return begin + len(known)
    return None


def entry_of(row: Row, layout: Layout, spec: EventLogSpec, codes: Mapping[str, str]) -> Entry:
    """Return an entry in words. What cannot be read of it is left out; there is always an event."""
    wanted = Obis.parse(spec.code_obis) if spec.code_obis else None
    code: int | None = None
    others: list[str] = []
    for place, (column, cell) in enumerate(zip(layout.columns, row.cells, strict=True)):
        if place == layout.clock_at:
            continue
        if code is None and isinstance(cell, Integer) and wanted in (None, column.obis):
            code = int(cell)
            continue
        told = exact(cell)
        others.append(f"{column.obis} {told.raw if isinstance(told, Exact) else told}")
    name, _, severity = codes.get(str(code), UNKNOWN).partition(" ")
    return Entry(f"meter_{name}", severity or INFO, code, _time(row.cells[layout.clock_at]), "; ".join(others))


def _time(cell: Any) -> str:
    if isinstance(cell, bytes):
        try:
            return ClockTime.parse(cell).text()
        except Violation:
            return cell.hex()
    return str(int(cell)) if isinstance(cell, Integer) else ""

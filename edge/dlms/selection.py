"""Selective access to the buffer of a profile (IEC 62056-6-2 clause 4.3.6.2.1, IEC 62056-5-3: access-selector).

What these return goes into `Attribute.selection`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edge.dlms.axdr import AxdrValue, Integer, encode
from edge.dlms.cosem import Obis

_BY_RANGE, _BY_ENTRY = b"\x01", b"\x02"
_LONG_UNSIGNED, _DOUBLE_LONG_UNSIGNED, _INTEGER = 18, 6, 15


def by_entry(first: int, last: int, first_column: int = 1, last_column: int = 0) -> bytes:
    """Select rows `first`..`last` (from 1; last 0 = to the end) and columns (last 0 = to the end).

    Raises ValueError outside 32 bits for rows and 16 for columns.
    """
    return _BY_ENTRY + encode((
        Integer(_DOUBLE_LONG_UNSIGNED, first), Integer(_DOUBLE_LONG_UNSIGNED, last),
        Integer(_LONG_UNSIGNED, first_column), Integer(_LONG_UNSIGNED, last_column)))


class Column(NamedTuple):
    """A column of a buffer as `capture_objects` names it. `data_index` 0 = the whole attribute, n = its n-th part."""

    class_id: int
    obis: Obis
    attribute: int
    data_index: int = 0


CLOCK_COLUMN = Column(8, Obis(0, 0, 1, 0, 0), 2)


def by_clock_range(start: bytes, end: bytes, columns: Sequence[Column] = (), clock: Column = CLOCK_COLUMN) -> bytes:
    """Select the rows whose clock column lies in `start`..`end`, both included; twelve octets of a date-time each.

    `columns` are those to send, none = all; `clock` is the column that restricts. Raises ValueError for another number
    of octets, or a column out of range.
    """
    limits = [bytes(limit) for limit in (start, end)]
    if any(len(limit) != 12 for limit in limits):
        raise ValueError("a date-time has 12 octets")
    return _BY_RANGE + encode((_written(clock), *limits, [_written(column) for column in columns]))


def by_range(restricting: Column, start: AxdrValue, end: AxdrValue, columns: Sequence[Column] = ()) -> bytes:
    """Select the rows whose column `restricting` lies in `start`..`end`, both included: a Unix time, a counter.

    `columns` as in `by_clock_range`. Raises ValueError for what A-XDR cannot carry.
    """
    return _BY_RANGE + encode((_written(restricting), start, end, [_written(column) for column in columns]))


def _written(column: Column) -> AxdrValue:
    return (Integer(_LONG_UNSIGNED, column.class_id), column.obis.to_bytes(), Integer(_INTEGER, column.attribute),
            Integer(_LONG_UNSIGNED, column.data_index))

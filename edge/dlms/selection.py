"""Selective access to the buffer of a profile (IEC 62056-6-2 clause 4.3.6.2.1, IEC 62056-5-3: access-selector).

What these return goes into `Attribute.selection`.
"""

from edge.dlms.axdr import AxdrValue, Integer, encode
from edge.dlms.cosem import Obis

_BY_RANGE, _BY_ENTRY = b"\x01", b"\x02"
_CLOCK_CLASS, _CLOCK = 8, Obis(0, 0, 1, 0, 0)
_LONG_UNSIGNED, _DOUBLE_LONG_UNSIGNED, _INTEGER = 18, 6, 15


def by_entry(first: int, last: int, first_column: int = 1, last_column: int = 0) -> bytes:
    """Select rows `first`..`last` (from 1; last 0 = to the end) and columns (last 0 = to the end).

    Raises ValueError outside 32 bits for rows and 16 for columns.
    """
    return _BY_ENTRY + encode((
        Integer(_DOUBLE_LONG_UNSIGNED, first), Integer(_DOUBLE_LONG_UNSIGNED, last),
        Integer(_LONG_UNSIGNED, first_column), Integer(_LONG_UNSIGNED, last_column)))


def by_clock_range(start: bytes, end: bytes) -> bytes:
    """Select the rows whose clock column lies in `start`..`end`, both included; twelve octets of a date-time each.

    All columns come. Raises ValueError for another number of octets.
    """
    restricting: AxdrValue = (
        Integer(_LONG_UNSIGNED, _CLOCK_CLASS), _CLOCK.to_bytes(), Integer(_INTEGER, 2), Integer(_LONG_UNSIGNED, 0))
    limits = [bytes(limit) for limit in (start, end)]
    if any(len(limit) != 12 for limit in limits):
        raise ValueError("a date-time has 12 octets")
    return _BY_RANGE + encode((restricting, *limits, []))

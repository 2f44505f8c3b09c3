"""A short cut through lists of integers that are laid out as the last one was: what nearly every poll brings.

    count | 00 tag value | 00 tag value | ...            Get-Data-Result choice 0 = data, then an integer of that tag

It never decides: it returns what `axdr` would have read from the same octets, or None, and then `axdr` reads them.
"""

import struct
from collections.abc import Sequence
from typing import Self

from edge.dlms.axdr import AxdrValue
from edge.dlms.data import Integer

_FEWEST, _MOST = 2, 127      # of a list; more would have a count of two octets


class ListLayout:
    """The types of one list's values. Choices, tags, count and length are all compared before a value is taken."""

    __slots__ = ("_heads", "_kinds", "_layout", "size_bytes")

    def __init__(self, kinds: tuple[type[Integer], ...]) -> None:
        """Take the type of each value, in order."""
        self._kinds = kinds
        self._layout = struct.Struct(">B" + "".join(f"H{kind.layout.format[1:]}" for kind in kinds))
        self.size_bytes = self._layout.size
        self._heads = (len(kinds), tuple(kind.tag for kind in kinds))

    @classmethod
    def of(cls, values: Sequence[AxdrValue]) -> Self | None:
        """Make the layout of a list that was read; None where it holds anything but integers."""
        if not _FEWEST <= len(values) <= _MOST or not all(isinstance(value, Integer) for value in values):
            return None
        return cls(tuple(map(type, values)))

    def read(self, octets: bytes, at: int) -> tuple[Integer, ...] | None:
        """Return the values of the list that begins with its count at `at` and fills the rest; None for any other."""
        if len(octets) - at != self.size_bytes:
            return None
        parts = self._layout.unpack_from(octets, at)
        if (parts[0], parts[1::2]) != self._heads:
            return None
        return tuple(map(int.__new__, self._kinds, parts[2::2]))

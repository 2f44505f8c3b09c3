"""The client's invocation counters: numbers that were set aside durably before the first of them is used.

A number used twice under one key gives both texts away (AES-GCM), so this object never invents one: it hands out what
was reserved, in ascending order, and stops where that ends. Who reserves, and where that is written, is the caller's.
"""

from edge.dlms.ciphering import MAX_COUNTER
from edge.errors import LocalStateError


class InvocationCounters:
    """A supply of counters for one key, shared by the associations that follow each other on one meter."""

    def __init__(self, first: int = 0, count: int = 0) -> None:
        """Start with `count` reserved numbers from `first` on."""
        self._next = first
        self._end = first
        if count:
            self.supply(first, count)

    @property
    def left(self) -> int:
        """How many can be taken before more must be reserved."""
        return self._end - self._next

    def supply(self, first: int, count: int) -> None:
        """Go on with the reserved block `first`..`first + count - 1`.

        What is left of the last one is used up first where the two adjoin, else given up. Raises LocalStateError for a
        block that reaches back, or beyond 32 bits.
        """
        if first < self._end or count < 1 or first + count - 1 > MAX_COUNTER:
            raise LocalStateError(f"a block of {count} invocation counters from {first} on after {self._end - 1}")
        if first != self._end:
            self._next = first
        self._end = first + count

    def skip_to(self, lowest: int) -> None:
        """Use nothing below `lowest` any more; what is reserved above stays."""
        self._next = min(max(self._next, lowest), self._end)

    def take(self) -> int:
        """Return the next number, for good. Raises LocalStateError when nothing is reserved."""
        if self._next >= self._end:
            raise LocalStateError("no invocation counter is reserved: nothing may be sent under this key")
        taken = self._next
        self._next += 1
        return taken

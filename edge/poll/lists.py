"""How many attributes one GET may hold for a meter: found out once, then remembered (pure).

It begins with everything in one GET-with-list. A meter that refuses is asked with lists of half the size, in the end
with single GETs. Some meters fall silent or hang up instead of refusing: when that happens twice to lists, and a list
has never worked, single GETs are used from then on.
"""

SUSPICIONS = 2
"""Silences after a list that are taken for the meter's way of refusing; one alone may be the link."""


REFUSALS = 3
"""Refusals in a row after which a list that used to work is given up."""


class ListSize:
    """One meter's list limit."""

    def __init__(self, learned: int | None, *, most: int | None = None, never: bool = False) -> None:
        """`learned` as the registry keeps it; `most` and `never` are the profile's quirks."""
        self._limit = 1 if never else learned
        self._most = most
        self._proven = learned is not None and learned > 1
        self._refused = never or learned is not None
        self._suspicions = 0

    @property
    def learned(self) -> int | None:
        """What is worth keeping: the largest list that works; None = not tried yet."""
        return self._limit

    def at_most(self, count: int, *, offered: bool) -> int:
        """Return how many of `count` attributes go into the next GET; `offered`: the association has with-list."""
        if not offered:
            return 1
        size = count if self._limit is None or not self._refused else min(count, self._limit)
        return max(1, size if self._most is None else min(size, self._most))

    def worked(self, size: int) -> None:
        """Note that a GET of `size` attributes was answered."""
        if size > 1:
            self._proven, self._suspicions = True, 0
            if not self._refused:
                self._limit = max(size, self._limit or 0)

    def refused(self, size: int) -> bool:
        """Note that a list of `size` (> 1) attributes was refused as such; tell whether a smaller one is to be tried.

        One that has worked before is not given up for a single refusal: the meter may have been busy.
        """
        if self._proven and size <= (self._limit or 0):
            self._suspicions += 1
            if self._suspicions < REFUSALS:
                return False
        self._suspicions = 0
        self._refused = True
        self._limit = max(1, size // 2)
        return True

    def lost(self, size: int) -> None:
        """Note that the connection failed while a GET of `size` attributes was open."""
        if size > 1 and not self._proven:
            self._suspicions += 1
            if self._suspicions >= SUSPICIONS:
                self._suspicions = 0
                self._refused = True
                self._limit = 1

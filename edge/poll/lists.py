"""How many attributes one GET may hold for a meter: found out once, then remembered (pure).

It begins with everything in one GET-with-list. A meter that refuses is asked with lists of half the size, in the end
with single GETs. Some meters fall silent or hang up instead of refusing, which looks like a bad link. Then a single GET
is tried first: only when single GETs are answered and lists right after them are not, three times over, and a list has
never worked (or not for a dozen polls), are lists given up, and that is not remembered beyond this process.
"""

SILENCES = 3
"""Lists lost right after a single GET that was answered, before lists are given up."""

PROVEN_SILENCES = 12
"""Lists lost in a row, each on a fresh association, after which one that used to work is in doubt like a new one."""

REFUSALS = 3
"""Refusals in a row after which a list that used to work is given up."""


class ListSize:
    """One meter's list limit."""

    def __init__(self, learned: int | None, *, most: int | None = None, never: bool = False) -> None:
        """`learned` as the registry keeps it; `most` and `never` are the profile's quirks."""
        self._limit = 1 if never else learned
        self._most = most
        self._proven = learned is not None and learned > 1
        self._bounded = never or learned is not None       # `_limit` is an upper bound, not only what has worked
        self._refusals = 0
        self._lost = 0
        self._lost_in_row = 0
        self._single_worked = False
        self._given_up = False

    @property
    def learned(self) -> int | None:
        """What is worth keeping: the largest list that works; None = not known yet."""
        return self._limit

    def at_most(self, count: int, *, offered: bool) -> int:
        """Return how many of `count` attributes go into the next GET; `offered`: the association has with-list."""
        if not offered or self._given_up or (self._lost and not self._proven and not self._single_worked):
            return 1
        size = count if self._limit is None or not self._bounded else min(count, self._limit)
        return max(1, size if self._most is None else min(size, self._most))

    def worked(self, size: int) -> None:
        """Note that a GET of `size` attributes was answered."""
        if size == 1:
            self._single_worked = True
            return
        self._proven, self._refusals, self._lost, self._lost_in_row = True, 0, 0, 0
        if not self._bounded:
            self._limit = max(size, self._limit or 0)

    def refused(self, size: int) -> bool:
        """Note that a list of `size` (> 1) attributes was refused as such; tell whether a smaller one is to be tried.

        One that has worked before is not given up for a single refusal: the meter may have been busy.
        """
        if self._proven and size <= (self._limit or 0):
            self._refusals += 1
            if self._refusals < REFUSALS:
                return False
        self._refusals = 0
        self._bounded = True
        self._limit = max(1, size // 2)
        return True

    def lost(self, size: int) -> None:
        """Note that the connection failed while a GET of `size` attributes was open."""
        if size == 1:
            return
        if self._proven:
            self._lost_in_row += 1
            if self._lost_in_row < PROVEN_SILENCES:
                return
            self._proven = False
        if not self._lost or self._single_worked:
            self._lost += 1
        self._single_worked = False
        self._given_up = self._lost > SILENCES

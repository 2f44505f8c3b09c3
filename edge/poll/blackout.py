"""Tells a link that was gone from meters that are (pure).

    answers   a b c a b c · · · · · · · · b        b is answered: the link is back, and a and c have done nothing wrong
    silences                a   b     c

Two meters or more that had always answered and now leave one question each unanswered, one after the other and with no
answer of anybody between: then it is what they have in common that is gone, the radio. Who is known to be silent anyhow
says nothing, so that two dead meters are no blackout each time somebody else is answered.
"""

AT_LEAST = 2
"""One alone is that meter's own affair."""


class Blackout:
    """Follows how asking the meters of one radio ends."""

    def __init__(self) -> None:
        """Begin with nobody silent."""
        self._silent: dict[str, None] = {}      # meters that fell silent since the last answer of anybody, in order

    @property
    def lasts(self) -> bool:
        """Tell whether the link is gone, as far as can be known."""
        return len(self._silent) >= AT_LEAST

    def silent(self, meter: str) -> bool:
        """Note a meter that has just fallen silent, having answered until now; tell whether the link is gone."""
        self._silent[meter] = None
        return self.lasts

    def answered(self) -> tuple[str, ...]:
        """Note an answer of anybody; return who fell silent with a link that was gone and is back now."""
        if not self._silent:      # as nearly always
            return ()
        gone, self._silent = self._silent if self.lasts else {}, {}
        return tuple(gone)

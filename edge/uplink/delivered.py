"""What this gateway has let go of since it started, exactly (pure).

The ring remembers a bounded number of acknowledged intervals (docs/ring-format.md) and forgets the smallest, so that
with one resting meter between all others it hands out, again and again, what was delivered long ago. Here it is known.
"""

from bisect import bisect_left, bisect_right

from edge.model import SeqSpan, Stored, Stream

LIMIT = 100_000            # intervals per stream, some 8 MB; beyond it the older half is forgotten, and sent once more


class Delivered:
    """Sequence numbers by stream, as disjoint ascending intervals."""

    def __init__(self) -> None:
        """Nothing is delivered."""
        self._first: dict[Stream, list[int]] = {stream: [] for stream in Stream}
        self._last: dict[Stream, list[int]] = {stream: [] for stream in Stream}

    def add(self, span: SeqSpan) -> None:
        """Note a span."""
        firsts, lasts = self._first[span.stream], self._last[span.stream]
        first, last = span.first, span.last
        left, right = bisect_left(lasts, first - 1), bisect_right(firsts, last + 1)
        if left < right:
            first, last = min(first, firsts[left]), max(last, lasts[right - 1])
        firsts[left:right], lasts[left:right] = [first], [last]
        if len(firsts) > LIMIT:
            del firsts[:LIMIT // 2], lasts[:LIMIT // 2]

    def meets(self, span: SeqSpan) -> bool:
        """Tell whether anything of a span was let go of."""
        at = bisect_right(self._first[span.stream], span.last) - 1
        return at >= 0 and span.first <= self._last[span.stream][at]

    def __contains__(self, stored: Stored) -> bool:
        """Tell whether a record was let go of."""
        firsts = self._first[stored.stream]
        at = bisect_right(firsts, stored.seq) - 1
        return at >= 0 and stored.seq <= self._last[stored.stream][at]

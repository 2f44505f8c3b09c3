"""How many connections there may be, and which one makes room for another (pure).

    newcomer ─► its party has EACH ── yes ─► the oldest of its party goes
             ─► STRANGERS of them  ── yes ─► the oldest of the party with most strangers goes
             ─► MOST of all        ── yes ─► the same, else the oldest that rests; else the newcomer is refused

A party is an address until a request has proved who is asking; from then on it is that session or token, so that
people behind one address (a tunnel, a router) do not take each other's seats. What strangers may have leaves a reserve
of MOST - STRANGERS for those who are known. Of a party goes first what only rests (no request is being answered).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edge.api.limiter import neighbourhood

MOST = 48
STRANGERS = 32
EACH = 12
"""A browser keeps six connections at most to one host, over all its tabs."""


@dataclass(slots=True, eq=False)
class Seat:
    """One connection. `end` closes it at once, whatever it is doing."""

    party: str
    end: Callable[[], None]
    known: bool = False
    busy: bool = False                # a request is being answered
    _desk: "Seats | None" = field(default=None, repr=False)

    def is_of(self, party: str) -> None:
        """Note which session or token a request on this connection has proved."""
        if self._desk is not None and (not self.known or self.party != party):
            self.party, self.known = party, True
            self._desk.share(self)


class Seats:
    """All connections."""

    def __init__(self, *, most: int = MOST, strangers: int = STRANGERS, each: int = EACH) -> None:
        """Begin with none."""
        self.ended = 0                # connections that had to make room or were refused, since the start
        self._most = most
        self._strangers = strangers
        self._each = each
        self._seats: dict[Seat, None] = {}      # oldest first

    def __len__(self) -> int:
        """Return how many are taken."""
        return len(self._seats)

    def admit(self, address: str, end: Callable[[], None]) -> Seat | None:
        """Give a newcomer a seat, where another has to go for it; None where none may be taken from anybody."""
        party = neighbourhood(address)
        strangers = [seat for seat in self._seats if not seat.known]
        own = [seat for seat in strangers if seat.party == party]
        if len(own) >= self._each:
            self._end(own)
        elif len(strangers) >= self._strangers:
            self._end(_crowd(strangers))
        elif len(self._seats) >= self._most:
            weakest = _crowd(strangers) or [seat for seat in self._seats if not seat.busy]
            if not weakest:
                self.ended += 1
                return None
            self._end(weakest)
        seat = Seat(party, end, _desk=self)
        self._seats[seat] = None
        return seat

    def share(self, newest: Seat) -> None:
        """Let a party that has become known keep to its share."""
        own = [seat for seat in self._seats if seat.known and seat.party == newest.party and seat is not newest]
        if len(own) >= self._each:
            self._end(own)

    def leave(self, seat: Seat) -> None:
        """Take a seat back; twice is once."""
        self._seats.pop(seat, None)
        seat._desk = None      # noqa: SLF001 - its own desk

    def _end(self, candidates: Iterable[Seat]) -> None:
        seat = min(candidates, key=lambda each: each.busy)      # of equal ones the first, which is the oldest
        self.ended += 1
        self.leave(seat)
        seat.end()


def _crowd(strangers: list[Seat]) -> list[Seat]:
    """Return the strangers of the parties that have most."""
    count = Counter(seat.party for seat in strangers)
    most = max(count.values(), default=0)
    return [seat for seat in strangers if count[seat.party] == most]

"""How many meters are asked at once, and who is next (pure).

The radio link is one shared channel: asking fifty meters at once makes each exchange slow and none sooner done. And a
TCP-to-RS485 bridge serves one client, so two meters behind one bridge (a *lane*) are never asked together. Meters that
failed last time (*doubtful*) get half of the places at most: waiting for the dead must not starve the living. What need
not be done now (*background*: backfill, clocks) gets half of the places at most, and only those that no poll can take.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple


class _Place(NamedTuple):
    ticket: Hashable
    lane: Hashable | None
    doubtful: bool
    background: bool


@dataclass(frozen=True, slots=True)
class GateState:
    """How busy the gate is: plain data for status."""

    limit: int
    inside: int
    waiting: int
    longest_queue: int


class Gate:
    """Admits at most `limit` tickets, one per lane, in the order in which they asked.

    A ticket is any hashable object, used once. First come, first served, except that somebody whose lane is taken, or
    who is doubtful when half of the places are, is passed over without losing the place in the queue. Background work
    queues behind all others. `ask` and `leave` return at once; waking up who is admitted is the caller's.
    """

    def __init__(self, limit: int) -> None:
        """ValueError below 1: nobody would ever be asked."""
        if limit < 1:
            raise ValueError(f"at least one meter must be asked at once, not {limit}")
        self.limit = limit
        self._inside: dict[Hashable, _Place] = {}
        self._queue: deque[_Place] = deque()
        self._longest = 0

    def ask(
        self, ticket: Hashable, lane: Hashable | None = None, *, doubtful: bool = False, background: bool = False,
    ) -> bool:
        """Return True when the ticket is admitted now; else it waits until `leave` names it. ValueError if known."""
        if ticket in self._inside or any(place.ticket == ticket for place in self._queue):
            raise ValueError("this ticket is in use")
        self._queue.append(_Place(ticket, lane, doubtful, background))
        admitted = self._admit()     # alone: whoever waited before could not go, and still cannot
        self._longest = max(self._longest, len(self._queue))
        return ticket in admitted

    def leave(self, ticket: Hashable) -> tuple[Hashable, ...]:
        """End a ticket, inside or still waiting (unknown ones are fine); return those admitted by it, in order."""
        if self._inside.pop(ticket, None) is None:
            self._queue = deque(place for place in self._queue if place.ticket != ticket)
        return self._admit()

    def resize(self, limit: int) -> tuple[Hashable, ...]:
        """Change the limit; return those admitted by it, in order. Who is inside stays, also above a smaller limit."""
        if limit < 1:
            raise ValueError(f"at least one meter must be asked at once, not {limit}")
        self.limit = limit
        return self._admit()

    def wanted(self, lane: Hashable | None = None) -> bool:
        """Tell whether a poll waits for a place or for this lane: background work that is inside makes room then."""
        full = len(self._inside) >= self.limit
        return any(not place.background and (full or (lane is not None and place.lane == lane))
                   for place in self._queue)

    def state(self) -> GateState:
        """Return how busy it is."""
        return GateState(self.limit, len(self._inside), len(self._queue), self._longest)

    def _fits(self, place: _Place) -> bool:
        inside = self._inside.values()
        if place.lane is not None and any(other.lane == place.lane for other in inside):
            return False
        half = max(1, self.limit // 2)
        return ((not place.doubtful or sum(other.doubtful for other in inside) < half)
                and (not place.background or sum(other.background for other in inside) < half))

    def _admit(self) -> tuple[Hashable, ...]:
        admitted: list[Hashable] = []
        for place in sorted(self._queue, key=lambda place: place.background):
            if len(self._inside) >= self.limit:
                break
            if self._fits(place):
                self._inside[place.ticket] = place
                admitted.append(place.ticket)
        if admitted:
            self._queue = deque(place for place in self._queue if place.ticket not in self._inside)
        return tuple(admitted)

"""How many meters are asked at once, and who is next (pure).

The radio link is one shared channel: asking fifty meters at once makes each exchange slow and none sooner done. And a
TCP-to-RS485 bridge serves one client, so two meters behind one bridge (a *lane*) are never asked together. Meters that
failed last time (*doubtful*) get half of the places at most: waiting for the dead must not starve the living. What need
not be done now (*background*: backfill, clocks) gets half of the places at most, and only those that no poll can take.
And who waits long for a first connection stands *aside*: it uses no air, and its place serves those who answer.

On a lane that more want than can have it, what is shared out is its time, not its turns: `Lane`.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

ASIDE_FOR_EACH = 3
"""So many may stand aside for each place: each sends a SYN now and then, and comes back with a connection."""


class _Place(NamedTuple):
    ticket: Hashable
    lane: Hashable | None
    doubtful: bool
    background: bool
    payer: Hashable
    leaving: bool
    since: float        # where its lane stood when it was asked for, virtual


@dataclass(slots=True)
class _Lane:
    """Who has used how much of a lane's time, as long as anybody wants it: start-time fair queueing.

    Each turn begins, in virtual seconds, where its payer's last one ended, or where the lane stands if that is later:
    who used little comes soon, who used much has to wait, and time that nobody wanted gives no credit. Who has the
    smallest start is next, the living before the doubtful where they are equal; and after a doubtful one, a living.
    """

    stands_at: float = 0.0
    ends: dict[Hashable, float] = field(default_factory=dict)      # payer -> end of its last turn, virtual
    doubted: bool = False                                          # the last one was doubtful

    def start(self, place: _Place) -> float:
        """Return where a turn begins."""
        return max(place.since, self.ends.get(place.payer, 0.0))

    def rank(self, place: _Place) -> tuple[bool, bool, float, bool]:
        """Return the order of those who wait; the least is next."""
        return place.background, place.doubtful and self.doubted, self.start(place), place.doubtful

    def admit(self, place: _Place) -> None:
        """Note that this one has the lane."""
        self.stands_at, self.doubted = max(self.stands_at, self.start(place)), place.doubtful

    def leave(self, place: _Place, used_s: float) -> None:
        """Note how long it had it. Background work costs its payer nothing: it makes room for polls anyway."""
        if not place.background:
            self.ends[place.payer] = self.start(place) + used_s


@dataclass(frozen=True, slots=True)
class GateState:
    """How busy the gate is: plain data for status. `inside` are those that hold a place, not who stands aside."""

    limit: int
    inside: int
    waiting: int
    longest_queue: int


class Gate:
    """Admits at most `limit` tickets, one per lane, in the order in which they asked.

    A ticket is any hashable object, used once. First come, first served, except that somebody whose lane is taken, or
    who is doubtful when half of the places are, is passed over without losing the place in the queue; and within a
    lane, who has used least of it. Background work queues behind all others. `ask` and `leave` return at once; waking
    up who is admitted is the caller's.
    """

    def __init__(self, limit: int) -> None:
        """ValueError below 1: nobody would ever be asked."""
        if limit < 1:
            raise ValueError(f"at least one meter must be asked at once, not {limit}")
        self.limit = limit
        self._inside: dict[Hashable, _Place] = {}
        self._aside: set[Hashable] = set()            # of those inside
        self._queue: deque[_Place] = deque()
        self._lanes: dict[Hashable, _Lane] = {}       # those that anybody is in or wants
        self._longest = 0

    def ask(
        self, ticket: Hashable, lane: Hashable | None = None, *, doubtful: bool = False, background: bool = False,
        payer: Hashable = None, leaving: bool = False,
    ) -> bool:
        """Return True when the ticket is admitted now; else it waits until `leave` names it. ValueError if known.

        `payer`: whose use of the lane it is, over many tickets. `leaving`: wants its lane for a goodbye, and no place:
        when all stop at once, all shall get to say it.
        """
        if ticket in self._inside or any(place.ticket == ticket for place in self._queue):
            raise ValueError("this ticket is in use")
        since = 0.0 if lane is None else self._lanes.setdefault(lane, _Lane()).stands_at
        self._queue.append(_Place(ticket, lane, doubtful, background, payer, leaving, since))
        admitted = self._admit()     # alone: whoever waited before could not go, and still cannot
        self._longest = max(self._longest, len(self._queue))
        return ticket in admitted

    def leave(self, ticket: Hashable, used_s: float = 0.0) -> tuple[Hashable, ...]:
        """End a ticket, inside or still waiting (unknown ones are fine); return those admitted by it, in order.

        `used_s` is how long it was inside.
        """
        left = self._inside.pop(ticket, None)
        self._aside.discard(ticket)
        if left is not None:
            if left.lane is not None:
                self._lanes[left.lane].leave(left, used_s)
        elif (left := next((place for place in self._queue if place.ticket == ticket), None)) is not None:
            self._queue.remove(left)
        admitted = self._admit()
        if left is not None and not any(place.lane == left.lane for place in (*self._inside.values(), *self._queue)):
            self._lanes.pop(left.lane, None)
        return admitted

    def aside(self, ticket: Hashable) -> tuple[Hashable, ...]:
        """Let somebody inside give its place to others, and keep its lane; return those admitted by it, in order.

        Nothing happens where too many stand aside already, nor with the doubtful: they have half of the places at most.
        """
        place = self._inside.get(ticket)
        if place is None or place.doubtful or len(self._aside) >= ASIDE_FOR_EACH * self.limit:
            return ()
        self._aside.add(ticket)
        return self._admit()

    def back(self, ticket: Hashable) -> None:
        """Let it have its place again, at once: for a moment there may be more inside than the limit."""
        self._aside.discard(ticket)

    def resize(self, limit: int) -> tuple[Hashable, ...]:
        """Change the limit; return those admitted by it, in order. Who is inside stays, also above a smaller limit."""
        if limit < 1:
            raise ValueError(f"at least one meter must be asked at once, not {limit}")
        self.limit = limit
        return self._admit()

    def wanted(self, lane: Hashable | None = None) -> bool:
        """Tell whether a poll waits for a place or for this lane: background work that is inside makes room then."""
        full = self._full()
        return any(not place.background and (full or (lane is not None and place.lane == lane))
                   for place in self._queue)

    def state(self) -> GateState:
        """Return how busy it is."""
        return GateState(self.limit, len(self._inside) - len(self._aside), len(self._queue), self._longest)

    def _full(self) -> bool:
        return sum(not place.leaving for place in self._holding()) >= self.limit

    def _holding(self) -> list[_Place]:
        return [place for ticket, place in self._inside.items() if ticket not in self._aside]

    def _next(self) -> _Place | None:
        """Return who is admitted next, None when nobody who waits may go."""
        inside, half, full = self._holding(), max(1, self.limit // 2), self._full()
        taken = {place.lane for place in self._inside.values() if place.lane is not None}
        no_doubtful = sum(place.doubtful for place in inside) >= half
        no_background = sum(place.background for place in inside) >= half
        may_go = [place for place in self._queue if place.lane not in taken and (place.leaving or not full)
                  and not (place.doubtful and no_doubtful) and not (place.background and no_background)]
        first = min(may_go, key=lambda place: place.background, default=None)      # of equals the one that came first
        if first is None or first.lane is None:
            return first
        return min((place for place in may_go if place.lane == first.lane), key=self._lanes[first.lane].rank)

    def _admit(self) -> tuple[Hashable, ...]:
        admitted: list[Hashable] = []
        while self._queue and (place := self._next()) is not None:
            self._queue.remove(place)
            self._inside[place.ticket] = place
            admitted.append(place.ticket)
            if place.lane is not None:
                self._lanes[place.lane].admit(place)
        return tuple(admitted)

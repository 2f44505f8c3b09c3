"""How many meters are asked at once, and who is next (pure).

The radio link is one shared channel: asking fifty meters at once makes each exchange slow and none sooner done. And a
TCP-to-RS485 bridge serves one client, so two meters behind one bridge (a *lane*) are never asked together.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateState:
    """How busy the gate is: plain data for status."""

    limit: int
    inside: int
    waiting: int
    longest_queue: int


class Gate:
    """Admits at most `limit` tickets, one per lane, in the order in which they asked.

    A ticket is any hashable object, used once. First come, first served, except that somebody whose lane is taken is
    passed over without losing the place. `ask` and `leave` return at once; waking up who is admitted is the caller's.
    """

    def __init__(self, limit: int) -> None:
        """ValueError below 1: nobody would ever be asked."""
        if limit < 1:
            raise ValueError(f"at least one meter must be asked at once, not {limit}")
        self.limit = limit
        self._inside: dict[Hashable, Hashable | None] = {}
        self._queue: deque[tuple[Hashable, Hashable | None]] = deque()
        self._longest = 0

    def ask(self, ticket: Hashable, lane: Hashable | None = None) -> bool:
        """Return True when the ticket is admitted now; else it waits until `leave` names it. ValueError if known."""
        if ticket in self._inside or any(waiting == ticket for waiting, _ in self._queue):
            raise ValueError("this ticket is in use")
        if not self._queue and self._fits(lane):
            self._inside[ticket] = lane
            return True
        self._queue.append((ticket, lane))
        admitted = self._admit()     # those ahead may all be held up by their lane, and there is room
        self._longest = max(self._longest, len(self._queue))
        return ticket in admitted

    def leave(self, ticket: Hashable) -> tuple[Hashable, ...]:
        """End a ticket, inside or still waiting (unknown ones are fine); return those admitted by it, in order."""
        if ticket in self._inside:
            del self._inside[ticket]
        else:
            self._queue = deque(entry for entry in self._queue if entry[0] != ticket)
        return self._admit()

    def state(self) -> GateState:
        """Return how busy it is."""
        return GateState(self.limit, len(self._inside), len(self._queue), self._longest)

    def _fits(self, lane: Hashable | None) -> bool:
        return len(self._inside) < self.limit and (lane is None or lane not in self._inside.values())

    def _admit(self) -> tuple[Hashable, ...]:
        admitted: list[Hashable] = []
        passed: deque[tuple[Hashable, Hashable | None]] = deque()
        while self._queue and len(self._inside) < self.limit:
            ticket, lane = self._queue.popleft()
            if self._fits(lane):
                self._inside[ticket] = lane
                admitted.append(ticket)
            else:
                passed.append((ticket, lane))
        self._queue = passed + self._queue
        return tuple(admitted)

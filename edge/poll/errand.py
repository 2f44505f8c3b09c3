"""Errands: work on a meter between its polls, over the association that polling keeps.

    slot ─ poll ─────────── rest ──────────────────────────── slot
                  turn at the gate, behind every poll
                  └─ step ─ step ─ step ─┘   as many as fit; out again as soon as a poll wants the place

Backfill, clocks, event logs, an operator's orders: whatever takes a meter's time and is not the poll itself. A
*standing* errand lives as long as its poller; an *order* is given once and gone when it is finished.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from edge.dlms.access import AccessPart, AccessResult
from edge.dlms.action import ActionRequest, ActionResult
from edge.dlms.association import Association
from edge.dlms.axdr import AxdrValue
from edge.dlms.cosem import Attribute
from edge.dlms.get import GetResult
from edge.dlms.set import SetResult
from edge.meters.profile import Profile
from edge.model import Meter


class Ask(Protocol):
    """What a step may do: requests on an open association with the right meter. `MeterSession` is one.

    Each raises the MeterError that ended the connection, or LocalStateError for a service that was not negotiated
    (the association stands then).
    """

    @property
    def association(self) -> Association:
        """What was negotiated: services, largest APDU."""

    async def get(self, attributes: Sequence[Attribute]) -> tuple[GetResult, ...]:
        """Read attributes, in as few requests as the meter takes."""

    async def set(self, items: Sequence[tuple[Attribute, AxdrValue]]) -> tuple[SetResult, ...]:
        """Write attributes."""

    async def action(self, requests: Sequence[ActionRequest]) -> tuple[ActionResult, ...]:
        """Call methods."""

    async def access(self, parts: Sequence[AccessPart]) -> tuple[AccessResult, ...]:
        """Do several of these in one request, where the meter has the service."""


class Errand(Protocol):
    """One kind of work on one meter. Used by one task at a time; every `now` is the clock's monotonic seconds."""

    @property
    def name(self) -> str:
        """What it is called in logs and status."""

    @property
    def lasts_s(self) -> float:
        """How long the next step is expected to take. A step that cannot fit before the next poll is not begun."""

    def due(self, now: float) -> float | None:
        """Return when the next step is wanted; None = nothing for now. Asked again after each poll, step and nudge."""

    async def step(self, ask: Ask) -> None:
        """Do one bounded piece: a request or a few. Cancelled when it overruns; what it had done must stand then.

        Raises MeterError, or LocalStateError where the meter lacks the service; `failed` is told of both.
        """

    def failed(self, error: Exception, now: float) -> None:
        """Take note that a step failed: MeterError, LocalStateError, TimeoutError for one that overran, or a bug.

        `due` must move into the future by it, or the errand is tried again at once, for ever. An order is also told so
        (LocalStateError) when its meter is polled no longer.
        """


ErrandsOf = Callable[[Meter, Profile], Iterable[Errand]]
"""Makes a meter's standing errands when its poller starts."""


class Errands:
    """All errands of one meter, in the order in which they are served (pure).

    Orders come first, as they were given; of the standing ones the one that was served least recently.
    """

    def __init__(self, standing: Iterable[Errand] = ()) -> None:
        """Begin with the standing ones."""
        self._standing = list(standing)
        self._orders: list[Errand] = []

    def order(self, errand: Errand) -> None:
        """Add an order; it is dropped as soon as nothing of it is due any more."""
        self._orders.append(errand)

    def replace(self, standing: Iterable[Errand]) -> None:
        """Have other standing errands from now on; orders stay."""
        self._standing = list(standing)

    def orders(self) -> tuple[Errand, ...]:
        """Return the orders that are not finished."""
        return tuple(self._orders)

    def wanted(self, now: float) -> list[tuple[Errand, float]]:
        """Return what wants a step and when, not before `now`; in the order of precedence."""
        self._orders = [order for order in self._orders if order.due(now) is not None]
        dues = ((errand, errand.due(now)) for errand in (*self._orders, *self._standing))
        return [(errand, max(due, now)) for errand, due in dues if due is not None]

    def served(self, errand: Errand) -> None:
        """Note that this one had its turn: the other standing ones come first now."""
        if errand in self._standing:
            self._standing.remove(errand)
            self._standing.append(errand)

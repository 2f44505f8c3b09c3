"""What comes within an association and was not asked for: pushes of the meter, and its end."""

from collections.abc import Callable
from typing import TypeVar

from edge.dlms.association import Association, Closed, Event, Pushed
from edge.errors import ConnectionLost

OnPush = Callable[[Pushed], None]
"""Told what the meter sends unasked within its association. Raises nothing."""

E = TypeVar("E", bound=Event)


def nobody_listens(_pushed: Pushed) -> None:
    """Stand in where pushes are of no interest."""


def heard(association: Association, wanted: type[E], on_push: OnPush) -> E | None:
    """Return the wanted event if it has come; hand pushes over. Raises ConnectionLost."""
    while (event := association.next_event()) is not None:
        if isinstance(event, wanted):
            return event
        unasked(event, on_push)
    return None


def unasked(event: Event, on_push: OnPush) -> None:
    """Hand a push over. Raises ConnectionLost for the end of the association."""
    if isinstance(event, Pushed):
        on_push(event)
    elif isinstance(event, Closed):
        raise ConnectionLost(event.text or "the meter ended the association")

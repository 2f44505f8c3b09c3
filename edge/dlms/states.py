"""Where an association stands, and what moves it on.

    NEW --open--> LINKING --link up--> ASSOCIATING --AARE, proof--> READY --request--> WAITING --answer--> READY
    any but CLOSED --close--> CLOSING --link down--> CLOSED           any but CLOSING, CLOSED --fault--> FAILED
"""

from enum import Enum


class State(Enum):
    """Where the association stands."""

    NEW = "new"
    LINKING = "setting up the link"
    ASSOCIATING = "associating"
    READY = "ready"
    WAITING = "waiting for an answer"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"

    __hash__ = object.__hash__      # by identity: Enum's own hashes the name, for each look into `NEXT`


class Trigger(Enum):
    """What moves it on."""

    OPEN = "open"
    LINK_UP = "link up"
    ACCEPTED = "AARE"
    ASK = "request"
    ANSWERED = "answer"
    CLOSE = "close"
    LINK_DOWN = "link down"
    FAULT = "fault"

    __hash__ = object.__hash__


NEXT: dict[tuple[State, Trigger], State] = {
    (State.NEW, Trigger.OPEN): State.LINKING,
    (State.LINKING, Trigger.LINK_UP): State.ASSOCIATING,
    (State.ASSOCIATING, Trigger.ACCEPTED): State.READY,
    (State.READY, Trigger.ASK): State.WAITING,
    (State.WAITING, Trigger.ANSWERED): State.READY,
    (State.CLOSING, Trigger.LINK_DOWN): State.CLOSED,
    **{(state, Trigger.CLOSE): State.CLOSING for state in State if state not in (State.CLOSING, State.CLOSED)},
    **{(state, Trigger.FAULT): State.FAILED for state in State if state not in (State.CLOSING, State.CLOSED)},
}
"""What is not here is a call out of order."""

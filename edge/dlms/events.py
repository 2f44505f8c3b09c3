"""What an association tells its caller, and what a service exchange is to it."""

from typing import NamedTuple, Protocol

from edge.dlms.access import Accessed
from edge.dlms.action import Invoked
from edge.dlms.conformance import Conformance
from edge.dlms.get import Answer
from edge.dlms.push import Pushed
from edge.dlms.set import Written


class Opened(NamedTuple):
    """The association stands: services both sides have, largest APDU the meter takes (0 = no limit)."""

    conformance: Conformance
    server_max_pdu: int


class Closed(NamedTuple):
    """The connection is at its end, as asked or by the other side while nothing was open. `text`: what was heard."""

    text: str = ""


Done = Answer | Written | Invoked | Accessed
Event = Opened | Done | Closed | Pushed


class Exchange(Protocol):
    """One service request and what answers it. `answer_tag` is the APDU tag of its answers, in clear."""

    @property
    def answer_tag(self) -> int:
        """First octet of every answer of this exchange."""

    @property
    def request(self) -> bytes:
        """The first request APDU, in clear."""

    def receive(self, answer: bytes) -> bytes | None:
        """Take an answer APDU, return the next request of the exchange, or None when it is complete.

        Raises Violation for an answer that cannot be, Refused for a service refused as a whole.
        """

    def outcome(self) -> Done:
        """Return the event that ends the exchange; only when `receive` has returned None."""

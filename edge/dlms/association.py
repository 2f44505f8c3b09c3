"""One application association over one connection: open, GET, close (IEC 62056-5-3 clause 9).

    NEW --open--> LINKING --link up--> ASSOCIATING --AARE--> READY --get--> WAITING --answer--> READY --close--> CLOSED

Sans-IO: bytes and `now` (seconds, monotonic) come in, bytes and events go out. An object serves one TCP connection and
is thrown away with it. Any MeterError ends it: late answers give one register's value to another, so nothing above the
link layer is ever brought back into step.

Every APDU leaves through `_send` and arrives at `_dispatch`; a service is an exchange object like `get.GetExchange`.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from edge.dlms import acse, apdu, hdlc
from edge.dlms.apdu import Pushed
from edge.dlms.axdr import encode_length
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import Attribute
from edge.dlms.get import GetExchange, GetResult
from edge.dlms.hdlc_link import HdlcLink
from edge.dlms.hdlc_parameters import DEFAULT_INFO_BYTES, LinkParameters
from edge.dlms.link import PUSH_TAGS, Link, LinkDown, LinkEvent, LinkUp, Traffic, WrapperLink
from edge.dlms.settings import AssociationSettings
from edge.errors import ConnectionLost, LocalStateError, MeterError, NoAnswer, Violation

__all__ = [
    "Answer", "Association", "AssociationSettings", "Closed", "Conformance", "Event", "GetResult", "Opened", "Pushed",
    "State",
]

_LIST_OVERHEAD_BYTES, _DESCRIPTOR_BYTES = 3, 10


class Opened(NamedTuple):
    """The association stands: services both sides have, largest APDU the meter takes (0 = no limit)."""

    conformance: Conformance
    server_max_pdu: int


class Answer(NamedTuple):
    """The GET is answered: one result for each attribute, in the order of the request."""

    results: tuple[GetResult, ...]


class Closed(NamedTuple):
    """The connection is at its end, as asked or by the other side while nothing was open. `text`: what was heard."""

    text: str = ""


Event = Opened | Answer | Closed | Pushed


class Exchange(Protocol):
    """One service request and what answers it; see `get.GetExchange`. `answer_tag` is the APDU tag of its answers."""

    answer_tag: int
    request: bytes
    results: tuple[GetResult, ...]

    def receive(self, answer: bytes) -> bytes | None:
        """Take an answer APDU, return the next request of the exchange, or None when it is complete."""


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


class Trigger(Enum):
    """What moves it on."""

    OPEN = "open"
    LINK_UP = "link up"
    ACCEPTED = "AARE"
    ASK = "get"
    ANSWERED = "answer"
    CLOSE = "close"
    LINK_DOWN = "link down"
    FAULT = "fault"


_NEXT: dict[tuple[State, Trigger], State] = {
    (State.NEW, Trigger.OPEN): State.LINKING,
    (State.LINKING, Trigger.LINK_UP): State.ASSOCIATING,
    (State.ASSOCIATING, Trigger.ACCEPTED): State.READY,
    (State.READY, Trigger.ASK): State.WAITING,
    (State.WAITING, Trigger.ANSWERED): State.READY,
    (State.CLOSING, Trigger.LINK_DOWN): State.CLOSED,
    **{(state, Trigger.CLOSE): State.CLOSING for state in State if state not in (State.CLOSING, State.CLOSED)},
    **{(state, Trigger.FAULT): State.FAILED for state in State if state not in (State.CLOSING, State.CLOSED)},
}


class Association:
    """One per TCP connection; disposable. See `AssociationSettings` and the events above.

    Drain `data_to_send()` and `next_event()` after every call. Methods raise MeterError kinds for the meter's faults
    (the object is finished then; `close` may still be called, to send DISC) and LocalStateError for calls out of order.
    """

    def __init__(self, settings: AssociationSettings) -> None:
        """Prepare; nothing is sent yet."""
        self.state = State.NEW
        self.server_conformance = Conformance(0)
        self.server_max_pdu = 0
        self._settings = settings
        self._link = _link(settings)
        self._invoke_id = settings.first_invoke_id
        self._exchange: Exchange | None = None
        self._deadline: float | None = None
        self._events: deque[Event] = deque()

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def traffic(self) -> Traffic:
        """Octets, frames and round trips of this connection so far."""
        return self._link.traffic

    @property
    def offers_list(self) -> bool:
        """Tell whether GET-with-list was negotiated; known after Opened."""
        return Conformance.MULTIPLE_REFERENCES in self.server_conformance

    def list_capacity(self, answer_bytes_each: int = 8) -> int:
        """Return how many attributes one GET may hold: 1 where lists were not negotiated.

        The request must fit the meter's largest APDU; the answer, at `answer_bytes_each` octets of data a value, must
        fit ours unless the meter can send it in blocks.
        """
        if not self.offers_list:
            return 1
        room = (self.server_max_pdu or 0xFFFF) - _LIST_OVERHEAD_BYTES
        most = (room - len(encode_length(room // _DESCRIPTOR_BYTES))) // _DESCRIPTOR_BYTES
        if Conformance.BLOCK_TRANSFER_WITH_GET not in self.server_conformance:
            most = min(most, (self._settings.max_pdu - _LIST_OVERHEAD_BYTES - 3) // (1 + answer_bytes_each))
        return max(1, most)

    # -- calls -----------------------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Send SNRM and, when the link is up, AARQ. Ends with Opened, or with an error within the time-out."""
        self._move(Trigger.OPEN)
        self._deadline = now + self._settings.association_timeout_s
        self._act(self._link.open(now), now)

    def get(self, attributes: Sequence[Attribute], now: float) -> None:
        """Ask for one attribute (GET-normal) or more (GET-with-list). Ends with Answer, or with an error.

        Raises LocalStateError if something is open already, if lists were not negotiated, or if the request is longer
        than the meter takes: nothing was sent then and the association is as good as before.
        """
        if self.state is not State.READY:
            raise LocalStateError(f"GET while the association is {self.state.value}")
        if not attributes or (len(attributes) > 1 and not self.offers_list):
            raise LocalStateError(f"GET of {len(attributes)} attributes: this association takes one at a time")
        try:
            exchange = GetExchange(tuple(attributes), self._invoke_id)
        except ValueError as why:
            raise LocalStateError(str(why)) from why
        size = len(exchange.request)
        if self.server_max_pdu and size > self.server_max_pdu:
            raise LocalStateError(f"GET of {len(attributes)} attributes has {size} octets, the meter takes "
                                  f"{self.server_max_pdu}: ask for {self.list_capacity()} at most")
        self._begin(exchange, now)

    def close(self, now: float) -> None:
        """Send DISC for HDLC, nothing for the wrapper; ends with Closed. Calling it again does nothing."""
        if self.state in (State.CLOSING, State.CLOSED):
            return
        self._move(Trigger.CLOSE)
        self._deadline = now + self._settings.exchange_timeout_s
        self._act(self._link.close(now), now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the meter. Raises MeterError: the connection is finished then."""
        if self.state in (State.NEW, State.FAILED):
            raise LocalStateError(f"data for an association that is {self.state.value}")
        if self.state is State.CLOSED:
            return
        try:
            self._act(self._link.receive(data, now), now)
        except MeterError as fault:
            self._failed(fault)

    def receive_eof(self) -> None:
        """Take the end of the stream: Closed comes. Raises ConnectionLost or BridgeBusy if anything was open."""
        reason = self._link.fault(ConnectionLost(f"the connection was closed while {self.state.value}"))
        if self.state in (State.LINKING, State.ASSOCIATING, State.WAITING):
            self._failed(reason)
        elif self.state in (State.READY, State.CLOSING):
            self._close_now("" if isinstance(reason, ConnectionLost) else str(reason))

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        return self._link.data_to_send()

    def next_timer(self) -> float | None:
        """Return when `handle_timer` must be called, in the base of `now`; None = not at all."""
        link = self._link.next_timer()
        if link is None or self._deadline is None:
            return self._deadline if link is None else link
        return min(link, self._deadline)

    def handle_timer(self, now: float) -> None:
        """Let the link repeat what is safe; past the deadline raise NoAnswer. Calling it too early is harmless."""
        if self._deadline is not None and now >= self._deadline:
            if self.state is State.CLOSING:
                self._close_now("")
            else:
                self._failed(self._link.fault(NoAnswer(f"no answer while {self.state.value}")))
            return
        try:
            self._act(self._link.handle_timer(now), now)
        except MeterError as fault:
            self._failed(fault)

    def next_event(self) -> Event | None:
        """Return the oldest event not taken yet."""
        return self._events.popleft() if self._events else None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _move(self, trigger: Trigger) -> None:
        following = _NEXT.get((self.state, trigger))
        if following is None:
            raise LocalStateError(f"{trigger.value} while the association is {self.state.value}")
        self.state = following

    def _failed(self, fault: MeterError) -> None:
        """End it and raise `fault`; while closing, any fault just means closed."""
        if self.state is State.CLOSING:
            self._close_now(str(fault))
            return
        self._move(Trigger.FAULT)
        self._deadline = self._exchange = None
        raise fault

    def _close_now(self, text: str) -> None:
        self.state = State.CLOSED
        self._deadline = self._exchange = None
        self._events.append(Closed(text))

    def _begin(self, exchange: Exchange, now: float) -> None:
        self._move(Trigger.ASK)
        self._invoke_id = (self._invoke_id + 1) & 0x0F
        self._exchange = exchange
        self._deadline = now + self._settings.exchange_timeout_s
        self._send(exchange.request, now)

    def _send(self, message: bytes, now: float) -> None:
        self._link.send(message, now)

    def _act(self, events: list[LinkEvent], now: float) -> None:
        for event in events:
            match event:
                case LinkUp():
                    self._move(Trigger.LINK_UP)
                    settings = self._settings
                    self._send(acse.aarq(password=settings.password if settings.authentication == "lls" else None,
                                         conformance=settings.conformance, max_pdu=settings.max_pdu), now)
                case LinkDown():
                    self._move(Trigger.LINK_DOWN)
                    self._close_now("")
                case _:
                    self._dispatch(event.apdu, now)

    def _dispatch(self, message: bytes, now: float) -> None:
        """Give one APDU to whom it belongs, by its tag and by what was asked."""
        tag = message[0]
        if tag in PUSH_TAGS:
            self._events.append(apdu.notification(message))
        elif self.state is State.CLOSING:
            return
        elif self._exchange is not None and tag == self._exchange.answer_tag:
            following = self._exchange.receive(message)
            if following is not None:
                self._send(following, now)
                return
            self._move(Trigger.ANSWERED)
            self._events.append(Answer(self._exchange.results))
            self._exchange = self._deadline = None
        elif tag == apdu.AARE and self.state is State.ASSOCIATING:
            self.server_conformance, self.server_max_pdu = acse.accepted(message, self._settings.conformance)
            self._deadline = None
            self._move(Trigger.ACCEPTED)
            self._events.append(Opened(self.server_conformance, self.server_max_pdu))
        elif tag in (apdu.EXCEPTION_RESPONSE, apdu.CONFIRMED_SERVICE_ERROR) and self.state is not State.READY:
            raise apdu.refusal(message)
        else:
            raise Violation(f"APDU 0x{tag:02x} came while {self.state.value}")


def _link(settings: AssociationSettings) -> Link:
    if settings.framing == "wrapper":
        return WrapperLink(
            client_sap=settings.client_sap, server_logical=settings.server_logical, limit_bytes=settings.max_pdu)
    propose = settings.snrm_parameters
    if propose is None:
        propose = settings.max_info_bytes != DEFAULT_INFO_BYTES
    return HdlcLink(
        client=hdlc.encode_address(settings.client_sap),
        server=hdlc.encode_address(settings.server_logical, settings.server_physical, settings.address_bytes),
        proposal=LinkParameters(settings.max_info_bytes, settings.max_info_bytes) if propose else None,
        repeat_s=settings.link_repeat_s, repeats=settings.link_repeats)

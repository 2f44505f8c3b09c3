"""One application association over one connection: open, ask, close (IEC 62056-5-3 clause 9).

Sans-IO: bytes and `now` (seconds, monotonic) come in, bytes and events go out. An object serves one TCP connection and
is thrown away with it. Any MeterError ends it: late answers give one register's value to another, so nothing above the
link layer is ever brought back into step. `states` draws where it can stand.

    opening, exchange ─► Passage.outgoing (ciphering, general blocks) ─► link
    opening, exchange ◄─ Passage.incoming ◄──────────────────────────── link
"""

from collections import deque
from collections.abc import Sequence

from edge.dlms import apdu
from edge.dlms.access import Accessed, AccessExchange, AccessPart, AccessResult
from edge.dlms.acse import Accepted
from edge.dlms.action import NO_DATA, ActionExchange, ActionRequest, ActionResult, Invoked
from edge.dlms.axdr import AxdrValue, encode_length
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import Attribute
from edge.dlms.counter import InvocationCounters
from edge.dlms.events import Closed, Event, Exchange, Opened
from edge.dlms.get import Answer, GetExchange, GetMemo, GetResult
from edge.dlms.link import LinkEvent, LinkUp, Received, Traffic, WrapperLink
from edge.dlms.links import link_for
from edge.dlms.opening import Opening
from edge.dlms.passage import Passage
from edge.dlms.push import PUSH_TAGS, Pushed, notification
from edge.dlms.set import SetExchange, SetResult, Written
from edge.dlms.settings import AssociationSettings, Security
from edge.dlms.shortcut import ShortCut
from edge.dlms.states import NEXT, State, Trigger
from edge.errors import ConnectionLost, LocalStateError, MeterError, NoAnswer, NotGenuine, Violation

__all__ = [
    "NO_DATA", "AccessPart", "AccessResult", "Accessed", "ActionRequest", "ActionResult", "Answer", "Association",
    "AssociationSettings", "Closed", "Conformance", "Event", "GetResult", "Invoked", "Opened", "Pushed", "Security",
    "SetResult", "State", "Written",
]

_READY, _WAITING = State.READY, State.WAITING      # Python 3.11 calls a function for each look at a member
_DEAF = frozenset((State.NEW, State.FAILED, State.CLOSED))
_LIST_OVERHEAD_BYTES, _DESCRIPTOR_BYTES, _VALUE_BYTES = 3, 10, 8      # the last one as in most answers


class Association:
    """One per TCP connection; disposable. See `AssociationSettings` and the events above.

    Drain `data_to_send()` and `next_event()` after every call. Methods raise MeterError kinds for the meter's faults
    (the object is finished then; `close` may still be called, to send DISC) and LocalStateError for calls out of order.
    """

    def __init__(self, settings: AssociationSettings, counters: InvocationCounters | None = None) -> None:
        """Prepare; nothing is sent yet. `counters` are the reserved invocation counters where keys are set."""
        self.state = State.NEW
        self.offers_list = False            # GET-with-list was negotiated; known after Opened
        self.exchange_timeout_s = settings.exchange_timeout_s      # of requests from now on; may be changed at any time
        self._list_capacity = 1
        self._settings = settings
        self._link = link_for(settings)
        self._passage = Passage(settings, counters or InvocationCounters())
        self._invoke_id = settings.first_invoke_id
        self._opening: Opening | None = None
        self._exchange: Exchange | None = None
        self._memo = GetMemo()
        self._plain: WrapperLink | None = None      # the link, where APDUs go as they are; known after Opened
        self._short: ShortCut | None = None         # for the list that `_memo` knows
        self._deadline: float | None = None
        self._events: deque[Event] = deque()

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def traffic(self) -> Traffic:
        """Octets, frames and round trips of this connection so far."""
        return self._link.traffic

    @property
    def server_conformance(self) -> Conformance:
        """Services that both sides have; known after Opened."""
        return self._passage.server_conformance

    @property
    def server_max_pdu(self) -> int:
        """The largest APDU that the meter takes, 0 = no limit; known after Opened."""
        return self._passage.server_max_pdu

    def list_capacity(self) -> int:
        """Return how many attributes one GET may hold: 1 where lists were not negotiated; known after Opened."""
        return self._list_capacity

    # -- calls -----------------------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Send SNRM and, when the link is up, AARQ. Ends with Opened, or with an error within the time-out."""
        self._move(Trigger.OPEN)
        self._deadline = now + self._settings.association_timeout_s
        self._act(self._link.open(now), now)

    def get(self, attributes: Sequence[Attribute], now: float) -> None:
        """Ask for one attribute (GET-normal) or more (GET-with-list). Ends with Answer, or with an error.

        This and the other requests raise LocalStateError if something is open already, if the service, its lists or
        blocks were not negotiated, or if the request is longer than the meter takes: nothing was sent then and the
        association is as good as before.
        """
        self._check_request("GET", len(attributes), Conformance.GET)
        try:
            exchange = GetExchange(tuple(attributes), self._invoke_id, self._memo)
        except ValueError as why:
            raise LocalStateError(str(why)) from why
        size, room = len(exchange.request), self._passage.room
        if room and size > room and not self._passage.general_blocks:
            raise LocalStateError(f"GET of {len(attributes)} attributes has {size} octets, the meter takes "
                                  f"{room}: ask for {self.list_capacity()} at most")
        self._begin(exchange, now)

    def knows(self, attributes: Sequence[Attribute]) -> bool:
        """Tell whether `get_again` may ask for them: they are the very list that was answered last, and in clear."""
        memo, plain = self._memo, self._plain
        if attributes is not memo.attributes or plain is None or self.state is not _READY or plain.amid_frame:
            return False
        if self._short is None or self._short.layout is not memo.layout:
            self._short = None if memo.layout is None else ShortCut(memo.attributes, memo.request, memo.layout, plain)
        return self._short is not None

    def get_again(self, now: float) -> tuple[bytes, float]:
        """Do as `get` for the list that it `knows`, in fewer steps; return what is to be sent, and the deadline.

        Give what comes to `answered` first. Raises LocalStateError where nothing is known.
        """
        short, invoke_id = self._short, self._invoke_id
        if short is None or self.state is not _READY:
            raise LocalStateError(f"GET once more while the association is {self.state.value}")
        # what `_begin` does, with a frame that is made already, and an exchange only if it is needed
        self.state = _WAITING
        self._invoke_id = (invoke_id + 1) & 0x0F
        self._deadline = deadline = now + self.exchange_timeout_s
        return short.request(invoke_id), deadline

    def answered(self, data: bytes) -> tuple[GetResult, ...] | None:
        """Return the results if `data` is the answer to `get_again`, whole and laid out as the last one.

        None: nothing was taken. `receive_data` wants it then, and in the end comes Answer, or an error.
        """
        short = self._short
        if short is None or self.state is not _WAITING or (results := short.read(data)) is None:
            return None
        self.state = _READY
        self._deadline = None
        return results

    def set(self, items: Sequence[tuple[Attribute, AxdrValue]], now: float) -> None:
        """Set one attribute or more (SET-with-list), in blocks where need be. Ends with Written, or with an error."""
        self._check_request("SET", len(items), Conformance.SET)
        try:
            exchange = SetExchange(
                tuple(items), self._invoke_id, room=self._passage.room_in_blocks,
                blocks=Conformance.BLOCK_TRANSFER_WITH_SET in self.server_conformance)
        except ValueError as why:
            raise LocalStateError(str(why)) from why
        self._begin(exchange, now)

    def action(self, requests: Sequence[ActionRequest], now: float) -> None:
        """Call one method or more (ACTION-with-list), in blocks where need be. Ends with Invoked, or with an error."""
        self._check_request("ACTION", len(requests), Conformance.ACTION)
        try:
            exchange = ActionExchange(
                tuple(requests), self._invoke_id, room=self._passage.room_in_blocks,
                blocks=Conformance.BLOCK_TRANSFER_WITH_ACTION in self.server_conformance)
        except ValueError as why:
            raise LocalStateError(str(why)) from why
        self._begin(exchange, now)

    def access(self, parts: Sequence[AccessPart], now: float) -> None:
        """Send GETs, SETs and ACTIONs in one ACCESS request. Ends with Accessed, or with an error."""
        self._check_request("ACCESS", 1 if parts else 0, Conformance.ACCESS)
        try:
            exchange = AccessExchange(tuple(parts), self._invoke_id)
        except ValueError as why:
            raise LocalStateError(str(why)) from why
        size, room = len(exchange.request), self._passage.room_in_blocks
        if room and size > room:
            raise LocalStateError(f"ACCESS of {len(parts)} parts has {size} octets, the meter takes {room}")
        self._begin(exchange, now)

    def close(self, now: float) -> None:
        """Send DISC for HDLC, nothing for the wrapper; ends with Closed. Calling it again does nothing."""
        if self.state in (State.CLOSING, State.CLOSED):
            return
        self._move(Trigger.CLOSE)
        self._deadline = now + self.exchange_timeout_s
        self._act(self._link.close(now), now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the meter. Raises MeterError: the connection is finished then."""
        if self.state in _DEAF:
            if self.state is State.CLOSED:
                return
            raise LocalStateError(f"data for an association that is {self.state.value}")
        short = self._short
        if short is not None and short.asked >= 0:      # `answered` did not take it: the general way from here on
            self._exchange = GetExchange(self._memo.attributes, short.asked, self._memo)
            short.asked = -1
        try:
            self._act(self._link.receive(data, now), now)
        except MeterError as fault:
            self._failed(fault)

    def receive_eof(self) -> None:
        """Take the end of the stream: Closed comes. Raises ConnectionLost or BridgeBusy if anything was open."""
        reason = self._link.fault(ConnectionLost(f"the connection was closed while {self.state.value}"))
        if self.state in (State.LINKING, State.ASSOCIATING, _WAITING):
            self._failed(reason)
        elif self.state in (_READY, State.CLOSING):
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
        following = NEXT.get((self.state, trigger))
        if following is None:
            raise LocalStateError(f"{trigger.value} while the association is {self.state.value}")
        self.state = following

    def _failed(self, fault: MeterError) -> None:
        """End it and raise `fault`; while closing, any fault just means closed."""
        if self.state is State.CLOSING:
            self._close_now(str(fault))
            return
        self._move(Trigger.FAULT)
        self._deadline = self._exchange = self._opening = None
        self._passage.finished()
        raise fault

    def _close_now(self, text: str) -> None:
        self.state = State.CLOSED
        self._deadline = self._exchange = self._opening = None
        self._passage.finished()
        self._events.append(Closed(text))

    def _check_request(self, service: str, items: int, needed: Conformance) -> None:
        if self.state is not _READY:
            raise LocalStateError(f"{service} while the association is {self.state.value}")
        if needed is not Conformance.GET and needed not in self.server_conformance:
            raise LocalStateError(f"{service} was not negotiated with this meter")
        if not items or (items > 1 and not self.offers_list):
            raise LocalStateError(f"{service} of {items} attributes or methods: this association takes one at a time")

    def _begin(self, exchange: Exchange, now: float) -> None:
        self._move(Trigger.ASK)
        self._invoke_id = (self._invoke_id + 1) & 0x0F
        self._exchange = exchange
        self._deadline = now + self.exchange_timeout_s
        self._send(exchange.request, now)

    def _send(self, message: bytes, now: float) -> None:
        for part in self._passage.outgoing(message):
            self._link.send(part, now)

    def _act(self, events: list[LinkEvent], now: float) -> None:
        for event in events:
            if isinstance(event, Received):
                self._dispatch(event.apdu, now)
            elif isinstance(event, LinkUp):
                self._move(Trigger.LINK_UP)
                self._opening = Opening(self._settings, self._passage.channel, self._invoke_id)
                self._link.send(self._opening.request(), now)
            else:
                self._move(Trigger.LINK_DOWN)
                self._close_now("")

    def _dispatch(self, message: bytes, now: float) -> None:
        """Give one APDU to whom it belongs, by its tag in clear and by what was asked."""
        exchange = self._exchange
        if self.state is _WAITING and exchange is not None and not self._passage.ciphered and (
                message[0] == exchange.answer_tag):      # nearly always, so that this comes first
            self._go_on(exchange, message, now)
            return
        if self.state is State.CLOSING and message[0] not in PUSH_TAGS:
            return
        send, clear, protected = self._passage.incoming(message)
        for part in send:
            self._link.send(part, now)
        if clear is None:
            return
        tag, opening = clear[0], self._opening
        if tag in PUSH_TAGS:
            self._events.append(self._pushed(clear, protected=protected))
        elif tag in (apdu.EXCEPTION_RESPONSE, apdu.CONFIRMED_SERVICE_ERROR) and self.state is not _READY:
            raise apdu.refusal(clear)
        elif opening is not None and tag == opening.answer_tag:
            self._check_protection(tag, protected=protected or tag == apdu.AARE)
            self._go_on_opening(opening, clear, now)
        elif exchange is not None and tag == exchange.answer_tag:
            self._check_protection(tag, protected=protected)
            self._go_on(exchange, clear, now)
        else:
            raise Violation(f"APDU 0x{tag:02x} came while {self.state.value}")

    def _pushed(self, clear: bytes, *, protected: bool) -> Pushed:
        channel = self._passage.channel
        pushed = notification(clear, genuine=protected)
        if channel is None or not protected:
            return pushed
        return pushed._replace(counter=channel.meter_counter, title=channel.meter_title)

    def _go_on(self, exchange: Exchange, answer: bytes, now: float) -> None:
        following = exchange.receive(answer)
        if following is not None:
            self._send(following, now)
            return
        self._move(Trigger.ANSWERED)
        self._events.append(exchange.outcome())
        self._passage.finished()
        self._exchange = self._deadline = None

    def _check_protection(self, tag: int, *, protected: bool) -> None:
        if self._passage.ciphered and not protected:
            raise NotGenuine(f"APDU 0x{tag:02x} came in clear in a ciphered association")

    def _go_on_opening(self, opening: Opening, message: bytes, now: float) -> None:
        following = opening.receive(message)
        if following is not None:
            self._invoke_id = (self._invoke_id + 1) & 0x0F
            self._send(following, now)
            return
        assert opening.accepted is not None
        self._settle(opening.accepted)
        self._opening = self._deadline = None
        self._move(Trigger.ACCEPTED)
        self._events.append(Opened(self.server_conformance, self.server_max_pdu))

    def _settle(self, accepted: Accepted) -> None:
        """Take what was negotiated, and work out once what every request asks of it."""
        self._passage.settle(*accepted)
        self.offers_list = Conformance.MULTIPLE_REFERENCES in accepted.conformance
        self._list_capacity = self._largest_list(accepted.conformance) if self.offers_list else 1
        if isinstance(self._link, WrapperLink) and not self._passage.ciphered and not self._passage.general_blocks:
            self._plain = self._link

    def _largest_list(self, conformance: Conformance) -> int:
        """Count the attributes whose request fits the meter's largest APDU, and whose answer fits ours.

        An answer may be longer where the meter can send it in blocks.
        """
        room = (self._passage.room or 0xFFFF) - _LIST_OVERHEAD_BYTES
        most = (room - len(encode_length(room // _DESCRIPTOR_BYTES))) // _DESCRIPTOR_BYTES
        if Conformance.BLOCK_TRANSFER_WITH_GET not in conformance:
            most = min(most, (self._settings.max_pdu - _LIST_OVERHEAD_BYTES - 3) // (1 + _VALUE_BYTES))
        return max(1, most)

"""One association with one meter, driven over a transport (no sockets here, only `Transport`).

    open():  connect ─► settle ─► SNRM, AARQ ─► Opened          get(): GET ─► answer, as often as it takes
    any fault in between: the connection is ended hard, the association object dropped, the error raised

Nothing is ever resynchronised here: after a fault or a cancelled exchange only `open` helps.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from edge.dlms.access import Accessed, AccessPart, AccessResult
from edge.dlms.action import ActionRequest, ActionResult, Invoked
from edge.dlms.association import Answer, Association, AssociationSettings, Closed, Event, GetResult, Opened
from edge.dlms.axdr import AxdrValue
from edge.dlms.cosem import Attribute
from edge.dlms.set import SetResult, Written
from edge.errors import ConnectionLost, CounterTooLow, FailReason, LocalStateError, MeterError, NoAnswer, Refused
from edge.poll.arrival import discard_late_bytes, sign_on
from edge.poll.conversation import Conversation, Trace
from edge.poll.counters import CounterDesk
from edge.poll.fresh import fresh
from edge.poll.lists import ListSize
from edge.poll.pacing import Patience
from edge.poll.refusals import any_refused, look_behind
from edge.poll.transport import Transport
from edge.poll.unasked import OnPush, nobody_listens

log = logging.getLogger(__name__)

Connect = Callable[[], Awaitable[Transport]]
A = TypeVar("A")
E = TypeVar("E", bound=Event)

INVOKE_IDS = 16
"""Four bits of every request and answer (IEC 62056-5-3, Invoke-Id-And-Priority)."""

CLOSE_S = 2.0
"""How long a polite end may take, DISC and FIN together."""


def _quiet(_seconds: float) -> None:
    """Stand in for a Pulse that nobody listens to."""


class MeterSession:
    """Keeps one association; opens another after a fault when told to. Used by one task at a time."""

    def __init__(
        self,
        connect: Connect,
        settings: AssociationSettings,
        *,
        lists: ListSize | None = None,
        request_gap_s: float = 0.0,
        settle_s: float = 0.0,
        trace: Trace | None = None,
        pulse: Callable[[float], None] = _quiet,
        counters: CounterDesk | None = None,
        on_push: OnPush = nobody_listens,
    ) -> None:
        """`lists` and `counters` outlive sessions; `pulse` is told before each exchange how long it may take at most.

        `counters` is needed where the settings hold keys.
        """
        self.settings = settings
        self.counters = counters
        self.lists = lists or ListSize(None)
        self.round_trips = 0                 # requests answered, over all associations of this object
        self.took_s = 0.0                    # the newest exchange, from its request to its whole answer
        self._connect = connect
        self._request_gap_s = request_gap_s
        self._settle_s = settle_s
        self._trace = trace
        self._pulse = pulse
        self._conversation = Conversation(
            request_gap_s=request_gap_s, trace=trace, pulse=pulse, counters=counters, on_push=on_push)
        self._loop = asyncio.get_running_loop()
        # Anywhere, so that the process before this one did not ask its last question under the id of our first.
        self._invoke_id = random.randrange(INVOKE_IDS)  # noqa: S311 - keeps apart what is late, guards nothing
        self._patience = Patience(settings.exchange_timeout_s)
        self._association: Association | None = None
        self._transport: Transport | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether there is an association, as far as is known without asking."""
        return self._association is not None

    @property
    def last_exchange_at(self) -> float:
        """Return when the meter last answered, in loop time; 0.0 = not yet."""
        return self._conversation.last_heard_at

    def carried_bytes(self) -> tuple[int, int]:
        """Return the octets sent and received so far, over all associations of this object."""
        return self._conversation.sent_bytes, self._conversation.received_bytes

    @property
    def association(self) -> Association:
        """Return what was negotiated. LocalStateError when there is no association."""
        if self._association is None:
            raise LocalStateError("no association is open")
        return self._association

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        """Close politely after success, hard after a fault."""
        await self.close()

    async def open(self) -> None:
        """Connect and associate. Raises a MeterError with its reason. Cancelling leaves nothing open.

        A meter that wants higher invocation counters is given them, once.
        """
        if self._association is not None:
            raise LocalStateError("the association is open already")
        try:
            await self._open_once()
        except CounterTooLow as told:
            if self.counters is None or not await self.counters.raise_to(told.lowest):
                raise
            await self._open_once()

    async def _open_once(self) -> None:
        if self.counters is not None:
            await self._conversation.reserve(self.counters)
        began = self._loop.time()
        transport, named = await self._connect(), ""
        self._patience.connected(self._loop.time() - began)
        self._transport = transport
        try:
            if self._settle_s:
                await discard_late_bytes(transport, self._settle_s)
            if self.settings.opening == "mode-e":
                named = await sign_on(
                    transport, self.settings.device_address, trace=self._trace, pulse=self._pulse)
            # Other invoke-ids than the session before: a late answer of that one then belongs to nothing here.
            # And after sessions that end with their first GET all sixteen come round: 1 + 4 has no factor in 16.
            self._invoke_id = (self._invoke_id + 4) % INVOKE_IDS
            association = Association(fresh(self.settings, self._invoke_id, stretch=self._patience.factor),
                                      None if self.counters is None else self.counters.supply)
            await transport.ready(self._request_gap_s)      # before the deadline begins
            association.open(self._loop.time())
            await self._conversation.until(association, transport, Opened)
        except NoAnswer as silence:
            self.abort()
            if named or self.settings.opening == "direct":
                raise
            raise NoAnswer(f"{silence}; the sign-on of mode E was not answered either") from silence
        except BaseException:
            self.abort()
            raise
        self._association = association

    async def get(self, attributes: Sequence[Attribute]) -> tuple[GetResult, ...]:
        """Read attributes, one result for each in their order, in as few requests as this meter takes.

        Raises a MeterError with its reason; the association is gone then. Cancelling ends the connection hard, because
        an answer may still come.
        """
        association = self._association
        results: tuple[GetResult, ...] = ()
        if association is not None and association.knows(attributes):      # nearly every poll
            results = await self._again(association, len(attributes))
        while len(results) < len(attributes):
            rest = attributes[len(results):]
            size = self._size(rest)
            results += await self._listed(size, self._exchange(Association.get, rest[:size], Answer))
        return results

    async def set(self, items: Sequence[tuple[Attribute, AxdrValue]]) -> tuple[SetResult, ...]:
        """Write attributes in one request; one result for each in their order.

        This, `action` and `access` end as `get` does. LocalStateError: the meter did not negotiate the service, or the
        request is longer than it takes; nothing was sent then, and the association stands.
        """
        return (await self._exchange(Association.set, items, Written)).results

    async def action(self, requests: Sequence[ActionRequest]) -> tuple[ActionResult, ...]:
        """Call methods in one request; one result for each in their order."""
        return (await self._exchange(Association.action, requests, Invoked)).results

    async def access(self, parts: Sequence[AccessPart]) -> tuple[AccessResult, ...]:
        """Do several things in one ACCESS request; one result for each in their order."""
        return (await self._exchange(Association.access, parts, Accessed)).results

    async def close(self, within_s: float = CLOSE_S) -> None:
        """End association and connection politely, within `within_s` hard. Safe without either. Raises nothing."""
        association, transport = self._association, self._transport
        self._association = self._transport = None
        if transport is None:
            return
        try:
            async with asyncio.timeout(within_s):
                if association is not None:
                    await self._say_goodbye(association, transport)
                await transport.close(within_s)
        except TimeoutError:
            log.debug("the meter did not take leave within %g s", within_s)
        finally:
            transport.abort()

    def abort(self) -> None:
        """End the connection hard, at once. Safe without one."""
        transport, self._association, self._transport = self._transport, None, None
        if transport is not None:
            transport.abort()

    def check(self) -> None:
        """Look, without waiting, whether the idle association still stands; raises the MeterError that ended it.

        A push that came meanwhile is handed over; anything else that arrives unasked ends the association.
        """
        association, transport = self.association, self._transport
        assert transport is not None
        try:
            self._conversation.hear_unasked(association, transport)
        except MeterError:
            self.abort()
            raise

    # -- one request -----------------------------------------------------------------------------------------------

    def _takes_less(self, size: int, refused: Refused) -> bool:
        """Tell whether a list of `size` was refused for being a list, and a smaller one is to be tried."""
        if size == 1 or refused.temporary or refused.reason is FailReason.SECURITY or not self.lists.refused(size):
            return False
        log.info("the meter refuses a list of %d attributes; trying %d", size, self.lists.learned)
        return True

    def _size(self, attributes: Sequence[Attribute]) -> int:
        association = self.association
        fitting = min(len(attributes), association.list_capacity())
        return self.lists.at_most(fitting, offered=association.offers_list)

    async def _ask(self, attributes: Sequence[Attribute]) -> tuple[GetResult, ...]:
        return (await self._exchange(Association.get, attributes, Answer)).results

    async def _listed(self, size: int, asking: Awaitable[Answer]) -> tuple[GetResult, ...]:
        """Return the results of a GET of `size` attributes, and learn from how it ends what lists the meter takes.

        () where it takes smaller ones only; the association is a new one then.
        """
        try:
            results = (await asking).results
        except Refused as refused:
            if not self._takes_less(size, refused):
                raise
            await self.open()
            return ()
        except MeterError:
            self.lists.lost(size)
            raise
        self.lists.worked(size)
        return await look_behind(results, self._ask) if size > 1 and any_refused(results) else results

    async def _again(self, association: Association, size: int) -> tuple[GetResult, ...]:
        """Ask for the list of `size` that the association knows: few steps where it is answered as the last time.

        Whatever else comes, and silence, is for the general way. Nothing is learned of lists: this one has worked.
        """
        transport, conversation = self._transport, self._conversation
        assert transport is not None
        try:
            await transport.ready(self._request_gap_s)
            began = self._loop.time()
            deadline = conversation.ask_again(association, transport, began)
            self._invoke_id = (self._invoke_id + 1) % INVOKE_IDS
            try:
                came = await transport.read(deadline)
            except (NoAnswer, ConnectionLost):
                came = b""      # the general way meets the same, and knows what it means
        except BaseException:
            self.abort()
            raise
        results = conversation.answered(association, came)
        if results is None:
            return await self._listed(size, self._answer(Answer, began, came))
        self._went_well(began)
        return results

    async def _exchange(
        self, begin: Callable[[Association, Sequence[A], float], None], asked: Sequence[A], wanted: type[E],
    ) -> E:
        """Have the association send a request for what is asked, and wait for what answers it.

        Any fault but LocalStateError, with which nothing was sent, ends the connection.
        """
        association, transport = self.association, self._transport
        assert transport is not None
        if self.counters is not None:
            await self._conversation.reserve(self.counters)
        try:
            await transport.ready(self._request_gap_s)      # before the deadline begins
            began = self._loop.time()
            begin(association, asked, began)
        except LocalStateError:      # nothing was sent
            raise
        except BaseException:
            self.abort()
            raise
        self._invoke_id = (self._invoke_id + 1) % INVOKE_IDS
        return await self._answer(wanted, began)

    async def _answer(self, wanted: type[E], began: float, came: bytes = b"") -> E:
        """Wait for what answers the request sent at `began`, loop time; `came` is what has come of it already."""
        association, transport = self.association, self._transport
        assert transport is not None
        try:
            if came:
                self._conversation.hear(association, came)
            answer = await self._conversation.until(association, transport, wanted)
        except CounterTooLow as told:      # another program used the key meanwhile: right for the next association
            self.abort()
            if self.counters is not None:
                await self.counters.raise_to(told.lowest)
            raise
        except NoAnswer:
            self._patience.missed()
            self.abort()
            raise
        except BaseException:
            self.abort()
            raise
        self._went_well(began)
        return answer

    def _went_well(self, began: float) -> None:
        """Note an exchange that ended with its answer; `began` is loop time."""
        self.took_s = self._conversation.last_heard_at - began
        self._patience.answered(self.took_s)
        association = self._association
        assert association is not None
        association.exchange_timeout_s = self.settings.exchange_timeout_s * self._patience.factor
        self.round_trips += 1

    async def _say_goodbye(self, association: Association, transport: Transport) -> None:
        try:
            await transport.ready(self._request_gap_s)
            association.close(self._loop.time())
            await self._conversation.until(association, transport, Closed)
        except MeterError as error:
            log.debug("no clean end: %s", error)

"""Between an association and its transport: octets both ways, timers, and the events that come of it.

    data_to_send ─► ready ─► write      read ─► receive_data ─► next_event      deadline ─► handle_timer

It begins and ends nothing: what opens, asks and gives up is `session`.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from edge.dlms.association import Association, Event, GetResult
from edge.errors import ConnectionLost, NoAnswer
from edge.poll.arrival import PULSE_MARGIN_S
from edge.poll.counters import CounterDesk
from edge.poll.transport import Transport
from edge.poll.unasked import OnPush, heard, unasked

Trace = Callable[[str, bytes], None]
"""Told each piece of bytes with its direction, "TX" or "RX", as it passes; the password is in there in clear."""

E = TypeVar("E", bound=Event)

RESERVE_S = 30.0
"""How long setting counters aside may take: SQLite waits for another writer, and a slow card takes its time."""


class Conversation:
    """All that one session says and hears, over its associations one after the other. Used by one task at a time."""

    def __init__(
        self, *, request_gap_s: float, trace: Trace | None, pulse: Callable[[float], None],
        counters: CounterDesk | None, on_push: OnPush,
    ) -> None:
        """`request_gap_s`, `trace`, `pulse`, `counters`, `on_push`: see `MeterSession`."""
        self.sent_bytes = self.received_bytes = 0
        self.last_heard_at = 0.0      # when the last event came that was waited for, loop time
        self._request_gap_s = request_gap_s
        self._trace = trace
        self._pulse = pulse
        self._counters = counters
        self._on_push = on_push
        self._loop = asyncio.get_running_loop()

    async def reserve(self, counters: CounterDesk) -> None:
        """Have invocation counters set aside before they are used. Raises CounterUnavailable."""
        self._pulse(RESERVE_S)
        await counters.ensure()

    async def until(self, association: Association, transport: Transport, wanted: type[E]) -> E:
        """Move bytes and timers until the wanted event comes. `ready` has said that the first may be sent.

        Raises the MeterError that ended the association. Cancelling leaves an answer under way: end the connection.
        """
        loop = self._loop
        data = association.data_to_send()
        while True:
            if data:
                self._transmit(transport, data)
            event = heard(association, wanted, self._on_push)
            if event is not None:
                self.last_heard_at = loop.time()
                return event
            timer = association.next_timer()
            if timer is not None:
                self._pulse(max(timer - loop.time(), 0.0) + PULSE_MARGIN_S)
            came = b""
            try:
                came = await transport.read(timer)
            except NoAnswer:
                association.handle_timer(loop.time())     # repeats a frame where that is safe; else raises the reason
            except ConnectionLost as lost:
                _eof(association, lost)
            if came:
                self._receive(association, came, timer)
            if self._counters is not None:      # a long answer in blocks takes a counter for each
                await self.reserve(self._counters)
            data = association.data_to_send()
            if data:
                await transport.ready(self._request_gap_s)

    def ask_again(self, association: Association, transport: Transport, now: float) -> float:
        """Send the request for the list that the association knows; return the deadline of its answer."""
        request, deadline = association.get_again(now)
        self._transmit(transport, request)
        self._pulse(deadline - now + PULSE_MARGIN_S)
        return deadline

    def answered(self, association: Association, came: bytes) -> tuple[GetResult, ...] | None:
        """Return the results if what came is the answer to `ask_again`; None: it is for `hear` and `until`."""
        results = association.answered(came)
        if results is not None:
            self.received_bytes += len(came)
            if self._trace is not None:
                self._trace("RX", came)
            self.last_heard_at = self._loop.time()
        return results

    def hear(self, association: Association, came: bytes) -> None:
        """Take what was read already. Raises the MeterError that ended the association."""
        self._receive(association, came, association.next_timer())

    def hear_unasked(self, association: Association, transport: Transport) -> None:
        """Take what has come while nothing was open, without waiting; hand pushes over.

        Raises the MeterError that ended the association.
        """
        while data := transport.waiting():
            self._receive(association, data, None)
            while (event := association.next_event()) is not None:
                unasked(event, self._on_push)

    def _transmit(self, transport: Transport, data: bytes) -> None:
        if self._trace is not None:
            self._trace("TX", data)
        transport.write(data)
        self.sent_bytes += len(data)

    def _receive(self, association: Association, data: bytes, timer: float | None) -> None:
        self.received_bytes += len(data)
        if self._trace is not None:
            self._trace("RX", data)
        now = self._loop.time()
        association.receive_data(data, now)
        if timer is not None and now >= timer:      # who never stops talking meets the deadline all the same
            association.handle_timer(now)


def _eof(association: Association, lost: ConnectionLost) -> None:
    """Tell the association: it knows what was open, and what a bridge said last; the system knows how it ended."""
    try:
        association.receive_eof()
    except ConnectionLost as told:
        raise ConnectionLost(f"{told} ({lost})") from lost

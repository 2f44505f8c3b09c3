"""A simulated meter on TCP (I/O edge): one listening socket per meter, hundreds of meters in one process.

A meter that speaks HDLC stands behind a bridge: one link for all connections, answers go to whoever is connected when
they arrive. A wrapper meter answers each connection by itself.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from edge.demo.bridge import REFUSAL_TEXT, Line, Quirks
from edge.demo.linkproxy import send_reset
from edge.demo.meter_apdu import Counters
from edge.demo.meter_hdlc import Bus
from edge.demo.meter_mode_e import server_side
from edge.demo.meter_model import MeterModel
from edge.demo.meter_server import Endpoint, StreamFault, WrapperServer
from edge.demo.meter_settings import MeterSettings

log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One client's TCP connection."""

    def __init__(self, meter: "SimulatedMeter") -> None:
        """The meter decides at `connection_made` whether this client is served."""
        self._meter = meter
        self._idle_timer: asyncio.TimerHandle | None = None
        self._last_activity = 0.0
        self.endpoint: Endpoint | None = None
        self.transport: asyncio.Transport | None = None
        self.requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast("asyncio.Transport", transport)      # uvloop's is no subclass of it
        self._last_activity = self._meter.loop.time()
        self.endpoint = self._meter.admit(self)
        if self.endpoint is not None:
            self._watch_idle()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._last_activity = self._meter.loop.time()
        if self.endpoint is None:
            return
        if self._idle_timer is None and self._meter.quirks.idle_close_s is not None:
            self._watch_idle()             # switched on after this client came
        self._meter.received(self, self.endpoint, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Called by asyncio."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.transport = None
        self._meter.left(self)

    def send(self, data: bytes) -> None:
        """Write to the client if it is still there."""
        if self.transport is not None and not self.transport.is_closing():
            self._last_activity = self._meter.loop.time()
            self.transport.write(data)

    def close(self, *, reset: bool = False) -> None:
        """End the connection with FIN, or with RST."""
        if self.transport is None:
            return
        if reset:
            send_reset(self.transport)
        else:
            self.transport.close()

    def _watch_idle(self) -> None:
        """Wake when the idle time could be over; traffic meanwhile only moves the next look."""
        quirks, now = self._meter.quirks, self._meter.loop.time()
        self._idle_timer = None
        if quirks.idle_close_s is None:
            return
        left_s = quirks.idle_close_s - (now - self._last_activity)
        if left_s > 0 or quirks.half_open:
            self._idle_timer = self._meter.loop.call_later(max(left_s, 0.05), self._watch_idle)
            return
        self.send(quirks.idle_text)
        self.close()

    def rewatch(self) -> None:
        """The quirks changed: look again from now on."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.endpoint is not None and self.transport is not None:
            self._watch_idle()


class SimulatedMeter:
    """One meter with its socket. Change `quirks`, `settings.manners` and `model` at any time: that is the control."""

    def __init__(self, name: str, model: MeterModel, settings: MeterSettings, quirks: Quirks | None = None, *,
                 seed: int = 0, now: Callable[[], float] = time.time,
                 neighbours: Sequence[tuple[MeterModel, MeterSettings]] = ()) -> None:
        """`now` gives Unix time in seconds; `seed` decides everything the line does by chance.

        `neighbours`: more meters on the same serial line behind this bridge, each with an address of its own.
        """
        self.name = name
        self.model = model
        self.settings = settings
        self.counters = Counters()
        self.connections: set[Connection] = set()
        self.on_push: Callable[[], None] | None = None      # called when a client calls the push method
        self._now = now
        self._line = Line(quirks or Quirks(), seed)
        self._hdlc = None if settings.framing != "hdlc" else Bus([
            server_side(each, its, self.counters) for each, its in [(model, settings), *neighbours]])
        self._server: asyncio.Server | None = None
        self._address = ("127.0.0.1", 0)
        self._outbox: deque[tuple[float, Connection, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._residue = b""
        self._first_answer = b""
        self._stale = b""
        self.loop: asyncio.AbstractEventLoop

    # -- control ---------------------------------------------------------------------------------------------------

    @property
    def quirks(self) -> Quirks:
        """The line's switches; fields may be set at any time."""
        return self._line.quirks

    @quirks.setter
    def quirks(self, quirks: Quirks) -> None:
        self._line.quirks = quirks
        for connection in self.connections:
            connection.rewatch()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port this meter listens on, once started."""
        return self._address

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen; return the address. Port 0 takes a free one. OSError if it cannot."""
        self.loop = asyncio.get_running_loop()
        self._server = await self.loop.create_server(lambda: Connection(self), host, port, reuse_address=True)
        self._address = self._server.sockets[0].getsockname()[:2]
        return self._address

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        self.drop_connections(reset=True)
        self._outbox.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def now(self) -> float:
        """The meter's Unix time, before the error of its clock."""
        return self._now()

    async def power_off(self) -> None:
        """A power cut: connections are reset, new ones refused, associations forgotten. `power_on` brings it back.

        Nothing is captured meanwhile, and the event log tells of it.
        """
        self.model.device.power(self._now(), on=False)
        await self.close()
        self._residue = b""
        if self._hdlc is not None:
            self._hdlc.reset()

    async def power_on(self) -> None:
        """Listen again on the same address."""
        self.model.device.power(self._now(), on=True)
        await self.start(*self._address)

    async def move(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Get another address, as a meter whose lease ran out; return it. Who is connected is cut off."""
        await self.close()
        return await self.start(host, port)

    def drop_connections(self, *, reset: bool = False) -> None:
        """Close every connection with FIN, or with RST."""
        for connection in list(self.connections):
            connection.close(reset=reset)

    def inject(self, data: bytes) -> None:
        """Put bytes into the stream of every client, as a bridge's own words or a late frame."""
        for connection in list(self.connections):
            if connection.endpoint is not None:
                connection.send(data)

    # -- connections -----------------------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> Endpoint | None:
        """Decide whether a new client is served, and by what."""
        served = any(other.endpoint is not None for other in self.connections)
        if served and self.quirks.second_client != "served":
            self.counters.refused_connections += 1
            self.connections.add(connection)
            if self.quirks.second_client == "refused":
                connection.send(REFUSAL_TEXT)
                connection.close()
            return None
        self.counters.connections += 1
        self.connections.add(connection)
        if self.quirks.stale_first and self._stale:
            connection.send(self._stale)
        if self._residue and self.quirks.residue:
            connection.send(self._residue)
        self._residue = b""
        return self._hdlc or WrapperServer(self.model, self.settings, self.counters)

    def received(self, connection: Connection, endpoint: Endpoint, data: bytes) -> None:
        """Bytes of a served client."""
        quirks = self.quirks
        if quirks.meter_silent or quirks.half_open:
            return
        before = self.counters.requests
        try:
            answers = endpoint.receive(data, self._now())
        except StreamFault as fault:
            log.debug("simulated meter %s closes a connection: %s", self.name, fault)
            connection.close()
            return
        connection.requests += self.counters.requests - before
        if self.model.device.pushes:
            self._carry_out_pushes()
        if quirks.after_requests is not None and connection.requests >= quirks.after_requests:
            self._end(connection, quirks)
            return
        for answer in answers:
            self._first_answer = self._first_answer or answer
            self._send(connection, answer)

    def _carry_out_pushes(self) -> None:
        calls, self.model.device.pushes = self.model.device.pushes, 0
        for _ in range(calls if self.on_push is not None else 0):
            assert self.on_push is not None
            self.on_push()

    def left(self, connection: Connection) -> None:
        """A connection ended."""
        self.connections.discard(connection)
        if connection.endpoint is not None:
            connection.endpoint.connection_lost()
            self._stale, self._first_answer = self._first_answer or self._stale, b""

    def _end(self, connection: Connection, quirks: Quirks) -> None:
        if quirks.then in ("close", "reset"):
            connection.close(reset=quirks.then == "reset")
        elif quirks.then == "half-open":
            quirks.half_open = True
        # "silent" needs nothing: this connection's request count stays past the limit

    def _send(self, connection: Connection, answer: bytes) -> None:
        if self._line.transparent and not self._outbox:
            connection.send(answer)
            return
        # One queue and one timer: timers of the same moment would fire in any order.
        for due, piece in self._line.plan(answer, self.loop.time()):
            self._outbox.append((due, connection, piece))
        if self._timer is None:
            self._timer = self.loop.call_at(self._outbox[0][0], self._deliver_due)

    def _deliver_due(self) -> None:
        self._timer = None
        now = self.loop.time()
        while self._outbox and self._outbox[0][0] <= now:
            _, connection, piece = self._outbox.popleft()
            self._deliver(connection, piece)
        if self._outbox:
            self._timer = self.loop.call_at(self._outbox[0][0], self._deliver_due)

    def _deliver(self, connection: Connection, piece: bytes) -> None:
        """Bytes arrive at the bridge: they go to its client of this moment, or stay in its buffer."""
        if self.quirks.half_open:
            return
        if self._hdlc is None or connection.transport is not None:
            connection.send(piece)
            return
        if not self.quirks.residue:
            return
        for other in self.connections:
            if other.endpoint is not None:
                other.send(piece)
                return
        self._residue += piece

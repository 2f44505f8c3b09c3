"""One connection, and for how long it may let the gateway wait: uvicorn's protocol with deadlines of its own.

    made ─HEAD_S─► a request begins ─► it is answered ─IDLE_S─► the next one begins, HEAD_S from its first byte
                    (its body: the door)   └─ STALL_S: what is written has to be taken        closing ─CLOSE_S─► gone

uvicorn bounds only the rest between two requests, and any byte ends that bound: a client that says nothing, a byte at a
time, or never reads would stay for ever. What is over its time is cut off.
"""

import asyncio
from dataclasses import dataclass

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edge.api.seats import Seat, Seats


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds. `idle_s` is a little longer than uvicorn's own, which ends it politely."""

    handshake_s: float = 10.0       # TLS
    head_s: float = 10.0            # from the connection, or a request's first byte, to the end of its header
    idle_s: float = 25.0            # between two requests
    stall_s: float = 20.0           # until some of what waits to be sent has been taken
    close_s: float = 5.0            # from closing to the end


class Connection(H11Protocol):
    """Keeps its seat's state. Everything runs in the loop's own callbacks."""

    def __init__(self, config: Config, state: ServerState, seats: Seats, seat: Seat, patience: Patience) -> None:
        """`seat` is told to the requests as `scope["state"]["seat"]`."""
        super().__init__(config, state, {"seat": seat}, asyncio.get_running_loop())
        self._seats = seats
        self._seat = seat
        self._patience = patience
        self._due: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._begun = False                 # bytes of the next request have come
        self._closing = False

    def connection_made(self, transport: asyncio.Transport) -> None:      # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._seat.end = transport.abort
        self._begun = True
        self._arm(self._patience.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the seat back."""
        for timer in (self._due, self._stalled):
            if timer is not None:
                timer.cancel()
        self._seats.leave(self._seat)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first ones of a request start its time."""
        super().data_received(data)
        self._look(began=True)

    def on_response_complete(self) -> None:
        """Go over to the next request."""
        super().on_response_complete()
        self._look(began=False)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self._patience.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _look(self, *, began: bool) -> None:
        if self.transport.is_closing():
            if not self._closing:
                self._closing = True
                self._arm(self._patience.close_s)
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy:
            self._seat.busy, self._begun = True, False
            self._arm(None)
        elif self._seat.busy:
            self._seat.busy = False
            self._arm(self._patience.idle_s)
        elif began and not self._begun:
            self._begun = True
            self._arm(self._patience.head_s)

    def _arm(self, seconds: float | None) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

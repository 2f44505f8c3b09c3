"""Serves the door by uvicorn, inside the gateway's own loop, as one expendable worker (I/O edge).

uvicorn would take the signals, configure logging, and wake up ten times a second; all three are the gateway's own
business, so they are switched off here. It would also take whoever comes: connections are accepted here, each gets a
seat (`seats.py`) before anything is done for it, TLS included, and has to keep to its time (`connection.py`). A port
that is taken, or an address that is not there yet (the network comes up later), is told once and tried again.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.types import ASGIApp
from uvicorn import Config, Server

from edge.api.connection import Connection, Patience
from edge.api.listener import bound, why_not
from edge.api.seats import Seats
from edge.credentials import page_fingerprint
from edge.errors import EdgeError
from edge.health.promise import Pulse

BEAT_S = 30.0
SPARE_S = 30.0
RETRY_S = 10.0
CLOSE_S = 2.0
KEEP_ALIVE_S = 20
HEAD_LIMIT_BYTES = 16_384
BACKLOG = 32
ACCEPT_REST_S = 1.0
SEND_BUFFER_BYTES = 131_072       # in the kernel, per connection; megabytes without it
CROWDED_EVERY_S = 60.0

log = logging.getLogger(__name__)


class _Server(Server):
    """uvicorn's server without its signals, its clock tick and its way of accepting."""

    def __init__(self, config: Config, listener: socket.socket, seats: Seats, patience: Patience) -> None:
        """`listener` is bound and does not block."""
        super().__init__(config)
        self.ending = asyncio.Event()
        self._listener = listener
        self._seats = seats
        self._patience = patience
        self._arrivals: set[asyncio.Task[None]] = set()
        self._told_at = -CROWDED_EVERY_S
        self._told = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the gateway."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; `main_loop` accepts."""
        assert sockets is None
        await self.lifespan.startup()
        self._listener.listen(BACKLOG)
        self.servers = []
        self.started = True

    async def main_loop(self) -> None:
        """Accept until the end, instead of looking for it ten times a second; no Date header is kept up to date."""
        accepting = asyncio.create_task(self._accept(), name="page accept")
        ending = asyncio.create_task(self.ending.wait(), name="page ending")
        try:
            await asyncio.wait({accepting, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in {accepting, ending, *self._arrivals}:
                task.cancel()
        if accepting.done():
            await accepting      # it never ends by itself: what it raises is a bug

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.warning("the page cannot take a connection: %s", error.strerror)
                    await asyncio.sleep(ACCEPT_REST_S)
                continue      # a client that was gone again, accept(2)
            task = loop.create_task(self._arrive(connection, str(address[0])), name="page arrival")
            self._arrivals.add(task)
            task.add_done_callback(self._arrivals.discard)

    async def _arrive(self, connection: socket.socket, address: str) -> None:
        """Give a connection its seat, shake hands, hand it over to its protocol."""
        loop = asyncio.get_running_loop()
        seat = self._seats.admit(address, lambda: _hang_up(connection))
        self._tell(address, loop.time())
        if seat is None:
            connection.close()
            return
        context = self.config.ssl
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            await loop.connect_accepted_socket(
                lambda: Connection(self.config, self.server_state, self._seats, seat, self._patience), connection,
                ssl=context, ssl_handshake_timeout=None if context is None else self._patience.handshake_s)
        except (OSError, ssl.SSLError):      # not TLS, not in time, or gone
            self._seats.leave(seat)
            _hang_up(connection)
        except BaseException:
            self._seats.leave(seat)
            raise

    def _tell(self, address: str, now: float) -> None:
        """Say that there are too many, once in a while."""
        if self._seats.ended > self._told and now - self._told_at >= CROWDED_EVERY_S:
            log.warning("the page has more connections than it keeps; the weakest make room ended=%d newest=%s",
                        self._seats.ended - self._told, address)
            self._told, self._told_at = self._seats.ended, now


def _hang_up(connection: socket.socket) -> None:
    """End a connection that the loop still shakes hands on: what waits there sees its end."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class PageServer:
    """The worker. `address` is where it listens now, None while it does not."""

    def __init__(self, app: ASGIApp, listen: str, port: int, certificate: Callable[[], Path | None], *,
                 certified: Callable[[str], object] = lambda _sha256: None,
                 seats: Seats | None = None, patience: Patience | None = None) -> None:
        """`certificate` names the file with key and certificate (EdgeError where there is none), None = without TLS.

        `certified` is told, each time that serving begins, by which certificate: its SHA-256, "" without TLS.
        `seats` and `patience` are other than usual in tests.
        """
        self.address: tuple[str, int] | None = None
        self.problem = "not started yet"
        self.seats = Seats() if seats is None else seats
        self._patience = patience or Patience()
        self._app = app
        self._listen = listen
        self._port = port
        self._certificate = certificate
        self._certified = certified

    async def run(self, pulse: Pulse) -> None:
        """Serve until cancelled; then open connections have CLOSE_S."""
        while True:
            pulse(RETRY_S + SPARE_S)
            try:
                listener = bound(self._listen, self._port)
                certificate = await asyncio.to_thread(self._certificate)
                shown = "" if certificate is None else await asyncio.to_thread(page_fingerprint, certificate)
                config = self._config(certificate)
            except (OSError, EdgeError) as error:
                told = str(error) if isinstance(error, EdgeError) else why_not(self._listen, self._port, error)
                log.log(logging.DEBUG if told == self.problem else logging.WARNING,
                        "%s; tried again every %g s", told, RETRY_S)
                self.problem = told
                await asyncio.sleep(RETRY_S)
                continue
            async with self._serving(config, listener, shown) as ended:
                while not ended.done():
                    pulse(BEAT_S + SPARE_S)
                    await asyncio.wait({ended}, timeout=BEAT_S)
                await ended      # it never ends by itself: what it raises is a bug

    def _config(self, certificate: Path | None) -> Config:
        file = None if certificate is None else str(certificate)
        return Config(
            self._app, loop="none", http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=HEAD_LIMIT_BYTES,
            ssl_keyfile=file, ssl_certfile=file)

    @asynccontextmanager
    async def _serving(self, config: Config, listener: socket.socket, shown: str
                       ) -> AsyncIterator[asyncio.Task[None]]:
        """Serve on the listener. `shown`: the certificate's SHA-256, which on a board without a shell the log tells."""
        server = _Server(config, listener, self.seats, self._patience)
        serving = asyncio.create_task(server.serve(), name="page server")
        try:
            host, port = listener.getsockname()[:2]
            self.address, self.problem = (host, port), ""
            log.info("the page is at %s://%s:%d%s", "https" if config.is_ssl else "http",
                     f"[{host}]" if ":" in host else host, port,
                     f", SHA-256 of its certificate {shown}" if shown else "")
            self._certified(shown)
            yield serving
        finally:
            self.address, self.problem = None, "stopped"
            server.should_exit = server.force_exit = True
            server.ending.set()
            await asyncio.wait({serving}, timeout=CLOSE_S)
            for task in {serving, *server.server_state.tasks}:
                task.cancel()
            listener.close()

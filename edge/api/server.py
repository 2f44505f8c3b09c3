"""Serves the door by uvicorn, inside the gateway's own loop, as one expendable worker (I/O edge).

uvicorn would take the signals, configure logging, and wake up ten times a second; all three are the gateway's own
business, so they are switched off here. A port that is taken, or an address that is not there yet (the network comes
up later), is told once and tried again.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.types import ASGIApp
from uvicorn import Config, Server

from edge.errors import EdgeError
from edge.health.promise import Pulse

BEAT_S = 30.0
SPARE_S = 30.0
RETRY_S = 10.0
CLOSE_S = 2.0
CONNECTIONS = 48
KEEP_ALIVE_S = 20
HEAD_LIMIT_BYTES = 16_384

log = logging.getLogger(__name__)


class _Server(Server):
    """uvicorn's server without its signals and its clock tick."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the gateway."""
        yield

    async def main_loop(self) -> None:
        """Wait for the end, instead of looking for it ten times a second; no Date header is kept up to date."""
        self.ready.set()
        await self.ending.wait()


class PageServer:
    """The worker. `address` is where it listens now, None while it does not."""

    def __init__(self, app: ASGIApp, listen: str, port: int, certificate: Callable[[], Path | None]) -> None:
        """`certificate` names the file with key and certificate (EdgeError where there is none), None = without TLS."""
        self.address: tuple[str, int] | None = None
        self.problem = "not started yet"
        self._app = app
        self._listen = listen
        self._port = port
        self._certificate = certificate

    async def run(self, pulse: Pulse) -> None:
        """Serve until cancelled; then open connections have CLOSE_S."""
        while True:
            pulse(RETRY_S + SPARE_S)
            try:
                listener = self._bind()
                config = self._config(await asyncio.to_thread(self._certificate))
            except (OSError, EdgeError) as error:
                told = str(error) if isinstance(error, EdgeError) else (
                    f"the page cannot listen on {self._listen} port {self._port}: {error.strerror or error}")
                log.log(logging.DEBUG if told == self.problem else logging.WARNING,
                        "%s; tried again every %g s", told, RETRY_S)
                self.problem = told
                await asyncio.sleep(RETRY_S)
                continue
            async with self._serving(config, listener) as ended:
                while not ended.done():
                    pulse(BEAT_S + SPARE_S)
                    await asyncio.wait({ended}, timeout=BEAT_S)
                await ended      # it never ends by itself: what it raises is a bug

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._listen else socket.AF_INET
        where = socket.getaddrinfo(self._listen, self._port, family, socket.SOCK_STREAM,
                                   flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE)[0][4]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(self._listen != "::"))
            listener.bind(where)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener

    def _config(self, certificate: Path | None) -> Config:
        file = None if certificate is None else str(certificate)
        return Config(
            self._app, loop="none", http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, date_header=False, limit_concurrency=CONNECTIONS, backlog=32,
            timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=HEAD_LIMIT_BYTES,
            ssl_keyfile=file, ssl_certfile=file)

    @asynccontextmanager
    async def _serving(self, config: Config, listener: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="page server")
        try:
            host, port = listener.getsockname()[:2]
            self.address, self.problem = (host, port), ""
            log.info("the page is at %s://%s:%d", "https" if config.is_ssl else "http",
                     f"[{host}]" if ":" in host else host, port)
            yield serving
        finally:
            self.address, self.problem = None, "stopped"
            server.should_exit = server.force_exit = True
            server.ending.set()
            await asyncio.wait({serving}, timeout=CLOSE_S)
            for task in {serving, *server.server_state.tasks}:
                task.cancel()
            listener.close()

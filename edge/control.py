"""The control socket: how a command on the box talks to the running daemon (I/O edge).

    command ── {"request": "reload"}\\n ──► <runtime_dir>/control.sock ──► handler ── {"ok": true, ...}\\n ──► command

A Unix stream socket, mode 0600, one request and one answer per connection, each one line of JSON. A handler gets the
request's object and returns the answer's; what it raises reaches the command as one line. Everything is bounded: the
request's size, the time to send it, the time to answer it, the connections at once. Why so:
docs/decisions/0008-control-socket.md
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import EdgeError
from edge.rights import as_started

SOCKET_NAME = "control.sock"
REQUEST_LIMIT_BYTES = 16_384
ANSWER_LIMIT_BYTES = 4_194_304
CONNECTIONS_LIMIT = 8
REQUEST_TIMEOUT_S = 5.0      # from connecting to the whole request
HANDLER_TIMEOUT_S = 20.0     # from the request to the whole answer
PEER_UID: ContextVar[int | None] = ContextVar("peer_uid", default=None)
"""While a handler works: the user at the other end, by the kernel's word; a request's own word proves nothing."""

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

log = logging.getLogger(__name__)


class NoDaemon(EdgeError):
    """No gateway runs here."""


@asynccontextmanager
async def serve(
    runtime_dir: Path, handlers: Mapping[str, Handler], *,
    request_timeout_s: float = REQUEST_TIMEOUT_S, handler_timeout_s: float = HANDLER_TIMEOUT_S,
) -> AsyncIterator[Path]:
    """Offer `handlers` by name on the control socket while the block runs.

    A socket file that nobody listens on is replaced; one with a listener raises EdgeError (two daemons would share one
    state directory). Leaving the block, also by cancellation, ends every open connection and removes the file.
    """
    path = runtime_dir / SOCKET_NAME
    listener = _listen(path)
    server = _Server(handlers, request_timeout_s, handler_timeout_s)
    acceptor = await asyncio.start_unix_server(server.connected, sock=listener, limit=REQUEST_LIMIT_BYTES)
    try:
        yield path
    finally:
        acceptor.close()
        await server.end()
        with contextlib.suppress(OSError):
            path.unlink()


class _Server:
    """Turns connections into calls of handlers."""

    def __init__(self, handlers: Mapping[str, Handler], request_timeout_s: float, handler_timeout_s: float) -> None:
        self._handlers = handlers
        self._request_timeout_s = request_timeout_s
        self._handler_timeout_s = handler_timeout_s
        self._open: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start one owned task per connection."""
        if len(self._open) >= CONNECTIONS_LIMIT:
            writer.write(_refusal("too many requests at once; try again"))
            writer.close()
            return
        task = asyncio.create_task(self._converse(reader, writer), name="control connection")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def end(self) -> None:
        """Cancel what is still open and wait for it."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            PEER_UID.set(_peer_uid(writer))
            writer.write(await self._answer(reader))
            async with asyncio.timeout(self._request_timeout_s):
                await writer.drain()
        except (OSError, TimeoutError) as error:
            log.debug("control connection ended early: %s", error)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._request_timeout_s):
                line = await reader.readuntil(b"\n")
            request = msgspec.json.decode(line, type=dict[str, Any])
        except TimeoutError:
            return _refusal(f"no whole request within {self._request_timeout_s:g} s")
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            return _refusal(f"a request is one line of JSON of at most {REQUEST_LIMIT_BYTES} bytes")
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return _refusal("the request is not a JSON object")
        name = request.get("request")
        handler = self._handlers.get(name) if isinstance(name, str) else None
        if handler is None:
            return _refusal(f"unknown request; known are {', '.join(sorted(self._handlers))}")
        return await self._handle(handler, request)

    async def _handle(self, handler: Handler, request: dict[str, Any]) -> bytes:
        try:
            async with asyncio.timeout(self._handler_timeout_s):
                return _line({"ok": True} | await handler(request))
        except EdgeError as error:
            return _refusal(str(error))
        except TimeoutError:
            return _refusal(f"the daemon did not finish within {self._handler_timeout_s:g} s")
        except Exception:
            log.exception("control request failed request=%s", request.get("request"))
            return _refusal("internal error in the daemon; its log has the traceback")


def ask(runtime_dir: Path, request: str, *, timeout_s: float = 5.0, **arguments: Any) -> dict[str, Any]:
    """Send one request to the running daemon and return its answer without the `ok`. Blocks up to `timeout_s`.

    Raises NoDaemon when none runs, EdgeError when it does not answer, or with its own line when it refuses.
    """
    path = runtime_dir / SOCKET_NAME
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(timeout_s)
            with as_started():      # who asks is told by the socket: root as root
                connection.connect(str(path))
            connection.sendall(_line({"request": request} | arguments))
            line = _receive_line(connection, deadline)
        except TimeoutError as error:
            raise EdgeError(f"{path}: the gateway did not answer within {timeout_s:g} s; see its log") from error
        except PermissionError as error:
            raise EdgeError(f"{path}: permission denied; run this as the gateway's user or as root") from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoDaemon(f"{path}: no gateway is running here; start it with `halow-gateway run`") from error
        except OSError as error:
            raise EdgeError(f"{path}: the gateway did not answer: {error.strerror or error}") from error
    try:
        answer = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EdgeError(f"{path}: the answer is not a line of JSON; is another program listening there?") from error
    if not answer.pop("ok", False):
        raise EdgeError(f"the gateway refused {request}: {answer.get('error', 'without a reason')}")
    return answer


def _receive_line(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        chunk = connection.recv(65_536)
        if not chunk:
            raise ConnectionResetError("it closed the connection")
        received += chunk
        if len(received) > ANSWER_LIMIT_BYTES:
            raise ConnectionAbortedError("its answer is too long")
    return bytes(received)


def _listen(path: Path) -> socket.socket:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # On Linux the mode of the descriptor becomes that of the file: nobody else can connect, even for a moment.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(str(path))
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise EdgeError(f"{path}: no control socket: {error.strerror or error}; check gateway.runtime_dir") from error
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a daemon that was killed."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise EdgeError(f"{path}: is there and is no socket; remove it, or change gateway.runtime_dir")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except TimeoutError:
            pass
    raise EdgeError(f"{path}: another gateway is running here; stop it first, or change gateway.runtime_dir")


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    """Return whose process it is (SO_PEERCRED, unix(7)), as it was when it connected."""
    credentials = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _refusal(text: str) -> bytes:
    return _line({"ok": False, "error": text})


def _line(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"

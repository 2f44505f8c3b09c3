"""The ports on which meters may send (I/O edge): TCP and UDP, IPv4 and IPv6. Whoever sends is nobody until proven.

    TCP connection ─► Receiver of its own ─┐
    datagram ─► Receiver of its sender ────┴─► Handler.take(message, address)

Nothing here trusts a byte: connections are counted and limited in all and from one address, each message, damage,
datagram and connection needs the handler's leave, silence and endless messages end a connection. Backlogs are the
kernel's; what is not taken is closed hard.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections import Counter, OrderedDict
from typing import Any, Protocol, cast

from edge.config import PushSettings
from edge.push.addresses import address_of
from edge.push.receiver import Item, Message, Receiver

log = logging.getLogger(__name__)

BACKLOG = 64
UNFINISHED_DATAGRAMS = 64
"""Senders whose general blocks or segments are put together over several datagrams."""

WITHOUT_MESSAGE = 4
"""So many times the longest APDU may come before a whole message has: bytes of no message are no conversation."""

LOWEST_FREE = 1_024      # ports below need a right of root's

ANSWERS_LIMIT_BYTES = 65_536
"""Acknowledgements that a sender does not read."""

_UNFINISHED = "a message that was not whole in time"


class Handler(Protocol):
    """What the listener tells. All of it returns at once and never raises."""

    def knows(self, address: str) -> bool:
        """Tell whether a registered meter sends from this address."""

    def admit(self, address: str) -> bool:
        """Tell whether one more thing from this address is taken."""

    def take(self, message: Message, address: str) -> None:
        """A whole message has come, and was admitted."""

    def spoiled(self, reason: str, address: str) -> None:
        """Something has come that is no message."""


class Listener:
    """Open ports. `open` first; `close` in any case."""

    def __init__(self, settings: PushSettings, handler: Handler) -> None:
        """Nothing is open yet."""
        self.settings = settings
        self.handler = handler
        self.where: tuple[str, ...] = ()                   # "tcp [::]:4059", ...
        self.by_address: Counter[str] = Counter()          # open connections
        self._connections: set[_Connection] = set()
        self._open: list[asyncio.AbstractServer | asyncio.DatagramTransport] = []

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def open(self) -> None:
        """Open the ports. OSError: which one, what is wrong, what to do; then none is open.

        Cancelling leaves what is open to `close`.
        """
        loop, settings, where = asyncio.get_running_loop(), self.settings, []
        try:
            if settings.tcp_port:
                with _bound(socket.SOCK_STREAM, settings.listen, settings.tcp_port) as sock:
                    where.append(f"tcp {_shown(sock)}")
                    self._open.append(await loop.create_server(
                        lambda: _Connection(self), sock=sock.dup(), backlog=BACKLOG))
            if settings.udp_port:
                with _bound(socket.SOCK_DGRAM, settings.listen, settings.udp_port) as sock:
                    where.append(f"udp {_shown(sock)}")
                    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock.dup())
                    self._open.append(transport)
        except OSError:
            self.close()
            raise
        self.where = tuple(where)

    def close(self) -> None:
        """Close the ports and end all connections hard, at once. Safe to call twice."""
        for port in self._open:
            port.close()
        self._open.clear()
        for connection in list(self._connections):
            connection.abort()
        self.where = ()

    def enter(self, connection: "_Connection", address: str) -> bool:
        """Take a connection in, or tell that there is no room for it. Strangers have half of the room at most."""
        settings, knows = self.settings, self.handler.knows
        full = len(self._connections) >= settings.max_connections
        if not full and not knows(address):
            strangers = sum(count for each, count in self.by_address.items() if not knows(each))
            full = strangers >= max(settings.max_connections // 2, 1)
        if full or self.by_address[address] >= settings.max_connections_per_address or not self.handler.admit(address):
            return False
        self._connections.add(connection)
        self.by_address[address] += 1
        return True

    def leave(self, connection: "_Connection", address: str) -> None:
        """Forget a connection that has ended."""
        if connection in self._connections:
            self._connections.remove(connection)
            self.by_address[address] -= 1
            if not self.by_address[address]:
                del self.by_address[address]

    def pass_on(self, items: list[Item], address: str, *, admitted: int = 0) -> bool:
        """Hand over what has come, each thing with its own leave; False once one has none: the rest is dropped.

        The first `admitted` have theirs.
        """
        for at, item in enumerate(items):
            if at >= admitted and not self.handler.admit(address):
                return False
            if isinstance(item, Message):
                self.handler.take(item, address)
            else:
                self.handler.spoiled(item.reason, address)
        return True


class _Connection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        settings = listener.settings
        self._receiver = Receiver(settings.framing, limit_bytes=settings.max_apdu_bytes)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._last_at = self._begun_at = 0.0
        self._bytes = 0                      # since the last whole message
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)      # uvloop's is no subclass of it
        self._address = address_of(transport.get_extra_info("peername") or ("",))
        if not self._listener.enter(self, self._address):
            self.abort()
            return
        self._last_at = self._loop.time()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._last_at = self._loop.time()
        if not self._bytes:
            self._begun_at = self._last_at
        self._bytes += len(data)
        items = self._receiver.feed(data)
        if any(isinstance(item, Message) for item in items):
            self._begun_at, self._bytes = self._last_at, int(self._receiver.pending)
        admitted = self._listener.pass_on(items, self._address)
        answer = self._receiver.data_to_send()
        if answer:
            transport.write(answer)
        if (not admitted or self._receiver.finished or transport.get_write_buffer_size() > ANSWERS_LIMIT_BYTES
                or self._bytes > WITHOUT_MESSAGE * self._listener.settings.max_apdu_bytes):
            self.abort()

    def eof_received(self) -> bool:
        """Called by asyncio: the sender has said everything; the connection is closed."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Called by asyncio."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._listener.leave(self, self._address)

    def abort(self) -> None:
        """End the connection hard."""
        if self._transport is not None:
            self._transport.abort()

    def _watch(self) -> None:
        """Close at silence, and at a message that does not end; traffic meanwhile only moves the next look."""
        settings = self._listener.settings
        due = self._last_at + settings.idle_timeout_s
        if self._bytes:
            due = min(due, self._begun_at + settings.message_timeout_s)
        if due <= self._loop.time():
            if self._bytes:
                self._listener.handler.spoiled(_UNFINISHED, self._address)
            self.abort()
            return
        step_s = min(settings.idle_timeout_s, settings.message_timeout_s)      # a message may begin meanwhile
        self._timer = self._loop.call_at(min(due, self._loop.time() + step_s), self._watch)


class _Datagrams(asyncio.DatagramProtocol):
    """All datagrams of the port."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._unfinished: OrderedDict[tuple[Any, ...], tuple[Receiver, float]] = OrderedDict()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Called by asyncio."""
        listener, settings, now = self._listener, self._listener.settings, self._loop.time()
        address = address_of(addr)
        if not listener.handler.admit(address):
            return
        receiver, until = self._unfinished.pop(addr, (None, now))
        if receiver is not None and until < now:
            listener.handler.spoiled(_UNFINISHED, address)
            receiver = None
        if receiver is None:
            receiver = Receiver(settings.framing, limit_bytes=settings.max_apdu_bytes, datagrams=True)
            until = now + settings.message_timeout_s
        if listener.pass_on(receiver.feed(data), address, admitted=1) and receiver.pending:
            self._unfinished[addr] = receiver, until
            if len(self._unfinished) > UNFINISHED_DATAGRAMS:
                (given_up, _) = self._unfinished.popitem(last=False)
                listener.handler.spoiled(_UNFINISHED, address_of(given_up))

    def error_received(self, exc: Exception) -> None:
        """Called by asyncio: nothing is ever sent, so this is about nobody's message."""
        log.debug("push by UDP: %s", exc)


def in_the_way(settings: PushSettings) -> str:
    """Bind each port for a moment; say in one line what is in the way, "" where nothing is."""
    try:
        for kind, port in ((socket.SOCK_STREAM, settings.tcp_port), (socket.SOCK_DGRAM, settings.udp_port)):
            if port:
                _bound(kind, settings.listen, port).close()
    except OSError as error:
        return str(error.strerror)
    return ""


def _bound(kind: socket.SocketKind, listen: str, port: int) -> socket.socket:
    """Return a bound socket. `::` takes IPv4 too, and is 0.0.0.0 on a machine without IPv6. OSError: what to do."""
    try:
        return _bind(kind, listen, port)
    except OSError as error:
        if listen == "::" and not _has_ipv6():
            return _bound(kind, "0.0.0.0", port)      # noqa: S104 - what :: stands for, where there is only IPv4
        name = "tcp" if kind is socket.SOCK_STREAM else "udp"
        what = {
            errno.EADDRINUSE: f"another program has this port; end it, or set another push.{name}_port",
            errno.EADDRNOTAVAIL: "push.listen is no address of this board now; the port opens once it is",
            errno.EACCES: f"ports below {LOWEST_FREE} need a right that the gateway does not have; set a higher "
                          f"push.{name}_port",
        }.get(error.errno or 0, error.strerror or str(error))
        raise OSError(error.errno, f"cannot listen on {listen} {name} port {port}: {what}") from error


def _bind(kind: socket.SocketKind, listen: str, port: int) -> socket.socket:
    ((family, _, _, _, where), *_) = socket.getaddrinfo(
        listen, port, type=kind, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(listen != "::"))
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1", 0))
        return True
    return False


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

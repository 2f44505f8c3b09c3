"""TCP to the server by one path, and what it costs (I/O edge).

A path is held to by SO_BINDTODEVICE. From Linux 5.7 on it needs no privilege, and it is the only one of three that
works for TCP: IP_UNICAST_IF is not looked at when TCP connects, and a source address does not choose a route (measured:
docs/decisions/0034-uplink-paths.md). The interface needs a route to the server, of whichever metric.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edge.interface import hold_to
from edge.uplink.addresses import Addresses
from edge.uplink.traffic import TCP_INFO_BYTES, Traffic, traffic_of
from edge.uplink.way import Way

RESOLVE_S = 5.0            # then the addresses that are known are taken: a dead path takes its name servers along
RESOLVE_SHARE = 0.8        # of the attempt where none are; with the rest it is told that it is the name

Address = tuple[socket.AddressFamily, Any]


class CountedSocket(socket.socket):
    """A TCP socket that says when it goes: asyncio closes it, uvloop detaches it after it closed the descriptor."""

    gone: Callable[["CountedSocket"], object] | None = None

    def close(self) -> None:
        """See socket.close."""
        self._going()
        super().close()

    def detach(self) -> int:
        """See socket.detach."""
        self._going()
        return super().detach()

    def _going(self) -> None:
        gone, self.gone = self.gone, None
        if gone is not None:
            gone(self)


class Dialer:
    """Makes connections, remembers addresses, counts bytes by path. All calls belong to one loop."""

    def __init__(self, addresses: Addresses | None = None) -> None:
        """`addresses` keeps those of names over restarts; None: a memory of its own."""
        self._known = addresses or Addresses()
        self._answers: dict[tuple[str, int], list[Address]] = {}      # of the resolver, the last ones
        self._lookups: dict[tuple[str, int], asyncio.Task[str]] = {}
        self._open: dict[CountedSocket, tuple[str, Traffic]] = {}
        self._carried: dict[str, Traffic] = {}

    async def connected(self, way: Way, timeout_s: float) -> socket.socket:
        """Return a connected socket; the caller closes it. Raises OSError, or UnicodeError for no host name at all.

        Each address has its share of the time. Cancelling leaves no socket behind.
        """
        addresses = await self._resolved(way.host, way.port, timeout_s)
        failure: OSError = OSError(errno.EADDRNOTAVAIL, "its name has no address")
        for family, address in addresses:
            try:
                async with asyncio.timeout(timeout_s / len(addresses)):
                    return await self._one(way, family, address)
            except TimeoutError:
                failure = OSError(errno.ETIMEDOUT, "no answer")
            except OSError as error:
                failure = error
        raise failure

    async def reached(self, way: Way, address: str) -> None:
        """Note that the server itself answered there: where names are not resolved, it is looked for there again."""
        if not _numeric(way.host, way.port):
            await self._known.reached(way.host, address)

    def carried(self, name: str) -> Traffic:
        """Return what went over the path of this name since the start."""
        self.look()
        return self._carried.get(name, Traffic())

    def look(self) -> None:
        """Read what open connections carried: now and then, and before one ends, as uvloop gives no chance after."""
        for one in self._open:
            self._note(one)

    async def _one(self, way: Way, family: socket.AddressFamily, address: Any) -> socket.socket:
        one = CountedSocket(family, socket.SOCK_STREAM)
        try:
            one.setblocking(False)
            # uvloop does this for every TCP socket, asyncio only where the protocol was named when it was made
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if way.interface:
                hold_to(one, way.interface)
            self._open[one] = way.name, Traffic()
            one.gone = self._gone
            await _connect(one, address)
        except BaseException:
            one.close()
            raise
        return one

    async def _resolved(self, host: str, port: int, timeout_s: float) -> list[Address]:
        if numeric := _numeric(host, port):
            return numeric
        known = [one for address in await self._known.of(host) for one in _numeric(address, port)]
        known = known or self._answers.get((host, port), [])
        lookup = self._lookup(host, port)
        await asyncio.wait({lookup}, timeout=min(RESOLVE_S, timeout_s / 3) if known else timeout_s * RESOLVE_SHARE)
        why = "no answer"
        if lookup.done():
            if self._lookups.get((host, port)) is lookup:      # another path may have waited for it too
                del self._lookups[host, port]
            why = lookup.result()
            known = known if why else self._answers[host, port]
        if not known:
            raise OSError(errno.EHOSTUNREACH, f"its name is not resolved: {why}")
        return known

    def _lookup(self, host: str, port: int) -> asyncio.Task[str]:
        """Return the question for a name that is under way, or was answered too late for the attempt that put it.

        A resolver gives each dead name server 5 s (resolv.conf(5)): given up sooner, it never comes to the living one,
        and each new question costs a thread until it does.
        """
        before = self._lookups.get((host, port))
        if before is None or (before.done() and (before.exception() or before.result())):
            self._lookups[host, port] = asyncio.create_task(self._ask(host, port))
        return self._lookups[host, port]

    async def _ask(self, host: str, port: int) -> str:
        """Ask the resolver, and remember its answer. Return why there is none, "" where there is."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            return error.strerror or "no answer"
        self._answers[host, port] = _of(found)
        return ""

    def _note(self, one: CountedSocket) -> None:
        name, before = self._open[one]
        try:
            now = traffic_of(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES))
        except OSError:
            return             # closed under it
        self._open[one] = name, now
        self._carried[name] = self._carried.get(name, Traffic()).plus(now.minus(before))

    def _gone(self, one: CountedSocket) -> None:
        self._note(one)
        del self._open[one]


def _numeric(host: str, port: int) -> list[Address]:
    """Return an address as one to connect to, [] for a name: an address needs nobody, and no thread to ask in."""
    with suppress(socket.gaierror):
        return _of(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    return []


def _of(found: list[tuple[Any, ...]]) -> list[Address]:
    return [(family, address) for family, _, _, _, address in found]


async def _connect(one: socket.socket, address: Any) -> None:
    try:
        await asyncio.get_running_loop().sock_connect(one, address)
    except OSError as error:      # its text is no more than the address
        raise OSError(error.errno, os.strerror(error.errno or 0)) from None

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
        self._open: dict[CountedSocket, tuple[str, Traffic]] = {}
        self._carried: dict[str, Traffic] = {}

    async def connected(self, way: Way, timeout_s: float) -> socket.socket:
        """Return a connected socket; the caller closes it. Raises OSError, or UnicodeError for no host name at all.

        Each address has its share of the time. Cancelling leaves no socket behind.
        """
        addresses = await self._resolved(way.host, way.port, min(RESOLVE_S, timeout_s / 3))
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

    async def _resolved(self, host: str, port: int, within_s: float) -> list[Address]:
        if numeric := _numeric(host, port):
            return numeric
        try:
            async with asyncio.timeout(within_s):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:      # TimeoutError too
            why = error.strerror or "no answer"
        else:
            self._answers[host, port] = _of(found)
            return self._answers[host, port]
        known = [one for address in await self._known.of(host) for one in _numeric(address, port)]
        known = known or self._answers.get((host, port), [])
        if not known:
            raise OSError(errno.EHOSTUNREACH, f"its name is not resolved: {why}")
        return known

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

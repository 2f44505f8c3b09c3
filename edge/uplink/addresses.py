"""By which addresses the server's names led to it, kept over restarts (I/O edge).

A gateway that starts while nothing resolves names goes to where the server last spoke MQTT: by an address of that name,
and with TLS the certificate still has to bear the name. What a resolver answers now always goes before it. The file:

    {"things.example.org":["192.0.2.7","2001:db8::7"]}      the newest first
"""

import asyncio
import ipaddress
import logging
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.durable import write_file
from edge.uplink.heard import heard

log = logging.getLogger(__name__)

FILE_NAME = "uplink.addresses"
MOST_NAMES = 8             # of the servers that several paths lead to
MOST_ADDRESSES = 4         # of each: they share the time of one attempt to connect
LIMIT_BYTES = 8_192        # longer than the longest names with all their addresses
KEEP_S = 2.0               # so long a connection waits for the flash


class Addresses:
    """Of each name, the addresses that led to the server. Without a directory they live as long as this."""

    def __init__(self, state_dir: Path | None = None) -> None:
        """Nothing is read before it is wanted."""
        self._path = state_dir / FILE_NAME if state_dir is not None else None
        self._known: dict[str, list[str]] | None = None

    async def of(self, host: str) -> list[str]:
        """Return the addresses of a name, the newest first; none of one that never led to the server."""
        return list((await self._all()).get(host, ()))

    async def reached(self, host: str, address: str) -> None:
        """Note that a name led to the server by this address. The file is written only for one that is new in it.

        Ends within `KEEP_S`; what cannot be kept is told, and known until the end of the process.
        """
        known = await self._all()
        before = known.pop(host, [])
        known[host] = [address, *(other for other in before if other != address)][:MOST_ADDRESSES]
        while len(known) > MOST_NAMES:
            del known[next(iter(known))]
        if address in before or self._path is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(KEEP_S):
                await asyncio.to_thread(_write, self._path, msgspec.json.encode(known))

    async def _all(self) -> dict[str, list[str]]:
        if self._known is None:
            found = await asyncio.to_thread(_read, self._path) if self._path is not None else {}
            self._known = found if self._known is None else self._known      # another may have been quicker
        return self._known


def _write(path: Path, data: bytes) -> None:
    try:
        write_file(path, data, replace=True)
    except OSError as error:
        log.warning("%s: the server's addresses cannot be kept: %s; a start without name servers will not find it",
                    path, error.strerror)


def _read(path: Path) -> dict[str, list[str]]:
    try:
        with path.open("rb") as file:
            return _checked(file.read(LIMIT_BYTES + 1))
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.warning("%s: the server's addresses cannot be read: %s", path, error.strerror)
    except ValueError as error:
        log.warning("%s: is ignored, and written anew at the next connection: %.120s", path, error)
    return {}


def _checked(raw: bytes) -> dict[str, list[str]]:
    """Return what a file says. Raises ValueError: a file is right as a whole, or not at all."""
    if len(raw) > LIMIT_BYTES:
        raise ValueError(f"longer than {LIMIT_BYTES} bytes")
    found = heard(raw, dict[str, list[str]])
    if len(found) > MOST_NAMES or any(len(addresses) > MOST_ADDRESSES for addresses in found.values()):
        raise ValueError(f"more than {MOST_NAMES} names, or {MOST_ADDRESSES} addresses of one")
    for addresses in found.values():
        for address in addresses:
            if (parsed := ipaddress.ip_address(address)).is_unspecified or parsed.is_multicast:
                raise ValueError(f"{address} is the address of no server")
    return found

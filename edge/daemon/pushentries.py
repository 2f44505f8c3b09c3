"""From the registry's meters to what the push listener knows of them; their hosts become addresses here."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterable, Iterator, Mapping

from edge.dlms.ciphering import Cipher, Protection
from edge.meters.dutyspec import reckoning
from edge.meters.localtime import Reckoning
from edge.meters.profile import Profile
from edge.poll.addressing import PROTECTION
from edge.poll.fleet import Enrolled
from edge.push.addresses import address_of
from edge.push.directory import Entry, key_digest

log = logging.getLogger(__name__)

RESOLVE_S = 300.0
RESOLVING_S = 10.0


class Hosts:
    """Addresses of the hosts that meters are registered at. Names are asked for again every RESOLVE_S."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.generation = 0                      # grows when a name has another address
        self._known: dict[str, frozenset[str]] = {}
        self._asked_at: dict[str, float] = {}

    def of(self, host: str) -> frozenset[str]:
        """Return a host's addresses as far as they are known: those of an IP address at once."""
        found = self._known.get(host)
        if found is None:
            try:
                found = _addresses(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
            except OSError:
                return frozenset()
            self._known[host] = found
        return found

    async def resolve(self, hosts: Iterable[str], now: float) -> None:
        """Ask for the names among them whose time has come. One that is not found keeps the addresses it had."""
        wanted = set(hosts)
        self._known = {host: found for host, found in self._known.items() if host in wanted}
        self._asked_at = {host: at for host, at in self._asked_at.items() if host in wanted}
        # names, and addresses within an interface, which has another number when its driver is loaded again
        due = [host for host in sorted(wanted) if "%" in host or host in self._asked_at or not self.of(host)]
        due = [host for host in due if now - self._asked_at.get(host, float("-inf")) >= RESOLVE_S]
        self._asked_at |= dict.fromkeys(due, now)
        with contextlib.suppress(TimeoutError):      # the rest is asked for again when its time has come
            async with asyncio.timeout(RESOLVING_S):
                await asyncio.gather(*(self._ask(host) for host in due))

    async def _ask(self, host: str) -> None:
        try:
            found = _addresses(await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as why:
            log.debug("pushes: the address of %s is not found: %s", host, why)
            return
        if found != self._known.get(host):
            self._known[host] = found
            self.generation += 1


def entries(enrolled: Iterable[Enrolled], profiles: Mapping[str, Profile], hosts: Hosts, zone: str) -> Iterator[Entry]:
    """Yield what is known of each meter; one of an unknown type has no entry, its pollers say so.

    `zone` is that of meters which leave it open (`clock.meters_zone`).
    """
    for item in enrolled:
        profile = profiles.get(item.meter.profile)
        if profile is not None:
            yield _entry(item, profile, hosts.of(item.meter.host), reckoning(profile.clock, zone))


def _entry(item: Enrolled, profile: Profile, addresses: frozenset[str], times: Reckoning) -> Entry:
    meter, keys, told = item.meter, item.keys, profile.association
    protection = PROTECTION[meter.security or told.security]
    suite = meter.security_suite if meter.security_suite is not None else told.security_suite
    cipher, problem = None, _missing(item, protection)
    if not problem and keys.encryption and keys.authentication:
        try:
            cipher = Cipher(suite, keys.encryption, keys.authentication)
        except ValueError as error:
            problem = str(error)
    return Entry(meter.name, profile, item.learned, addresses, protection, bytes.fromhex(meter.meter_title), cipher,
                 key_digest(keys.encryption), problem, times)


def _missing(item: Enrolled, protection: Protection) -> str:
    for kind, key in (("encryption", item.keys.encryption), ("authentication", item.keys.authentication)):
        if protection and not key:
            return (f"its security needs an {kind} key and none is stored: "
                    f"halow-gateway meter set-key {item.meter.name} {kind}")
    return ""


def _addresses(found: Iterable[tuple[object, ...]]) -> frozenset[str]:
    return frozenset(address_of(sockaddr) for *_, sockaddr in found if isinstance(sockaddr, tuple))

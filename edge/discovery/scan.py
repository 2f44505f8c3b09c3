"""Looks for meters on a net: what answers DLMS is one, an open port is none (I/O edge).

    addresses ─► a few workers ─► first contact, port by port ─► a meter: its name, a sample of each type's objects
                                      │
                                      └─ no TCP answer at all: the other ports of that host are left alone

The radio is one channel for all, so a few hosts at once, with a rest after each.
"""

import asyncio
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from edge.discovery.contact import Dial, Verdict, contact
from edge.discovery.discover import OPENING_S, Place, dial_to
from edge.discovery.doors import Door, Search, public_settings
from edge.discovery.fit import Fit, fits
from edge.discovery.pace import Pace
from edge.discovery.survey import Surveyor, sample
from edge.errors import MeterError
from edge.meters.profile import Profile

QUICK = Search(quick=True)


@dataclass(frozen=True, slots=True)
class Spot:
    """An open port, and what is behind it. `door` and what follows: where it is a meter and tells."""

    host: str
    port: int
    verdict: Verdict
    detail: str
    door: Door | None = None
    name: str = ""
    serial: str = ""
    fit: Fit | None = None
    public: bool = False             # the public client may read what the type asks for

    @property
    def identities(self) -> frozenset[str]:
        """All that tells this meter from others."""
        return frozenset((self.name, self.serial, self.fit.identity if self.fit else "")) - {""}


@dataclass(slots=True)
class Progress:
    """How far a scan is."""

    looked_at: int = 0
    of: int = 0
    meters: int = 0


class Scan:
    """One scan. `spots` grows as ports are found open."""

    def __init__(self, hosts: Sequence[str], ports: Sequence[int], profiles: Collection[Profile], pace: Pace, *,
                 at_once: int, skip: Mapping[tuple[str, int], str], told: Callable[[Spot, Progress], None]) -> None:
        """`skip` names places to be left alone, by (host, port); `told` hears of each open port."""
        self.spots: list[Spot] = []
        self.own: list[str] = []      # this machine's own addresses, which are left alone
        self.progress = Progress(of=len(hosts))
        self._hosts: Iterator[str] = iter(hosts)
        self._ports = ports
        self._profiles = profiles
        self._pace = pace
        self._at_once = at_once
        self._skip = skip
        self._told = told

    async def run(self) -> list[Spot]:
        """Look at every host; return the open ports in the order of the hosts. Cancelling leaves nothing open."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._at_once):
                group.create_task(self._work(), name=f"scan {number}")
        return self.spots

    async def _work(self) -> None:
        for host in self._hosts:
            if own_address(host):
                self.own.append(host)
            else:
                await self._host(host)
                await asyncio.sleep(self._pace.gap_s)
            self.progress.looked_at += 1

    async def _host(self, host: str) -> None:
        for port in self._ports:
            if (host, port) in self._skip:
                continue
            spot = await look(host, port, self._profiles, self._pace)
            if spot is None:
                return
            if spot.verdict is not Verdict.UNREACHABLE:
                self.spots.append(spot)
                self.progress.meters += spot.verdict is Verdict.METER
                self._told(spot, self.progress)


async def look(host: str, port: int, profiles: Collection[Profile], pace: Pace) -> Spot | None:
    """Look at one port; None where the host does not answer at all. Never raises; cancelling leaves nothing open."""
    dial = partial(dial_to, Place(host, port), pace)
    spot = Spot(host, port, Verdict.SILENT, "slow")
    try:
        async with asyncio.timeout(pace.limit_s):
            found = await contact(dial, port, QUICK, pace)
            spot = Spot(host, port, found.verdict, found.detail, found.door)
            if found.door is not None and not found.refused:
                await asyncio.sleep(pace.gap_s)
                spot = await _known(spot, found.door, dial, profiles, pace)
            elif found.refused:
                spot = replace(spot, detail=found.refused)
    except TimeoutError:
        return replace(spot, detail=f"{spot.detail}; not finished within {pace.limit_s:g} s")
    return spot if found.alive else None


async def _known(spot: Spot, door: Door, dial: Dial, profiles: Collection[Profile], pace: Pace) -> Spot:
    """Ask a meter who it is, and of which type it seems to be."""
    surveyor = Surveyor(dial, public_settings(door, opening_s=OPENING_S, exchange_s=pace.limit_s), pace, _quiet)
    try:
        survey = await surveyor.run(profiles, brief=True)
    except MeterError as error:
        return replace(spot, detail=str(error))
    best = next(iter(fits(profiles, survey)), None)
    if best is None or not best.good:
        return replace(spot, name=survey.device_name, serial=survey.serial)
    objects = next(sample(profile) for profile in profiles if profile.name == best.profile)
    public = all(survey.registers[spec.target].value is not None for spec in objects if spec.target in survey.registers)
    return replace(spot, name=survey.device_name, serial=survey.serial, fit=best, public=public)


def _quiet(_line: str) -> None:
    """Take no notes: many meters are looked at side by side."""


def own_address(host: str) -> bool:
    """Tell whether an address is this machine's: the system would send from it to reach it. Nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, 9))
        except OSError:
            return False
        return str(sock.getsockname()[0]) == host

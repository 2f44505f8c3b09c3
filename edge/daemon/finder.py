"""Finds meters again whose address has changed, by who they are; the registry follows.

    missing for long enough ─┬─► neighbour table: has its MAC another address now?    each time, without traffic
                             └─► one address of the subnet every probe_interval_s     as the public client, after polls
                                       │ identity, for every missing meter of that port
                                       ▼ the sweep is over
                                    decide ─► registry, EVENT meter_moved        or an EVENT that says why not

Only meters are looked for whose registered host is an address, and whose identity was learned. No password is sent.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from edge.clock import Clock
from edge.config import DiscoverySettings
from edge.daemon.enrolment import Enrolment
from edge.daemon.vitals import Keep, event
from edge.discovery.discover import Place, dial_to
from edge.discovery.doors import Door
from edge.discovery.identify import UNTOLD, identify
from edge.discovery.moved import Finding, Kind, Placed, Sight, Watch, decide
from edge.discovery.pace import Pace
from edge.discovery.scan import own_address
from edge.discovery.subnet import addresses
from edge.dlms.cosem import Attribute
from edge.errors import FailReason, RegistryError, Unreachable
from edge.health.promise import Pulse
from edge.meters.library import Library
from edge.meters.profile import Profile
from edge.poll.addressing import framing_of
from edge.poll.budget import Gate
from edge.poll.fleet import Enrolled
from edge.poll.recovery import Circuit
from edge.poll.state import PollerState
from edge.poll.turn import turn
from halow.neighbours import neighbours

log = logging.getLogger(__name__)

LOOK_S = 10.0
"""Between two looks at who is missing, and at the neighbour table."""

SPARE_S = 60.0


class Known(NamedTuple):
    """A registered meter with what looking for it needs. `asks`: the object that tells who it is."""

    item: Enrolled
    placed: Placed
    asks: Attribute
    settle_s: float


class Finder:
    """One loop, one `run`."""

    def __init__(self, settings: DiscoverySettings, enrolment: Enrolment, library: Library,
                 states: Callable[[], Mapping[str, PollerState]], gate: Gate, tell: Keep, clock: Clock) -> None:
        """`tell` takes an event for the ring. ValueError for a subnet that is none."""
        self._settings = settings
        self._enrolment = enrolment
        self._library = library
        self._states = states
        self._gate = gate
        self._tell = tell
        self._clock = clock
        self._hosts = addresses([settings.subnet])
        self._watch = Watch(settings.missing_after_s)
        self._pace = Pace(connect_s=settings.answer_s)
        self._known: dict[str, Known] = {}
        self._macs: dict[str, str] = {}                       # meter -> MAC, as it was when the meter last answered
        self._asked: dict[tuple[str, str], float] = {}        # (meter, host) -> when its MAC led there
        self._sweep: Iterator[str] | None = None
        self._wanted: frozenset[str] = frozenset()            # whom the sweep under way is for
        self._seen: dict[str, set[str]] = {}
        self._untold = 0
        self._next_probe = self._rest_until = float("-inf")
        self._told: set[Finding] = set()

    async def run(self, pulse: Pulse) -> None:
        """Look until cancelled."""
        while True:
            wait_s = LOOK_S
            if self._sweep is not None:
                wait_s = min(wait_s, max(self._next_probe - self._clock.monotonic(), 0.0))
            pulse(wait_s + SPARE_S)
            await asyncio.sleep(wait_s)
            self._known = self._registered()
            lost = self._lost()
            self._told = {finding for finding in self._told if finding.name in lost}
            await self._by_mac(lost, pulse)
            if self._sweep is not None:
                if self._clock.monotonic() >= self._next_probe:
                    await self._go_on(lost, pulse)
                    self._next_probe = self._clock.monotonic() + self._settings.probe_interval_s
            elif lost and self._clock.monotonic() >= self._rest_until:
                log.info("looking for %s in %s", ", ".join(sorted(lost)), self._settings.subnet)
                self._sweep, self._wanted, self._seen, self._untold = iter(self._hosts), frozenset(lost), {}, 0

    # -- who is missing --------------------------------------------------------------------------------------------

    def _registered(self) -> dict[str, Known]:
        """Return all registered meters whose type has an identity, paused ones too."""
        states = self._states()
        known = {}
        for item in self._enrolment.enrolled or ():
            profile = self._library.get(item.meter.profile)
            if profile is not None and profile.identity is not None:
                state = states.get(item.meter.name)
                replaced = state is not None and state.last_reason == FailReason.WRONG_METER
                known[item.meter.name] = Known(item, _placed(item, profile, replaced=replaced),
                                               profile.identity.target, profile.timing.settle_s)
        return known

    def _lost(self) -> dict[str, Known]:
        """Return those that are missing and can be looked for."""
        missing = self._watch.look(
            {name: Sight(state.ladder.circuit is not Circuit.CLOSED, state.last_reason)
             for name, state in self._states().items()}, self._clock.monotonic())
        return {name: known for name, known in self._known.items()
                if name in missing and known.placed.identity and _is_address(known.placed.host)}

    # -- by radio address ------------------------------------------------------------------------------------------

    async def _by_mac(self, lost: Mapping[str, Known], pulse: Pulse) -> None:
        """Look where the MAC of a missing meter is now; remember those of the others."""
        try:
            macs = (await neighbours()).macs
        except OSError as error:
            log.debug("no neighbour table: %s", error)
            return
        for name, known in self._known.items():
            mac = known.item.meter.mac or self._macs.get(name, "")
            if name not in lost:
                self._macs[name] = macs.get(known.placed.host, mac)
                continue
            seen = {host for host in self._hosts if mac and macs.get(host) == mac and host != known.placed.host
                    and self._may_ask(name, host) and await self._is_at(host, known, pulse)}
            if seen:
                await self._act(self._decided({name: known}, {name: seen}))

    def _may_ask(self, name: str, host: str) -> bool:
        """Tell whether a host that a MAC led to may be asked: who is another meter will be one in ten seconds too."""
        now = self._clock.monotonic()
        if now - self._asked.get((name, host), float("-inf")) < self._settings.sweep_rest_s:
            return False
        self._asked[name, host] = now
        return True

    async def _is_at(self, host: str, known: Known, pulse: Pulse) -> bool:
        try:
            return await self._identity_at(host, known, pulse) == known.placed.identity
        except Unreachable:
            return False

    # -- sweep -----------------------------------------------------------------------------------------------------

    async def _go_on(self, lost: Mapping[str, Known], pulse: Pulse) -> None:
        """Look at the next address; at the end decide, for those that are missing still."""
        assert self._sweep is not None
        wanted = {name: known for name, known in lost.items() if name in self._wanted}
        host = next(self._sweep, None) if wanted else None
        if host is not None:
            await self._look_at(host, wanted, pulse)
            return
        self._sweep = None
        self._rest_until = self._clock.monotonic() + self._settings.sweep_rest_s
        await self._act(self._decided(wanted, self._seen))
        if wanted and not self._seen:
            untold = f"; {self._untold} do not tell the public client who they are" if self._untold else ""
            log.info("no missing meter is anywhere in %s%s", self._settings.subnet, untold)

    async def _look_at(self, host: str, wanted: Mapping[str, Known], pulse: Pulse) -> None:
        """Ask who is at a host, once for each way in which a missing meter would be asked."""
        if own_address(host):
            return
        polled = self._states().keys() - wanted.keys()
        staying = {(known.placed.host, known.placed.port) for name, known in self._known.items() if name in polled}
        told: dict[tuple[int, Door, Attribute], str | None] = {}
        for name, known in wanted.items():
            placed = known.placed
            if (host, placed.port) in staying:
                continue
            way = (placed.port, placed.door, known.asks)
            if way not in told:
                try:
                    told[way] = await self._identity_at(host, known, pulse)
                except Unreachable:
                    return      # the host is not there; where only its port is shut, the next sweep is soon enough
                self._untold += told[way] == UNTOLD
            if told[way] == placed.identity:
                self._seen.setdefault(name, set()).add(host)

    async def _identity_at(self, host: str, known: Known, pulse: Pulse) -> str | None:
        """Ask who is at a host, in a place at the gate that no poll wants. Raises Unreachable."""
        port, door = known.placed.port, known.placed.door
        bridge = (host, port) if door.framing == "hdlc" else None
        async with turn(self._gate, bridge, pulse, background=True):
            pulse(4 * self._settings.answer_s + SPARE_S)
            return await identify(partial(dial_to, Place(host, port), self._pace), door, known.asks,
                                  answer_s=self._settings.answer_s, settle_s=known.settle_s)

    # -- what follows ----------------------------------------------------------------------------------------------

    def _decided(self, lost: Mapping[str, Known], seen: Mapping[str, set[str]]) -> list[Finding]:
        return decide([known.placed for known in lost.values()], seen, [known.placed for known in self._known.values()])

    async def _act(self, findings: Iterable[Finding]) -> None:
        moved = False
        for finding in findings:
            if finding.kind is Kind.MOVED:
                moved |= await self._move(finding)
            elif finding not in self._told:
                self._told.add(finding)
                self._say(finding)
        if moved:
            await self._enrolment.reload()

    async def _move(self, finding: Finding) -> bool:
        """Write it down; False where the operator has changed the meter meanwhile, or the registry is read only."""
        was = self._known[finding.name].placed.host
        try:
            if not await self._enrolment.move(finding.name, finding.hosts[0], was):
                return False
        except RegistryError as error:
            log.warning("meter %s was found at %s, and that is not kept: %s", finding.name, finding.hosts[0], error)
            return False
        self._say(finding)
        return True

    def _say(self, finding: Finding) -> None:
        log.warning("meter %s: %s: %s", finding.name, finding.kind.value, finding.detail)
        self._tell(event(finding.kind.value, finding.detail, self._clock, finding.name))


def _placed(item: Enrolled, profile: Profile, *, replaced: bool) -> Placed:
    meter, told = item.meter, profile.association
    size = meter.address_bytes if meter.address_bytes is not None else told.address_bytes
    physical = meter.server_physical if meter.server_physical is not None else told.server_physical
    framing = framing_of(meter, profile)
    hdlc = framing == "hdlc"
    door = Door(framing, 0, meter.server_logical if meter.server_logical is not None else told.server_logical,
                physical if hdlc and size != 1 else None, size if hdlc else 1)
    return Placed(meter.name, meter.host, meter.port, door, item.learned.identity, replaced=replaced)


def _is_address(host: str) -> bool:
    """Tell whether a host is an address; a name follows its meter by itself, a serial line goes nowhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

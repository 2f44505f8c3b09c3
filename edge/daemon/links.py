"""Joins the radio to the meters: which meter stands behind which peer, and what of it goes into the ring.

    Monitor ─► LinkDesk.heard ─► every record_interval_s all peers, at once those whose grade changed ─► LINK records

A meter belongs to the peer that its registry row names (`mac`), else to the one that the neighbour table has for its
address. A peer that is no meter's is told among the gateway's own figures.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping

from edge.clock import Clock
from edge.health.linkrecords import gateway_link, meter_link
from edge.health.promise import Pulse
from edge.model import Meter, Record
from halow.model import LinkState, RadioState
from halow.neighbours import neighbours

log = logging.getLogger(__name__)

SPARE_S = 30.0        # reading the neighbour table, with its own time-out

Keep = Callable[[Record], object]


class LinkDesk:
    """Keeps what the radio monitor said last, and writes it down. One loop, one `run`."""

    def __init__(self, meters: Callable[[], Iterable[Meter]], keep: Keep, clock: Clock,
                 record_interval_s: float) -> None:
        """`keep` takes a record for the ring without waiting (`Ring.put` bound to its stream)."""
        self.states: tuple[LinkState, ...] = ()
        self.radio: RadioState | None = None
        self._meters = meters
        self._keep = keep
        self._clock = clock
        self._record_interval_s = record_interval_s
        self._macs: Mapping[str, str] = {}
        self._by_mac: dict[str, LinkState] = {}
        self._changed: set[str] = set()
        self._news = asyncio.Event()

    def heard(self, states: tuple[LinkState, ...], radio: RadioState) -> None:
        """Take the monitor's newest judgement; never blocks."""
        if self.radio is None or self.radio.present != radio.present:
            self._news.set()
        self.states, self.radio = states, radio
        self._by_mac = {state.mac: state for state in states}
        changed = {state.mac for state in states if state.changed}
        if changed:
            self._changed |= changed
            self._news.set()

    async def run(self, pulse: Pulse) -> None:
        """Write link records until cancelled; a record that was handed over before is kept."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._record_interval_s
        while True:
            pulse(self._record_interval_s + SPARE_S)
            try:
                # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the news.
                async with asyncio.timeout_at(due):
                    await self._news.wait()
                over = loop.time() >= due
            except TimeoutError:
                over = True       # not asked of the clock again: uvloop's timers fire up to half a millisecond early
            changed, self._changed = self._changed, set()
            self._news.clear()
            await self._learn_neighbours()
            if over:
                due = loop.time() + self._record_interval_s
                changed = {state.mac for state in self.states}
            self._write(changed)

    def peer_of(self, meter: Meter) -> LinkState | None:
        """Return the link of a meter, None where nobody tells which peer it is."""
        mac = meter.mac or self._macs.get(_canonical(meter.host), "")
        return self._by_mac.get(mac)

    def _write(self, macs: set[str]) -> None:
        if self.radio is None:
            return
        owners: dict[str, list[str]] = {peer.mac: [] for peer in self.states}
        for meter in self._meters():
            peer = self.peer_of(meter)
            if peer is not None:
                owners[peer.mac].append(meter.name)
        strangers = [peer for peer in self.states if not owners[peer.mac]]
        self._keep(gateway_link(self.radio, self.states, self._clock.stamp(), strangers))
        for peer in self.states:
            for name in owners[peer.mac] if peer.mac in macs else ():
                self._keep(meter_link(name, peer, self._clock.stamp()))

    async def _learn_neighbours(self) -> None:
        try:
            self._macs = (await neighbours()).macs
        except OSError as error:
            log.debug("no neighbour table: %s; meters are joined to peers by their registered MAC only", error)


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host

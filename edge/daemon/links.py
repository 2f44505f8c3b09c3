"""Joins the radio to the meters: which meter stands behind which peer, and what of it goes into the ring.

    Monitor ─► LinkDesk.heard ─► every record_interval_s all peers, at once those whose grade changed ─► LINK records

A meter belongs to the peer that its registry row names (`mac`), else to the one that the neighbour table has for its
address. A peer that is no meter's is told among the gateway's own figures.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from edge.clock import Clock
from edge.daemon.radioseen import RadioSeen
from edge.health.linkalarms import LinkAlarms
from edge.health.linkrecords import Polls, gateway_link, meter_link
from edge.health.promise import Pulse
from edge.model import Meter, Record
from edge.poll.recovery import UNANSWERED
from edge.poll.state import PollerState
from halow.model import LinkState, RadioState
from halow.neighbours import canonical, neighbours

log = logging.getLogger(__name__)

SPARE_S = 30.0        # reading the neighbour table, with its own time-out

Keep = Callable[[Record], object]


class LinkDesk:
    """Keeps what the radio monitor said last, and writes it down. One loop, one `run`."""

    def __init__(self, meters: Callable[[], Iterable[Meter]], keep: Keep, clock: Clock,
                 record_interval_s: float, *, tell: Keep, seen: RadioSeen | None = None) -> None:
        """`keep` takes a record for the ring without waiting (`Ring.put` bound to its stream), `tell` an alarm."""
        self.states: tuple[LinkState, ...] = ()
        self.radio: RadioState | None = None
        self._meters = meters
        self._keep = keep
        self._clock = clock
        self._record_interval_s = record_interval_s
        self._due: float | None = None      # when the next records are, in loop time
        self._macs: Mapping[str, str] = {}
        self._by_mac: dict[str, LinkState] = {}
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        self._tell = tell
        self._seen = seen
        self._asked: dict[str, tuple[int, int]] = {}
        self.alarms = LinkAlarms()

    def use(self, record_interval_s: float) -> None:
        """Write link records this often from now on; the next ones after so long."""
        if record_interval_s != self._record_interval_s:
            self._record_interval_s = record_interval_s
            self._due = None
            self._news.set()

    def heard(self, states: tuple[LinkState, ...], radio: RadioState) -> None:
        """Take the monitor's newest judgement; never blocks."""
        before = self.radio
        if before is None or (before.present, before.deaf) != (radio.present, radio.deaf):
            self._news.set()
        self.states, self.radio = states, radio
        self._by_mac = {state.mac: state for state in states}
        changed = {state.mac for state in states if state.changed}
        if changed:
            self._changed |= changed
            self._news.set()
        if self._seen is not None and self._seen.missing(radio) and self.alarms.expect():
            self._news.set()

    async def run(self, pollers: Callable[[], Mapping[str, PollerState]], pulse: Pulse) -> None:
        """Write link records until cancelled; a record that was handed over before is kept.

        `pollers` says what polling finds of the links: the fleet, which asks this desk before it polls.
        """
        loop = asyncio.get_running_loop()
        self._due = None
        while True:
            due = self._due = self._due or loop.time() + self._record_interval_s
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
            if self._seen is not None:
                await self._seen.note(self.radio)
            if over:
                self._due = None
                changed = {state.mac for state in self.states}
            self._write(changed, pollers())

    def peer_of(self, meter: Meter) -> LinkState | None:
        """Return the link of a meter, None where nobody tells which peer it is."""
        mac = meter.mac or self._macs.get(canonical(meter.host), "")
        return self._by_mac.get(mac)

    def _write(self, macs: set[str], pollers: Mapping[str, PollerState]) -> None:
        if self.radio is None:
            return
        owners: dict[str, list[str]] = {peer.mac: [] for peer in self.states}
        meters = tuple(self._meters())
        if meters:      # none: the registry is not read yet, as likely as not
            self.alarms.retain(meter.name for meter in meters)
        for meter in meters:
            peer = self.peer_of(meter)
            if peer is not None:
                owners[peer.mac].append(meter.name)
        strangers = [peer for peer in self.states if not owners[peer.mac]]
        self._keep(gateway_link(self.radio, self.states, self._clock.stamp(), strangers))
        for peer in self.states:
            for name in owners[peer.mac] if peer.mac in macs else ():
                self._keep(meter_link(name, peer, self._clock.stamp(), self._polls(name, pollers.get(name))))
        if len(self._asked) > len(pollers):      # of meters that are polled no longer
            self._asked = {name: counts for name, counts in self._asked.items() if name in pollers}
        links = [(name, peer) for peer in self.states for name in owners[peer.mac]]
        for alarm in self.alarms.look(self.radio, links):
            log.warning("alarm %s %s%s: %s", alarm.name, "raised" if alarm.raised else "cleared",
                        f" (meter {alarm.device})" if alarm.device else "", alarm.detail,
                        extra={"fields": {"meter": alarm.device}})
            self._tell(alarm.record(self._clock.stamp()))

    def _polls(self, name: str, state: PollerState | None) -> Polls:
        """Return what polling says of a link: failures that a link causes, among the polls since the last record."""
        if state is None:
            return Polls()
        unanswered = sum(state.failures.get(reason.value, 0) for reason in UNANSWERED)
        asked = state.readings + state.failed
        asked_before, before = self._asked.get(name, (0, 0))
        if asked < asked_before:      # the poller was restarted
            asked_before = before = 0
        self._asked[name] = (asked, unanswered)
        polls = asked - asked_before
        return Polls(state.round_trip_s, 100.0 * (unanswered - before) / polls if polls else None)

    async def _learn_neighbours(self) -> None:
        try:
            found = (await neighbours()).macs
        except OSError as error:
            log.debug("no neighbour table: %s; meters are joined to peers by their registered MAC only", error)
            return
        # A meter that falls silent leaves the table, and a reload of the driver empties it: its peer is the same still.
        hosts = {canonical(meter.host) for meter in self._meters()}
        self._macs = {**{host: mac for host, mac in self._macs.items() if host in hosts}, **found}

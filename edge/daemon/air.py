"""Keeps polling within the country's duty cycle: the gateway's own, and each peer's.

    meter ─► its peer (LinkDesk) ─► width, MCS, retries ─► halow.airtime ─► what an exchange costs either side
                                                                            ─► halow.duty: when the next may come

A meter without a known peer costs nothing here: nobody tells that it is behind the radio. Without a radio, or in a
country without a limit, nothing is held back.
"""

from collections.abc import Callable, Iterable

from edge.daemon.links import LinkDesk
from edge.model import Meter
from halow.airtime import Way, connection, exchange, way_for, way_told
from halow.duty import DutyBudget
from halow.model import LinkState, Mode, RadioState
from halow.plan import POLL_BYTES
from halow.regions import NO_LIMIT_PCT, region_of

FAIR_DBM = -85.0      # of a peer whose signal is not known


class AirDesk:
    """Implements `edge.poll.air.Air` over what the link desk knows."""

    def __init__(self, links: LinkDesk, meters: Callable[[], Iterable[Meter]], width_mhz: int) -> None:
        """`width_mhz` stands in where the radio's true width is not known."""
        self._links = links
        self._meters = meters
        self._width_mhz = width_mhz
        self._seen: Iterable[Meter] | None = None
        self._by_name: dict[str, Meter] = {}
        self._rules: tuple[str, Mode] | None = None      # country and mode that the budgets were made for
        self._near: DutyBudget | None = None
        self._far_pct = NO_LIMIT_PCT
        self._far: dict[str, DutyBudget] = {}
        self._usual: dict[str, tuple[int, int]] = {}      # octets of a meter's last exchange

    def ready_at(self, meter: str, now: float) -> float:
        """See `edge.poll.air.Air`."""
        peer = self._peer(meter)
        if peer is None or self._near is None:
            return now
        cost = exchange(*self._usual.get(meter, POLL_BYTES), self._way(peer))
        return max(self._near.ready_at(cost.near_s, now), self._budget(peer).ready_at(cost.far_s, now))

    def spent(self, meter: str, out_bytes: int, in_bytes: int, now: float, *, connections: int = 0) -> None:
        """See `edge.poll.air.Air`."""
        if out_bytes or in_bytes:
            self._usual[meter] = (out_bytes, in_bytes)
        peer = self._peer(meter)
        if peer is None or self._near is None:
            return
        way = self._way(peer)
        cost = exchange(out_bytes, in_bytes, way) + connection(way).times(connections)
        self._near.spent(cost.near_s, now)
        self._budget(peer).spent(cost.far_s, now)

    def _peer(self, name: str) -> LinkState | None:
        """Return the meter's peer where a duty cycle holds; look whether the radio still stands where it stood."""
        radio = self._links.radio
        if radio is None or not radio.present or radio.facts is None:
            return None
        self._follow(radio)
        if self._near is None:
            return None
        meters = self._meters()
        if meters is not self._seen:
            self._seen, self._by_name = meters, {meter.name: meter for meter in meters}
            self._forget()
        meter = self._by_name.get(name)
        return None if meter is None else self._links.peer_of(meter)

    def _follow(self, radio: RadioState) -> None:
        """Make the budgets anew where the rules have changed; a country not told for a moment forgives nothing."""
        assert radio.facts is not None
        country, mode = radio.facts.country, radio.facts.mode
        if not country or self._rules == (country, mode):
            return
        self._rules = (country, mode)
        region = region_of(country)
        near_pct = NO_LIMIT_PCT if region is None else region.duty_pct(access_point=mode is Mode.AP)
        self._far_pct = NO_LIMIT_PCT if region is None else region.duty_pct(access_point=mode is Mode.STATION)
        self._near = DutyBudget(near_pct) if min(near_pct, self._far_pct) < NO_LIMIT_PCT else None
        self._far.clear()

    def _forget(self) -> None:
        """Drop what is kept of meters that are registered no longer, and of peers that the monitor has forgotten."""
        self._usual = {name: octets for name, octets in self._usual.items() if name in self._by_name}
        there = {peer.mac for peer in self._links.states}
        self._far = {mac: budget for mac, budget in self._far.items() if mac in there}

    def _budget(self, peer: LinkState) -> DutyBudget:
        return self._far.setdefault(peer.mac, DutyBudget(self._far_pct))

    def _way(self, peer: LinkState) -> Way:
        radio = self._links.radio
        facts = radio.facts if radio is not None else None
        width = facts.width_mhz if facts is not None and facts.width_mhz else self._width_mhz
        retry_pct = peer.retries_per_100 or 0.0
        rate = peer.tx_rate
        way = None if rate is None else way_told(rate.width_mhz, rate.mcs, retry_pct, short_gi=bool(rate.short_gi))
        if way is None:
            known_dbm = peer.rssi_avg_dbm if peer.rssi_avg_dbm is not None else FAIR_DBM
            way = way_for(known_dbm, width, retry_pct=retry_pct)
        return way

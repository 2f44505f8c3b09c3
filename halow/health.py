"""What the radio as a whole shows over time: how busy the air is, how much of it is ours, and whether we hear (pure).

    sample ─► counters since the one before ─► busy_pct, tx_pct (survey), duty_pct (of an hour), deaf
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from halow.airtime import Way, frame_s, way_told
from halow.model import LinkSample, RadioSample, Rate, Survey

DUTY_S = 3_600.0
"""Over what a duty cycle is counted (ERC Recommendation 70-03, annex 3)."""

SLICE_S = 60.0
"""The hour is kept in slices of this length."""


@dataclass(frozen=True, slots=True)
class AirUse:
    """Shares of time in percent; None = not known.

    `busy_pct` is what the survey heard on the channel since the look before, `tx_pct` what of it we sent. `duty_pct` is
    our share of the last hour, `estimated` where it follows from frames and rates and not from the radio's own clock.
    `deaf_s` is how long nobody was heard although somebody was spoken to; 0.0 = we hear.
    """

    busy_pct: float | None = None
    tx_pct: float | None = None
    duty_pct: float | None = None
    estimated: bool = False
    deaf_s: float = 0.0


class AirWatch:
    """One radio over time. `now` is monotonic seconds."""

    def __init__(self, width_mhz: int) -> None:
        """`width_mhz` stands in where the radio's true width is not known."""
        self._width_mhz = width_mhz
        self._survey: Survey | None = None
        self._peers: dict[str, LinkSample] = {}
        self._sent: deque[tuple[float, float, float]] = deque()      # slices: end, seconds looked at, seconds sent
        self._looked_at: float | None = None
        self._heard_at: float | None = None
        self._spoken_to: set[str] = set()      # since anybody was heard

    def add(self, sample: RadioSample, now: float) -> AirUse:
        """Take in one look at the radio; return how its air is used now."""
        before, self._looked_at = self._looked_at, now
        passed_s = 0.0 if before is None else now - before
        survey, self._survey = self._survey, sample.survey
        busy_pct = tx_pct = tx_s = None
        if survey is not None and sample.survey is not None:
            busy_pct = _share(survey.time_ms, sample.survey.time_ms, survey.busy_ms, sample.survey.busy_ms)
            tx_pct = _share(survey.time_ms, sample.survey.time_ms, survey.tx_ms, sample.survey.tx_ms)
            tx_s = None if tx_pct is None else passed_s * tx_pct / 100.0
        deaf_s = self._deaf_s(sample.peers, now)
        estimated = tx_s is None
        if tx_s is None and passed_s:
            tx_s = self._estimate_s(sample)
        self._peers = {peer.mac: peer for peer in sample.peers}
        return AirUse(busy_pct, tx_pct, self._duty_pct(now, passed_s, tx_s), estimated, deaf_s)

    def gone(self) -> None:
        """Note that the radio was away: what it counted before says nothing any more."""
        self._survey, self._peers, self._looked_at = None, {}, None
        self._heard_at = None
        self._spoken_to.clear()

    def _deaf_s(self, peers: Sequence[LinkSample], now: float) -> float:
        heard = False
        for peer in peers:
            before = self._peers.get(peer.mac)
            heard = heard or before is None or _grew(before.rx_packets, peer.rx_packets) or (
                peer.inactive_ms is not None and self._heard_at is not None
                and now - peer.inactive_ms / 1000.0 > self._heard_at + 1.0)
            if before is not None and _grew(before.tx_packets, peer.tx_packets):
                self._spoken_to.add(peer.mac)
        if heard or self._heard_at is None:
            self._heard_at = now
            self._spoken_to.clear()
            return 0.0
        # one peer that does not answer may be switched off; that two of them are, at the same moment, is unlikely
        return now - self._heard_at if len(self._spoken_to) > 1 else 0.0

    def _estimate_s(self, sample: RadioSample) -> float | None:
        """Return how long we sent since the look before, from the frames and octets to each peer and their rate."""
        total, known = 0.0, False
        for peer in sample.peers:
            before = self._peers.get(peer.mac)
            if before is None or not _grew(before.tx_packets, peer.tx_packets):
                continue
            assert before.tx_packets is not None
            assert peer.tx_packets is not None
            frames = peer.tx_packets - before.tx_packets
            octets = max((peer.tx_bytes or 0) - (before.tx_bytes or 0), 0)
            retries = max((peer.tx_retries or 0) - (before.tx_retries or 0), 0)
            total += (frames + retries) * frame_s(octets // frames, self._way(peer.tx_rate, sample))
            known = True
        return total if known or sample.peers else None

    def _way(self, rate: Rate | None, sample: RadioSample) -> Way:
        width = sample.facts.width_mhz or self._width_mhz
        told = None if rate is None else way_told(rate.width_mhz, rate.mcs, short_gi=bool(rate.short_gi))
        return told or Way(width, 10 if width == 1 else 0)      # the slowest: an estimate that errs to the safe side

    def _duty_pct(self, now: float, passed_s: float, tx_s: float | None) -> float | None:
        if tx_s is not None and passed_s:
            if self._sent and now - self._sent[-1][0] < SLICE_S and self._sent[-1][1] < SLICE_S:
                _, looked_s, sent_s = self._sent.pop()
                self._sent.append((now, looked_s + passed_s, sent_s + tx_s))
            else:
                self._sent.append((now, passed_s, tx_s))
        while self._sent and self._sent[0][0] < now - DUTY_S:
            self._sent.popleft()
        looked_s = sum(looked for _, looked, _ in self._sent)
        # of a whole hour, also when the gateway has run for a minute only: what came before is not ours to invent
        return 100.0 * sum(sent for *_, sent in self._sent) / max(looked_s, DUTY_S) if looked_s else None


def _grew(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _share(time_before: int | None, time_after: int | None, before: int | None, after: int | None) -> float | None:
    """Return in percent how a counter grew against time; None when one began again or is not there."""
    if time_before is None or time_after is None or before is None or after is None:
        return None
    if time_after <= time_before or after < before:
        return None
    return min(100.0, 100.0 * (after - before) / (time_after - time_before))

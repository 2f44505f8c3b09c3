"""HaLow links as data, and the arithmetic of loss and shared air (pure but for the generator handed in).

The figures are composites of what 802.11ah and its modules give (rates, sensitivities, duty limits, measured pings),
one way; no single published trace stands behind them.
"""

import math
import random
from dataclasses import dataclass

FIRST_RETRANSMISSION_S = 0.2       # Linux's minimal retransmission time-out; doubles each time
RETRANSMISSION_MAX_S = 60.0
FULL_SEGMENT_BITS = 1_500 * 8


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """One way over the air. `loss` is the share of segments lost, in bursts of `burst` on average."""

    name: str
    rssi_dbm: int
    delay_range_s: tuple[float, float]
    jitter_s: float
    loss: float
    burst: float
    rate_bps: float
    queue_s: float = 3.0           # a segment that would wait longer for air is dropped

    @property
    def delay_s(self) -> float:
        """The smallest delay."""
        return self.delay_range_s[0]


PROFILES = {profile.name: profile for profile in (
    LinkProfile("none", 0, (0.0, 0.0), 0.0, 0.0, 1.0, 1e9),
    LinkProfile("good", -65, (0.004, 0.004), 0.003, 0.001, 1.0, 5e6, 0.3),         # 2 MHz, MCS 7 and better
    LinkProfile("fair", -85, (0.015, 0.015), 0.015, 0.02, 3.0, 900e3, 0.6),        # 2 MHz, MCS 1 to 2
    LinkProfile("poor", -95, (0.040, 0.040), 0.080, 0.10, 5.0, 150e3, 1.5),        # 1 MHz, MCS 10 or 0
    LinkProfile("eu-duty", -80, (0.015, 0.015), 0.020, 0.01, 3.0, 40e3, 3.0),      # 1 MHz under 2.8 % duty
    LinkProfile("sleepy", -75, (0.5, 3.0), 0.2, 0.01, 1.0, 300e3, 3.0),            # TWT, long listen intervals
)}


class Medium:
    """Air that is used by one at a time, in both directions."""

    def __init__(self) -> None:
        """Free from the start."""
        self._free_at = 0.0
        self.busy_s = 0.0

    def wait_s(self, now: float) -> float:
        """Return how long who comes now waits for air."""
        return max(self._free_at - now, 0.0)

    def reserve(self, air_s: float, now: float) -> float:
        """Take the next `air_s` seconds of air; return when they are over."""
        self._free_at = max(self._free_at, now) + air_s
        self.busy_s += air_s
        return self._free_at


class LossModel:
    """Gilbert's two states in continuous time: in the bad one every segment is lost.

    A bad spell lasts as long as `burst` full segments on the air, on average; `loss` is its share of all time. So what
    is sent back to back is lost together, and a retransmission finds the fade half over or gone.
    """

    def __init__(self, rng: random.Random) -> None:
        """Start in the good state."""
        self._rng = rng
        self._bad = False
        self._seen_at = 0.0

    def stall_s(self, profile: LinkProfile, sent_at: float, queueing_s: float = 0.0) -> float:
        """How long TCP needs to get one segment through: 0, or 0.2, 0.6, 1.4 ... s of doubling time-outs."""
        if profile.loss <= 0.0:
            return 0.0
        self._bad = self._look(profile, bad=self._bad, after_s=sent_at - self._seen_at)
        self._seen_at = max(sent_at, self._seen_at)
        lost, stall, timeout = self._bad or queueing_s > profile.queue_s, 0.0, FIRST_RETRANSMISSION_S
        bad = self._bad
        while lost:
            stall += timeout
            lost = bad = self._look(profile, bad=bad, after_s=timeout)
            timeout = min(2 * timeout, RETRANSMISSION_MAX_S)
        return stall

    def _look(self, profile: LinkProfile, *, bad: bool, after_s: float) -> bool:
        """Draw the state `after_s` later."""
        spell_s = profile.burst * FULL_SEGMENT_BITS / profile.rate_bps
        memory = math.exp(-max(after_s, 0.0) / (spell_s * (1.0 - profile.loss)))
        return self._rng.random() < profile.loss + (bad - profile.loss) * memory


def next_retransmission(outage_s: float) -> float:
    """When TCP tries again after an outage, in seconds from its beginning."""
    attempt, timeout = FIRST_RETRANSMISSION_S, FIRST_RETRANSMISSION_S
    while attempt < outage_s:
        timeout = min(2 * timeout, RETRANSMISSION_MAX_S)
        attempt += timeout
    return attempt

"""What an exchange costs on the air, and who has how much of it (pure).

A frame is a preamble, the data in whole OFDM symbols, a short gap and an NDP acknowledgement; before it the channel is
waited for. From IEEE 802.11-2020: clause 23 (S1G PHY: symbols of 40 us, preambles, SIFS 160 us, slot 52 us), 9.9 (NDP
CMAC frames), 10.23 (EDCA). It is what a quiet channel takes; what others send comes on top.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from halow.s1g import DATA_SUBCARRIERS, MODULATION, SYMBOL_US, rate_kbps, sensitivity_dbm

SIFS_US, SLOT_US = 160, 52
AIFS_US = SIFS_US + 3 * SLOT_US            # best effort, AIFSN 3
BACKOFF_US = 15 * SLOT_US / 2              # mean of the first contention window, CWmin 15
PREAMBLE_US = {1: 560, 2: 240, 4: 240, 8: 240, 16: 240}      # S1G_1M: 14 symbols; S1G_SHORT: 6
SERVICE_AND_TAIL_BITS = 8 + 6

MAC_BYTES = 26 + 16 + 4                    # QoS data header, CCMP header and MIC, FCS
LLC_BYTES = 8
TCP_IP_BYTES = 20 + 20 + 12                # IPv4, TCP, its time stamps

RETRY_MOST_PCT = 95.0
"""Beyond, a link carries nothing that could be planned with."""


@dataclass(frozen=True, slots=True)
class Way:
    """How frames travel between two radios. `retry_pct`: repeated frames per 100 sent. `hops` 2: by an access point."""

    width_mhz: int
    mcs: int
    retry_pct: float = 0.0
    short_gi: bool = False
    hops: int = 1

    @property
    def attempts(self) -> float:
        """How often a frame is sent until it has arrived, on average."""
        return 1.0 / (1.0 - min(max(self.retry_pct, 0.0), RETRY_MOST_PCT) / 100.0)


@dataclass(frozen=True, slots=True)
class Air:
    """Time in seconds: `channel_s` that the channel is taken, `near_s` and `far_s` that either side transmits."""

    channel_s: float
    near_s: float
    far_s: float

    def __add__(self, other: "Air") -> "Air":
        """Return both, one after the other."""
        return Air(self.channel_s + other.channel_s, self.near_s + other.near_s, self.far_s + other.far_s)

    def times(self, count: float) -> "Air":
        """Return it so many times."""
        return Air(self.channel_s * count, self.near_s * count, self.far_s * count)


NOTHING = Air(0.0, 0.0, 0.0)


def way_for(rssi_dbm: float, width_mhz: int, *, margin_db: float = 3.0, retry_pct: float = 0.0) -> Way:
    """Return how a peer of this strength is reached: the fastest MCS that leaves `margin_db`, else the slowest."""
    best = 10 if width_mhz == 1 else 0
    for mcs in sorted(MODULATION):
        needed = sensitivity_dbm(mcs, width_mhz)
        if needed is None or needed + margin_db > rssi_dbm:
            continue
        if (rate_kbps(mcs, width_mhz) or 0) > (rate_kbps(best, width_mhz) or 0):
            best = mcs
    return Way(width_mhz, best, retry_pct)


def way_told(width_mhz: int | None, mcs: int | None, retry_pct: float = 0.0, *, short_gi: bool = False) -> Way | None:
    """Return the way that a driver tells, None where it tells none or one that S1G does not have (MCS 9 at 2 MHz)."""
    if width_mhz is None or mcs is None or rate_kbps(mcs, width_mhz) is None:
        return None
    return Way(width_mhz, mcs, retry_pct, short_gi)


def frame_s(body_bytes: int, way: Way) -> float:
    """Return how long one transmitter sends for one frame with `body_bytes` above the MAC header.

    ValueError where width and MCS do not go together.
    """
    if rate_kbps(way.mcs, way.width_mhz) is None:
        raise ValueError(f"MCS {way.mcs} does not exist at {way.width_mhz} MHz")
    _, bits, coding = MODULATION[way.mcs]
    per_symbol = Fraction(DATA_SUBCARRIERS[way.width_mhz] * bits) * coding
    symbols = math.ceil((SERVICE_AND_TAIL_BITS + 8 * (MAC_BYTES + body_bytes)) / per_symbol)
    symbol_us = SYMBOL_US * (0.9 if way.short_gi else 1.0)
    return (PREAMBLE_US[way.width_mhz] + symbols * symbol_us) / 1e6


def message(body_bytes: int, way: Way, *, near: bool) -> Air:
    """Return what bringing one packet over costs, its acknowledgements and repetitions included.

    `near`: we send it. Over two hops the access point sends it once more, which is nobody's share but the channel's.
    """
    data_s = frame_s(body_bytes, way) * way.attempts
    ack_s = PREAMBLE_US[way.width_mhz] / 1e6
    around_s = (AIFS_US + BACKOFF_US + SIFS_US) / 1e6 * way.attempts + ack_s
    sent, answered = (data_s, ack_s) if near else (ack_s, data_s)
    return Air((data_s + around_s) * way.hops, sent, answered)


def exchange(out_bytes: int, in_bytes: int, way: Way, *, max_body_bytes: int = 1460) -> Air:
    """Return what a request and its answer cost over a kept TCP connection.

    `out_bytes` and `in_bytes` are what TCP carries (102 and 54 for a poll of nine values over the wrapper). The answer
    acknowledges the request; the last acknowledgement travels alone.
    """
    total = NOTHING
    for octets, near in ((out_bytes, True), (in_bytes, False)):
        whole, rest = divmod(octets, max_body_bytes)
        for count, size in ((whole, max_body_bytes), (1, rest)):
            if count and size:
                total += message(LLC_BYTES + TCP_IP_BYTES + size, way, near=near).times(count)
    return total + message(LLC_BYTES + TCP_IP_BYTES, way, near=True)


def connection(way: Way) -> Air:
    """Return what a TCP connection costs beside what it carries: three packets to open it, FIN and answer both ways."""
    packet = LLC_BYTES + TCP_IP_BYTES
    return message(packet, way, near=True).times(4) + message(packet, way, near=False).times(3)

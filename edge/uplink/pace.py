"""How fast the backlog may go out (pure): window, token buckets, the server's limits, back-off.

ThingsBoard tells its limits when asked with the client RPC `getSessionLimits` (DeviceSessionLimits, 4.0 on); a server
that never answers leaves everything as the settings say.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from edge.uplink.bucket import SHARE, Rate, TokenBucket
from edge.uplink.heard import heard
from edge.uplink.ramp import Quota, Ramp

DEFAULT_PACKET_BYTES = 65_536  # ThingsBoard's max_payload_size, which means the whole packet
LEAST_PACKET_BYTES = 1_024     # a server that took less would have every reading thrown away as too large for it
OVERHEAD_BYTES = 64            # of a PUBLISH around its payload: header, topic, packet id, properties
TARGET_S = 5.0                 # so long, or a little more, a new alarm waits behind what is on its way
MOST_RATES = 16               # of one kind; and what a sane server counts, and in how long
MOST_COUNT, SHORTEST_S, LONGEST_S = 10**12, 0.001, 1e9
LEAST_BYTES = 4_096            # a batch, however slow the link is
FIRST_BYTES = 16_384           # on the way before anything is known of the link
SAMPLES = 16                   # PUBACKs whose best rate is believed
SPARE_IDS = 4                  # packet ids kept back: gmqtt hands out one less, SUBSCRIBE takes some


class Rng(Protocol):
    """The one thing asked of random.Random."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between a and b."""


def backoff(first_s: float, max_s: float, rng: Rng) -> Iterator[float]:
    """Yield delays for ever: doubling from `first_s` to `max_s`, each shortened by up to half at random."""
    delay_s = first_s
    while True:
        yield rng.uniform(delay_s / 2, delay_s)
        delay_s = min(delay_s * 2, max_s)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one limited party may send: messages of any kind, telemetry messages, data points. Empty: no limit."""

    messages: tuple[Rate, ...] = ()
    telemetry: tuple[Rate, ...] = ()
    points: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The server's answer. None or empty: it set no such limit."""

    max_payload_bytes: int | None = None
    max_inflight: int | None = None
    own: Rates = Rates()           # the gateway's own messages
    devices: Rates = Rates()       # what it sends for its meters


class _Wire(msgspec.Struct, rename="camel"):
    messages: str | None = None
    telemetry_messages: str | None = None
    telemetry_data_points: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    max_payload_size: int | None = None
    max_inflight_messages: int | None = None
    rate_limits: _Wire | None = None
    gateway_rate_limits: _Wire | None = None


def parse_rates(text: str | None) -> tuple[Rate, ...]:
    """Read "20:1,600:60" (count:seconds). Raises ValueError."""
    rates: list[Rate] = []
    for part in (text or "").split(",", MOST_RATES + 1):
        if not part.strip():
            continue
        count, _, period = part.partition(":")
        rate = Rate(int(count), float(period))
        if not 0 < rate.count <= MOST_COUNT or not SHORTEST_S <= rate.period_s <= LONGEST_S:
            raise ValueError(f"rate limit {part[:40]!r}: count and seconds must be positive, and no fantasies")
        rates.append(rate)
    if len(rates) > MOST_RATES:
        raise ValueError(f"more than {MOST_RATES} rate limits of one kind")
    return tuple(rates)


def parse_limits(payload: bytes) -> SessionLimits:
    """Read the answer to getSessionLimits. Raises ValueError for anything that is none."""
    try:
        answer = heard(payload, _Answer)
    except ValueError as error:
        raise ValueError(f"not an answer to getSessionLimits: {error}") from None
    if answer.max_payload_size and answer.max_payload_size < LEAST_PACKET_BYTES:
        raise ValueError(f"payloads of {answer.max_payload_size} bytes hold no reading")

    def rates(wire: _Wire | None) -> Rates:
        if wire is None:
            return Rates()
        return Rates(parse_rates(wire.messages), parse_rates(wire.telemetry_messages),
                     parse_rates(wire.telemetry_data_points))

    return SessionLimits(answer.max_payload_size, answer.max_inflight_messages,
                         rates(answer.rate_limits), rates(answer.gateway_rate_limits))


@dataclass(frozen=True, slots=True)
class Cost:
    """What one publication is in the server's books."""

    own: bool
    messages: int = 0
    entries: int = 0
    points: int = 0

    @property
    def amounts(self) -> tuple[tuple[str, int], ...]:
        """Return what it takes of which limit."""
        return ("messages", self.messages), ("telemetry", self.entries), ("points", self.points)


class Pace:
    """Window and buckets of one connection.

    `window_messages` and `window_bytes` come from the settings; `receive_maximum` and `packet_limit_bytes` from
    CONNACK; `learn` takes the server's own answer when it comes; `quota` is what earlier connections have shown.
    """

    def __init__(self, *, window_messages: int, window_bytes: int, batch_bytes: int, receive_maximum: int | None = None,
                 packet_limit_bytes: int | None = None, quota: Quota | None = None) -> None:
        self.window_messages = max(1, min(window_messages, (receive_maximum or 65_535) - SPARE_IDS))
        self.window_bytes = window_bytes
        self.batch_bytes = min(batch_bytes, DEFAULT_PACKET_BYTES - OVERHEAD_BYTES)
        self.record_limit_bytes = DEFAULT_PACKET_BYTES - OVERHEAD_BYTES
        self._batch_points: int | None = None
        self._ramp, self._quota = Ramp(window_bytes), quota or Quota()
        self._rates: deque[float] = deque(maxlen=SAMPLES)
        self._link_bytes = FIRST_BYTES
        self._buckets: dict[tuple[bool, str], tuple[TokenBucket, ...]] | None = None
        self._spent: dict[tuple[bool, str], int] = {}      # before the server told its limits
        if packet_limit_bytes:
            self._cap_payload(packet_limit_bytes)

    @property
    def batch_now_bytes(self) -> int:
        """How large a batch may be on this link: at least two of them on the way keep it busy."""
        return min(self.batch_bytes, max(LEAST_BYTES, self._link_bytes // 2), self._ramp.limit_bytes // 2)

    def batch_points(self, now: float) -> int | None:
        """Return how many data points a batch may have; None: any number."""
        return min((points for points in (self._batch_points, self._quota.batch_points(now)) if points is not None),
                   default=None)

    def answered(self, size_bytes: int, delivered_bytes: int, sent_at: float, now: float) -> None:
        """Take the PUBACK of one publication: `delivered_bytes` were acknowledged since it was sent, its own included.

        gmqtt and the kernel take a whole window at once, however thin the link, and then an alarm waits behind it: on
        20 kbit/s two minutes behind 256 KiB. The best rate seen of late bounds the window to `TARGET_S` of it; a link
        that carries more raises it with every round trip.
        """
        self._rates.append(delivered_bytes / max(now - sent_at, 0.001))
        self._ramp.answered(size_bytes, sent_at, now)
        self._link_bytes = max(2 * LEAST_BYTES, int(max(self._rates) * TARGET_S))

    def learn(self, limits: SessionLimits, now: float) -> None:
        """Keep within what the server said. Only ever tightens the settings."""
        if limits.max_payload_bytes:
            self._cap_payload(limits.max_payload_bytes)
        if limits.max_inflight:
            self.window_messages = max(1, min(self.window_messages, int(limits.max_inflight * SHARE)))
        self._buckets = {(own, what): tuple(TokenBucket(rate, now) for rate in getattr(rates, what))
                         for own, rates in ((True, limits.own), (False, limits.devices))
                         for what in ("messages", "telemetry", "points")}
        for place, amount in self._spent.items():
            for bucket in self._buckets[place]:
                bucket.spend(amount)
        self._spent.clear()
        capacities = [bucket.capacity for (_, what), buckets in self._buckets.items() if what == "points"
                      for bucket in buckets]
        self._batch_points = int(min(capacities)) if capacities else None

    def _cap_payload(self, limit_bytes: int) -> None:
        self.record_limit_bytes = min(self.record_limit_bytes, max(1, limit_bytes - OVERHEAD_BYTES))
        self.batch_bytes = min(self.batch_bytes, int(limit_bytes * SHARE), self.record_limit_bytes)

    def room(self, messages: int, in_flight_bytes: int, more_bytes: int, more: int = 1) -> bool:
        """Tell whether the window takes `more` publications. A batch always fits into an empty window."""
        if not messages:
            return True
        limit_bytes = min(self.window_bytes, self._link_bytes, self._ramp.limit_bytes)
        return messages + more <= self.window_messages and in_flight_bytes + more_bytes <= limit_bytes

    def wait_s(self, cost: Cost, now: float, *, bulk: bool = False) -> float:
        """Return how long `cost` has to wait for the server's rate limits; 0.0: go. `bulk`: it is of the backlog."""
        told_s = max((bucket.wait_s(amount, now) for bucket, amount in self._charges(cost)), default=0.0)
        return max(told_s, self._quota.wait_s(cost.entries, cost.points, now)) if bulk else told_s

    def spend(self, cost: Cost, now: float) -> None:
        """Book a publication that was sent."""
        for bucket, amount in self._charges(cost):
            bucket.wait_s(amount, now)
            bucket.spend(amount)
        if self._buckets is None:
            for what, amount in cost.amounts:
                self._spent[cost.own, what] = self._spent.get((cost.own, what), 0) + amount
        self._quota.spend(cost.entries, cost.points, now)

    def _charges(self, cost: Cost) -> Iterator[tuple[TokenBucket, int]]:
        if self._buckets is not None:
            for what, amount in cost.amounts:
                for bucket in self._buckets[cost.own, what] if amount else ():
                    yield bucket, amount

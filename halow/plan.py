"""How many meters at what interval a site can carry, and what is the limit (pure).

Three things run out: the channel (everybody's air time together), the gateway's own duty cycle, and each peer's. The
plan says how much of each is used, which one gives way first, and how far it could go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from halow.airtime import NOTHING, Air, Way, exchange
from halow.regions import Region

USABLE_PCT = 60.0
"""Of the channel: about what stations that wait for one another get out of it before delays grow without bound."""

POLL_BYTES = (102, 54)
"""A poll of nine values over the wrapper, with-list, as counted (tests/poll/test_poll_session.py)."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one peer asks of the air: `meters` behind it, each polled once per `interval_s`."""

    name: str
    way: Way
    interval_s: float
    meters: int = 1
    poll_bytes: tuple[int, int] = POLL_BYTES

    @property
    def per_s(self) -> Air:
        """Return the air time it takes in each second."""
        return exchange(*self.poll_bytes, self.way).times(self.meters / self.interval_s)


@dataclass(frozen=True, slots=True)
class Share:
    """How much of one limit is used, in percent of time: `used_pct` of `limit_pct`."""

    what: str
    used_pct: float
    limit_pct: float

    @property
    def filled(self) -> float:
        """Return the part of the limit that is used; above 1 it does not fit."""
        return self.used_pct / self.limit_pct if self.limit_pct > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked, and how it fills each limit; `shares` begin with the tightest."""

    loads: tuple[Load, ...]
    shares: tuple[Share, ...]

    @property
    def fits(self) -> bool:
        """Tell whether no limit is passed."""
        return self.shares[0].filled <= 1.0

    @property
    def tightest(self) -> Share:
        """Return the limit that gives way first."""
        return self.shares[0]

    @property
    def stretch(self) -> float:
        """Return by what all intervals must be multiplied, at least, to just fit; below 1 there is room."""
        return self.tightest.filled

    @property
    def meters_most(self) -> int:
        """Return how many meters like these, spread like these, fit at these intervals."""
        meters = sum(load.meters for load in self.loads)
        return int(meters / self.stretch) if self.stretch > 0 else meters


def plan(
    loads: Sequence[Load], region: Region | None, *, access_point: bool = True, busy_pct: float = 0.0,
) -> Plan:
    """Plan a site. `busy_pct`: what others take of the channel, as the survey shows it.

    Without a region no duty cycle is counted. ValueError without loads.
    """
    if not loads:
        raise ValueError("nothing to plan: no meters")
    total = NOTHING
    worst: Share | None = None
    far_pct = 100.0 if region is None else region.duty_pct(access_point=not access_point)
    for load in loads:
        air = load.per_s
        total += air
        share = Share(f"duty cycle of {load.name}", air.far_s * 100.0, far_pct)
        if worst is None or share.filled > worst.filled:
            worst = share
    assert worst is not None
    near_pct = 100.0 if region is None else region.duty_pct(access_point=access_point)
    shares = [
        Share("the channel", total.channel_s * 100.0, max(USABLE_PCT - busy_pct, 0.0)),
        Share("duty cycle of the gateway", total.near_s * 100.0, near_pct),
        worst,
    ]
    return Plan(tuple(loads), tuple(sorted(shares, key=lambda share: -share.filled)))

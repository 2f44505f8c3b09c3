"""Which meters are looked for, and what follows from where an identity was seen (pure).

    poller's state ─► Watch: missing for long enough?        sightings of a whole sweep ─► decide ─► Finding

A meter is moved in the registry only where its identity was seen at one address and nowhere else, and where that
address is not another registered meter's, unless that one is moved away in the same moment (two that changed places).
Everything else is told, and nothing is changed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from edge.discovery.doors import Door
from edge.errors import FailReason

GONE = frozenset((FailReason.UNREACHABLE, FailReason.NO_ANSWER, FailReason.WRONG_METER))
"""Why a meter may have moved. Any other failure was said by the meter itself, or by a bridge that is there."""


class Sight(NamedTuple):
    """How polling a meter stands: `resting` = its circuit is not closed."""

    resting: bool
    reason: str


class Watch:
    """Since when each meter is missing. `now` is monotonic seconds."""

    def __init__(self, missing_after_s: float) -> None:
        """A meter counts as missing after so long without an answer of its own."""
        self._after_s = missing_after_s
        self._since: dict[str, float] = {}

    def look(self, sights: Mapping[str, Sight], now: float) -> frozenset[str]:
        """Take how all meters stand; return those that are missing."""
        gone = {name for name, sight in sights.items() if sight.resting and sight.reason in GONE}
        self._since = {name: self._since.get(name, now) for name in gone}
        return frozenset(name for name, since in self._since.items() if now - since >= self._after_s)


@dataclass(frozen=True, slots=True)
class Placed:
    """A registered meter: where, how it is addressed there, who it is ("" = not learned)."""

    name: str
    host: str
    port: int
    door: Door
    identity: str
    replaced: bool = False           # another meter answers at its address

    def shares_place_with(self, other: "Placed", host: str) -> bool:
        """Tell whether it would stand where `other` is registered if it were at `host`."""
        return (host, self.port, self.door[2:]) == (other.host, other.port, other.door[2:])


class Kind(StrEnum):
    """What a finding is. Sent upstream as an event's name, so a name is never changed."""

    MOVED = "meter_moved"
    TWICE = "meter_found_twice"
    TAKEN = "meter_found_at_taken_address"
    SHARED = "meter_identity_not_unique"


class Finding(NamedTuple):
    """What is to be told about a meter, and for MOVED what is to be done: its host becomes `hosts[0]`."""

    kind: Kind
    name: str
    hosts: tuple[str, ...]
    detail: str


def decide(
    lost: Collection[Placed], seen: Mapping[str, Iterable[str]], registered: Collection[Placed],
) -> list[Finding]:
    """Judge a whole sweep. `seen` maps a lost meter's name to the hosts where its identity was told."""
    findings: dict[str, Finding] = {}
    for meter in lost:
        hosts = tuple(sorted(set(seen.get(meter.name, ())) - {meter.host}))
        if hosts:
            findings[meter.name] = _alone(meter, hosts, registered)
    moving = {meter.name: meter for meter in lost
              if meter.name in findings and findings[meter.name].kind is Kind.MOVED}
    while taken := {name: owner for name, meter in moving.items()
                    if (owner := _owner(meter, findings[name].hosts[0], registered, moving))}:
        for name, owner in taken.items():
            (host,) = findings[name].hosts
            findings[name] = Finding(Kind.TAKEN, name, (host,), f"it answers at {host}, where {owner} is registered: "
                                                                "nothing was changed")
            del moving[name]
    return list(findings.values())


def _alone(meter: Placed, hosts: tuple[str, ...], registered: Collection[Placed]) -> Finding:
    """Judge one meter without regard to whose address it is."""
    twins = sorted(other.name for other in registered if other.name != meter.name and other.identity == meter.identity)
    if twins:
        return Finding(Kind.SHARED, meter.name, hosts,
                       f"{meter.identity} is also {', '.join(twins)}: nothing was changed")
    if len(hosts) > 1:
        return Finding(Kind.TWICE, meter.name, hosts,
                       f"{meter.identity} answers at {' and at '.join(hosts)}: nothing was changed")
    old = "another meter answers there now" if meter.replaced else "nobody answers there"
    return Finding(Kind.MOVED, meter.name, hosts, f"from {meter.host} to {hosts[0]}, by its identity {meter.identity}; "
                                                  f"{old}")


def _owner(meter: Placed, host: str, registered: Iterable[Placed], moving: Collection[str]) -> str:
    """Return whose address a meter would take, "" where nobody stays there."""
    return next((other.name for other in registered if other.name != meter.name and other.name not in moving
                 and meter.shares_place_with(other, host)), "")

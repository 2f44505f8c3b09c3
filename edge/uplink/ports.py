"""What the uplink asks of its neighbours, and what all its connections share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edge.clock import Clock
from edge.config import UplinkSettings
from edge.model import Record, SeqSpan, Stored, Stream
from edge.uplink.attributes import Attributes
from edge.uplink.delivered import Delivered
from edge.uplink.dialect import Dialect
from edge.uplink.poison import Place, Poison, place
from edge.uplink.presence import nobody_is_silent
from edge.uplink.ramp import Quota
from edge.uplink.talk import Talk


class BacklogView(Protocol):
    """What the ring says about one stream."""

    @property
    def records(self) -> int:
        """Un-acknowledged records."""

    @property
    def newest_seq(self) -> int:
        """The highest sequence number; 0 in an empty stream."""


class RingPort(Protocol):
    """What the uplink asks of the ring (edge.ring; docs/architecture.md)."""

    async def append(self, stream: Stream, record: Record) -> int:
        """Keep a record; durable when it returns."""

    async def read(self, stream: Stream, *, after: int | None, limit_records: int, limit_bytes: int) -> list[Stored]:
        """Return un-acknowledged records above `after` (None: from the oldest), ascending."""

    async def read_newest(self, stream: Stream, *, before: int | None, limit_records: int,
                          limit_bytes: int) -> list[Stored]:
        """Return the newest un-acknowledged records below `before` (None: of all), ascending."""

    def ack(self, span: SeqSpan) -> None:
        """Let go of a span."""

    def backlog(self, stream: Stream) -> BacklogView:
        """Say what waits."""

    async def wait_committed(self) -> None:
        """Return at the next commit that brought records."""


@dataclass(slots=True)
class Tally:
    """What the uplink counts over its life."""

    sent_records: int = 0
    acked_records: int = 0
    refused: int = 0               # publications whose PUBACK said no
    quarantined: int = 0


class Parking:
    """Meters that the server refused to create (device limit): their records rest, everything else goes on."""

    FIRST_S = 30.0
    LONGEST_S = 600.0

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._rest_s: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    def refuse(self, device: str, now: float) -> float:
        """Let a meter rest, twice as long each time, and return how long."""
        rest_s = min(2 * self._rest_s.get(device, self.FIRST_S / 2), self.LONGEST_S)
        self._rest_s[device] = rest_s
        self._until[device] = now + rest_s
        return rest_s

    def accept(self, device: str) -> None:
        """Forget a meter's refusals."""
        self._until.pop(device, None)
        self._rest_s.pop(device, None)

    def rests(self, device: str, now: float) -> bool:
        """Tell whether a meter's records are not to be sent now."""
        return bool(self._until) and self._until.get(device, now) > now

    def until(self, device: str) -> float:
        """Return when a meter's rest is over."""
        return self._until.get(device, float("-inf"))

    def names(self, now: float) -> tuple[str, ...]:
        """Return who rests."""
        return tuple(sorted(device for device, until in self._until.items() if until > now))


@dataclass(slots=True)
class Shared:
    """What outlives a connection.

    `activity` wakes the drain: commits of the ring, changed attributes, and everything of the session.
    """

    ring: RingPort
    settings: UplinkSettings
    clock: Clock
    promise: Callable[[float], None]
    dialect: Dialect
    leaving: Callable[[], str] = lambda: ""      # why the connection must end for another path
    attributes: Attributes = field(default_factory=Attributes)
    activity: asyncio.Event = field(default_factory=asyncio.Event)
    commits: int = 0               # of the ring, so far
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    poison: Poison = field(default_factory=Poison)
    tally: Tally = field(default_factory=Tally)
    parking: Parking = field(default_factory=Parking)
    delivered: Delivered = field(default_factory=Delivered)
    quota: Quota = field(default_factory=Quota)
    silent: Callable[[str], bool] = nobody_is_silent
    talks: tuple[Talk, ...] = ()
    reports: asyncio.Queue[Record | tuple[Stored, str]] = field(default_factory=asyncio.Queue)
    condemned: set[Place] = field(default_factory=set)     # in `reports`, and not to be sent meanwhile

    def condemn(self, stored: Stored, reason: str) -> None:
        """Have a record reported and let go of, in the background: the ring may need long to make a report durable."""
        if place(stored) not in self.condemned:
            self.condemned.add(place(stored))
            self.reports.put_nowait((stored, reason))

    def let_go(self, span: SeqSpan) -> None:
        """Acknowledge a span in the ring: ThingsBoard has it, or never will."""
        self.ring.ack(span)
        self.delivered.add(span)
        self.acknowledged.set()

"""Watches the paths to the server: probes those not in use, says which one to take, counts what each one carries.

It outlives connections. The uplink asks for `way` before each, tells what it hears, and leaves when `leaving` says so.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from edge.clock import Clock
from edge.config import PathSettings, PathsSettings, UplinkSettings
from edge.model import Field, Kind, Record, Schema
from edge.uplink.addresses import Addresses
from edge.uplink.dial import Dialer
from edge.uplink.hours import LocalMinute, utc_minute
from edge.uplink.pace import Rng
from edge.uplink.paths import Chooser, Rule, Switch
from edge.uplink.probe import probe
from edge.uplink.ration import Ration
from edge.uplink.traffic import Traffic
from edge.uplink.way import ONLY, Way, way_of

log = logging.getLogger(__name__)

TICK_S = 5.0
TICKS = 12                 # at least so many looks within dead_after_s
SPARE_S = 10.0             # beyond the longest attempt to connect and the longest rest before the next
TELL_EVERY_S = 3_600.0
DAY_MS = 86_400_000

EVENT = Schema(Kind.EVENT, (Field("event"), Field("detail")))


def schema(names: Iterable[str]) -> Schema:
    """Return the columns of what paths of these names carried."""
    return Schema(Kind.GATEWAY, tuple(
        Field(f"path_{name}_{what}_bytes", unit="B") for name in names for what in ("sent", "received")))


class Heard(Protocol):
    """What is asked of a session."""

    @property
    def last_received(self) -> float:
        """When the server was last heard (monotonic seconds)."""


@dataclass(frozen=True, slots=True)
class PathState:
    """One path as `status` shows it. Bytes are those of this day (UTC), IP packets and all, since the last start."""

    name: str
    leads_to: str
    in_use: bool
    metered: bool
    answers: bool | None           # the last probe; None: not tried yet
    detail: str                    # why not
    probed_age_s: float | None
    sent_bytes_today: int
    received_bytes_today: int


class PathWatch:
    """The paths of one gateway. All calls belong to one loop."""

    def __init__(self, uplink: UplinkSettings, settings: PathsSettings, clock: Clock, rng: Rng,
                 tell: Callable[[Record], object], keep: Callable[[Record], object],
                 clock_of: Callable[[str], LocalMinute] = lambda _zone: utc_minute,
                 addresses: Addresses | None = None) -> None:
        """`tell` takes an event, `keep` what was counted; `clock_of` gives the local time of a zone.

        `addresses` remembers those of the server's names over restarts; None: while this lives.
        Without paths in the settings there is one, called "uplink".
        """
        self.wake: Callable[[], object] = lambda: None      # the uplink puts its own there: the path changed
        self.moved = asyncio.Event()                        # the same, for who waits; the uplink clears it
        self.dialer = Dialer(addresses)
        self._clock, self._rng, self._tell, self._keep, self._clock_of = clock, rng, tell, keep, clock_of
        self._session: Heard | None = None
        self._wanted_until = float("-inf")                  # silence means something while somebody asks
        self._probing: dict[int, asyncio.Task[None]] = {}
        self._told: dict[str, Traffic] = {}                 # in records so far
        self._tell_at = clock.monotonic() + TELL_EVERY_S
        self._day: int | None = None
        self._at_midnight: dict[str, Traffic] = {}
        self.paths: tuple[PathSettings, ...] = ()
        self.use(uplink, settings)

    def use(self, uplink: UplinkSettings, settings: PathsSettings) -> None:
        """Begin anew by other settings, at the best path. Not while there is a session."""
        if self.paths:
            self._record()
        for task in self._probing.values():
            task.cancel()
        self._probing.clear()
        self.paths = settings.path or (PathSettings(name=ONLY),)
        self._ways = tuple(way_of(uplink, path) for path in (settings.path or (None,)))
        self._several = len(settings.path) > 1
        self._uplink, self._settings = uplink, settings
        self._wanted_s = 2 * uplink.connect_timeout_s + max(uplink.backoff_max_s, uplink.refused_backoff_s) + SPARE_S
        self._tick_s = min(TICK_S, settings.dead_after_s / TICKS)
        rule = Rule(settings.dead_after_s, settings.return_after_s, settings.probe_interval_s)
        self._chooser = Chooser([path.metered for path in self.paths], rule, self._rng, self._clock.monotonic())
        self._schema = schema(path.name for path in self.paths)

    # ---- for the uplink

    @property
    def clock(self) -> Clock:
        """What a server's certificate is judged by."""
        return self._clock

    @property
    def way(self) -> Way:
        """The path to take now."""
        return self._ways[self._chooser.current]

    @property
    def path(self) -> PathSettings:
        """Its settings."""
        return self.paths[self._chooser.current]

    def ration(self) -> Ration:
        """Return what a new connection over it may send when."""
        return Ration(self.path, self._settings, self._clock_of(self._settings.zone))

    def leaving(self) -> str:
        """Return why the connection there is must end for another path; "": it need not."""
        return f"path {self.path.name} is taken: {self._chooser.why}" if self.moved.is_set() else ""

    def wanted(self) -> None:
        """Note an attempt to connect: without credentials there are none, and silence is no fault of a path."""
        now = self._clock.monotonic()
        if now >= self._wanted_until:
            self._chooser.begin(now)
        self._wanted_until = now + self._wanted_s

    def began(self, session: Heard) -> None:
        """Note a session on `way`; the server is heard over it from now on."""
        self._session = session

    def ended(self) -> None:
        """Note its end."""
        self._hear()
        self._session = None

    def answered(self) -> None:
        """Note that the server spoke, if only to refuse the login: the path is good."""
        self._chooser.heard(self._clock.monotonic())

    def states(self) -> tuple[PathState, ...]:
        """Return how it stands, the best path first."""
        now = self._clock.monotonic()
        found = []
        for at, (path, way, shown) in enumerate(zip(self.paths, self._ways, self._chooser.probes, strict=True)):
            in_use, today = at == self._chooser.current, self._today(path.name)
            found.append(PathState(
                path.name, str(way), in_use, path.metered, None if in_use or shown.at is None else shown.answered,
                "" if in_use or shown.answered else shown.detail, None if shown.at is None else now - shown.at,
                today.sent_bytes, today.received_bytes))
        return tuple(found)

    @property
    def since(self) -> float:
        """When the path in use was taken (monotonic seconds)."""
        return self._chooser.since

    @property
    def why(self) -> str:
        """Why it was taken."""
        return self._chooser.why

    # ---- its own work

    async def run(self) -> None:
        """Watch until cancelled; what was counted is then kept, where the settings name paths.

        Elsewhere nobody counts bytes, and a gateway that has sent all it has may stop with nothing unsent.
        """
        try:
            while True:
                self._count()
                if self._several:
                    self._look()
                await asyncio.sleep(self._tick_s)
        finally:
            for task in self._probing.values():
                task.cancel()
            await asyncio.gather(*self._probing.values(), return_exceptions=True)
            self._probing.clear()
            if self._settings.path:
                self._record()

    def _look(self) -> None:
        now = self._clock.monotonic()
        self._hear()
        for at, task in list(self._probing.items()):
            if task.done():
                del self._probing[at]
                task.result()      # what it raises is a bug, and goes on to the supervisor
        for at in self._chooser.due(now):
            if at not in self._probing:
                self._probing[at] = asyncio.create_task(self._probe(at), name=f"probe of {self.paths[at].name}")
        if self._session is not None:
            self._wanted_until = now + self._wanted_s
        if now < self._wanted_until and (switch := self._chooser.step(now)) is not None:
            self._switched(switch)

    def _hear(self) -> None:
        if self._session is not None and not self.moved.is_set():
            self._chooser.heard(self._session.last_received)

    async def _probe(self, at: int) -> None:
        why_not = await probe(self._uplink, self._ways[at], self.dialer, self._clock)
        level = logging.DEBUG if self._chooser.probes[at].detail == why_not else logging.INFO
        log.log(level, "path %s: %s", self.paths[at].name, why_not or "the server answers")
        self._chooser.probed(at, answered=not why_not, detail=why_not, now=self._clock.monotonic())

    def _switched(self, switch: Switch) -> None:
        before, path = self.paths[switch.before].name, self.paths[switch.path].name
        text = f"{before} -> {path}: {switch.why}"
        log.warning("path %s", text)
        self._tell(Record(EVENT, "", self._clock.stamp(), ("uplink_path_changed", text)))
        self._record()
        self.moved.set()
        self.wake()

    # ---- what it costs

    def _count(self) -> None:
        """Keep a record each hour and at midnight, so that each is of one day and their sum is what the day cost."""
        stamp = self._clock.stamp()
        day = stamp.wall_ms // DAY_MS
        if day == self._day and self._clock.monotonic() < self._tell_at:
            self.dialer.look()
            return
        self._record()
        if day != self._day:
            self._day, self._at_midnight = day, {path.name: self.dialer.carried(path.name) for path in self.paths}

    def _record(self) -> None:
        now = {path.name: self.dialer.carried(path.name) for path in self.paths}
        more = [now[path.name].minus(self._told.get(path.name, Traffic())) for path in self.paths]
        self._tell_at = self._clock.monotonic() + TELL_EVERY_S
        if any(map(any, more)):
            self._told = now
            self._keep(Record(self._schema, "", self._clock.stamp(), tuple(count for each in more for count in each)))

    def _today(self, name: str) -> Traffic:
        return self.dialer.carried(name).minus(self._at_midnight.get(name, Traffic()))


def only_path(uplink: UplinkSettings, clock: Clock, rng: Rng) -> PathWatch:
    """Return a watch that leads where the settings say, for nobody to run."""
    return PathWatch(uplink, PathsSettings(), clock, rng, tell=lambda _record: None, keep=lambda _record: None)

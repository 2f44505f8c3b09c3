"""The gateway's own health as telemetry: one record every health_interval_s, and one EVENT at each start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from edge import __version__
from edge.clock import Clock
from edge.health import metrics, wear
from edge.health.promise import Pulse
from edge.model import Field, Kind, Record, Scalar, Schema, Stream
from edge.poll.state import PollerState
from edge.ring.store import Ring
from edge.uplink.uplink import UplinkState

SPARE_S = 30.0
NO_PROBLEM = "none"      # told while all is well, so that a rule of the server on it can clear

Keep = Callable[[Record], object]

SCHEMA = Schema(Kind.GATEWAY, (
    *metrics.FIELDS,
    Field("meters_total"),
    Field("meters_ok"),
    Field("meters_resting"),
    Field("polls_ok"),
    Field("polls_failed"),
    Field("polls_skipped"),
    Field("read_success_pct", scaler=-1, unit="%"),
    Field("backlog_records"),
    Field("oldest_unsent_age_s", unit="s"),
    Field("ring_lost_records"),
    Field("ring_written_bytes", unit="B"),
    Field("ring_written_bytes_per_day", unit="B"),
    Field("ring_damaged_pages"),
    *wear.FIELDS,
    Field("ring_problem"),
    Field("uplink_connections"),
    Field("uplink_refused"),
    Field("uplink_quarantined"),
    Field("push_received"),
    Field("push_accepted"),
    Field("push_unknown"),
    Field("push_refused"),
    Field("push_limited"),
    Field("version"),
    Field("board_under_voltage"),
))

EVENT = Schema(Kind.EVENT, (Field("event"), Field("detail")))


def event(name: str, detail: str, clock: Clock, device: str = "") -> Record:
    """Return an EVENT record of the gateway, or of a meter."""
    return Record(EVENT, device, clock.stamp(), (name, detail))


async def figures_of(ring: Ring, uplink: UplinkState | str, pushes: Mapping[str, int], storage: wear.StorageWear,
                     clock: Clock) -> dict[str, Scalar]:
    """Return the columns of ring, uplink, push listener and storage."""
    status = ring.status()
    return {
        "backlog_records": sum(ring.backlog(stream).records for stream in Stream),
        "oldest_unsent_age_s": await _oldest_unsent_age_s(ring, clock),
        "ring_lost_records": status.lost,
        "ring_written_bytes": status.written_bytes,
        "ring_damaged_pages": sum(stream.damaged_pages for stream in status.streams.values()),
        "ring_problem": status.problem or NO_PROBLEM,
        **storage.figures(),
        **({} if isinstance(uplink, str) else {
            "uplink_connections": uplink.connections, "uplink_refused": uplink.refused,
            "uplink_quarantined": uplink.quarantined}),
        **pushes,
    }


async def _oldest_unsent_age_s(ring: Ring, clock: Clock) -> int | None:
    """Return the age of the oldest record that waits, 0 where none does, None where its time is not known."""
    now = clock.stamp()
    ages_s = []
    for stream in Stream:
        for stored in await ring.read(stream, limit_records=1):
            stamp = stored.record.stamp
            if stamp.boot_id == now.boot_id:
                ages_s.append((now.boottime_ms - stamp.boottime_ms) // 1000)
            elif stamp.synchronised and now.synchronised:
                ages_s.append((now.wall_ms - stamp.wall_ms) // 1000)
            else:
                return None
    return max([0, *ages_s])      # a wall clock that was set back makes nothing younger than now


class Polls:
    """What the pollers did since the last look: their counters begin anew when a poller is restarted."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.ok = self.failed = self.skipped = 0
        self._before: dict[str, tuple[int, int, int]] = {}

    def add(self, states: Mapping[str, PollerState]) -> tuple[int, int]:
        """Take the pollers' counters; return (readings, failures) since the last call."""
        ok_before, failed_before = self.ok, self.failed
        for name, state in states.items():
            now = (state.readings, state.failed, state.skipped)
            before = self._before.get(name, (0, 0, 0))
            if any(new < old for new, old in zip(now, before, strict=True)):
                before = (0, 0, 0)
            self.ok += now[0] - before[0]
            self.failed += now[1] - before[1]
            self.skipped += now[2] - before[2]
            self._before[name] = now
        self._before = {name: counts for name, counts in self._before.items() if name in states}
        return self.ok - ok_before, self.failed - failed_before


class Vitals:
    """Looks at the parts and writes what it sees."""

    def __init__(self, look: Callable[[], Awaitable[Mapping[str, Scalar]]],
                 pollers: Callable[[], Mapping[str, PollerState]], keep: Keep, tell: Keep, clock: Clock,
                 state_dir: Path, interval_s: float) -> None:
        """`look` gives the columns that are neither the process's nor the pollers', by field key.

        `keep` takes health records, `tell` events: they belong to different streams of the ring.
        """
        self.polls = Polls()
        self._look = look
        self._pollers = pollers
        self._keep = keep
        self._tell = tell
        self._clock = clock
        self._state_dir = state_dir
        self._interval_s = interval_s
        self._renewed = asyncio.Event()
        self._started_at = clock.monotonic()
        self._told_start = False
        self._told = (0, 0)      # polls with and without values, as of the record before

    def use(self, interval_s: float) -> None:
        """Write this often from now on."""
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._renewed.set()

    @property
    def uptime_s(self) -> int:
        """Whole seconds since this object was made."""
        return int(self._clock.monotonic() - self._started_at)

    async def run(self, pulse: Pulse) -> None:
        """Write until cancelled."""
        if not self._told_start:      # a fault that restarts this worker is no start of the gateway
            self._tell(event("gateway_started", f"version {__version__}", self._clock))
            self._told_start = True
        while True:
            pulse(self._interval_s + SPARE_S)
            self._renewed.clear()
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._renewed.wait()
            except TimeoutError:
                self._keep(await self.record())

    async def record(self) -> Record:
        """Return the gateway's health now; also advances what `read_success_pct` counts from."""
        own = await self._figures()
        ok, failed = (now - before for now, before in zip((self.polls.ok, self.polls.failed), self._told, strict=True))
        self._told = (self.polls.ok, self.polls.failed)
        own["read_success_pct"] = round(1000 * ok / (ok + failed)) if ok + failed else None
        return Record(SCHEMA, "", self._clock.stamp(), tuple(own.get(field.key) for field in SCHEMA.fields))

    async def exact(self) -> dict[str, float]:
        """Return the figures that are numbers, by field key, in the fields' units. They advance nothing."""
        own = await self._figures()
        numbers = ((field, own.get(field.key)) for field in SCHEMA.fields)
        return {field.key: value / 10 ** -field.scaler if field.scaler else value
                for field, value in numbers if isinstance(value, int)}

    async def _figures(self) -> dict[str, Scalar]:
        figures = metrics.look(self._state_dir, self._started_at, self._clock.monotonic())
        states = self._pollers()
        self.polls.add(states)
        own: dict[str, Scalar] = {
            **dict(zip((field.key for field in metrics.FIELDS), figures.values(), strict=True)),
            "meters_total": len(states),
            "meters_ok": sum(1 for state in states.values() if state.readings and not state.last_failure),
            "meters_resting": sum(1 for state in states.values() if state.ladder.circuit != "closed"),
            "polls_ok": self.polls.ok,
            "polls_failed": self.polls.failed,
            "polls_skipped": self.polls.skipped,
            "version": __version__,
            "board_under_voltage": metrics.under_voltage(),
            **await self._look(),
        }
        written = own.get("ring_written_bytes")
        own["ring_written_bytes_per_day"] = wear.per_day(written if isinstance(written, int) else None, self.uptime_s)
        return own

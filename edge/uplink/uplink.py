"""The uplink as the rest of the gateway sees it: connect, drain, back off, for ever.

No broker at the start, a refused login, a dead link: all are normal here, told once as a warning and then at debug,
and never end `run`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edge.clock import Clock
from edge.config import UplinkSettings
from edge.credentials import Login
from edge.errors import Rejected, Retryable, UplinkError
from edge.health.linkalarms import LinkAlarm
from edge.model import Field, Kind, Record, Schema, Stream
from edge.uplink.arrivals import Moved, Parted
from edge.uplink.attributes import Attributes
from edge.uplink.dialects import bdseq_of_a_first_start, dialect_of
from edge.uplink.drain import SLACK_S, Drain
from edge.uplink.mqtt import Session
from edge.uplink.opening import opened, versions_of
from edge.uplink.pace import Rng, backoff
from edge.uplink.pathwatch import PathState, PathWatch, only_path
from edge.uplink.ports import RingPort, Shared
from edge.uplink.presence import nobody_is_silent
from edge.uplink.quarantine import report_for_ever
from edge.uplink.reasons import TAKEN_OVER
from edge.uplink.takeover import CLEAR_S, Takeover
from edge.uplink.talk import Talk
from edge.uplink.tls import tls_context

log = logging.getLogger(__name__)

TAKEOVER = Schema(Kind.EVENT, (Field("event"), Field("detail")))
STEADY = 4                     # a connection so many times longer than the rest before it starts the back-off anew
TAKEOVER_EVERY_S = 600.0       # at most one such record in this time


@dataclass(frozen=True, slots=True)
class UplinkState:
    """A snapshot for the status page. Times are `clock.monotonic()` seconds."""

    connected: bool
    since: float                   # when `connected` last changed
    connections: int               # logins that the server took, so far
    takeovers: int                 # times another client came in with the same credentials
    in_flight_messages: int
    in_flight_bytes: int
    sent_records: int              # handed to the link, repetitions included
    acked_records: int
    refused: int                   # publications answered with a refusal
    quarantined: int
    parked: tuple[str, ...]        # meters that the server does not create
    last_error: str                # "" after a good connection
    mqtt: str = ""                 # the version spoken on the last connection
    rejected: bool = False         # the last one was for the operator: a refused login, above all
    path: str = ""                 # the one in use, and why and since when; "" where there is only one
    path_why: str = ""
    path_since: float = 0.0
    paths: tuple[PathState, ...] = ()
    waits_for: str = ""            # connected, and nothing is sent: why


class Uplink:
    """ThingsBoard through one MQTT session at a time. Make one, `run` it in one task."""

    def __init__(self, ring: RingPort, settings: UplinkSettings, *, gateway_name: str, login: Login, clock: Clock,
                 promise: Callable[[float], None], rng: Rng, profile_of: Callable[[str], str] | None = None,
                 attributes: Attributes | None = None, talks: Sequence[Talk] = (),
                 paths: PathWatch | None = None, silent: Callable[[str], bool] = nobody_is_silent,
                 alarm: Callable[[Record], object] = lambda _record: None,
                 next_bdseq: Callable[[], Awaitable[int]] = bdseq_of_a_first_start) -> None:
        """Read the CA file, and certificate and key, if there are any; raises ConfigError.

        `profile_of` names a meter's device profile where its records do not (link samples, failures); ThingsBoard looks
        at it only when it creates the device. `attributes` are kept up to date at the server while one is connected;
        `talks` take turns on the connection with the telemetry. `paths` say where to connect (None: as the settings
        say), and run elsewhere. `silent` tells which meters are not heard, or gone; `alarm` takes alarm records of the
        uplink's own. `next_bdseq` raises and keeps the number of the session that is about to begin (Sparkplug).
        """
        board = attributes or Attributes()
        dialect = dialect_of(settings, gateway_name, profile_of or (lambda _device: ""), silent, clock, next_bdseq,
                             board)
        if dialect.ceremony is not None:
            talks = (*talks, dialect.ceremony)
        self._paths = paths or only_path(settings, clock, rng)
        self._shared = Shared(ring, settings, clock, promise, dialect, self._paths.leaving, board,
                              silent=silent, talks=tuple(talks))
        self._paths.wake = self._shared.activity.set
        for talk in talks:
            talk.wake = self._shared.activity.set
        self._shared.attributes.wake = self._shared.activity.set
        self._client_id = settings.client_id or gateway_name
        self._login = login
        self._tls = tls_context(settings, login)
        self._versions = versions_of(settings)
        self._mqtt = ""
        self._rng = rng
        self._drain: Drain | None = None
        self._since = clock.monotonic()
        self._connections = 0
        self._takeover, self._alarm = Takeover(), alarm
        self._takeover_told = float("-inf")
        self._last_error = ""
        self._rejected = False

    def state(self) -> UplinkState:
        """Return how it stands."""
        shared = self._shared
        messages, size_bytes = self._drain.in_flight if self._drain else (0, 0)
        return UplinkState(
            connected=self._drain is not None, since=self._since, connections=self._connections,
            takeovers=self._takeover.count, in_flight_messages=messages, in_flight_bytes=size_bytes,
            sent_records=shared.tally.sent_records, acked_records=shared.tally.acked_records,
            refused=shared.tally.refused, quarantined=shared.tally.quarantined,
            parked=shared.parking.names(shared.clock.monotonic()), last_error=self._last_error,
            mqtt=self._mqtt, rejected=self._rejected, path=self._paths.way.name, path_why=self._paths.why,
            path_since=self._paths.since, paths=self._paths.states(),
            waits_for=shared.dialect.ceremony.waits_for if self._drain and shared.dialect.ceremony else "")

    async def drained(self) -> None:
        """Return when nothing durable is un-acknowledged. Cancelling is harmless."""
        while any(self._shared.ring.backlog(stream).records for stream in Stream):
            self._shared.acknowledged.clear()
            await self._shared.acknowledged.wait()

    async def run(self) -> None:
        """Work until cancelled; then end within 2 s, with everything un-acknowledged still in the ring."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_commits(), name="uplink commits")
            group.create_task(self._connect_for_ever(), name="uplink connection")
            group.create_task(report_for_ever(self._shared), name="uplink reports")

    async def _watch_commits(self) -> None:
        while True:
            await self._shared.ring.wait_committed()
            self._shared.commits += 1
            self._shared.activity.set()

    async def _connect_for_ever(self) -> None:
        settings = self._shared.settings
        delays = backoff(settings.backoff_first_s, settings.backoff_max_s, self._rng)
        delay_s = 0.0
        while True:
            begun = self._shared.clock.monotonic()
            end, progress = await self._connection()
            lasted_s = self._shared.clock.monotonic() - begun
            # A server that takes a little and closes, as a rate limit does, must not be asked again at once for ever.
            if progress and lasted_s > STEADY * delay_s:
                delays = backoff(settings.backoff_first_s, settings.backoff_max_s, self._rng)
            delay_s = next(delays)
            self._rejected = isinstance(end, Rejected)
            if self._rejected:
                delay_s = self._rng.uniform(settings.refused_backoff_s / 2, settings.refused_backoff_s)
            if isinstance(end, Moved):
                delays, delay_s = backoff(settings.backoff_first_s, settings.backoff_max_s, self._rng), 0.0
                log.info("uplink: %s", end)
                continue
            self._tell(end, delay_s)
            self._shared.promise(delay_s + SLACK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._paths.moved.wait()

    async def _connection(self) -> tuple[UplinkError, bool]:
        """Run one connection to its end; return why it ended, and whether the next may follow at once."""
        settings = self._shared.settings
        self._shared.promise(2 * settings.connect_timeout_s + SLACK_S)      # MQTT 5, then 3.1.1
        self._paths.moved.clear()
        try:
            session = await self._opened()
        except (Retryable, Rejected) as end:
            return end, False
        steady = asyncio.get_running_loop().call_later(CLEAR_S, self._steady)
        try:
            drain = self._drain = Drain(session, self._shared, self._paths.ration())
            self._connected(session)
            await drain.run()
        except (Retryable, Rejected) as end:
            progress = self._ended(session, drain)
            if not isinstance(end, Parted):     # then the link may be good for a word of farewell
                session.abort()
            return end, progress
        finally:
            steady.cancel()
            if self._drain is not None:
                self._drain.ended()
            self._drain, self._since = None, self._shared.clock.monotonic()
            self._paths.ended()
            await session.close()

    async def _opened(self) -> Session:
        """Return an open session. Raises as `opened` does, and Moved once another path is taken meanwhile."""
        opening = asyncio.ensure_future(opened(
            self._shared.settings, self._versions, self._shared.clock.monotonic(), client_id=self._client_id,
            login=self._login, tls=self._tls, activity=self._shared.activity, paths=self._paths,
            ceremony=self._shared.dialect.ceremony))
        moving = asyncio.ensure_future(self._paths.moved.wait())
        session: Session | None = None
        try:
            await asyncio.wait({opening, moving}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise Moved(self._paths.leaving())
            session = opening.result()
            return session
        finally:
            moving.cancel()
            opening.cancel()
            found, _ = await asyncio.gather(opening, moving, return_exceptions=True)
            if isinstance(found, Session) and session is None:      # it came in the moment in which this was cancelled
                found.abort()

    def _connected(self, session: Session) -> None:
        self._connections += 1
        self._mqtt = session.version
        self._last_error, self._rejected = "", False
        self._since = self._shared.clock.monotonic()
        self._paths.began(session)
        if len(self._paths.paths) > 1:
            self._shared.attributes.tell("", {"uplink_path": self._paths.way.name})
        log.info("connected to %s by MQTT %s", self._paths.way, self._mqtt)

    def _ended(self, session: Session, drain: Drain) -> bool:
        """Draw the conclusions of an end; True when the connection was good for something and nobody said "later"."""
        drain.finish()
        loss = None if drain.asked_to_wait else session.loss
        self._sound(self._takeover.ended(loss, self._shared.clock.monotonic() - self._since))
        if loss is not None and loss.reason == TAKEN_OVER:
            self._taken_over(loss.text)
            return False
        return drain.progress > 0 and not drain.asked_to_wait

    def _steady(self) -> None:
        self._sound(self._takeover.steady())

    def _sound(self, change: LinkAlarm | None) -> None:
        if change is not None:
            self._alarm(change.record(self._shared.clock.stamp()))

    def _taken_over(self, text: str) -> None:
        now = self._shared.clock.monotonic()
        if now - self._takeover_told >= TAKEOVER_EVERY_S:
            self._takeover_told = now
            record = Record(TAKEOVER, "", self._shared.clock.stamp(), ("uplink_takeover", text))
            self._shared.reports.put_nowait(record)

    def _tell(self, end: UplinkError, delay_s: float) -> None:
        text = str(end)
        level = logging.DEBUG if text == self._last_error else logging.WARNING
        self._last_error = text
        log.log(level, "uplink: %s; next try in %.0f s", text, delay_s)

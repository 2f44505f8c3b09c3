"""The worker that takes pushes, and gives what they hold to the ring.

    Listener ─► limits ─► Desk ─┬─ in clear ─────────────────────────────────► ring
    pollers ──────────────┘     └─ ciphered ─► counter on flash (batched) ────► ring

A ciphered push waits until its invocation counter is on flash, so that no restart takes a replay of it for new. The
first one goes at once, the next ones together every KEEP_S at most: docs/decisions/0015-pushes.md.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from edge.clock import Clock
from edge.config import PushSettings
from edge.daemon.enrolment import Enrolment
from edge.daemon.pushentries import Hosts, entries
from edge.dlms.push import Pushed
from edge.endpoint import is_serial
from edge.errors import RegistryError, RingError
from edge.health.promise import Pulse
from edge.health.signals import close_within
from edge.meters.profile import Profile
from edge.model import Record, Stream
from edge.push.desk import Desk, Outcome, Verdict
from edge.push.directory import Directory
from edge.push.heard import Heard
from edge.push.listener import Listener
from edge.push.receiver import Message
from edge.push.senders import Notice, Notices, Senders

log = logging.getLogger(__name__)

FIRST_S, LOOK_S = 1.0, 5.0      # between two looks at the registry, until a port is open and then
SPARE_S = 60.0        # SQLite waits for another writer, a resolver for its server
KEEP_S = 5.0
WAITING_LIMIT = 1_000
CLOSE_S = 1.0
CLOSING_S = 0.05      # a port that is closed is bound until the loop has turned

Put = Callable[[Stream, Record], object]


@dataclass(slots=True)
class Counts:
    """What came since the start. `received` messages are each one of the five below it, or wait for their counter.

    `limited` are messages, datagrams and connections that were turned away; `damaged` what was no message at all.
    """

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    unknown: int = 0
    refused: int = 0
    lost: int = 0            # accepted, and refused by the ring
    limited: int = 0
    damaged: int = 0


class Pushes:
    """The push listener of the daemon. `run` is one task; it may be started again after a fault."""

    def __init__(self, settings: PushSettings, enrolment: Enrolment, profiles: Mapping[str, Profile], put: Put,
                 clock: Clock, *, meters_zone: str = "") -> None:
        """`put` gives a record to the ring without waiting; RingError where it is refused."""
        self.counts = Counts()
        self._settings = self._wanted = settings
        self._enrolment = enrolment
        self._profiles = profiles
        self._put = put
        self._clock = clock
        self._meters_zone = meters_zone
        self._hosts = Hosts()
        self._listener = Listener(settings, self)
        self._wake = asyncio.Event()
        now = clock.monotonic()
        self._senders = Senders(settings.messages_per_minute, settings.messages_per_minute_in_all, now)
        self._unknown, self._refusals = Notices(now), Notices(now)
        self._problems: dict[str, str] = {}
        self._desk: Desk | None = None
        self._seen: tuple[object, int] = (None, -1)
        self._waiting: list[Verdict] = []
        self._kept_at = self._looked_at = float("-inf")
        self._last: dict[str, tuple[int, float]] = {}      # meter -> accepted, when the last one came

    def use(self, settings: PushSettings) -> None:
        """Take pushes by other settings. Open connections end only where ports or address are others now."""
        self._wanted = settings
        self._wake.set()

    async def run(self, pulse: Pulse) -> None:
        """Take pushes until cancelled, and listen for them where the settings say so.

        What waits for its counter at the end gets CLOSE_S to reach the ring.
        """
        try:
            while True:
                pulse(LOOK_S + SPARE_S)
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(await self._step()):
                        await self._wake.wait()
        finally:
            self._listener.close()
            if self._waiting:
                await close_within("what meters have pushed", self._keep(), CLOSE_S)

    @property
    def _at_rest(self) -> bool:
        return not self._settings.enabled and self._desk is not None

    @property
    def problem(self) -> str:
        """Why nothing, or not everything, is taken; "" while all is well."""
        return "; ".join(self._problems.values()) if self._settings.enabled else "switched off (push.enabled = false)"

    # -- for others ------------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, int]:
        """Return the columns of the gateway's own telemetry."""
        counts = self.counts
        return {} if not self._settings.enabled else {
            "push_received": counts.received, "push_accepted": counts.accepted, "push_unknown": counts.unknown,
            "push_refused": counts.refused, "push_limited": counts.limited}

    def state(self) -> dict[str, Any]:
        """Return how it stands: plain data for status."""
        return {
            "enabled": self._settings.enabled, "listening": list(self._listener.where), "problem": self.problem,
            **msgspec.to_builtins(self.counts), "waiting": len(self._waiting),
            "connections": self._listener.connections,
            "unknown_senders": [self._shown(notice, "title") for notice in self._unknown.newest()],
            "refusals": [self._shown(notice, "meter") for notice in self._refusals.newest()],
        }

    def of(self, meter: str) -> tuple[int, float | None]:
        """Return how many pushes of a meter were accepted, and the age of the last one in seconds."""
        accepted, at = self._last.get(meter, (0, None))
        return accepted, None if at is None else self._clock.monotonic() - at

    # -- the listener's handler ------------------------------------------------------------------------------------

    def knows(self, address: str) -> bool:
        """See `Handler`."""
        return self._senders.vouched(address) or (self._desk is not None and self._desk.directory.knows(address))

    def admit(self, address: str) -> bool:
        """See `Handler`."""
        admitted = self._senders.admit(address, self._clock.monotonic(), registered=self.knows(address))
        self.counts.limited += not admitted
        return admitted

    def take(self, message: Message, address: str) -> None:
        """See `Handler`."""
        if (desk := self._received()) is None:
            return
        now = self._clock.monotonic()
        verdict = desk.take(message.apdu, address, self._clock.stamp(), now)
        if verdict.mark is not None:
            self._senders.vouch(address)      # its keys prove it; what comes in clear proves nothing
        self._judged(verdict, address, message.via, now)

    def polled(self, meter: str, pushed: Pushed) -> None:
        """Take what a meter sent unasked within the association that polls it: a port need not be open for that."""
        if (desk := self._received()) is None:
            return
        now = self._clock.monotonic()
        verdict = desk.take_polled(pushed, meter, self._clock.stamp(), now)
        self._judged(verdict, f"meter {meter}", "its association", now)

    def _received(self) -> Desk | None:
        """Count a message; return the desk that judges it, as the registry is now, or None: it is turned away."""
        if self._desk is None or len(self._waiting) >= WAITING_LIMIT:
            self.counts.limited += 1
            return None
        self._renew(self._desk)
        self.counts.received += 1
        return self._desk

    def _judged(self, verdict: Verdict, address: str, via: str, now: float) -> None:
        if verdict.outcome is Outcome.UNKNOWN:
            self.counts.unknown += 1
            if self._unknown.note(address, verdict.title, verdict.reason, now):
                log.warning("a push from %s (%s) is of no registered meter: %s", address, via, verdict.reason)
        elif verdict.outcome is Outcome.REFUSED:
            self._refused(verdict, address, now)
        else:
            self._unknown.forget(address, verdict.title)
            if verdict.mark is None:
                self._accept(verdict)
            else:
                self._waiting.append(verdict)
                self._wake.set()

    def spoiled(self, reason: str, address: str) -> None:
        """See `Handler`."""
        self.counts.damaged += 1
        if self._refusals.note(address, "", reason, self._clock.monotonic()):
            log.warning("what came from %s is no push: %s", address, reason)

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _step(self) -> float:
        """Do what is due; return how long the next look may wait."""
        now = self._clock.monotonic()
        if self._wanted != self._settings and self._renew_listener(now):
            return CLOSING_S
        look_s = LOOK_S if self._listener.where or self._at_rest else FIRST_S
        if now >= self._looked_at + look_s:
            self._looked_at = now
            if self._settings.enabled:
                await self._try("the ports", self._look)
            else:
                await self._try("what meters push when polled is not taken", self._look, logging.WARNING)
        if self._waiting and now >= self._kept_at + KEEP_S:
            self._kept_at = now
            await self._try("invocation counters cannot be kept, so ciphered pushes wait", self._keep)
        due = min(self._looked_at + look_s, self._kept_at + KEEP_S if self._waiting else float("inf"))
        return max(due - self._clock.monotonic(), 0.0)

    def _renew_listener(self, now: float) -> bool:
        """Go on by the wanted settings; True where ports are closed for it, to be opened in the next step."""
        before, settings = self._settings, self._wanted
        self._settings = settings
        self._senders = Senders(settings.messages_per_minute, settings.messages_per_minute_in_all, now)
        if (before.enabled, before.listen, before.tcp_port, before.udp_port) == (
                settings.enabled, settings.listen, settings.tcp_port, settings.udp_port):
            self._listener.settings = settings      # each connection and datagram looks there
            return False
        self._listener.close()
        self._listener = Listener(settings, self)
        self._problems.clear()
        self._looked_at = float("-inf")
        return True

    async def _try(self, what: str, work: Callable[[], Awaitable[None]], level: int = logging.ERROR) -> None:
        """Do it; what stands in the way is told once, and tried again when it is due again."""
        try:
            await work()
        except (RegistryError, OSError) as error:
            text = f"{what}: {getattr(error, 'strerror', None) or error}"
            log.log(logging.DEBUG if self._problems.get(what) == text else level, "pushes: %s", text)
            self._problems[what] = text
        else:
            if self._problems.pop(what, None):
                log.info("pushes: well again: %s", what)

    async def _look(self) -> None:
        """Follow the registry; listen once it is known who the meters are and what they have counted."""
        if self._desk is None:
            self._desk = Desk(Directory(), Heard(await self._enrolment.heard()))
        if self._enrolment.enrolled is None:
            return
        if not self._settings.enabled:      # who is polled need not be found by address
            return
        hosts = (item.meter.host for item in self._enrolment.enrolled if not is_serial(item.meter.host))
        await self._hosts.resolve(hosts, self._clock.monotonic())
        self._renew(self._desk)
        if not self._listener.where:
            await self._listener.open()
            log.info("listening for pushes: %s", ", ".join(self._listener.where))

    def _renew(self, desk: Desk) -> None:
        """Have the desk know the meters as they are now."""
        enrolled, generation = self._enrolment.enrolled, self._hosts.generation
        if self._seen[0] is not enrolled or self._seen[1] != generation:
            self._seen = (enrolled, generation)
            found = entries(enrolled or (), self._profiles, self._hosts, self._meters_zone)
            desk.replace(Directory(found, desk.directory))
            self._last = {name: last for name, last in self._last.items() if name in desk.directory.entries}

    async def _keep(self) -> None:
        """Put the counters of all that wait on flash, then the records into the ring. RegistryError: all go on waiting.

        Cancelling in between leaves them waiting; the same counters may be kept twice.
        """
        batch = tuple(self._waiting)
        marks: dict[str, int] = {}
        for verdict in batch:
            assert verdict.mark is not None
            scope, counter = verdict.mark
            marks[scope] = max(counter, marks.get(scope, -1))
        await self._enrolment.keep_heard(marks)
        del self._waiting[:len(batch)]
        for verdict in batch:
            self._accept(verdict)

    def _accept(self, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.DUPLICATE:
            self.counts.duplicate += 1
            return
        try:
            for stream, record in verdict.records:
                self._put(stream, record)
        except RingError as error:
            self.counts.lost += 1
            log.warning("a push of meter %s is lost: %s", verdict.meter, error)
            return
        self.counts.accepted += 1
        self._last[verdict.meter] = (self._last.get(verdict.meter, (0, 0.0))[0] + 1, self._clock.monotonic())

    def _refused(self, verdict: Verdict, address: str, now: float) -> None:
        self.counts.refused += 1
        if self._refusals.note(address, verdict.meter, verdict.reason, now):
            who = f" (meter {verdict.meter})" if verdict.meter else ""
            log.warning("a push from %s%s is refused: %s", address, who, verdict.reason)

    def _shown(self, notice: Notice, who: str) -> dict[str, Any]:
        return {"address": notice.address, who: notice.who, "times": notice.times,
                "last_age_s": self._clock.monotonic() - notice.last_at, "reason": notice.reason}

"""The set of pollers follows the registry: started, stopped, and restarted where something changed.

A pause or a removal takes effect at once: the poll under way is cancelled, its connection ended. An edit restarts only
the meters it touches; everybody else's association, phase and counters go on.
"""

import asyncio
import functools
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from edge.clock import Clock
from edge.config import PollSettings
from edge.dlms.push import Pushed
from edge.dlms.settings import AssociationSettings
from edge.endpoint import endpoint, is_serial
from edge.errors import ConfigError, LocalStateError
from edge.health.promise import Promises, Pulse
from edge.health.supervise import EXPENDABLE, RestartPolicy, WorkerState, supervise
from edge.meters.profile import Profile
from edge.model import Keys, Learned, Meter
from edge.poll.addressing import NO_KEYS, association_settings, hdlc_link, lane
from edge.poll.air import Air
from edge.poll.budget import Gate, GateState
from edge.poll.counters import Reserve, counter_desk
from edge.poll.errand import Errand, ErrandsOf
from edge.poll.line import Line
from edge.poll.link import OnLearned
from edge.poll.lockout import OnRefusal, nobody_keeps
from edge.poll.outcomes import Sink
from edge.poll.poller import ALONE, FREE, Poller
from edge.poll.state import PollerState
from edge.poll.turn import Turnstile

log = logging.getLogger(__name__)

WIRED_AT_ONCE = 64
"""Serial lines of the board that are spoken on at once: more than a board has. They take nothing of the air."""

STOP_S = 5.0
"""How long stopping a poller may take: a polite leave has its own, shorter deadline."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A meter with all that polling it needs, as read from the registry."""

    meter: Meter
    password: bytes = field(default=b"", repr=False)
    learned: Learned = field(default_factory=Learned)
    keys: Keys = NO_KEYS
    client_title: bytes = b""
    refusal: str = field(default="", repr=False)      # see `edge.poll.lockout`


@dataclass(frozen=True, slots=True)
class Change:
    """What an `apply` did: names, sorted. `refused` maps a name to why it cannot be polled."""

    started: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def _no_errands(_meter: Meter, _profile: Profile) -> tuple[Errand, ...]:
    return ()


def _nobody_listens(_meter: str, _pushed: Pushed) -> None:
    pass


@dataclass(slots=True)
class _Running:
    enrolled: Enrolled
    profile: Profile
    lane: tuple[str, int] | None
    hang_up: bool
    task: asyncio.Task[None]
    learned: Learned
    refusal: str
    poller: Poller | None = None


def _timeouts(running: _Running, settings: PollSettings) -> tuple[float, float, float]:
    """Return what a connection to this meter waits for: it is read when its poller starts."""
    item = running.enrolled
    associate = association_settings(item.meter, running.profile, item.password, settings, item.keys, item.client_title)
    return settings.connect_timeout_s, associate.association_timeout_s, associate.exchange_timeout_s


class Fleet:
    """All pollers. An async context manager: leaving it stops every poller, within a deadline."""

    def __init__(
        self,
        profiles: Mapping[str, Profile],
        *,
        settings: PollSettings,
        sink: Sink,
        on_learned: OnLearned,
        clock: Clock,
        promises: Promises,
        rng: random.Random,
        policy: RestartPolicy = EXPENDABLE,
        reserve: Reserve | None = None,
        errands_of: ErrandsOf = _no_errands,
        air: Air = FREE,
        on_push: Callable[[str, Pushed], None] = _nobody_listens,
        on_refusal: OnRefusal = nobody_keeps,
    ) -> None:
        """`on_learned` keeps what was found out about a meter in the registry, off the loop.

        `reserve` sets invocation counters aside there, for meters with keys. `errands_of` gives a meter's errands each
        time its poller starts. `on_push` takes what a meter sends unasked while it is polled; it raises nothing.
        `on_refusal` keeps that a meter refused to associate.
        """
        self.turnstile = Turnstile(settings.at_once, clock, self._forgive)
        self.workers: dict[str, WorkerState] = {}
        self._profiles = profiles
        self._settings = settings
        self._sink = sink
        self._on_learned = on_learned
        self._clock = clock
        self._promises = promises
        self._rng = rng
        self._policy = policy
        self._reserve = reserve
        self._errands_of = errands_of
        self._air = air
        self._on_push = on_push
        self._on_refusal = on_refusal
        self._running: dict[str, _Running] = {}
        self._wired = Gate(WIRED_AT_ONCE)
        self._lines: dict[tuple[str, int], Line] = {}      # by lane
        self._refused: dict[str, str] = {}
        self._applying = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Begin with nobody to poll."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        """Stop all pollers."""
        async with self._applying:
            await self._stop(list(self._running))

    async def apply(self, enrolled: Iterable[Enrolled]) -> Change:
        """Make the pollers match the registry; paused meters have none.

        A meter that cannot be polled (unknown profile, missing password) is refused with its reason and stops nobody.
        Cancelling may leave pollers stopped that should run; the next `apply` puts it right.
        """
        async with self._applying:
            wanted = {item.meter.name: item for item in enrolled if not item.meter.paused}
            refused = {name: why for name, item in wanted.items() if (why := self._objection(item))}
            for name, why in refused.items():
                if self._refused.get(name) != why:
                    log.error("meter %s cannot be polled: %s", name, why)
            self._refused = refused
            twins = self._twins(item for name, item in wanted.items() if name not in refused)
            gone = [name for name in self._running if name not in wanted or name in refused]
            changed = [name for name, running in self._running.items()
                       if name not in gone and self._differs(running, wanted[name], hang_up=name in twins)]
            new = [name for name in wanted if name not in refused and name not in self._running]
            for name in changed:      # the registry may have been read before the note of a refusal was in it
                if note := self._running[name].refusal:
                    wanted[name] = replace(wanted[name], refusal=note)
            await self._stop([*gone, *changed])
            for name in (*changed, *new):
                self._start(wanted[name], hang_up=name in twins)
            used = {running.lane for running in self._running.values()}
            self._lines = {place: line for place, line in self._lines.items() if place in used}
            return Change(tuple(sorted(new)), tuple(sorted(gone)), tuple(sorted(changed)), refused)

    async def use(self, settings: PollSettings) -> tuple[str, ...]:
        """Poll by other settings; return the meters that were restarted for it, sorted.

        Those are the ones whose time-outs are others now. Everybody else's association and counters go on.
        """
        async with self._applying:
            if settings.at_once != self._settings.at_once:
                self.turnstile.most(settings.at_once)
            before, self._settings = self._settings, settings
            changed = {name: running for name, running in sorted(self._running.items())
                       if _timeouts(running, before) != _timeouts(running, settings)}
            for name, running in self._running.items():
                if name not in changed and running.poller is not None:
                    running.poller.use(settings)
            await self._stop(list(changed))
            for running in changed.values():
                self._start(replace(running.enrolled, learned=running.learned, refusal=running.refusal),
                            hang_up=running.hang_up)
            return tuple(changed)

    def renew_errands(self) -> None:
        """Make every meter's errands anew; its association stays, a step that is under way is finished."""
        for running in self._running.values():
            if running.poller is not None:
                running.poller.renew_errands(self._errands_of(running.enrolled.meter, running.profile))

    def states(self) -> dict[str, PollerState]:
        """Return every poller's state by meter name. A paused or refused meter has none."""
        return {name: running.poller.state() for name, running in sorted(self._running.items())
                if running.poller is not None}

    def state(self, name: str) -> PollerState | None:
        """Return one poller's state: who asks about many lets polls go in between."""
        running = self._running.get(name)
        return None if running is None or running.poller is None else running.poller.state()

    def ages_s(self) -> dict[str, float | None]:
        """Return how old each poller's newest reading is, None where there is none; cheap, for many meters."""
        return {name: running.poller.last_reading_age_s for name, running in self._running.items()
                if running.poller is not None}

    def last_heard(self, name: str) -> tuple[float | None, float] | None:
        """Return the age of a meter's newest reading (None: never) and its interval, seconds; None: not polled."""
        running = self._running.get(name)
        if running is None or running.poller is None:
            return None
        return running.poller.last_reading_age_s, running.poller.interval_s

    def reading(self) -> tuple[int, int]:
        """Return how many meters gave a reading when last polled, and how many are polled; cheap, for many meters."""
        pollers = [running.poller for running in self._running.values() if running.poller is not None]
        return sum(poller.is_reading for poller in pollers), len(pollers)

    def order(self, name: str, errand: Errand) -> None:
        """Have a meter do something between its polls. One line of why not: LocalStateError, Unreachable."""
        running = self._running.get(name)
        if running is None or running.poller is None:
            why = self._refused.get(name) or "it is not registered, paused, or just starting"
            raise LocalStateError(f"meter {name} is not polled: {why}")
        running.poller.order(errand)

    def nudge(self, name: str) -> None:
        """Let a meter's errands be looked at again. Unknown names are fine."""
        running = self._running.get(name)
        if running is not None and running.poller is not None:
            running.poller.nudge()

    def refused(self) -> dict[str, str]:
        """Return the meters that cannot be polled as they are registered, and why."""
        return dict(self._refused)

    def gate_state(self) -> GateState:
        """Return how busy the gate is."""
        return self.turnstile.gate.state()

    # -- one poller ------------------------------------------------------------------------------------------------

    def _objection(self, item: Enrolled) -> str:
        profile = self._profiles.get(item.meter.profile)
        if profile is None:
            return f"profile {item.meter.profile!r} is unknown; there are {', '.join(sorted(self._profiles))}"
        try:
            counter_desk(item.meter.name, self._associate(item), self._reserve)
        except ConfigError as error:
            return str(error)
        return ""

    def _twins(self, items: Iterable[Enrolled]) -> set[str]:
        """Return the meters that are one HDLC link with another, and would take it from each other if they kept it."""
        links = {item.meter.name: hdlc_link(item.meter, self._profiles[item.meter.profile], self._associate(item))
                 for item in items}
        crowds = Counter(link for link in links.values() if link is not None)
        return {name for name, link in links.items() if link is not None and crowds[link] > 1}

    def _associate(self, item: Enrolled) -> AssociationSettings:
        return association_settings(item.meter, self._profiles[item.meter.profile], item.password, self._settings,
                                    item.keys, item.client_title)

    def _differs(self, running: _Running, item: Enrolled, *, hang_up: bool) -> bool:
        """Tell whether a restart is due. What the poller itself has learned meanwhile is no difference."""
        adopted = item.learned.identity not in ("", running.learned.identity)
        before = running.enrolled
        return ((before.meter, before.password, before.keys, before.client_title)
                != (item.meter, item.password, item.keys, item.client_title)
                or running.hang_up != hang_up or adopted
                or running.profile != self._profiles[item.meter.profile])

    def _start(self, item: Enrolled, *, hang_up: bool) -> None:
        name, profile = item.meter.name, self._profiles[item.meter.profile]
        place = lane(item.meter, profile)
        connect = None if place is None else functools.partial(
            self._lines.setdefault(place, Line()).seat, endpoint(item.meter.host, item.meter.port),
            self._settings.connect_timeout_s)

        gate, crowd = (self._wired, ALONE) if is_serial(item.meter.host) else (self.turnstile.gate, self.turnstile)

        async def work(pulse: Pulse) -> None:
            running = self._running[name]
            running.poller = Poller(
                item.meter, item.password, running.profile, running.learned,
                settings=self._settings, gate=gate, sink=self._sink, on_learned=self._note_learned,
                clock=self._clock, promise=pulse, rng=self._rng, connect=connect, hang_up=hang_up, keys=item.keys,
                client_title=item.client_title, reserve=self._reserve, crowd=crowd, air=self._air,
                errands=self._errands_of(item.meter, profile), on_push=functools.partial(self._on_push, name),
                refusal=running.refusal, on_refusal=self._note_refusal)
            await running.poller.run()

        task = asyncio.create_task(
            supervise(f"poll {name}", work, self._policy, promises=self._promises, monotonic=self._clock.monotonic,
                      rng=self._rng, states=self.workers), name=f"poll {name}")
        self._running[name] = _Running(item, profile, place, hang_up, task, item.learned, item.refusal)

    def _forgive(self, name: str) -> None:
        running = self._running.get(name)
        if running is not None and running.poller is not None:
            running.poller.forgive()

    async def _note_learned(self, name: str, learned: Learned) -> None:
        running = self._running.get(name)
        if running is not None:
            running.learned = learned
        await self._on_learned(name, learned)

    async def _note_refusal(self, name: str, note: str) -> None:
        running = self._running.get(name)
        if running is not None:
            running.refusal = note
        await self._on_refusal(name, note)

    async def _stop(self, names: list[str]) -> None:
        stopping = [self._running[name].task for name in names]
        for task in stopping:
            task.cancel()
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=STOP_S)
            for task in late:
                log.error("%s did not stop within %g s", task.get_name(), STOP_S)
        for name in names:
            del self._running[name]

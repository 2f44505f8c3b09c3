"""Judges what goes into the ring: a tap on the records, and a look at who has fallen silent.

    record on its way ─► figures ─► Engine ─► alarm records, log, control socket; what stands is kept in the registry

An alarm is in the ring before it is kept here: a power cut in between tells it upstream once more, and never loses it.
Where the registry cannot be read, that is an alarm, and all others are judged without what stood before it can be.
What stands is told of every device once in each run, so that the server does not go on with what is forgotten here.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from edge.alarms.conditions import BySupply, Judgement, Judges, Supply, own, shipped
from edge.alarms.engine import Change, Engine, Standing
from edge.alarms.figures import of_record
from edge.alarms.rollcall import RollCall
from edge.clock import Clock
from edge.config import AlarmSettings
from edge.daemon.enrolment import Enrolment
from edge.daemon.lossesseen import LossesSeen
from edge.errors import EdgeError, RegistryError, RingError
from edge.health.linkalarms import NAMES as LINK_NAMES
from edge.health.promise import Pulse
from edge.meters.profile import Profile
from edge.meters.supply import Supplied
from edge.model import Kind, Record
from edge.store.alarms import KEPT

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_S = 10.0
AT_A_TIME = 10        # meters judged without a break
SPARE_S = 60.0
FLASH_S = 2.0
KEEP_EVERY_S = 5.0    # in a storm of alarms: each time all that stands is written
SILENT, LOST = "silent_s", "ring_lost_records"
UNHEARD = (Kind.FAILURE, Kind.LINK, Kind.ALARM)
"""Records of a meter that are there although nothing was heard of it."""

HISTORY = 50
REGISTRY_UNUSABLE = "registry_unusable"
ALONE_S = 60.0
"""Without the registry for so long, it is no other program that holds it."""


def judges(settings: AlarmSettings, supply_of: Callable[[str], Supply]) -> Judges:
    """Return the conditions of the settings. SettingsError names what is wrong in the operator's file.

    `supply_of` tells what the type of a meter says of its supply.
    """
    if not settings.enabled:
        return Judgement((), ())
    return BySupply({**shipped(), **own(settings.file)}, nominal(settings), supply_of)


def supply_by(library: Mapping[str, Profile], profile_of: Callable[[str], str]) -> Callable[[str], Supply]:
    """Return who tells a meter's supply; `profile_of` tells its type, "" where it is not known."""

    def supply_of(meter: str) -> Supply:
        profile = library.get(profile_of(meter))
        return () if profile is None else profile.supply.told

    return supply_of


def nominal(settings: AlarmSettings) -> dict[str, float]:
    """Return the settings that limits are per cent of."""
    return {name: getattr(settings, name) for name in Supplied.__struct_fields__}


class AlarmDesk:
    """Owns the engine. `hear` never waits; everything runs in one loop."""

    def __init__(self, conditions: Judges, keep: Callable[[Record], Awaitable[int] | None], enrolment: Enrolment,
                 ages_s: Callable[[], Mapping[str, float | None]], clock: Clock,
                 restored: Callable[[Iterable[tuple[str, str]]], object], *, losses: LossesSeen,
                 others: Container[str]) -> None:
        """`keep` takes alarm records for the ring; awaiting what it gives waits for the flash, None: it was refused.

        `ages_s` tells how old each polled meter's newest reading is, `restored` is told which link alarms stood before
        the restart. `others` are the names of alarms that parts at work judge by themselves.
        """
        self.conditions = conditions
        self._keep = keep
        self._enrolment = enrolment
        self._ages_s = ages_s
        self._clock = clock
        self._restored = restored
        self._losses = losses
        self._others = others
        self._roll_call = RollCall()
        self._engine: Engine | None = None
        self._complete = False      # the engine knows what stood before the restart
        self._unread = ""           # why it cannot be read what stood
        self._registry_gone_at: float | None = None      # since when
        self._waiting: dict[tuple[object, ...], Record] = {}
        self._unkept: deque[Change] = deque(maxlen=KEPT)
        self._fault = ""      # why they are not kept
        self._to_flash: list[tuple[str, Awaitable[int]]] = []
        self._kept_version = 0
        self._kept_at = float("-inf")
        self._news = asyncio.Event()
        self._saving = asyncio.Lock()
        self._heard_at: dict[str, float] = {}      # meter -> when it was read last, or first looked for
        self._never_heard: set[str] = set()

    def use(self, conditions: Judges) -> None:
        """Judge by other conditions from now on; what nobody judges any more is cleared."""
        self.conditions = conditions
        if self._engine is not None:
            self._tell(self._engine.use(conditions, self._now_ms()))

    def hear(self, record: Record) -> None:
        """Look at a record that goes into the ring. Link alarms come here first."""
        if self._engine is None:      # the newest of each kind waits, and all different alarms and events
            kind = record.schema.kind
            key = (kind, record.device, record.values[:1] if kind in (Kind.ALARM, Kind.EVENT) else ())
            self._waiting.pop(key, None)
            self._waiting[key] = record
            return
        self._judge(self._engine, record)

    def forget(self, meters: Iterable[str]) -> None:
        """Compare the next values of these names with none before: they are another meter's."""
        if self._engine is not None:
            self._engine.forget(meters)

    async def run(self, pulse: Pulse) -> None:
        """Look for silent meters and keep what stands, until cancelled."""
        while True:
            pulse(LOOK_S + SPARE_S)
            self._news.clear()
            with contextlib.suppress(RegistryError):      # the enrolment tells what is wrong with it
                await self.look()
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the news.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            await asyncio.sleep(self._kept_at + KEEP_EVERY_S - self._clock.monotonic())

    async def look(self) -> None:
        """Judge what no record tells, tell what the server is owed, keep what stands: one turn of the worker.

        Raises RegistryError while it is not known what stood before the restart.
        """
        engine, lost = await self._ready(), self._losses.now()
        self._look_at_registry(engine)
        self._tell(engine.look("", {LOST: float(lost)}, self._clock.monotonic(), self._now_ms()))
        await self._look(engine)
        await self._kept(engine)
        if self._complete and self._kept_version == engine.version and not self._fault:
            await self._losses.keep(lost)

    def standing(self) -> list[dict[str, Any]]:
        """Return what stands as plain data, oldest first; empty until it is known what stood before."""
        return [] if self._engine is None else [msgspec.to_builtins(alarm) for alarm in self._engine.standing()]

    @property
    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
        """Return the handlers of the control requests `alarms` and `alarm_ack`."""
        return {"alarms": self.answer, "alarm_ack": self.acknowledge}

    async def answer(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Return what stands, and the newest changes, newest first."""
        await self._kept(await self._ready())
        kept: Sequence[str] = ()
        with contextlib.suppress(RegistryError):      # what stands is known all the same
            _standing, kept = await self._enrolment.ask(lambda registry: registry.alarms(HISTORY))
        unkept = self._unkept if self._fault else []      # else they are there in a moment
        return {"standing": self.standing(),
                "history": [*map(msgspec.to_builtins, reversed(unkept)), *_read(kept, dict)][:HISTORY]}

    async def acknowledge(self, request: dict[str, Any]) -> dict[str, Any]:
        """Acknowledge {device, name, by}: "" is the gateway. EdgeError where no such alarm stands."""
        device, name, by = (request.get(key, "") for key in ("device", "name", "by"))
        if not (isinstance(device, str) and isinstance(name, str) and isinstance(by, str)):
            raise EdgeError("alarm_ack: device, name and by are texts")
        engine = await self._ready()
        changes = engine.acknowledge(device, name, by, self._now_ms())
        self._tell(changes)
        await self._kept(engine)
        return {"changes": [change.state for change in changes], "standing": self.standing()}

    async def _ready(self) -> Engine:
        """Return the engine, with what stood before the restart. RegistryError while that cannot be read, for ALONE_S.

        Then it goes without, and takes that up later: an alarm that is told twice is better than none.
        """
        if not self._complete:
            try:
                lines, _history = await self._enrolment.ask(lambda registry: registry.alarms(0))
            except RegistryError as error:
                self._unread = str(error)
                if self._engine is None and self._without_registry_s() < ALONE_S:
                    raise
            else:
                self._unread = ""
                if not self._complete:      # nobody else was quicker
                    self._complete = True
                    self._take_up(_read(lines, Standing))
        if self._engine is None:
            self._take_up([])
        assert self._engine is not None
        return self._engine

    def _take_up(self, before: Sequence[Standing]) -> None:
        """Have these alarms of before stand, and judge what was heard meanwhile."""
        self._restored((alarm.device, alarm.name) for alarm in before if alarm.name in LINK_NAMES)
        if self._engine is None:
            self._engine = Engine(self.conditions)
            self._engine.remember("", LOST, self._losses.before())
        self._engine.take_up(before)
        self._roll_call.anew()
        waiting, self._waiting = self._waiting, {}
        for record in waiting.values():
            self._judge(self._engine, record)

    def _without_registry_s(self) -> float:
        """Return for how long the registry is unusable, or the part of it that keeps alarms."""
        if not (self._enrolment.fault or self._unread):
            self._registry_gone_at = None
            return 0.0
        now = self._clock.monotonic()
        self._registry_gone_at = now if self._registry_gone_at is None else self._registry_gone_at
        return now - self._registry_gone_at

    def _look_at_registry(self, engine: Engine) -> None:
        """Without it nobody is polled after a restart, and no meter would ever be silent."""
        if self._without_registry_s() >= ALONE_S:
            self._tell(engine.told("", REGISTRY_UNUSABLE, "critical", self._enrolment.fault or self._unread,
                                   self._now_ms(), raised=True))
        elif not (self._enrolment.fault or self._unread) and self._enrolment.enrolled is not None:
            self._tell(engine.told("", REGISTRY_UNUSABLE, "critical", "it can be read again", self._now_ms(),
                                   raised=False))

    def _judge(self, engine: Engine, record: Record) -> None:
        if record.schema.kind not in UNHEARD:
            self._roll_call.heard(record.device)
        if record.schema.kind is Kind.ALARM:
            name, state, severity, detail = (str(value or "") for value in record.values[:4])
            self._tell(engine.told(record.device, name, severity, detail, self._now_ms(), raised=state == "raised"))
        else:
            self._tell(engine.look(record.device, of_record(record), self._clock.monotonic(), self._now_ms()))

    async def _look(self, engine: Engine) -> None:
        """Judge who is silent; polls that are due go in between."""
        now, ages_s = self._clock.monotonic(), self._ages_s()
        self._heard_at = {name: at for name, at in self._heard_at.items() if name in ages_s}
        self._never_heard &= ages_s.keys()
        for number, (name, age_s) in enumerate(ages_s.items()):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            if age_s is not None:
                self._heard_at[name] = now - age_s
                self._never_heard.discard(name)
            elif name not in self._heard_at:      # new, resumed, or the gateway has just started
                self._heard_at[name] = now
                self._never_heard.add(name)
            if name not in self._never_heard or not engine.stands(name, SILENT):      # who was silent before, still is
                self._tell(engine.look(name, {SILENT: now - self._heard_at[name]}, now, self._now_ms()))
        if self._enrolment.enrolled is not None:
            registered = {meter.name for meter in self._enrolment.meters}
            self._tell(engine.retain(registered, self._now_ms()))
            self._tell(engine.let_go(self._others, self._now_ms()))
            self._roll_call.retain({"", *registered})
        if self._complete:
            self._call_the_roll(engine)

    def _call_the_roll(self, engine: Engine) -> None:
        for device in self._roll_call.due(self._clock.monotonic()):
            if not self._put(engine.roll_call(device, self._clock.stamp())):
                return

    def _put(self, record: Record) -> bool:
        """Give the ring a record that tells what stands at a device; tell whether it was taken."""
        ticket = self._keep(record)
        if ticket is None:
            self._roll_call.refused(record.device, self._clock.monotonic())
            return False
        self._roll_call.taken(record.device)
        self._to_flash.append((record.device, ticket))
        return True

    def _tell(self, changes: Iterable[Change]) -> None:
        for change in changes:
            alarm = change.alarm
            log.warning("alarm %s %s%s: %s", alarm.name, change.state,
                        f" (meter {alarm.device})" if alarm.device else "", alarm.detail,
                        extra={"fields": {"meter": alarm.device}})
            self._put(change.record(self._clock.stamp()))
            self._unkept.append(change)
            self._news.set()

    async def _kept(self, engine: Engine) -> None:
        """Keep what stands, where that can be, as on a full disk it cannot: told once, and tried again."""
        try:
            await self._save(engine)
        except RegistryError as error:
            log.log(logging.DEBUG if self._fault == str(error) else logging.WARNING,
                    "alarms are not kept over a restart: %s", error)
            self._fault = str(error)
        else:
            self._fault = ""

    async def _save(self, engine: Engine) -> None:
        """Keep what stands, where that has changed. RegistryError."""
        async with self._saving:      # the worker and an answer may want to at once
            version, changes = engine.version, list(self._unkept)
            if not self._complete or version == self._kept_version or not await self._on_flash():
                return
            standing = [msgspec.json.encode(alarm).decode() for alarm in engine.standing()]
            history = [msgspec.json.encode(change).decode() for change in changes]
            await self._enrolment.ask(lambda registry: registry.keep_alarms(standing, history))
            now_kept = frozenset(changes)
            self._unkept = deque((change for change in self._unkept if change not in now_kept), KEPT)
            self._kept_version, self._kept_at = version, self._clock.monotonic()

    async def _on_flash(self) -> bool:
        """Wait until the ring has what was told so far: kept here first, a power cut would leave it untold for ever."""
        to_flash = list(self._to_flash)
        try:
            async with asyncio.timeout(FLASH_S):
                for device, ticket in to_flash:
                    try:
                        await ticket
                    except RingError:      # lost, and counted as such
                        self._roll_call.refused(device, self._clock.monotonic())
        except TimeoutError:      # storage stalls, which the ring tells; the next look tries again
            return False
        del self._to_flash[:len(to_flash)]
        return True

    def _now_ms(self) -> int:
        return self._clock.stamp().wall_ms


def _read(lines: Iterable[str], kind: type[T]) -> list[T]:
    """Return what was kept as JSON; a line that cannot be read, as after damage, is told and left out."""
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=kind))
        except msgspec.DecodeError as error:
            log.warning("what was kept of an alarm cannot be read; one that stood is raised anew: %s", error)
    return found

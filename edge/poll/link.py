"""The way to one meter over time: one kept association, opened again when it is gone, and what was learned on it.

`Link` knows when to ask for the identity, what the meter refuses, and how large its lists may be. It decides nothing
about time: when to ask, and what follows a failure, is the poller's.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from edge.dlms.conformance import Conformance
from edge.dlms.cosem import AccessError, Attribute
from edge.dlms.get import GetResult
from edge.dlms.settings import AssociationSettings
from edge.errors import EdgeError, MeterError, NoAnswer, Refused, Violation, WrongMeter
from edge.health.promise import Pulse
from edge.meters import reading
from edge.meters.profile import Profile
from edge.meters.reading import WHOLE, Plan
from edge.model import Learned
from edge.poll.air import Air
from edge.poll.conversation import Trace
from edge.poll.counter_object import read_counter
from edge.poll.counters import CounterDesk
from edge.poll.lists import ListSize
from edge.poll.session import Connect, MeterSession
from edge.poll.state import Counters
from edge.poll.unasked import OnPush, nobody_listens

log = logging.getLogger(__name__)

_OF_THE_OBJECT = frozenset((
    AccessError.READ_WRITE_DENIED, AccessError.OBJECT_UNDEFINED, AccessError.OBJECT_CLASS_INCONSISTENT,
    AccessError.TYPE_UNMATCHED, AccessError.SCOPE_OF_ACCESS_VIOLATED))

OnLearned = Callable[[str, Learned], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one poll brought: results belong to `plan.attributes`."""

    plan: Plan
    results: tuple[GetResult, ...]
    repeated: bool


class Link:
    """One meter's association and memory. Used by one task at a time."""

    def __init__(
        self,
        name: str,
        profile: Profile,
        learned: Learned,
        settings: AssociationSettings,
        connect: Connect,
        *,
        counters: Counters,
        on_learned: OnLearned,
        pulse: Pulse,
        trace: Trace | None = None,
        desk: CounterDesk | None = None,
        counter_obis: str = "",
        on_push: OnPush = nobody_listens,
    ) -> None:
        """`on_learned` is told whenever more is known, so that it survives a restart.

        `desk` is needed where the settings hold keys; `counter_obis` as in `Meter`.
        """
        self.learned = learned
        self._name = name
        self._profile = profile
        self._counters = counters
        self._on_learned = on_learned
        quirks, timing = profile.quirks, profile.timing
        self._lists = ListSize(learned.list_limit, most=quirks.list_max, never=quirks.no_list)
        self._session = MeterSession(
            connect, settings, lists=self._lists, request_gap_s=timing.request_gap_s, settle_s=timing.settle_s,
            trace=trace, pulse=pulse, counters=desk, on_push=on_push)
        self._look = None if desk is None or not counter_obis else _Look(desk, connect, settings, counter_obis, trace)
        self._refused: dict[Attribute, AccessError] = {}
        self._carried = (0, 0)
        self._connections = 0      # tried since `spend` was called
        self._identified = False
        self._plan: Plan | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether an association is kept."""
        return self._session.is_open

    @property
    def last_exchange_at(self) -> float:
        """Return when the meter last answered, in loop time."""
        return self._session.last_exchange_at

    @property
    def took_s(self) -> float:
        """Return how long the newest exchange took that was answered, opening the association not counted."""
        return self._session.took_s

    def spend(self, air: Air, now: float) -> None:
        """Tell the air what this link has used since the last time, whatever it was for."""
        carried = self._session.carried_bytes()
        before, self._carried = self._carried, carried
        connections, self._connections = self._connections, 0
        air.spent(self._name, carried[0] - before[0], carried[1] - before[1], now, connections=connections)

    async def poll(self) -> Answers:
        """Read everything the profile wants, opening an association first where there is none.

        Raises MeterError; the connection is ended then, unless the meter answered soundly and only said no.
        Cancelling ends a connection with an open exchange hard.
        """
        await self._ready()
        answers = await self._ask()
        if any(ask.whole and answers.results[ask.value_at].error is not None for ask in answers.plan.asks):
            answers = await self._ask()      # whole objects are refused: value and scaler apart from now on
        await self._learn(answers.plan, answers.results)
        return answers

    async def stand(self) -> MeterSession:
        """Have an association with the right meter, for work other than a poll, and return its session.

        Asks for the identity where no poll has done it on this connection. Raises MeterError as `poll` does.
        """
        await self._ready()
        if not self._identified and self._profile.identity is not None:
            plan = reading.identify(self._profile, self.learned)
            await self._learn(plan, await self._get(plan.attributes))
        return self._session

    async def keep_alive(self) -> None:
        """Send the smallest useful request: the identity where the profile names one, else the first object."""
        if not self._session.is_open:
            return
        self._session.check()
        identity = self._profile.identity
        wanted = identity.target if identity is not None and identity.target not in self._refused else (
            self._profile.objects[0].target)
        await self._get((wanted,))
        self._counters.keep_alives += 1

    async def close(self) -> None:
        """Take leave politely, within a deadline. Safe when nothing is open."""
        await self._session.close()

    def abort(self) -> None:
        """End the connection hard."""
        self._session.abort()

    # -- the steps of a poll ---------------------------------------------------------------------------------------

    async def _ready(self) -> None:
        """Have an association. One that was dropped between two polls is no failure: it is opened again at once."""
        if self._session.is_open:
            try:
                self._session.check()
            except MeterError as ended:
                self._counters.drops_idle += 1
                log.debug("meter %s: the kept connection has ended: %s", self._name, ended)
            else:
                return
        if self._look is not None:
            self._connections += self._look.due
            await self._look.before_opening(self._name)
        self._connections += 1
        try:
            await self._session.open()
        except Refused:
            if self._look is not None:
                self._look.due = True
            raise
        self._counters.connects += 1
        self._identified = False
        self._refused.clear()
        self._plan = None       # it was made without what the last association refused

    async def _ask(self) -> Answers:
        plan = self._planned()
        results = await self._get(plan.attributes)
        results, repeated = await self._repeat_temporary(results)
        self._refused.update((result.attribute, result.error) for result in results
                             if result.error is not None and _lasting(result.attribute, result.error))
        return Answers(plan, results, repeated)

    def _planned(self) -> Plan:
        """Return the plan for now; the same object as long as nothing has changed."""
        identify = not self._identified and self._profile.identity is not None
        whole = (self._profile.quirks.attribute_0
                 and Conformance.ATTRIBUTE_0_GET in self._session.association.server_conformance)
        kept = self._plan
        if (kept is not None and kept.learned is self.learned and (kept.identity_at is None) != identify
                and not any(attribute in self._refused for attribute in kept.attributes)):
            return kept
        made = reading.plan(self._profile, self.learned, identify=identify, whole_objects=whole, refused=self._refused)
        if not made.attributes:      # all of them were refused: ask again, it may have been a matter of time
            self._refused.clear()
            made = reading.plan(self._profile, self.learned, identify=identify, whole_objects=whole)
        if not identify:
            self._plan = made
        return made

    async def _get(self, attributes: tuple[Attribute, ...]) -> tuple[GetResult, ...]:
        before = self._session.round_trips
        try:
            results = await self._session.get(attributes)
            self._counters.took(self._session.took_s)
            return results
        finally:
            self._counters.round_trips += self._session.round_trips - before

    async def _repeat_temporary(self, results: tuple[GetResult, ...]) -> tuple[tuple[GetResult, ...], bool]:
        """Level 1 of the ladder: ask once more for what the meter cleanly called a temporary failure."""
        again = tuple(result.attribute for result in results if result.error is not None and result.error.temporary)
        if not again:
            return results, False
        answers = dict(zip(again, await self._get(again), strict=True))
        return tuple(answers.get(result.attribute, result) for result in results), True

    async def _learn(self, plan: Plan, results: tuple[GetResult, ...]) -> None:
        before = self.learned
        try:
            learned = reading.learn(plan, results)
        except WrongMeter:
            # What was learned belongs to another meter. Its identity stays, so that this one is never taken for it.
            await self._keep(Learned(identity=before.identity))
            self._session.abort()
            raise
        if plan.identity_at is not None:
            self._identified = True
        if self._lists.learned != learned.list_limit:
            learned = replace(learned, list_limit=self._lists.learned)
        if learned is not before and learned != before:
            await self._keep(learned)

    async def _keep(self, learned: Learned) -> None:
        self.learned = learned
        try:
            await self._on_learned(self._name, learned)
        except EdgeError as error:
            log.warning("meter %s: what was learned is not kept: %s", self._name, error)


class _Look:
    """Reads the meter's view of our invocation counter before the first association, and after a refused one."""

    def __init__(
        self, desk: CounterDesk, connect: Connect, settings: AssociationSettings, obis: str, trace: Trace | None,
    ) -> None:
        self.due = True
        self._desk, self._connect, self._settings, self._obis, self._trace = desk, connect, settings, obis, trace

    async def before_opening(self, name: str) -> None:
        """Raise our counter above the meter's where a look is due. One that fails is told and tried again next time."""
        if not self.due:
            return
        try:
            lowest = await read_counter(self._connect, self._settings, self._obis, self._trace)
        except (Refused, Violation, NoAnswer) as why:
            log.warning("meter %s: its invocation counter at %s is not read: %s", name, self._obis, why)
            return
        await self._desk.raise_to(lowest)
        self.due = False


def _lasting(attribute: Attribute, error: AccessError) -> bool:
    """Tell whether a refusal will be the same next time: it speaks of the object or its rights, not of now.

    A whole object (attribute 0) has another way to be read, so any refusal but a temporary one is taken as lasting.
    """
    return error in _OF_THE_OBJECT or (attribute.attribute == WHOLE and not error.temporary)

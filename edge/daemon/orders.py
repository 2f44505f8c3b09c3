"""Operators' orders on the control socket: looked at, handed to the meter's poller, and what came of them.

    order        {"meter", "by", "ask": {"kind": ..., ...}}  ──► {"order": number}      refused: one line, and an event
    order_state  {"order": number, "wait_s": seconds}        ──► {"phase", "result", "error"}

Two requests, because a meter may take longer than a control request may. The number is good until MOST_KEPT others
have come, and not beyond a restart of the gateway.
"""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import msgspec

from edge.config import Settings
from edge.daemon.enrolment import Enrolment
from edge.daemon.latest import Latest
from edge.errands import relay, requests
from edge.errands.marks import since_s
from edge.errands.means import Means, Subject
from edge.errands.order import Order, refuse
from edge.errands.relay_policy import Facts
from edge.errands.requests import Asked, RelayAsked
from edge.errors import ConfigError, EdgeError, OrderRefused
from edge.meters import reading
from edge.meters.profile import Profile
from edge.poll.errand import Errand
from edge.store.duties import RELAY

MOST_KEPT = 64
LONGEST_WAIT_S = 10.0


class _Given(msgspec.Struct, frozen=True):
    """The control request `order`."""

    meter: str
    by: str
    ask: dict[str, Any]
    request: str = ""


class _Awaited(msgspec.Struct, frozen=True):
    """The control request `order_state`."""

    order: int
    wait_s: float = 0.0
    request: str = ""


class OrderDesk:
    """Takes orders for all meters."""

    def __init__(self, settings: Settings, profiles: Mapping[str, Profile], enrolment: Enrolment,
                 hand_over: Callable[[str, Errand], None], latest: Latest, means: Means) -> None:
        """`hand_over` is `Fleet.order`."""
        self._settings = settings
        self._profiles = profiles
        self._enrolment = enrolment
        self._hand_over = hand_over
        self._latest = latest
        self._means = means
        self._numbers = count(1)
        self._orders: dict[int, Order] = {}

    def use(self, settings: Settings) -> None:
        """Judge the next orders by other settings."""
        self._settings = settings

    async def order(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take an order; the control request of that name. OrderRefused, ConfigError: one line on why not."""
        given = _read(request, _Given)
        ask = requests.asked(given.ask)
        subject, profile = self._subject(given.meter)
        doing = requests.task(ask, subject, profile, self._means, self._settings)
        facts = await self._facts(ask, subject, profile) if requests.needs_facts(ask) else None
        if refused := requests.refusals(ask, doing, self._settings, facts):
            why = "; ".join(refused)
            refuse(doing, subject, self._means, given.by, why)
            raise OrderRefused(f"{doing.words} of {subject.meter}: {why}")
        order = Order(doing, subject, self._means, given.by)
        try:
            self._hand_over(subject.meter, order)
        except EdgeError as error:
            order.withdraw(str(error))
            raise
        number = next(self._numbers)
        self._orders[number] = order
        for old in [kept for kept in self._orders if kept <= number - MOST_KEPT]:
            del self._orders[old]
        return {"order": number}

    async def state(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell what came of an order, after waiting for it; the control request `order_state`."""
        awaited = _read(request, _Awaited)
        order = self._orders.get(awaited.order)
        if order is None:
            raise ConfigError(f"no order {awaited.order}: the gateway has started anew, or it is too long ago")
        outcome = await order.outcome(min(max(awaited.wait_s, 0.0), LONGEST_WAIT_S))
        if outcome is None:
            return {"phase": order.phase.value}
        return {"phase": outcome.phase.value, "result": outcome.result, "error": outcome.error}

    def _subject(self, name: str) -> tuple[Subject, Profile]:
        meter = next((meter for meter in self._enrolment.meters if meter.name == name), None)
        if meter is None:
            raise ConfigError(f"no meter is named {name[:64]!r}; `halow-gateway meter list` shows the registered ones")
        profile = self._profiles.get(meter.profile)
        if profile is None:
            raise ConfigError(f"meter {name}: its profile {meter.profile!r} is unknown")
        return Subject(meter.name, profile.name), profile

    async def _facts(self, ask: Asked, subject: Subject, profile: Profile) -> Facts:
        newest = self._latest.of(subject.meter)
        assert profile.relay is not None
        return Facts(
            permitted=RELAY in (await self._enrolment.permitted()).get(subject.meter, frozenset()),
            confirmed=isinstance(ask, RelayAsked) and ask.confirm == subject.meter,
            reading_age_s=None if newest is None else newest.age_s,
            load_w=None if newest is None else reading.number(newest.record, profile.relay.power_key),
            since_switch_s=await since_s(subject, relay.DUTY, self._means))


def _read(request: dict[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(request, kind)
    except msgspec.ValidationError as wrong:
        raise ConfigError(f"no such request: {wrong}") from wrong

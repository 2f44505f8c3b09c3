"""What a person may order of one meter, as plain data, and what becomes of it.

    {"kind": "relay", ...} ──► Asked ──► task() ──► Task ──► refusals() ─ none ─► Order
                                 │ ConfigError: nonsense      └─ some ─► recorded, and told
"""

from typing import Any, Literal

import msgspec

from edge.config import OrderSettings, Settings
from edge.dlms.action import NO_DATA, ActionRequest
from edge.errands import lowlevel, relay, relay_policy
from edge.errands.clock_keeper import ClockKeeper
from edge.errands.clock_order import ClockSync
from edge.errands.means import Means, Subject
from edge.errands.order import Task
from edge.errands.relay_policy import Facts
from edge.errors import ConfigError
from edge.meters import typed
from edge.meters.profile import Profile
from edge.meters.targets import target


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every kind of request is."""


class RelayAsked(_Asked, frozen=True, tag="relay"):
    """Look at the relay, or switch; `confirm` is the meter's name once more."""

    order: Literal["on", "off", "status"]
    confirm: str = ""


class GetAsked(_Asked, frozen=True, tag="get"):
    """Read attributes."""

    targets: tuple[str, ...]


class SetAsked(_Asked, frozen=True, tag="set"):
    """Write an attribute; `value` as `edge.meters.typed.written` reads it."""

    target: str
    value: str

    def __repr__(self) -> str:
        """Leave the value out: it may be a key."""
        return f"SetAsked(target={self.target!r})"


class ActionAsked(_Asked, frozen=True, tag="action"):
    """Call a method; `value` "" = without parameters."""

    target: str
    value: str = ""

    def __repr__(self) -> str:
        """Leave the value out: it may be a key."""
        return f"ActionAsked(target={self.target!r})"


class ClockAsked(_Asked, frozen=True, tag="clock"):
    """Look after the clock now."""


Asked = RelayAsked | GetAsked | SetAsked | ActionAsked | ClockAsked


def asked(data: Any) -> Asked:
    """Read a request. ConfigError: it is none."""
    try:
        request: Asked = msgspec.convert(data, Asked)
    except msgspec.ValidationError as wrong:
        raise ConfigError(f"no order: {wrong}") from wrong
    return request


def task(request: Asked, subject: Subject, profile: Profile, means: Means, settings: Settings) -> Task:
    """Return what is to be done. ConfigError: there is no such thing on this kind of meter, or it cannot be read."""
    try:
        return _task(request, subject, profile, means, settings)
    except ValueError as wrong:
        raise ConfigError(str(wrong)) from wrong


def _task(request: Asked, subject: Subject, profile: Profile, means: Means, settings: Settings) -> Task:
    match request:
        case ClockAsked():
            return _clock_task(subject, profile, means, settings)
        case RelayAsked():
            if profile.relay is None:
                raise ConfigError(f"{subject.meter}: the profile {profile.name} names no relay ([relay])")
            if request.order == "status":
                return relay.RelayStatus(profile.relay)
            return relay.Switch(profile.relay, request.order, subject, means)
        case GetAsked():
            if not request.targets:
                raise ConfigError("nothing to read")
            return lowlevel.Get(tuple(target(text, profile) for text in request.targets))
        case SetAsked():
            return lowlevel.Set(target(request.target, profile), typed.written(request.value))
    method = target(request.target, profile, None)
    data = typed.written(request.value) if request.value else NO_DATA
    return lowlevel.Action(ActionRequest(method.class_id, method.obis, method.attribute, data))


def _clock_task(subject: Subject, profile: Profile, means: Means, settings: Settings) -> Task:
    if profile.clock is None:
        raise ConfigError(f"{subject.meter}: the profile {profile.name} names no clock ([clock])")
    return ClockSync(ClockKeeper(subject, profile.clock, settings.clock_sync, settings.duties.clock_interval_s, means))


def refusals(request: Asked, doing: Task, settings: Settings, facts: Facts | None) -> tuple[str, ...]:
    """Return why it is not even sent to the meter; empty = it is. `facts` are needed where `needs_facts`."""
    if isinstance(request, RelayAsked) and request.order != "status":
        assert facts is not None
        return relay_policy.objections(request.order, facts, settings.relay)
    if isinstance(request, ClockAsked):
        return () if settings.clock_sync.allow else ("this gateway moves no clocks (clock_sync.allow)",)
    return _not_allowed(doing, settings.orders)


def needs_facts(request: Asked) -> bool:
    """Tell whether what is known of the meter takes part in the decision."""
    return isinstance(request, RelayAsked) and request.order != "status"


def _not_allowed(doing: Task, settings: OrderSettings) -> tuple[str, ...]:
    match doing:
        case lowlevel.Set() if not settings.allow_set:
            return ("this gateway writes no attributes (orders.allow_set)",)
        case lowlevel.Action():
            why = lowlevel.guarded(doing.request.class_id)
            closed = "" if settings.allow_action else "this gateway calls no methods (orders.allow_action)"
            return tuple(filter(None, (why, closed)))
    return ()

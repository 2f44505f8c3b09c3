"""From the body of a push to a record (pure).

    body ─┬─ fits a [[push]] of the profile ──┐
          ├─ says itself what it holds ───────┼─► Understood ─► record(…)   Kind.PUSHED, the keys of the profile
          └─ neither ─────────────────────────┴─► a reason   ─► unread(…)   Kind.EVENT: what came, in words

As with polls nothing is guessed: a value without a known scaler or with another unit than the profile says is left out
and named in `not_read`. Scalers are the ones that the push tells, else those learned by polling, else the profile's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from edge.dlms.axdr import AxdrValue
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.get import GetResult
from edge.meters.dutyspec import ClockSpec
from edge.meters.exact import Exact, exact
from edge.meters.layout import CLOCK, PUSH_SETUP, TIME_DOUBT, PushLayout, PushObject
from edge.meters.objectspec import ObjectSpec
from edge.meters.profile import NOT_READ, Profile
from edge.meters.pushtime import MeterTime
from edge.meters.reading import DETAIL_LIMIT, Ask, Plan, cut, schema_of, valued
from edge.meters.selftold import Told, self_told
from edge.model import Field, Kind, Learned, Record, Scalar, Stamp, Stream

PLANS_KEPT = 16
"""Bodies of different make that a reader remembers; meters have a handful of push setups."""

_STREAMS = {"instant": Stream.INSTANT, "billing": Stream.BILLING}
_DATE_TIME_OCTETS = 12


class _Place(NamedTuple):
    """One place of a layout: what stands there, and what it is kept as, if it is."""

    attribute: Attribute
    spec: ObjectSpec | None


class _Layout(NamedTuple):
    """A `[[push]]` with everything looked up. `identity_at`: where it tells the meter's identity."""

    stream: Stream
    places: tuple[_Place, ...]
    identity_at: int | None


class _Found(NamedTuple):
    """One value of a body. In `attribute` 0 stands for a class or number that the body does not say."""

    attribute: Attribute
    value: AxdrValue
    spec: ObjectSpec | None
    scaler_unit: AxdrValue = None


@dataclass(frozen=True, slots=True)
class Understood:
    """A body whose values have names. `clock` are twelve octets, or none.

    `strangers` are the objects in it that the profile does not have.
    """

    plan: Plan
    results: tuple[GetResult, ...]
    stream: Stream
    clock: bytes
    strangers: tuple[str, ...]


class PushReader:
    """Reads the pushes of one meter. Keep it as long as profile and learned stay the same: it remembers schemas."""

    def __init__(self, profile: Profile, learned: Learned) -> None:
        """`learned` has the scalers that polling has found out."""
        self.profile = profile
        self._clock_obis = Obis.parse((profile.clock or ClockSpec()).obis)
        self._identity = None if profile.identity is None else profile.identity.target
        self._learned = learned
        self._layouts = [_looked_up(layout, profile) for layout in profile.push]
        pushed = (place.spec for layout in self._layouts for place in layout.places if place.spec is not None)
        self._by_obis: dict[Obis, list[ObjectSpec]] = {}
        for spec in {spec.key: spec for spec in (*pushed, *profile.objects)}.values():
            self._by_obis.setdefault(spec.target.obis, []).append(spec)
        self._plans: dict[tuple[tuple[str, int, int | None], ...], Plan] = {}

    def read(self, body: AxdrValue) -> Understood | str:
        """Give the values of a body their names; a plain str says why that cannot be."""
        for layout in self._layouts:
            if _fits(layout, body):
                found = [_Found(place.attribute, value, place.spec)
                         for place, value in zip(layout.places, body, strict=True)]
                return self._understood(found, layout.stream, ())
        told = self_told(body)
        if not told:
            return "the profile has no [[push]] like it, and it does not say what it holds"
        found = [_Found(Attribute(each.class_id or 0, each.obis, each.attribute or 0), each.value, self._spec_of(each),
                        each.scaler_unit) for each in told]
        strangers = tuple(dict.fromkeys(str(each.attribute.obis) for each in found if not self._known(each)))
        return self._understood(found, Stream.INSTANT, strangers)

    def identity(self, body: AxdrValue, told: Sequence[Told]) -> str:
        """Return the identity that a body tells, "" for none. `told` is what `self_told` makes of it."""
        for layout in self._layouts:
            if layout.identity_at is not None and _fits(layout, body):
                return _text(body[layout.identity_at])
        return next((_text(each.value) for each in told
                     if self._is_identity(Attribute(each.class_id or 0, each.obis, each.attribute or 0))), "")

    def _understood(self, found: Sequence[_Found], stream: Stream, strangers: tuple[str, ...]) -> Understood:
        results = [GetResult(each.attribute, each.value, None) for each in found]
        places = {each.attribute: at for at, each in enumerate(found)}
        asks: dict[str, Ask] = {}
        for at, (_, _, spec, scaler_unit) in enumerate(found):
            if spec is None or spec.key in asks:
                continue
            scaler_at = None
            if spec.scaler_target is not None and scaler_unit is not None:
                scaler_at = len(results)
                results.append(GetResult(spec.scaler_target, scaler_unit, None))
            elif spec.scaler_target is not None:
                scaler_at = places.get(spec.scaler_target)
            asks[spec.key] = Ask(spec, at, scaler_at, whole=False)
        return Understood(self._plan(tuple(asks.values())), tuple(results), stream, self._clock_of(found), strangers)

    def _plan(self, asks: tuple[Ask, ...]) -> Plan:
        """Return the plan for bodies of this make, the same one each time. A scaler that is told counts first."""
        make = tuple((ask.spec.key, ask.value_at, ask.scaler_at) for ask in asks)
        plan = self._plans.get(make)
        if plan is None:
            told = {ask.spec.learned_key for ask in asks if ask.scaler_at is not None}
            scalers = {key: pair for key, pair in self._learned.scalers.items() if key not in told}
            plan = Plan(self.profile, replace(self._learned, scalers=scalers), (), asks, None, kind=Kind.PUSHED)
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[make] = plan
        return plan

    def _spec_of(self, told: Told) -> ObjectSpec | None:
        for spec in self._by_obis.get(told.obis, ()):
            if told.class_id in (None, spec.class_id) and told.attribute in (None, spec.attribute):
                return spec
        return None

    def _known(self, found: _Found) -> bool:
        """Tell whether an object means something here: a value or its scaler, the identity, the clock, the setup."""
        class_id, obis, _, _ = found.attribute
        return (found.spec is not None or obis in self._by_obis or obis == self._clock_obis
                or class_id in (CLOCK, PUSH_SETUP) or (self._identity is not None and obis == self._identity.obis))

    def _is_identity(self, attribute: Attribute) -> bool:
        wanted = self._identity
        return wanted is not None and attribute.obis == wanted.obis and attribute.attribute in (0, wanted.attribute)

    def _clock_of(self, found: Sequence[_Found]) -> bytes:
        """Return the meter's clock as the body shows it: twelve octets, or none."""
        for (class_id, obis, number, _), value, spec, _ in found:
            clock = class_id == CLOCK or (not class_id and obis == self._clock_obis)
            if clock and spec is None and number in (0, 2) and isinstance(value, bytes) and (
                    len(value) == _DATE_TIME_OCTETS):
                return value
        return b""


def record(understood: Understood, time: MeterTime, stamp: Stamp, device: str) -> Record | str:
    """Build the record of a push: PUSHED; a plain str says why not one value could be had."""
    values, scalers, missing = valued(understood.plan, understood.results)
    if len(missing) == len(values):
        return "; ".join(missing) or "none of its objects is in the profile"
    columns: list[tuple[Field, Scalar]] = []
    if missing:
        columns.append((Field(NOT_READ), cut("; ".join(missing))))
    if time.doubt:
        columns.append((Field(TIME_DOUBT), cut(time.doubt)))
    schema = schema_of(understood.plan, scalers, tuple(field for field, _ in columns))
    return Record(schema, device, time.dated(stamp), (*values, *(value for _, value in columns)))


# -- layouts -----------------------------------------------------------------------------------------------------------

def _looked_up(layout: PushLayout, profile: Profile) -> _Layout:
    by_key = {spec.key: spec for spec in profile.objects}
    places = tuple(_place(each, by_key.get(each.key)) for each in layout.objects)
    wanted = None if profile.identity is None else profile.identity.target
    identity_at = next((at for at, place in enumerate(places) if place.attribute == wanted), None)
    return _Layout(_STREAMS[layout.stream], places, identity_at)


def _place(each: PushObject, spec: ObjectSpec | None) -> _Place:
    if each.key and spec is not None:
        return _Place(spec.target, spec)
    assert each.obis is not None      # `push_problems` saw to it
    if each.key:
        spec = ObjectSpec(key=each.key, obis=each.obis, class_id=each.class_id, attribute=each.attribute,
                          unit=each.unit, scaler=each.scaler)
    return _Place(Attribute(each.class_id, Obis.parse(each.obis), each.attribute), spec)


def _fits(layout: _Layout, body: AxdrValue) -> bool:
    """Tell whether a body can be of this layout: as many values, names and times and numbers where they are due."""
    if not isinstance(body, list | tuple) or len(body) != len(layout.places):
        return False
    return all(_may_be(place, value) for place, value in zip(layout.places, body, strict=True))


def _may_be(place: _Place, value: AxdrValue) -> bool:
    (class_id, obis, number, _), spec = place
    if spec is not None:
        return not spec.unit or value is None or _is_number(value)
    if class_id == PUSH_SETUP and number == 1:
        return bool(value == obis.to_bytes())
    return class_id != CLOCK or number != 2 or (isinstance(value, bytes) and len(value) == _DATE_TIME_OCTETS)


def _is_number(value: AxdrValue) -> bool:
    number = exact(value)
    return isinstance(number, Exact) and isinstance(number.raw, int)


def _text(value: AxdrValue) -> str:
    told = exact(value)
    return str(told.raw)[:DETAIL_LIMIT] if isinstance(told, Exact) else ""

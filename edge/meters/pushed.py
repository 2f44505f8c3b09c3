"""From the body of a push to a record (pure).

    body ─┬─ fits a [[push]] of the profile ──┐
          ├─ says itself what it holds ───────┼─► Understood ─► record(…)   Kind.PUSHED, the keys of the profile
          └─ neither ─────────────────────────┴─► a reason   ─► unread(…)   Kind.EVENT: what came, in words

As with polls nothing is guessed: a value without a known scaler or with another unit than the profile says is left out
and named in `not_read`. Scalers are the ones that the push tells, else those learned by polling, else the profile's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from edge.dlms.axdr import AxdrValue
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.get import GetResult
from edge.meters.exact import Exact, exact
from edge.meters.layout import CLOCK, PUSH_SETUP, TIME_DOUBT, PushLayout, PushObject
from edge.meters.profile import NOT_READ, ObjectSpec, Profile
from edge.meters.pushtime import MeterTime
from edge.meters.reading import DETAIL_LIMIT, Ask, Plan, cut, schema_of, valued
from edge.meters.selftold import Told, self_told
from edge.model import Field, Kind, Learned, Record, Scalar, Stamp, Stream

PLANS_KEPT = 16
"""Bodies of different make that a reader remembers; meters have a handful of push setups."""

_STREAMS = {"instant": Stream.INSTANT, "billing": Stream.BILLING}
_CLOCK_OBIS = Obis(0, 0, 1, 0, 0)
_DATE_TIME_OCTETS = 12


class _Found(NamedTuple):
    """One value of a body and the object of the profile that it belongs to, None where there is none."""

    told: Told
    spec: ObjectSpec | None


@dataclass(frozen=True, slots=True)
class Understood:
    """A body whose values have names. `identity` and `clock` (twelve octets) are empty where the body has none.

    `strangers` are the objects in it that the profile does not have.
    """

    plan: Plan
    results: tuple[GetResult, ...]
    stream: Stream
    identity: str
    clock: bytes
    strangers: tuple[str, ...]


class PushReader:
    """Reads the pushes of one meter. Keep it as long as profile and learned stay the same: it remembers schemas."""

    def __init__(self, profile: Profile, learned: Learned) -> None:
        """`learned` has the scalers that polling has found out."""
        self.profile = profile
        self._learned = learned
        self._layouts = [(layout, _specs(layout, profile)) for layout in profile.push]
        pushed = (spec for _, specs in self._layouts for spec in specs if spec is not None)
        known = {spec.key: spec for spec in (*pushed, *profile.objects)}
        self._by_obis: dict[Obis, list[ObjectSpec]] = {}
        for spec in known.values():
            self._by_obis.setdefault(spec.target.obis, []).append(spec)
        self._plans: dict[tuple[Ask, ...], Plan] = {}

    def read(self, body: AxdrValue) -> Understood | str:
        """Give the values of a body their names; a plain str says why that cannot be."""
        fitting = [(layout, specs) for layout, specs in self._layouts if _fits(layout, specs, body)]
        if fitting:
            layout, specs = fitting[0]
            found = [_Found(told, spec) for told, spec in zip(_placed(layout, specs, body), specs, strict=True)]
            return self._understood(found, _STREAMS[layout.stream], ())
        told = self_told(body)
        if not told:
            return "the profile has no [[push]] like it, and it does not say what it holds"
        found = [_Found(each, self._spec_of(each)) for each in told]
        strangers = tuple(dict.fromkeys(str(each.told.obis) for each in found if not self._known(each)))
        return self._understood(found, Stream.INSTANT, strangers)

    def _understood(self, found: Sequence[_Found], stream: Stream, strangers: tuple[str, ...]) -> Understood:
        results = [GetResult(_attribute(each.told), each.told.value, None) for each in found]
        places = {result.attribute: at for at, result in enumerate(results)}
        asks: dict[str, Ask] = {}
        told_scalers: set[str] = set()
        for at, (told, spec) in enumerate(found):
            if spec is None or spec.key in asks:
                continue
            scaler_at = None
            if spec.scaler_target is not None and told.scaler_unit is not None:
                scaler_at = len(results)
                results.append(GetResult(spec.scaler_target, told.scaler_unit, None))
            elif spec.scaler_target is not None:
                scaler_at = places.get(spec.scaler_target)
            if scaler_at is not None:
                told_scalers.add(spec.learned_key)
            asks[spec.key] = Ask(spec, at, scaler_at, whole=False)
        return Understood(self._plan(tuple(asks.values()), told_scalers), tuple(results), stream, self._identity(found),
                          _clock(found), strangers)

    def _plan(self, asks: tuple[Ask, ...], told_scalers: set[str]) -> Plan:
        """Return the plan for bodies of this make; the same one each time."""
        plan = self._plans.get(asks)
        if plan is None:
            scalers = {key: pair for key, pair in self._learned.scalers.items() if key not in told_scalers}
            plan = Plan(self.profile, replace(self._learned, scalers=scalers), (), asks, None, kind=Kind.PUSHED)
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[asks] = plan
        return plan

    def _spec_of(self, told: Told) -> ObjectSpec | None:
        for spec in self._by_obis.get(told.obis, ()):
            if told.class_id in (None, spec.class_id) and told.attribute in (None, spec.attribute):
                return spec
        return None

    def _known(self, found: _Found) -> bool:
        """Tell whether an object means something here: a value or its scaler, the identity, the clock, the setup."""
        told = found.told
        identity = self.profile.identity
        return (found.spec is not None or told.obis in self._by_obis or told.obis == _CLOCK_OBIS
                or told.class_id in (CLOCK, PUSH_SETUP) or (
                    identity is not None and told.obis == identity.target.obis))

    def _identity(self, found: Sequence[_Found]) -> str:
        wanted = self.profile.identity
        for told, _ in found:
            if wanted is not None and told.obis == wanted.target.obis and told.attribute in (None, wanted.attribute):
                value = exact(told.value)
                return str(value.raw)[:DETAIL_LIMIT] if isinstance(value, Exact) else ""
        return ""


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

def _specs(layout: PushLayout, profile: Profile) -> tuple[ObjectSpec | None, ...]:
    """Return what each place of a layout is kept as; None for one that is not."""
    by_key = {spec.key: spec for spec in profile.objects}
    return tuple(_spec(each, by_key.get(each.key)) for each in layout.objects)


def _spec(each: PushObject, spec: ObjectSpec | None) -> ObjectSpec | None:
    if not each.key:
        return None
    if spec is not None:
        return spec
    assert each.obis is not None      # `push_problems` saw to it
    return ObjectSpec(key=each.key, obis=each.obis, class_id=each.class_id, attribute=each.attribute, unit=each.unit,
                      scaler=each.scaler)


def _placed(layout: PushLayout, specs: Sequence[ObjectSpec | None], body: Sequence[AxdrValue]) -> Iterator[Told]:
    for each, spec, value in zip(layout.objects, specs, body, strict=True):
        if spec is not None:
            yield Told(spec.target.obis, value, spec.class_id, spec.attribute)
        else:
            assert each.obis is not None      # `push_problems` saw to it
            yield Told(Obis.parse(each.obis), value, each.class_id, each.attribute)


def _fits(layout: PushLayout, specs: Sequence[ObjectSpec | None], body: AxdrValue) -> bool:
    """Tell whether a body can be of this layout: as many values, names and times and numbers where they are due."""
    if not isinstance(body, list | tuple) or len(body) != len(layout.objects):
        return False
    return all(_may_be(told, spec) for told, spec in zip(_placed(layout, specs, body), specs, strict=True))


def _may_be(told: Told, spec: ObjectSpec | None) -> bool:
    if told.class_id == PUSH_SETUP and told.attribute == 1:
        return bool(told.value == told.obis.to_bytes())
    if told.class_id == CLOCK and told.attribute == 2:
        return isinstance(told.value, bytes) and len(told.value) == _DATE_TIME_OCTETS
    if spec is not None and spec.unit:
        value = exact(told.value)
        return told.value is None or (isinstance(value, Exact) and isinstance(value.raw, int))
    return True


def _attribute(told: Told) -> Attribute:
    return Attribute(told.class_id or 0, told.obis, told.attribute or 0)


def _clock(found: Sequence[_Found]) -> bytes:
    """Return the meter's clock as the body shows it."""
    for told, spec in found:
        clock = told.class_id == CLOCK or (told.class_id is None and told.obis == _CLOCK_OBIS)
        if clock and spec is None and told.attribute in (None, 2) and isinstance(told.value, bytes) and (
                len(told.value) == _DATE_TIME_OCTETS):
            return told.value
    return b""

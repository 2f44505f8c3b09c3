"""From a profile to a request, and from raw answers to a record (pure).

    plan(profile, learned) ──► attributes to GET ──► results ──► learn(plan, results)  scalers, identity
                                                             └─► record(plan, results, stamp, device)

Nothing is guessed: a value without a known scaler, with another unit than the profile says, or refused by the meter is
None in the record, and its key stands in the text column `not_read` with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from edge.dlms.axdr import Integer
from edge.dlms.cosem import UNITS, AccessError, Attribute
from edge.dlms.datetimes import ClockTime
from edge.dlms.get import GetResult
from edge.errors import FailReason, Refused, Violation, WrongMeter
from edge.meters.exact import PLAIN_NUMBERS, Exact, exact, other_unit, scaler_unit, steady
from edge.meters.objectspec import ObjectSpec
from edge.meters.profile import NOT_READ, Profile
from edge.model import Field, Kind, Learned, Record, Scalar, Schema, Stamp

DETAIL_LIMIT = 240
"""Characters of a failure's text that are kept."""

TEXT_LIMIT = 1_024
"""Characters of a text value; a longer one would cost the whole record its place in the ring."""

SCHEMAS_KEPT = 64
"""Schemas a plan remembers. Floats that change their size make new ones, without end if a meter wants it."""

WHOLE = 0
"""Attribute 0: the whole object as one structure (IEC 62056-5-3, attribute0-supported-with-get)."""


class Ask(NamedTuple):
    """Where one object's answers stand among the results. `scaler_at` None = known, or part of a whole object."""

    spec: ObjectSpec
    value_at: int
    scaler_at: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to GET now, in this order. Keep it while `learned` stays the same: it remembers its schemas.

    `refused` are results known beforehand; positions in `asks` count through the results, then through these.
    """

    profile: Profile
    learned: Learned
    attributes: tuple[Attribute, ...]
    asks: tuple[Ask, ...]
    identity_at: int | None
    refused: tuple[GetResult, ...] = ()
    kind: Kind = Kind.READING
    schemas: dict[tuple[tuple[int, ...], tuple[Field, ...]], Schema] = field(
        default_factory=dict, compare=False, repr=False)
    fractions: dict[int, int] = field(default_factory=dict, compare=False, repr=False)


def plan(
    profile: Profile,
    learned: Learned,
    *,
    identify: bool = False,
    whole_objects: bool = False,
    refused: Mapping[Attribute, AccessError] = MappingProxyType({}),
) -> Plan:
    """Plan one poll: every value, scaler_unit only where it is not learned yet, the identity if `identify`.

    `whole_objects` asks attribute 0 instead of value and scaler_unit apart, where the scaler is not learned: the half
    of the requests for a meter that takes one at a time. What is in `refused` is not asked again.
    """
    wanted: list[Attribute] = []
    if identify and profile.identity is not None:
        wanted.append(profile.identity.target)
    places: list[tuple[ObjectSpec, Attribute, Attribute | None]] = []
    for spec in profile.objects:
        scaler = None if spec.learned_key in learned.scalers else spec.scaler_target
        whole = spec.target._replace(attribute=WHOLE)
        if scaler is not None and whole_objects and whole not in refused:
            places.append((spec, whole, None))
        else:
            places.append((spec, spec.target, scaler))
    wanted += [value for _, value, _ in places]
    wanted += [scaler for _, _, scaler in places if scaler is not None]
    attributes = tuple(attribute for attribute in wanted if attribute not in refused)
    known = tuple(GetResult(attribute, None, refused[attribute]) for attribute in wanted if attribute in refused)
    at = {attribute: place for place, attribute in enumerate((*attributes, *(result.attribute for result in known)))}
    asks = tuple(Ask(spec, at[value], None if scaler is None else at[scaler], value.attribute == WHOLE)
                 for spec, value, scaler in places)
    identity_at = at[profile.identity.target] if identify and profile.identity is not None else None
    return Plan(profile, learned, attributes, asks, identity_at, known)


def identify(profile: Profile, learned: Learned) -> Plan:
    """Plan to read nothing but the identity; with `learn` for the answer. Needs a profile that names one."""
    assert profile.identity is not None
    return Plan(profile, learned, (profile.identity.target,), (), 0)


def learn(plan: Plan, results: Sequence[GetResult]) -> Learned:
    """Return what is known now; the same object when nothing is new.

    Raises WrongMeter when the identity read differs from the learned one, or is refused for good; Refused
    (ACCESS_REFUSED, temporary) when the meter says that it cannot tell right now. Units that contradict the profile are
    not learned, so they are asked again with each poll until somebody has put it right.
    """
    results = (*results, *plan.refused)
    learned = plan.learned
    identity = _identity(plan, results)
    if identity is not None and identity != learned.identity:
        if learned.identity:
            who = identity or "without a readable identity"
            raise WrongMeter(f"meter {who} answers where {learned.identity} was: check the address, or adopt it")
        learned = replace(learned, identity=identity)
    found: dict[str, tuple[int, int]] = {}
    for ask in plan.asks:
        if ask.scaler_at is not None or ask.whole:
            pair = _scaler_unit(ask, results)
            if pair is not None and UNITS.get(pair[1]) == ask.spec.unit:
                found[ask.spec.learned_key] = pair
    return replace(learned, scalers={**learned.scalers, **found}) if found else learned


class Valued(NamedTuple):
    """What answers are worth: one value and scaler for each of the plan's asks; `missing` says what is not there."""

    values: tuple[Scalar, ...]
    scalers: tuple[int, ...]
    missing: tuple[str, ...]


def valued(plan: Plan, results: Sequence[GetResult]) -> Valued:
    """Turn raw answers into values. `results` belong to `plan.attributes` and then `plan.refused`, in that order."""
    values: list[Scalar] = []
    scalers: list[int] = []
    missing: list[str] = []
    for index, ask in enumerate(plan.asks):
        number, scaler, why = _value(plan, index, ask, results)
        values.append(number)
        scalers.append(scaler)
        if why:
            missing.append(f"{ask.spec.key}: {why}")
    return Valued(tuple(values), tuple(scalers), tuple(missing))


def record(plan: Plan, results: Sequence[GetResult], stamp: Stamp, device: str) -> Record:
    """Build the poll's record: a READING, or a FAILURE when not one value could be had.

    `results` belong to `plan.attributes`, one each, in that order.
    """
    results = (*results, *plan.refused)
    values, scalers, missing = valued(plan, results)
    if not missing:
        return Record(schema_of(plan, scalers), device, stamp, values)
    text = "; ".join(missing)
    if len(missing) == len(plan.asks):
        refused = any(results[ask.value_at].error is not None for ask in plan.asks)
        reason = FailReason.ACCESS_REFUSED if refused else FailReason.PROTOCOL_VIOLATION
        return failure(device, plan.profile, reason, text, stamp)
    return Record(schema_of(plan, scalers, (Field(NOT_READ),)), device, stamp, (*values, cut(text)))


def number(record: Record, key: str) -> float | None:
    """Return one value of a reading in its unit; None where there is no such number."""
    for column, value in zip(record.schema.fields, record.values, strict=True):
        if column.key == key and isinstance(value, int):
            return float(value) * 10.0**column.scaler
    return None


def failure(device: str, profile: Profile, reason: FailReason, detail: str, stamp: Stamp) -> Record:
    """Build the record of a poll that brought nothing; `detail` is one line without secrets."""
    return Record(_failure_schema(profile.name), device, stamp, (reason.value, cut(detail)))


def cut(text: str) -> str:
    """Return one line of at most DETAIL_LIMIT characters."""
    line = " ".join(text.split())
    return line if len(line) <= DETAIL_LIMIT else line[:DETAIL_LIMIT - 1] + "…"


@lru_cache(maxsize=256)
def _failure_schema(profile: str) -> Schema:
    return Schema(Kind.FAILURE, (Field("reason"), Field("detail")), profile)


def schema_of(plan: Plan, scalers: tuple[int, ...], more: tuple[Field, ...] = ()) -> Schema:
    """Return the schema of a plan's values and of the columns behind them; the plan remembers it."""
    memo = (scalers, more)
    schema = plan.schemas.get(memo)
    if schema is None:
        fields = [Field(ask.spec.key, scaler, ask.spec.unit, ask.spec.canonical)
                  for ask, scaler in zip(plan.asks, scalers, strict=True)]
        schema = Schema(plan.kind, (*fields, *more), plan.profile.name)
        if len(plan.schemas) >= SCHEMAS_KEPT:
            plan.schemas.clear()
        plan.schemas[memo] = schema
    return schema


def _value(plan: Plan, index: int, ask: Ask, results: Sequence[GetResult]) -> tuple[Scalar, int, str]:
    """Return one object's value and scaler, and "" or the reason why there is none."""
    result = results[ask.value_at]
    if result.error is not None:
        return None, 0, result.error.text
    data = result.data
    if ask.whole:
        data = _member(ask, data, ask.spec.attribute)
    scaler, why = _scaler(plan, ask, results)
    if why:
        return None, scaler, why
    if isinstance(data, Integer) and data.tag in PLAIN_NUMBERS:      # nearly every value of nearly every meter
        return int(data), scaler, ""
    number = Exact(_moment(data), 0) if ask.spec.tells_time and isinstance(data, bytes) else exact(data)
    if not isinstance(number, Exact):
        return None, scaler, number
    if isinstance(number.raw, str):
        return _text(ask, number.raw, scaler)
    return steady(plan.fractions, index, number.raw, number.shift + scaler)


def _moment(data: bytes) -> str:
    try:
        return ClockTime.parse(data).text()
    except Violation:
        return data.hex()


def _text(ask: Ask, text: str, scaler: int) -> tuple[Scalar, int, str]:
    if ask.spec.scaler_target is not None:
        return None, scaler, "text instead of a number"
    return (text, 0, "") if len(text) <= TEXT_LIMIT else (None, 0, f"a text of {len(text)} characters")


def _scaler(plan: Plan, ask: Ask, results: Sequence[GetResult]) -> tuple[int, str]:
    """Return the scaler and "" or why the value cannot be trusted."""
    spec = ask.spec
    if spec.scaler_target is None:
        return spec.scaler or 0, ""
    pair = plan.learned.scalers.get(spec.learned_key)
    if pair is None:
        pair = _scaler_unit(ask, results)
        if pair is None:
            if ask.scaler_at is None and not ask.whole:
                return 0, "its scaler is not known: the meter has to be read once, or the profile has to say it"
            error = results[ask.scaler_at].error if ask.scaler_at is not None else None
            return 0, f"scaler_unit {error.text if error is not None else 'is malformed'}"
    scaler, unit = pair
    return scaler, other_unit(unit, spec.unit)


def _scaler_unit(ask: Ask, results: Sequence[GetResult]) -> tuple[int, int] | None:
    """Return scaler and unit as the meter told them; None when it did not, or told something else."""
    if ask.whole:
        target = ask.spec.scaler_target
        return scaler_unit(_member(ask, results[ask.value_at].data, target.attribute)) if target is not None else None
    return scaler_unit(results[ask.scaler_at].data) if ask.scaler_at is not None else None


def _member(ask: Ask, data: Any, attribute: int) -> Any:
    """Take one attribute out of a whole object, whose first member must be the name that was asked for."""
    if isinstance(data, tuple) and len(data) >= attribute and data[0] == ask.spec.target.obis.to_bytes():
        return data[attribute - 1]
    return None


def _identity(plan: Plan, results: Sequence[GetResult]) -> str | None:
    """Return the identity read, "" when the meter refuses it, None when it was not asked."""
    if plan.identity_at is None:
        return None
    result = results[plan.identity_at]
    if result.error is not None and result.error.temporary:
        raise Refused("the meter cannot tell its identity now: " + result.error.text, reason=FailReason.ACCESS_REFUSED,
                      temporary=True)
    return identity_text(result)


def identity_text(result: GetResult) -> str:
    """Return what an identity object says, as it is kept and compared; "" where it says nothing."""
    told = exact(result.data) if result.error is None else ""
    return str(told.raw)[:DETAIL_LIMIT] if isinstance(told, Exact) else ""

"""cloud/profiles/alarms.toml -> the alarm rules of a device profile, in ThingsBoard's JSON (pure).

Shapes: ThingsBoard v4.2.2.3 (commit 6c607478), common/data/.../device/profile/{DeviceProfileAlarm,AlarmRule,
AlarmCondition,AlarmConditionFilter}.java and
query/{Numeric,String,Boolean,Complex}FilterPredicate.java. A limit's DynamicValue of
CURRENT_DEVICE looks into the device's attributes and falls back to defaultValue (AlarmRuleState.getPredicateValue).
IN and NOT_IN take one text with commas (AlarmRuleState.evalStrPredicate), so that a text holds none.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Json = dict[str, Any]

_NAMESPACE = uuid.UUID(
    "6f1d3c62-7c1e-4a55-9d57-3f0d4c2b8a11"
)  # ids of alarms follow from their types: the same at every run
Limit = float | str
Severity = Literal["CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE"]
Words = tuple[Annotated[str, Meta(min_length=1, pattern=r"^[^,'\"]+$")], ...]


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"is_": "is"}):
    """One key or attribute, and what must hold of it."""

    key: str = ""
    attribute: str = ""
    is_: bool | None = None
    above: Limit | None = None
    below: Limit | None = None
    outside: tuple[Limit, Limit] | None = None
    within: tuple[Limit, Limit] | None = None
    one_of: Words = ()
    none_of: Words = ()

    def __post_init__(self) -> None:
        """One subject and one test, no more, no less."""
        if bool(self.key) == bool(self.attribute):
            raise ValueError("a condition has a key or an attribute")
        tests = [self.is_, self.above, self.below, self.outside, self.within, self.one_of or None, self.none_of or None]
        if sum(test is not None for test in tests) != 1:
            raise ValueError("a condition has one of is, above, below, outside, within, one_of, none_of")

    def texts(self) -> Words:
        """Return the texts that it compares with."""
        return self.one_of or self.none_of

    def filter(self, limits: Mapping[str, float]) -> Json:
        """Return the AlarmConditionFilter. Raises KeyError for a limit that has no default."""
        value_type, predicate = self._predicate(limits)
        where = {"type": "TIME_SERIES", "key": self.key} if self.key else {"type": "ATTRIBUTE", "key": self.attribute}
        return {"key": where, "valueType": value_type, "predicate": predicate}

    def _predicate(self, limits: Mapping[str, float]) -> tuple[str, Json]:
        if self.is_ is not None:
            return "BOOLEAN", {"type": "BOOLEAN", "operation": "EQUAL", "value": {"defaultValue": self.is_}}
        if self.texts():
            operation = "IN" if self.one_of else "NOT_IN"
            return "STRING", {
                "type": "STRING",
                "operation": operation,
                "ignoreCase": False,
                "value": {"defaultValue": ",".join(self.texts())},
            }
        if self.above is not None:
            return "NUMERIC", _compared("GREATER", self.above, limits)
        if self.below is not None:
            return "NUMERIC", _compared("LESS", self.below, limits)
        if self.outside is not None:
            parts = [_compared("LESS", self.outside[0], limits), _compared("GREATER", self.outside[1], limits)]
            return "NUMERIC", {"type": "COMPLEX", "operation": "OR", "predicates": parts}
        assert self.within is not None
        parts = [
            _compared("GREATER_OR_EQUAL", self.within[0], limits),
            _compared("LESS_OR_EQUAL", self.within[1], limits),
        ]
        return "NUMERIC", {"type": "COMPLEX", "operation": "AND", "predicates": parts}


class Alarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One alarm type of a device profile."""

    type: Annotated[str, Meta(min_length=1, max_length=255)]
    device: Literal["gateway", "meter"]
    severity: Severity
    when: tuple[Condition, ...]
    details: str
    clear: tuple[Condition, ...] = ()
    for_s: Annotated[int, Meta(ge=0)] = 0
    repeats: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        """A rule without a condition would always hold."""
        if not self.when:
            raise ValueError(f"{self.type}: when is empty")
        if self.for_s and self.repeats:
            raise ValueError(f"{self.type}: for_s or repeats, not both")

    def json(self, limits: Mapping[str, float]) -> Json:
        """Return the DeviceProfileAlarm. It is told upwards: gateway and site show what their meters have."""
        rule = {"condition": _condition(self.when, limits, self._spec()), "alarmDetails": self.details}
        clear = {"condition": _condition(self.clear, limits, {"type": "SIMPLE"})} if self.clear else None
        return {
            "id": str(uuid.uuid5(_NAMESPACE, self.type)),
            "alarmType": self.type,
            "createRules": {self.severity: rule},
            "clearRule": clear,
            "propagate": True,
            "propagateRelationTypes": ["Contains", "Created"],
        }

    def _spec(self) -> Json:
        if self.for_s:
            return {"type": "DURATION", "unit": "SECONDS", "predicate": {"defaultValue": self.for_s}}
        return (
            {"type": "REPEATING", "predicate": {"defaultValue": self.repeats}} if self.repeats else {"type": "SIMPLE"}
        )


class AlarmFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    alarm: tuple[Alarm, ...]


def alarms_of(alarms: Iterable[Alarm], device: str, limits: Mapping[str, float]) -> list[Json]:
    """Return the rules of gateways or of meters; `limits` are the defaults of named limits."""
    return [alarm.json(limits) for alarm in alarms if alarm.device == device]


def _condition(conditions: Iterable[Condition], limits: Mapping[str, float], spec: Json) -> Json:
    return {"condition": [one.filter(limits) for one in conditions], "spec": spec}


def _compared(operation: str, limit: Limit, limits: Mapping[str, float]) -> Json:
    value: Json
    if isinstance(limit, str):
        value = {
            "defaultValue": limits[limit],
            "dynamicValue": {"sourceType": "CURRENT_DEVICE", "sourceAttribute": limit},
        }
    else:
        value = {"defaultValue": limit}
    return {"type": "NUMERIC", "operation": operation, "value": value}

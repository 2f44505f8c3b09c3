"""Readings and orders' answers as the wire has them: every digit, with unit and OBIS code (pure)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edge.api.wire import MeterRow, ReadValue
from edge.meters.exact import exact_text
from edge.meters.profile import NOT_READ, Profile
from edge.meters.typed import line
from edge.model import Record


def values(record: Record) -> tuple[tuple[ReadValue, ...], str]:
    """Return the values of a reading, and what could not be read."""
    found, missing = [], ""
    for column, value in zip(record.schema.fields, record.values, strict=True):
        if column.obis:
            text = exact_text(value, column.scaler) if isinstance(value, int) else value
            found.append(ReadValue(column.key, text, column.unit, column.obis))
        elif column.key == NOT_READ and value:
            missing = str(value)
    return tuple(found), missing


def targets(profile: Profile) -> tuple[str, ...]:
    """Return what a test of a meter reads: all that its polls read, as the order desk takes it."""
    return tuple(f"{spec.class_id}/{spec.obis}@{spec.attribute}" for spec in profile.objects)


def answered(told: Iterable[Mapping[str, Any]], profile: Profile) -> Iterator[ReadValue]:
    """Yield what the order desk brought, by the profile's keys; what was refused says why in place of a value."""
    keys = {(spec.class_id, str(spec.target.obis), spec.attribute): spec.key for spec in profile.objects}
    for value in told:
        key = keys.get((value["class"], value["obis"], value["attribute"]), "")
        text = f"({value['error']})" if "error" in value else str(value["scaled"]) if "scaled" in value else line(value)
        yield ReadValue(key, text, value.get("unit", ""), value["obis"])


def row(told: Mapping[str, Any], newest: Record | None) -> MeterRow:
    """Return a meter's row from what the status desk says of it and its newest reading."""
    found, missing = ((), "") if newest is None else values(newest)
    return MeterRow(
        name=told["name"], address=told["address"], profile=told["profile"], state=told["state"],
        problem=told.get("problem") or "", paused=told["state"] == "paused",
        read_ms=None if newest is None else newest.stamp.wall_ms,
        values=found, not_read=missing, readings=told.get("readings", 0), failed=told.get("failed", 0),
        last_failure=told.get("last_failure") or "", recovery=told.get("recovery", ""),
        circuit=told.get("circuit", ""), rssi_dbm=_tenths(told.get("rssi_dbm")), link_grade=told.get("link_grade"),
        backfill=told.get("backfill"))


def _tenths(value: float | None) -> float | None:
    """An average moves in its tenth digit all the time; nobody sees that, and each change is sent."""
    return None if value is None else round(value, 1)

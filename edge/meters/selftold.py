"""Push bodies that say themselves what they hold (pure): OBIS codes stand beside the values, in one of three ways.

    object list    { [ {class, OBIS, attribute, index, ...} ... ], value, value ... }       the push object list first
    rows           [ {OBIS, value} | {OBIS, value, {scaler, unit}} | {class, OBIS, attribute, value} ... ]
    alternating    { text, OBIS, value, OBIS, value ... }                                   any texts before the first

An OBIS code is an octet-string of six octets; nothing in a body tells it from any other of that length, so a code
counts only where every place for a code holds one.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from edge.dlms.axdr import AxdrValue, Integer
from edge.dlms.cosem import Obis

_OBIS_OCTETS = 6


class Told(NamedTuple):
    """A value and what it is the value of. None: not said. `scaler_unit` is that pair where it came along."""

    obis: Obis
    value: AxdrValue
    class_id: int | None = None
    attribute: int | None = None
    scaler_unit: AxdrValue = None


def self_told(body: AxdrValue) -> tuple[Told, ...]:
    """Return what a body says of itself, in its order; () where it is none of the forms above."""
    if not isinstance(body, list | tuple) or not body:
        return ()
    for form in (_by_object_list, _by_rows, _alternating):
        found = form(body)
        if found:
            return tuple(found)
    return ()


def _by_object_list(body: Sequence[Any]) -> list[Told]:
    definitions, *values = body
    if not isinstance(definitions, list) or not definitions:
        return []
    if len(definitions) == len(body):      # the list is one of its own objects
        values = list(body)
    if len(definitions) != len(values):
        return []
    found = []
    for definition, value in zip(definitions, values, strict=True):
        match definition:      # class, OBIS, attribute, data index; newer push setups add restrictions behind them
            case (Integer() as class_id, bytes() as name, Integer() as attribute, Integer(), *_) if _is_obis(name):
                found.append(Told(Obis.from_bytes(name), value, int(class_id), int(attribute)))
            case _:
                return []
    return found


def _by_rows(body: Sequence[Any]) -> list[Told]:
    found = []
    for row in body:
        match row:
            case (bytes() as name, value) if _is_obis(name):
                found.append(Told(Obis.from_bytes(name), value))
            case (bytes() as name, value, (Integer(), Integer()) as pair) if _is_obis(name):
                found.append(Told(Obis.from_bytes(name), value, scaler_unit=pair))
            case (Integer() as class_id, bytes() as name, Integer() as attribute, value) if _is_obis(name):
                found.append(Told(Obis.from_bytes(name), value, int(class_id), int(attribute)))
            case _:
                return []
    return found


def _alternating(body: Sequence[Any]) -> list[Told]:
    start = next((at for at, each in enumerate(body) if _is_obis(each) or not isinstance(each, str | bytes)), len(body))
    if start == len(body) or (len(body) - start) % 2:
        return []
    return list(_pairs(body[start:])) if all(_is_obis(name) for name in body[start::2]) else []


def _pairs(flat: Sequence[Any]) -> Iterator[Told]:
    for at in range(0, len(flat), 2):
        yield Told(Obis.from_bytes(flat[at]), flat[at + 1])


def _is_obis(value: object) -> bool:
    return type(value) is bytes and len(value) == _OBIS_OCTETS

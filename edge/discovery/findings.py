"""What a survey found, as rows of a profile: which registers a poll asks for, and under which key (pure)."""

import json
from typing import NamedTuple

from edge.discovery import quantities
from edge.discovery.doors import Door
from edge.discovery.survey import Register, Survey
from edge.dlms.cosem import UNITS, Attribute, Obis

OTHER_UNITS = "not a unit of this gateway's table"


class Row(NamedTuple):
    """One register in the file. `why` not empty: it stands in a comment, for that reason."""

    key: str
    at: Attribute
    unit: str
    note: str
    why: str


class Findings(NamedTuple):
    """All that the file is made of. `when` is a date for people."""

    name: str
    port: int
    door: Door
    authentication: str
    survey: Survey
    when: str


def proposed(survey: Survey) -> list[Row]:
    """Return the registers in the order of the file: those that a poll asks for, then the others."""
    rows: list[Row] = []
    taken: set[str] = set()
    order = sorted(survey.registers.items(), key=lambda item: (not quantities.usual(item[0].obis), item[0].obis))
    for at, register in order:
        key = quantities.key_of(at.obis) or quantities.spelled(at.obis)
        why = _why_not(at, register, taken=key in taken)
        if key in taken:
            key = quantities.spelled(at.obis)
        if not why:
            taken.add(key)
        note = "" if register.scaler is None else f"scaler {register.scaler}"
        rows.append(Row(key, at, UNITS.get(register.unit or 0, ""), note, why))
    return sorted(rows, key=lambda row: bool(row.why))


def _why_not(at: Attribute, register: Register, *, taken: bool) -> str:
    """Return why a poll does not ask for a register, "" if it does."""
    if register.unit is None or register.scaler is None:
        return register.why or "its unit is not told"
    if register.unit not in UNITS:
        return f"unit code {register.unit} is {OTHER_UNITS}"
    if register.why:
        return register.why
    if not quantities.usual(at.obis):
        return "not among the usual quantities"
    return "another channel has this quantity already" if taken else ""


def of_class(found: Findings, class_id: int) -> list[Obis]:
    listing = found.survey.listing
    return [] if listing is None else [listed.obis for listed in listing.of_class(class_id)]


def short(at: Attribute) -> str:
    return without_current(str(at.obis))


def without_current(obis: str) -> str:
    return obis.removesuffix(".255")


def quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=not value.isprintable())      # TOML's basic strings are JSON's but for DEL

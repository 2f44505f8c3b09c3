"""Writes the profile of a meter that was surveyed: TOML with its facts, and where they come from (pure).

    proposed(survey) ─► rows: what a poll will ask for, and what it could        text(...) ─► the file

One function per table of the profile file, in `TABLES`: where the format grows, this grows by one line. What is found
and the format has no place for stands in a comment, so that the operator need not look again.
"""

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from edge.discovery import quantities
from edge.discovery.doors import DLMS_PORT, Door
from edge.discovery.objects import CLASS_NAMES, CLOCK, DATA, DISCONNECT, IMAGE, PROFILE, REGISTER, VALUE
from edge.discovery.survey import Register, Survey
from edge.dlms.conformance import Conformance
from edge.dlms.cosem import UNITS, Attribute, Obis
from edge.dlms.selection import Column
from edge.meters.loadrows import tells_time

POWER_KEY = "active_power"
EVENT_LOG = (0, 99, 98)                                           # A, C, D (IEC 62056-6-1, list of profiles)
FIRMWARE = Obis(1, 0, 0, 2, 0)                                    # active firmware identifier, likewise
STATUS, STATUS_KEY = (DATA, Obis(0, 0, 96, 10, 1)), "status"      # profile status (IEC 62056-6-1, abstract objects)
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


def text(findings: Findings) -> str:
    """Return the file. It loads, if `proposed` has a row without `why`."""
    lines = [f"# Written by `halow-gateway meter discover` on {findings.when}; look it over, and name the maker.", ""]
    for table in TABLES:
        lines += table(findings)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


# -- the tables of the file --------------------------------------------------------------------------------------------

def _head(found: Findings) -> Iterator[str]:
    name = found.survey.device_name
    maker = name[:3].upper() if name[:3].isascii() and name[:3].isalpha() else ""
    yield f"name = {_quoted(found.name)}"
    yield f"vendor = {_quoted(maker or 'unknown')}" + (
        "          # the maker's three letters (FLAG) of its logical device name" if maker else "")
    yield f"source = {_quoted(f'read from one meter, {found.when}')}"


def _association(found: Findings) -> Iterator[str]:
    door, survey = found.door, found.survey
    yield "[association]"
    yield f"framing = {_quoted(door.framing)}"
    yield f"port = {found.port}" + ("" if found.port == DLMS_PORT else "                # where it was found")
    yield f"client_sap = {door.client_sap}"
    yield f"server_logical = {door.logical}"
    if door.physical is not None:
        yield f"server_physical = {door.physical}      # of this meter; others of its type may have another"
    if door.framing == "hdlc":
        yield f"address_bytes = {door.address_bytes}"
    yield f"authentication = {_quoted(found.authentication)}"
    if survey.max_pdu:
        yield f"# the meter takes APDUs of {survey.max_pdu} octets"


def _quirks(found: Findings) -> Iterator[str]:
    survey = found.survey
    yield "[quirks]"
    if not survey.offers_list:
        yield "no_list = true                # GET-with-list was not negotiated"
    elif survey.list_limit == 1:
        yield "no_list = true                # negotiated, and refused"
    if Conformance.ATTRIBUTE_0_GET in survey.conformance:
        yield "attribute_0 = true            # was negotiated"


def _identity(found: Findings) -> Iterator[str]:
    at = next((at for at, said in found.survey.identities.items() if said), None)
    if at is None:
        yield "# [identity]: the meter told neither its name nor a serial number to this client"
        return
    yield "[identity]"
    yield f"obis = {_quoted(_short(at))}"
    yield f"class_id = {at.class_id}"
    yield f"attribute = {at.attribute}"


def _objects(found: Findings) -> Iterator[str]:
    rows = proposed(found.survey)
    for row in rows:
        if row.why:
            break
        yield "[[objects]]"
        yield f"key = {_quoted(row.key)}"
        yield f"obis = {_quoted(_short(row.at))}"
        if row.at.class_id != REGISTER:
            yield f"class_id = {row.at.class_id}"
        if row.at.attribute != VALUE:
            yield f"attribute = {row.at.attribute}"
        yield f"unit = {_quoted(row.unit)}" + (f"          # {row.note}" if row.note else "")
        yield ""
    others = [row for row in rows if row.why]
    if others:
        yield "# Not asked for. To have one polled, make it an [[objects]] table as above: key, obis, class_id, unit."
        yield from (f"#   {_short(row.at)} class {row.at.class_id}, {row.key}, unit {row.unit or '(none)'}"
                    f"{', ' + row.note if row.note else ''}: {row.why}" for row in others)


def _clock(found: Findings) -> Iterator[str]:
    for obis in _of_class(found, CLOCK)[:1]:
        yield "[clock]"
        yield f"obis = {_quoted(_without_current(str(obis)))}"


def _relay(found: Findings) -> Iterator[str]:
    """Name the disconnect control, where the load is polled: nobody switches without knowing it."""
    power = any(row.key == POWER_KEY and row.unit == "W" and not row.why for row in proposed(found.survey))
    for obis in _of_class(found, DISCONNECT)[:1] if power else ():
        yield "[relay]"
        yield f"obis = {_quoted(_without_current(str(obis)))}"


def _image(found: Findings) -> Iterator[str]:
    for obis in _of_class(found, IMAGE)[:1]:
        yield "[image]"
        yield f"obis = {_quoted(_without_current(str(obis)))}"
        if FIRMWARE in _of_class(found, DATA):
            yield f"firmware_obis = {_quoted(_without_current(str(FIRMWARE)))}"


def _event_logs(found: Findings) -> Iterator[str]:
    for obis in dict.fromkeys(_of_class(found, PROFILE)):
        if (obis.a, obis.c, obis.d) == EVENT_LOG:
            yield "[[event_logs]]"
            yield f"name = {_quoted(f'events_{obis.b}_{obis.e}_{obis.f}'.removesuffix('_255').removesuffix('_0_0'))}"
            yield f"obis = {_quoted(_without_current(str(obis)))}"


def _load_profile(found: Findings) -> Iterator[str]:
    """Name the load profile and its columns, but for times and what has no unit that was told."""
    survey = found.survey
    obis = survey.listing.load_profile if survey.listing is not None else None
    written: list[str] = []
    left: list[str] = []
    keys: set[str] = set()
    for column in survey.captured:
        if not tells_time(column):
            told = _column(column, survey, keys)
            (left if told is None else written).append(told or str(column.obis))
    if obis is None or not written:
        return
    yield "[load_profile]"
    yield f"obis = {_quoted(_without_current(str(obis)))}"
    yield "columns = ["
    yield from (f"    {{ {line} }}," for line in written)
    yield "]"
    if left:
        yield f"# It also captures, without a unit that was told: {', '.join(left)}"


def _column(column: Column, survey: Survey, keys: set[str]) -> str | None:
    """Return one column as it stands in the file; None where its unit is not known."""
    register = survey.registers.get(Attribute(*column[:3]))
    unit = "" if column.class_id == DATA else None if register is None else UNITS.get(
        -1 if register.unit is None else register.unit)
    if unit is None:
        return None
    key = STATUS_KEY if column[:2] == STATUS else quantities.key_of(column.obis)
    key = quantities.spelled(column.obis) + f"_{column.attribute}" * (column.attribute != VALUE) if (
        not key or key in keys) else key
    keys.add(key)
    parts = [f"key = {_quoted(key)}", f"obis = {_quoted(_without_current(str(column.obis)))}"]
    parts += [f"class_id = {column.class_id}"] if column.class_id != REGISTER else []
    parts += [f"attribute = {column.attribute}"] if column.attribute != VALUE else []
    parts += [f"data_index = {column.data_index}"] if column.data_index else []
    return ", ".join(parts + ([f"unit = {_quoted(unit)}"] if unit else []))


def _without_a_place(found: Findings) -> Iterator[str]:
    """Name what is worth knowing and has no key in the file."""
    listing = found.survey.listing
    if listing is None:
        yield "# The meter gave no object list to this client; what stands here was asked for one by one."
        return
    others = listing.of_class(PROFILE, CLOCK, DISCONNECT)
    yield "# Profiles, clocks and disconnect controls that the meter has:"
    for listed in others:
        yield f"#   {_without_current(str(listed.obis))} class {listed.class_id}, {CLASS_NAMES[listed.class_id]}"
    rest = len(listing.objects) - len(others)
    yield f"#   and {rest} objects more: `halow-gateway meter discover --json` names them"


TABLES: tuple[Callable[[Findings], Iterator[str]], ...] = (
    _head, _association, _quirks, _identity, _clock, _relay, _image, _objects, _load_profile, _event_logs,
    _without_a_place)


# -- details -----------------------------------------------------------------------------------------------------------

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


def _of_class(found: Findings, class_id: int) -> list[Obis]:
    listing = found.survey.listing
    return [] if listing is None else [listed.obis for listed in listing.of_class(class_id)]


def _short(at: Attribute) -> str:
    return _without_current(str(at.obis))


def _without_current(obis: str) -> str:
    return obis.removesuffix(".255")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=not value.isprintable())      # TOML's basic strings are JSON's but for DEL


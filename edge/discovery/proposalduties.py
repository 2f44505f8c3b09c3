"""The tables of a proposed profile for what is done on a meter besides polling it: one function per table (pure)."""

from collections.abc import Iterator

from edge.discovery import quantities
from edge.discovery.findings import Findings, Row, of_class, proposed, quoted, short, without_current
from edge.discovery.objects import CLOCK, DATA, DISCONNECT, IMAGE, PROFILE, REGISTER, VALUE
from edge.discovery.survey import Survey
from edge.dlms.cosem import UNITS, Attribute, Obis
from edge.dlms.selection import Column
from edge.meters.loadrows import tells_time

POWER_KEY = "active_power"
EVENT_LOG = (0, 99, 98)                                           # A, C, D (IEC 62056-6-1, list of profiles)
FIRMWARE = Obis(1, 0, 0, 2, 0)                                    # active firmware identifier, likewise
STATUS, STATUS_KEY = (DATA, Obis(0, 0, 96, 10, 1)), "status"      # profile status (IEC 62056-6-1, abstract objects)


def clock(found: Findings) -> Iterator[str]:
    for obis in of_class(found, CLOCK)[:1]:
        yield "[clock]"
        yield f"obis = {quoted(without_current(str(obis)))}"


def relay(found: Findings) -> Iterator[str]:
    """Name the disconnect control, where the load is polled: nobody switches without knowing it."""
    power = any(row.key == POWER_KEY and row.unit == "W" and not row.why for row in proposed(found.survey))
    for obis in of_class(found, DISCONNECT)[:1] if power else ():
        yield "[relay]"
        yield f"obis = {quoted(without_current(str(obis)))}"


def image(found: Findings) -> Iterator[str]:
    for obis in of_class(found, IMAGE)[:1]:
        yield "[image]"
        yield f"obis = {quoted(without_current(str(obis)))}"
        if FIRMWARE in of_class(found, DATA):
            yield f"firmware_obis = {quoted(without_current(str(FIRMWARE)))}"


def billing(found: Findings) -> Iterator[str]:
    """Name the registers of the rates: read apart from the polls."""
    for number, row in enumerate(rates_of(found)):
        if not number:
            yield "[billing]"
            yield "objects = ["
        class_id = f", class_id = {row.at.class_id}" if row.at.class_id != REGISTER else ""
        yield (f"    {{ key = {quoted(row.key)}, obis = {quoted(short(row.at))}{class_id}, "
               f"unit = {quoted(row.unit)} }},")
    if rates_of(found):
        yield "]"


def rates_of(found: Findings) -> list[Row]:
    """Return the registers of rates whose unit is known, each quantity once."""
    rates: dict[str, Row] = {}
    for row in proposed(found.survey):
        register = found.survey.registers[row.at]
        if (quantities.key_of(row.at.obis) == row.key and row.at.obis.e and row.at.attribute == VALUE
                and register.unit in UNITS and not register.why):
            rates.setdefault(row.key, row)
    return list(rates.values())


def event_logs(found: Findings) -> Iterator[str]:
    for obis in dict.fromkeys(of_class(found, PROFILE)):
        if (obis.a, obis.c, obis.d) == EVENT_LOG:
            yield "[[event_logs]]"
            yield f"name = {quoted(f'events_{obis.b}_{obis.e}_{obis.f}'.removesuffix('_255').removesuffix('_0_0'))}"
            yield f"obis = {quoted(without_current(str(obis)))}"


def load_profile(found: Findings) -> Iterator[str]:
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
    yield f"obis = {quoted(without_current(str(obis)))}"
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
    parts = [f"key = {quoted(key)}", f"obis = {quoted(without_current(str(column.obis)))}"]
    parts += [f"class_id = {column.class_id}"] if column.class_id != REGISTER else []
    parts += [f"attribute = {column.attribute}"] if column.attribute != VALUE else []
    parts += [f"data_index = {column.data_index}"] if column.data_index else []
    return ", ".join(parts + ([f"unit = {quoted(unit)}"] if unit else []))

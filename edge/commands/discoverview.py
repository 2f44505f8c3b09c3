"""What a discovery brought, as lines for people and as plain data for JSON (pure)."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from edge.commands import table
from edge.discovery.findings import proposed
from edge.discovery.objects import CLASS_NAMES
from edge.dlms.conformance import Conformance
from edge.meters.exact import Exact

if TYPE_CHECKING:
    from edge.discovery.discover import Discovery
    from edge.discovery.fit import Fit
    from edge.discovery.survey import Register, Survey

LABEL = 26
AGAINST_SHOWN = 3

_SERVICES = (
    (Conformance.GET, "GET"), (Conformance.MULTIPLE_REFERENCES, "lists"),
    (Conformance.BLOCK_TRANSFER_WITH_GET, "blocks"), (Conformance.ATTRIBUTE_0_GET, "attribute 0"),
    (Conformance.SELECTIVE_ACCESS, "selective access"), (Conformance.SET, "SET"), (Conformance.ACTION, "ACTION"),
)


def report(found: "Discovery") -> str:
    """Lay it out for people."""
    if not found.found:
        return f"{found.place}: no meter found"
    lines = [f"{found.place}: a meter: {found.door}, authentication {found.authentication}"]
    if found.survey is not None:
        lines += [f"  {label:{LABEL}}{text}" for label, text in _facts(found)]
    return "\n".join(lines)


def _facts(found: "Discovery") -> Iterator[tuple[str, str]]:
    survey = found.survey
    assert survey is not None
    for at, told in survey.identities.items():
        if told:
            yield "name" if str(at.obis).startswith("0-0:42.0.0") else "serial", f"{table.cell(told)}  ({at.obis})"
    yield "services", f"{', '.join(name for bit, name in _SERVICES if bit in survey.conformance)}{_pdu(survey)}"
    if survey.list_limit is not None:
        yield "attributes per list", str(survey.list_limit)
    for sap, name in survey.devices:
        yield f"logical device {sap}", table.cell(name)
    yield "objects", _objects(survey)
    asked = [row for row in proposed(survey) if not row.why]
    for row in asked:
        yield row.key, f"{_value(survey.registers[row.at])} {row.unit}  ({row.at.obis}, {row.note})"
    for fit in found.fits:
        yield f"type {fit.profile}"[:LABEL - 1], fit_text(fit)
    for door in found.contact.others if found.contact else ():
        yield "also on this line", door.address
    for note in survey.notes:
        yield "note", table.cell(note)


def fit_text(fit: "Fit") -> str:
    """Say how well a type suits, and what stands against it first."""
    text = f"{fit.matched} of {fit.objects} objects"
    if fit.against and fit.matched:
        more = f", and {len(fit.against) - AGAINST_SHOWN} more" if len(fit.against) > AGAINST_SHOWN else ""
        text += f" (not {'; '.join(fit.against[:AGAINST_SHOWN])}{more})"
    return text


def _value(register: "Register") -> str:
    match register.value:
        case Exact(int() as raw, shift):
            return f"{Decimal(raw).scaleb(shift + (register.scaler or 0)):f}"
    return "no value"


def _pdu(survey: "Survey") -> str:
    return f"; APDUs of up to {survey.max_pdu} octets" if survey.max_pdu else ""


def _objects(survey: "Survey") -> str:
    if survey.listing is None:
        return "no list given to this client"
    counts = Counter(listed.class_id for listed in survey.listing.objects)
    kinds = ", ".join(f"{count} {CLASS_NAMES.get(class_id, f'class {class_id}')}"
                      for class_id, count in sorted(counts.items()))
    strange = f"; {survey.listing.strange} entries not understood" if survey.listing.strange else ""
    return f"{len(survey.listing.objects)}: {kinds}{strange}"


def plain(found: "Discovery") -> dict[str, Any]:
    """Return everything as plain data."""
    survey, contact, door = found.survey, found.contact, found.door
    told: dict[str, Any] = {
        "host": found.place.host, "port": found.place.port, "found": found.found,
        "verdict": contact.verdict.value if contact else "meter" if found.found else "",
        "tries": contact.tries if contact else [], "problems": found.problems,
        "door": None if door is None else door._asdict(), "authentication": found.authentication if door else None,
        "others": [other._asdict() for other in contact.others] if contact else [],
    }
    if survey is None:
        return told
    return told | {
        "name": survey.device_name, "serial": survey.serial, "complete": survey.complete,
        "identities": {str(at.obis): text for at, text in survey.identities.items()},
        "conformance": f"{int(survey.conformance):06x}", "max_pdu": survey.max_pdu, "list_limit": survey.list_limit,
        "logical_devices": [{"sap": sap, "name": name} for sap, name in survey.devices],
        "objects": None if survey.listing is None else [
            {"class_id": listed.class_id, "version": listed.version, "obis": str(listed.obis),
             "readable": None if listed.readable is None else sorted(listed.readable)}
            for listed in survey.listing.objects],
        "registers": [
            {"obis": str(at.obis), "class_id": at.class_id, "attribute": at.attribute, "scaler": register.scaler,
             "unit": register.unit, "value": register.value.raw if isinstance(register.value, Exact) else None,
             "why": register.why}
            for at, register in survey.registers.items()],
        "fits": [{"profile": fit.profile, "matched": fit.matched, "objects": fit.objects, "against": fit.against,
                  "identity": fit.identity} for fit in found.fits],
        "notes": survey.notes,
    }

"""Writes the profile of a meter that was surveyed: TOML with its facts, and where they come from (pure).

    proposed(survey) ─► rows: what a poll will ask for, and what it could        text(...) ─► the file

One function per table of the profile file, in `TABLES`: where the format grows, this grows by one line. What is found
and the format has no place for stands in a comment, so that the operator need not look again.
"""

from collections.abc import Callable, Iterator

from edge.discovery.doors import DLMS_PORT
from edge.discovery.findings import Findings, proposed, quoted, short, without_current
from edge.discovery.objects import CLASS_NAMES, CLOCK, DISCONNECT, PROFILE, REGISTER, VALUE
from edge.discovery.proposalduties import billing, clock, event_logs, image, load_profile, rates_of, relay
from edge.dlms.conformance import Conformance


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
    yield f"name = {quoted(found.name)}"
    yield f"vendor = {quoted(maker or 'unknown')}" + (
        "          # the maker's three letters (FLAG) of its logical device name" if maker else "")
    yield f"source = {quoted(f'read from one meter, {found.when}')}"


def _association(found: Findings) -> Iterator[str]:
    door, survey = found.door, found.survey
    yield "[association]"
    yield f"framing = {quoted(door.framing)}"
    yield f"port = {found.port}" + ("" if found.port == DLMS_PORT else "                # where it was found")
    yield f"client_sap = {door.client_sap}"
    yield f"server_logical = {door.logical}"
    if door.physical is not None:
        yield f"server_physical = {door.physical}      # of this meter; others of its type may have another"
    if door.framing == "hdlc":
        yield f"address_bytes = {door.address_bytes}"
    yield f"authentication = {quoted(found.authentication)}"
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
    yield f"obis = {quoted(short(at))}"
    yield f"class_id = {at.class_id}"
    yield f"attribute = {at.attribute}"


def _objects(found: Findings) -> Iterator[str]:
    rows = proposed(found.survey)
    for row in rows:
        if row.why:
            break
        yield "[[objects]]"
        yield f"key = {quoted(row.key)}"
        yield f"obis = {quoted(short(row.at))}"
        if row.at.class_id != REGISTER:
            yield f"class_id = {row.at.class_id}"
        if row.at.attribute != VALUE:
            yield f"attribute = {row.at.attribute}"
        yield f"unit = {quoted(row.unit)}" + (f"          # {row.note}" if row.note else "")
        yield ""
    rates = {row.at for row in rates_of(found)}
    others = [row for row in rows if row.why and row.at not in rates]
    if others:
        yield "# Not asked for. To have one polled, make it an [[objects]] table as above: key, obis, class_id, unit."
        yield from (f"#   {short(row.at)} class {row.at.class_id}, {row.key}, unit {row.unit or '(none)'}"
                    f"{', ' + row.note if row.note else ''}: {row.why}" for row in others)


def _without_a_place(found: Findings) -> Iterator[str]:
    """Name what is worth knowing and has no key in the file."""
    listing = found.survey.listing
    if listing is None:
        yield "# The meter gave no object list to this client; what stands here was asked for one by one."
        return
    others = listing.of_class(PROFILE, CLOCK, DISCONNECT)
    yield "# Profiles, clocks and disconnect controls that the meter has:"
    for listed in others:
        yield f"#   {without_current(str(listed.obis))} class {listed.class_id}, {CLASS_NAMES[listed.class_id]}"
    rest = len(listing.objects) - len(others)
    yield f"#   and {rest} objects more: `halow-gateway meter discover --json` names them"


TABLES: tuple[Callable[[Findings], Iterator[str]], ...] = (
    _head, _association, _quirks, _identity, clock, relay, image, _objects, billing, load_profile, event_logs,
    _without_a_place)



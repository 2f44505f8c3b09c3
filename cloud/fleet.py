"""The fleet file: regions, sites, gateways, meters (TOML or CSV -> Fleet). cloud/README.md has an example.

A CSV has one row per meter (or per gateway without meters), and repeats what stands above it: its columns are COLUMNS.
What contradicts an earlier row is refused with both values. All problems are found before anything is sent anywhere.
"""

import csv
import io
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from cloud.errors import FleetError
from cloud.fleetwords import explained

COLUMNS = ("region", "site", "latitude", "longitude", "customer", "gateway", "certificate", "meter", "meter_type")
FILE_LIMIT_BYTES = 64 * 2**20
PROBLEMS_SHOWN = 20
GATEWAY_PROFILE = "halow-gateway"  # the device profile of all gateways

# ThingsBoard takes 255 characters and refuses "<" by its @NoXss; a slash would break the names of token files.
Name = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f<>/\\\s]([^\x00-\x1f<>/\\]*[^\x00-\x1f<>/\\\s])?$")
]
FleetName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class MeterType(_Struct, frozen=True):
    """A device profile of meters: `name` is the profile that the gateway announces its meters with."""

    name: Name
    poll_interval_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    profile_interval_minutes: Annotated[int, Meta(ge=1, le=1_440)] = 15  # of the load profile
    nominal_voltage_v: Annotated[float, Meta(ge=50, le=1_000)] = 230.0
    voltage_tolerance_pct: Annotated[float, Meta(gt=0, le=50)] = 10.0  # EN 50160, 4.2.2.1: 95 % of 10-minute means


class Region(_Struct, frozen=True):
    """A region holds sites."""

    name: Name


class Customer(_Struct, frozen=True):
    """Who sees the sites that name it, and nothing else."""

    title: Name


class Site(_Struct, frozen=True):
    """A place with gateways."""

    name: Name
    region: Name
    customer: str = ""
    latitude: Latitude | None = None
    longitude: Longitude | None = None


class Gateway(_Struct, frozen=True):
    """A gateway. `certificate` is a PEM file beside the fleet file; without one it logs in by access token."""

    name: Name
    site: Name
    certificate: str = ""


class Meter(_Struct, frozen=True):
    """A meter behind a gateway, by the name that the gateway's registry has."""

    name: Name
    gateway: Name
    type: Name


class About(_Struct, frozen=True):
    """What the file as a whole says."""

    name: FleetName
    gateway_silent_after_s: Annotated[float, Meta(ge=60, le=86_400)] = 300.0


class SelfProvisioning(_Struct, frozen=True):
    """How a gateway of this file gets its own credentials at its first login (ThingsBoard's device provisioning).

    `secret_file` is beside the fleet file; its first line is the secret.
    """

    key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    secret_file: Annotated[str, Meta(min_length=1)]


class Fleet(_Struct, frozen=True):
    """The whole file, checked: every name that is referred to exists, and none exists twice."""

    fleet: About
    provisioning: SelfProvisioning | None = None
    region: tuple[Region, ...] = ()
    customer: tuple[Customer, ...] = ()
    site: tuple[Site, ...] = ()
    meter_type: tuple[MeterType, ...] = ()
    gateway: tuple[Gateway, ...] = ()
    meter: tuple[Meter, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A fleet and where it was read, to which files that it names are relative."""

    fleet: Fleet
    folder: Path


def load(path: Path, name: str = "") -> Source:
    """Read a fleet file; `name` is that of a CSV's fleet, which is the file's stem else. Raises FleetError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise FleetError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FleetError(f"{path}: not UTF-8 at byte {error.start}") from None
    if len(raw) > FILE_LIMIT_BYTES:
        raise FleetError(f"{path}: larger than {FILE_LIMIT_BYTES} bytes")
    parsed = from_csv(text, name or path.stem) if path.suffix.lower() == ".csv" else from_toml(text)
    if isinstance(parsed, list):
        shown = [f"{path}: {problem}" for problem in parsed[:PROBLEMS_SHOWN]]
        more = len(parsed) - PROBLEMS_SHOWN
        raise FleetError("\n".join([*shown, *([f"{path}: and {more} more"] if more > 0 else [])]))
    return Source(parsed, path.parent)


def from_toml(text: str) -> Fleet | list[str]:
    """Return the fleet that a TOML text describes, or what is wrong with it."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [f"not TOML: {error}"]
    try:
        fleet = msgspec.convert(tables, Fleet)
    except msgspec.ValidationError as error:
        return [explained(str(error), tables)]
    return problems(fleet) or fleet


def from_csv(text: str, name: str) -> Fleet | list[str]:
    """Return the fleet that a CSV text describes, or what is wrong with it, with line numbers."""
    rows = csv.DictReader(io.StringIO(text), strict=True)
    wrong: list[str] = []
    try:
        unknown = set(rows.fieldnames or ()) - set(COLUMNS)
        missing = {"region", "site", "gateway"} - set(rows.fieldnames or ())
        if unknown or missing:
            columns = f"columns are {', '.join(COLUMNS)}"
            return [f"{columns}; unknown: {_names(unknown)}, missing: {_names(missing)}"]
        tables: dict[str, dict[str, dict[str, object]]] = {}
        for row in rows:
            wrong += _sort_in(row, tables, rows.line_num)
    except csv.Error as error:
        return [f"line {rows.line_num}: {error}"]
    if wrong:
        return wrong
    whole = {"fleet": {"name": name}, **{kind: list(table.values()) for kind, table in tables.items()}}
    try:
        fleet = msgspec.convert(whole, Fleet)
    except msgspec.ValidationError as error:
        return [explained(str(error), whole)]
    return problems(fleet) or fleet


def _sort_in(row: dict[str, str | None], tables: dict[str, dict[str, dict[str, object]]], line: int) -> list[str]:
    """Put one row's cells where they belong; say what contradicts an earlier row."""
    if None in row or None in row.values():
        return [f"line {line}: {len(COLUMNS)} columns at most, and each row as many as the first"]
    cell = {column: (row.get(column) or "").strip() for column in COLUMNS}
    place: dict[str, object] = {"name": cell["site"], "region": cell["region"], "customer": cell["customer"]}
    for column in ("latitude", "longitude"):
        if cell[column]:
            try:
                place[column] = float(cell[column])
            except ValueError:
                return [f"line {line}: {column} {cell[column]!r} is no number"]
    said: list[tuple[str, str, dict[str, object]]] = [
        ("region", "name", {"name": cell["region"]}),
        ("site", "name", place),
        ("gateway", "name", {"name": cell["gateway"], "site": cell["site"], "certificate": cell["certificate"]}),
    ]
    if cell["customer"]:
        said.append(("customer", "title", {"title": cell["customer"]}))
    if cell["meter"]:
        said.append(("meter", "name", {"name": cell["meter"], "gateway": cell["gateway"], "type": cell["meter_type"]}))
        said.append(("meter_type", "name", {"name": cell["meter_type"]}))
    wrong = []
    for kind, key, value in said:
        known = tables.setdefault(kind, {}).setdefault(str(value[key]), value)
        if known != value:
            wrong.append(f"line {line}: {kind} {value[key]!r} was {_plain(known)} before, and is {_plain(value)} here")
        elif kind == "meter" and known is not value:
            wrong.append(f"line {line}: meter {value[key]!r} stands there twice")
    return wrong


def _plain(value: dict[str, object]) -> str:
    return ", ".join(f"{key}={item}" for key, item in value.items() if item != "")


def problems(fleet: Fleet) -> list[str]:
    """Return what does not fit together."""
    found = []
    found += _twice("customer", [one.title for one in fleet.customer])
    found += _twice("meter_type", [one.name for one in fleet.meter_type])
    # ThingsBoard keeps gateways and meters in one namespace of devices, regions and sites in one of assets.
    found += _twice("device", [*(one.name for one in fleet.gateway), *(one.name for one in fleet.meter)])
    found += _twice("asset", [*(one.name for one in fleet.region), *(one.name for one in fleet.site)])
    found += _missing(
        "site", "region", ((one.name, one.region) for one in fleet.site), {one.name for one in fleet.region}
    )
    found += _missing(
        "site",
        "customer",
        ((one.name, one.customer) for one in fleet.site if one.customer),
        {one.title for one in fleet.customer},
    )
    found += _missing(
        "gateway", "site", ((one.name, one.site) for one in fleet.gateway), {one.name for one in fleet.site}
    )
    found += _missing(
        "meter", "gateway", ((one.name, one.gateway) for one in fleet.meter), {one.name for one in fleet.gateway}
    )
    found += _missing(
        "meter", "meter_type", ((one.name, one.type) for one in fleet.meter), {one.name for one in fleet.meter_type}
    )
    found += [
        f"site {one.name!r}: latitude and longitude belong together"
        for one in fleet.site
        if (one.latitude is None) != (one.longitude is None)
    ]
    found += [
        f"meter_type {one.name!r}: this name is the gateways' own profile"
        for one in fleet.meter_type
        if one.name == GATEWAY_PROFILE
    ]
    return found


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _twice(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind} {name!r} stands there {count} times" for name, count in Counter(names).items() if count > 1]


def _missing(kind: str, what: str, pairs: Iterable[tuple[str, str]], known: set[str]) -> list[str]:
    return [f"{kind} {name!r}: no {what} {wanted!r}" for name, wanted in pairs if wanted not in known]

"""Meter types as data: one TOML file per type, validated whole when it is loaded (I/O edge: reads files).

A profile says which objects to read under which telemetry key, how such a meter is addressed and associated with by
default, its timing, and its quirks. Nothing else in the gateway knows a vendor's name. See docs/adding-a-meter.md.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.dlms.cosem import Attribute, Obis
from edge.errors import ConfigError
from edge.meters.dutyspec import ClockSpec, EventCode, EventLogSpec, ImageSpec, RelaySpec, duty_problems
from edge.meters.layout import TIME_DOUBT, PushLayout, push_problems
from edge.meters.localtime import DAY_S
from edge.meters.objectspec import ColumnSpec, ObjectSpec
from edge.meters.supply import Supplied
from edge.meters.table import UNITLESS, Name, NotNegative, ObisText, Positive, Sap, Table, bad_obis, in_words

SHIPPED = files("edge.meters").joinpath("profiles")      # a folder in the source tree, a part of the file in the binary

CaptureName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*\Z", max_length=100)]

NOT_READ = "not_read"
"""The column of a partial reading that says what is missing and why; no object may have this key."""

RESERVED = {
    NOT_READ: "is the column for what could not be read",
    TIME_DOUBT: "is the column for what is wrong with a meter's time",
}
"""Keys that no object may have, and why."""


class LoadProfile(Table, frozen=True):
    """The profile generic object (class 7) with the meter's interval values, for backfill.

    Columns that a meter does not capture are left out; the clock needs none. `confirmed` false: nobody has seen this
    object in such a meter yet, so one without it is no fault. `billing`: money depends on the rows. `period_s`: only
    for a meter whose capture_period says 0 because something else triggers capturing. `retention_days`: how far back
    such a meter keeps its rows at most, where that is known.
    """

    obis: ObisText
    columns: Annotated[tuple[ColumnSpec, ...], Meta(min_length=1)]
    confirmed: bool = True
    billing: bool = True
    period_s: Annotated[int, Meta(ge=60, le=DAY_S)] | None = None
    retention_days: Annotated[int, Meta(ge=1, le=3_660)] | None = None

    def attribute(self, number: int) -> Attribute:
        """Return one attribute of the object: 2 buffer, 3 capture_objects, 4 capture_period, 5 sort_method, ..."""
        return Attribute(7, Obis.parse(self.obis), number)


class BillingSpec(Table, frozen=True):
    """Registers that are read apart from the polls, and the counter of billing periods (class 1), "" = none is asked.

    Tariffs are the E of an OBIS code, earlier billing periods its F; extended and demand registers have status and
    times in attributes of their own, each an entry here.
    """

    objects: Annotated[tuple[ObjectSpec, ...], Meta(min_length=1)]
    counter_obis: Annotated[str, Meta(pattern=r"^([0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}(\.[0-9]{1,3}){2,3})?\Z")] = ""


class Identity(Table, frozen=True):
    """The object that tells one meter from another: a serial number or the COSEM logical device name."""

    obis: ObisText
    class_id: Annotated[int, Meta(ge=1, le=0xFFFF)] = 1
    attribute: Annotated[int, Meta(ge=1, le=127)] = 2

    @cached_property
    def target(self) -> Attribute:
        """The attribute to read."""
        return Attribute(self.class_id, Obis.parse(self.obis), self.attribute)


class AssociationDefaults(Table, frozen=True):
    """How such a meter is reached, where the registry says nothing else."""

    framing: Literal["wrapper", "hdlc"] = "wrapper"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 4059
    client_sap: Sap = 16
    server_logical: Sap = 1
    server_physical: Sap | None = None
    address_bytes: Literal[1, 2, 4] = 1
    authentication: Literal["none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"] = "lls"
    security: Literal["none", "authenticated", "encrypted", "both"] = "none"
    security_suite: Literal[0, 1, 2] = 0
    ciphering: Literal["general-glo", "glo", "general-ded", "ded"] = "general-glo"
    max_pdu: Annotated[int, Meta(ge=64, le=0xFFFF)] = 1024
    max_info_bytes: Annotated[int, Meta(ge=32, le=2030)] = 128
    opening: Literal["direct", "mode-e"] = "direct"      # mode-e: the sign-on of IEC 62056-21 before HDLC


class Timing(Table, frozen=True):
    """What such a meter, and the bridge it usually stands behind, need of time. All in seconds.

    `inactivity_s`: the connection or the association is dropped after so much silence (0 = never).
    `keep_alive_s`: a request at least this often keeps it (0 = nothing is sent for that alone).
    `request_gap_s`: rest between an answer and the next request. `settle_s`: after connecting, bytes that arrive
    unasked within this time are the previous session's and are thrown away.
    """

    exchange_timeout_s: Positive | None = None
    association_timeout_s: Positive | None = None
    interval_s: Positive | None = None
    request_gap_s: NotNegative = 0.0
    settle_s: NotNegative = 0.0
    keep_alive_s: NotNegative = 0.0
    inactivity_s: NotNegative = 0.0


class Quirks(Table, frozen=True):
    """Where such a meter departs from the common way.

    `no_list`: GET-with-list is never tried. `list_max`: most attributes in one list. `attribute_0`: offers GET of
    attribute 0, a whole object in one answer (IEC 62056-5-3, conformance bit attribute0-supported-with-get).
    `general_blocks`: is offered general block transfer, which few meters do right; `gbt_window` blocks in a row then.
    """

    no_list: bool = False
    list_max: Annotated[int, Meta(ge=1, le=1000)] | None = None
    attribute_0: bool = False
    general_blocks: bool = False
    gbt_window: Annotated[int, Meta(ge=1, le=63)] = 1


class Captures(Table, frozen=True):
    """Recorded exchanges that show such a meter, and what was at the other end: files of tests/captures, without .json.

    "meter": one of this type, in service or on a bench. "independent-server": a meter program that shares no code with
    this project. "independent-library": bytes made by such a program's library, never sent by a meter.
    """

    origin: Literal["meter", "independent-server", "independent-library"]
    files: Annotated[tuple[CaptureName, ...], Meta(min_length=1)]


class Profile(Table, frozen=True):
    """A meter type. `source` says where its facts come from; `objects` is never empty and has no key twice."""

    name: Name
    vendor: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(min_length=1)]
    objects: Annotated[tuple[ObjectSpec, ...], Meta(min_length=1)]
    association: AssociationDefaults = AssociationDefaults()
    timing: Timing = Timing()
    quirks: Quirks = Quirks()
    supply: Supplied = Supplied()
    identity: Identity | None = None
    clock: ClockSpec | None = None
    relay: RelaySpec | None = None
    image: ImageSpec | None = None
    event_logs: tuple[EventLogSpec, ...] = ()
    event_codes: dict[str, EventCode] = msgspec.field(default_factory=dict)
    billing: BillingSpec | None = None
    push: tuple[PushLayout, ...] = ()
    load_profile: LoadProfile | None = None
    captures: tuple[Captures, ...] = ()


def load_profiles(extra: Path | None = None) -> dict[str, Profile]:
    """Load the shipped profiles and those in the directory `extra`, which may replace shipped ones by name.

    Raises ConfigError that names the file, the key path and the value.
    """
    profiles: dict[str, Profile] = {}
    directories: tuple[Traversable, ...] = (SHIPPED,) if extra is None else (SHIPPED, extra)
    for directory in directories:
        if not directory.is_dir():
            raise ConfigError(f"{directory}: no such directory of meter profiles")
        for path in sorted(directory.iterdir(), key=lambda path: path.name):
            if not path.name.endswith(".toml"):
                continue
            profile = load_profile(path)
            profiles[profile.name] = profile
    return profiles


def load_profile(path: Traversable) -> Profile:
    """Load one profile. Raises ConfigError that names the file, the key path and the value."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:      # not there, or not UTF-8
        raise ConfigError(f"{path}: {error}") from error
    return read_profile(text, path)


def read_profile(text: str, path: Traversable) -> Profile:
    """Read what stands, or is to stand, in the file `path`. Raises ConfigError as `load_profile`."""
    try:
        raw = tomllib.loads(text)
    except ValueError as error:      # not TOML, or a number of thousands of digits
        raise ConfigError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: tables or arrays are nested too deep") from error
    try:
        profile = msgspec.convert(raw, Profile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error), raw)}") from error
    for where, wrong in _contradictions(profile):
        raise ConfigError(f"{path}: {where}: {wrong}")
    if profile.name != (stem := PurePath(path.name).stem):
        raise ConfigError(f"{path}: name: {profile.name!r} must be the file's name, {stem!r}")
    return profile


def _contradictions(profile: Profile) -> list[tuple[str, str]]:
    """What types alone cannot say: (key path, what is wrong with which value)."""
    found = _bad_objects("objects", profile.objects)
    if profile.load_profile is not None:
        found += [("load_profile.obis", wrong) for wrong in bad_obis(profile.load_profile.obis)]
        found += _bad_objects("load_profile.columns", profile.load_profile.columns)
    if profile.billing is not None:
        found += _bad_objects("billing.objects", profile.billing.objects)
        found += [("billing.counter_obis", wrong) for wrong in bad_obis(profile.billing.counter_obis)]
    if profile.identity is not None:
        found += [("identity.obis", wrong) for wrong in bad_obis(profile.identity.obis)]
    found += duty_problems(profile.objects, clock=profile.clock, relay=profile.relay, image=profile.image,
                           logs=profile.event_logs, codes=profile.event_codes)
    found += push_problems(profile.push, profile.objects, RESERVED)
    timing = profile.timing
    if timing.inactivity_s and timing.keep_alive_s >= timing.inactivity_s:
        found.append(("timing.keep_alive_s",
                      f"{timing.keep_alive_s:g} must be below timing.inactivity_s, {timing.inactivity_s:g}"))
    return found


def _bad_objects(where: str, specs: Sequence[ObjectSpec]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for index, spec in enumerate(specs):
        at = f"{where}[{index}]"
        if spec.key in seen:
            found.append((f"{at}.key", f"{spec.key!r} is used by {where}[{seen[spec.key]}] already"))
        seen.setdefault(spec.key, index)
        if spec.key in RESERVED:
            found.append((f"{at}.key", f"{spec.key!r} {RESERVED[spec.key]}"))
        if spec.tells_time and not spec.key.endswith("_time"):
            found.append((f"{at}.key", f"{spec.key!r} is a date-time: its key ends in _time"))
        if spec.unit not in UNITLESS:
            found.append((f"{at}.unit", f"{spec.unit!r} is not a COSEM unit (IEC 62056-6-2, table of units)"))
        found += [(f"{at}.obis", wrong) for wrong in bad_obis(spec.obis)]
    return found


def _explain(message: str, raw: Mapping[str, Any]) -> str:
    """Turn msgspec's text into "key.path: what is wrong, got value"."""
    what, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    what = in_words(what, path)
    value: Any = raw
    for part in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return f"{path}: {what}"
    if not path or isinstance(value, (dict, list)):
        return f"{path or 'top level'}: {what}"
    return f"{path}: {what}; the value is {value!r}"

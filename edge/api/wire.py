"""What goes over the wire (pure): every body and answer of the API as a struct. The OpenAPI document is made from them.

Times are Unix milliseconds (`_ms`), durations and ages seconds (`_s`); None means "not known", never zero. A measured
value is text with all its digits ("230.10"), because a JSON number in a browser is a float.
"""

from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from edge.api.access import TokenRole
from edge.logs.level import PartLevel
from edge.logs.parts import FOR_MOST_S, WHOLE, Part, Wanted
from edge.logs.tail import LevelName, LogLine
from edge.model import Meter

Label = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
Secret = Annotated[str, Meta(max_length=256)]
# Rows of numbers, short to send. Not tuple[int, int]: JSON Schema 2020-12 writes those otherwise than msgspec does.
Sample = Annotated[tuple[int, ...], Meta(min_length=2, max_length=2)]
Waiting = Annotated[tuple[int, ...], Meta(min_length=4, max_length=4)]


class _In(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A body that is taken."""


class Done(msgspec.Struct, frozen=True):
    """It was done. `notes` are lines for people, such as what a meter still wants."""

    done: bool = True
    notes: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True):
    """All that is told to anybody. "degraded": it runs, and something in it does not work as it should."""

    status: Literal["ok", "degraded"]
    setup_required: bool
    language: str


class LoginBody(_In, frozen=True):
    """The admin's password."""

    password: Secret


class SetupBody(_In, frozen=True):
    """A one-time code from `halow-gateway page code`, and the password to set."""

    code: Annotated[str, Meta(max_length=64)]
    password: Secret


class PasswordBody(_In, frozen=True):
    """The password in force, and the one to come."""

    old: Secret
    new: Secret


class Who(msgspec.Struct, frozen=True):
    """Who is logged in. `csrf` goes into the header X-CSRF-Token of everything that changes something."""

    name: str
    role: Literal["view", "admin"]
    csrf: str


class TokenBody(_In, frozen=True):
    """A token to make."""

    name: Label
    role: TokenRole = "view"


class TokenRow(msgspec.Struct, frozen=True):
    """A token without its secret."""

    name: str
    role: TokenRole
    made_ms: int


class Tokens(msgspec.Struct, frozen=True):
    """All tokens."""

    tokens: tuple[TokenRow, ...]


class NewToken(msgspec.Struct, frozen=True):
    """A token, told this once."""

    name: str
    token: str


class ReadValue(msgspec.Struct, frozen=True):
    """One value of a reading."""

    key: str
    value: str | None
    unit: str
    obis: str


class MeterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One meter as it is doing. `state`: reading, late, failing, resting, starting, refused or paused."""

    name: str
    address: str
    profile: str
    state: str
    problem: str = ""
    paused: bool = False
    read_ms: int | None = None
    values: tuple[ReadValue, ...] = ()
    not_read: str = ""
    readings: int = 0
    failed: int = 0
    last_failure: str = ""
    recovery: str = ""
    circuit: str = ""
    rssi_dbm: float | None = None
    link_grade: str | None = None
    backfill: dict[str, Any] | None = None


class Meters(msgspec.Struct, frozen=True):
    """All meters."""

    meters: tuple[MeterRow, ...]
    now_ms: int


class MeterShown(msgspec.Struct, frozen=True):
    """One meter: its settings as registered (null = as the profile says), and how it is doing."""

    settings: dict[str, Any]
    from_profile: dict[str, Any]
    password_set: bool
    keys_set: tuple[str, ...]
    identity: str
    row: MeterRow


def _meter_fields(*, change: bool) -> list[tuple[str, Any, Any]]:
    """Return a meter's settings as fields of a body, in the words of `edge.model.Meter`, so that both stay the same."""
    fields: list[tuple[str, Any, Any]] = []
    for name, hint in get_type_hints(Meter).items():
        if not change and name in ("name", "host"):
            fields.append((name, hint, msgspec.NODEFAULT))
        elif name != "name":
            fields.append((name, hint | UnsetType, UNSET))
    return fields


MeterSettings = msgspec.defstruct(
    "MeterSettings", [*_meter_fields(change=False), ("password", Secret | UnsetType, UNSET)], kw_only=True, frozen=True,
    forbid_unknown_fields=True, module=__name__)
MeterChange = msgspec.defstruct(
    "MeterChange", _meter_fields(change=True), kw_only=True, frozen=True, forbid_unknown_fields=True, module=__name__)


class SecretsBody(_In, frozen=True):
    """Secrets to set: a password as text, keys in hexadecimal digits; "" removes one, what is left out stays."""

    password: Secret | UnsetType = UNSET
    encryption_key: Secret | UnsetType = UNSET
    authentication_key: Secret | UnsetType = UNSET


class Imported(msgspec.Struct, frozen=True):
    """What an import did."""

    added: tuple[str, ...]
    updated: tuple[str, ...]


class Profiles(msgspec.Struct, frozen=True):
    """The meter types that can be chosen, and what each says where a meter says nothing."""

    profiles: dict[str, dict[str, Any]]


class OrderGiven(msgspec.Struct, frozen=True):
    """The number to ask for what came of it."""

    order: int


class OrderState(msgspec.Struct, frozen=True):
    """What came of an order: waiting, running, done, failed or expired."""

    phase: str
    values: tuple[ReadValue, ...] = ()
    error: str = ""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A radio peer; `recent` are (Unix ms, dBm), oldest first. `best_dbm` is since the gateway's page began."""

    mac: str
    meters: tuple[str, ...]
    grade: str
    rssi_dbm: int | None
    rssi_avg_dbm: float | None
    best_dbm: int | None
    snr_db: float | None
    margin_db: float | None
    age_s: float | None
    lost_because: str
    recent: tuple[Sample, ...]


class Band(msgspec.Struct, frozen=True):
    """From `from_dbm` upwards a link deserves this grade."""

    grade: str
    from_dbm: float


class Links(msgspec.Struct, frozen=True):
    """The radio and its peers."""

    radio: dict[str, Any]
    peers: tuple[Peer, ...]
    bands: tuple[Band, ...]


class RingShown(msgspec.Struct, frozen=True):
    """The ring, and how many records waited: (Unix ms, alarm, billing, instant), oldest first."""

    ring: dict[str, Any]
    uplink: dict[str, Any]
    history: tuple[Waiting, ...]


class AlarmRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that stands. `device` "" is the gateway; `holds`: its condition is still true."""

    device: str
    name: str
    severity: str
    detail: str
    raised_ms: int
    latched: bool
    holds: bool
    acknowledged_by: str
    acknowledged_ms: int | None


class Status(msgspec.Struct, frozen=True):
    """What `halow-gateway status --json` prints, section by section."""

    gateway: dict[str, Any]
    uplink: dict[str, Any]
    ring: dict[str, Any]
    polling: dict[str, Any]
    radio: dict[str, Any]
    push: dict[str, Any]
    alarms: tuple[AlarmRow, ...]
    meters: tuple[dict[str, Any], ...]


class Alarms(msgspec.Struct, frozen=True):
    """What stands, oldest first, and the newest changes, newest first."""

    standing: tuple[AlarmRow, ...]
    history: tuple[dict[str, Any], ...]


class AcknowledgeBody(_In, frozen=True):
    """Which alarm; `device` "" is the gateway."""

    device: Annotated[str, Meta(max_length=64)]
    name: Annotated[str, Meta(min_length=1, max_length=64)]


class LogLevel(msgspec.Struct, frozen=True):
    """How much the log says, and in how many seconds it is the settings' `settled` again; null: not by itself.

    `parts` are those that have a level of their own.
    """

    level: LevelName
    settled: LevelName
    left_s: float | None
    parts: tuple[PartLevel, ...]


class LevelBody(_In, frozen=True):
    """A level for the log or a part of it; "default" is the way back; `for_s` 0: until the gateway is started anew."""

    level: Wanted
    part: Part = WHOLE
    for_s: Annotated[float, Meta(ge=0, le=FOR_MOST_S)] = 1_800.0


class Logs(msgspec.Struct, frozen=True):
    """The newest lines, oldest first."""

    lines: tuple[LogLine, ...]
    level: LogLevel


class Inventory(msgspec.Struct, frozen=True):
    """What there is: software, board, radio, meters with what they say they are."""

    software: dict[str, str]
    board: dict[str, str]
    radio: dict[str, Any]
    meters: tuple[dict[str, str], ...]


class NoQuery(_In, frozen=True):
    """No parameters."""


class ImportQuery(_In, frozen=True):
    """`update`: let lines replace registered meters of the same name."""

    update: bool = False


class WaitQuery(_In, frozen=True):
    """`wait_s`: so long for news, at most."""

    wait_s: Annotated[float, Meta(ge=0, le=10)] = 0.0


class LogQuery(_In, frozen=True):
    """`level`: at least so important. `most`: so many lines. `meter`: about that one only."""

    level: LevelName = "info"
    meter: Annotated[str, Meta(max_length=64)] = ""
    most: Annotated[int, Meta(ge=1, le=500)] = 200

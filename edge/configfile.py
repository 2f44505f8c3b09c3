"""`gateway.toml`: reading it into the structs of `edge/config.py`, checking it whole, writing it with its comments.

Reading the file is the only I/O here.
"""

import difflib
import errno
import ipaddress
import json
import math
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from edge.config import (
    IDENTITY,
    IDENTITY_LIMIT,
    MIB,
    ApiSettings,
    DiscoverySettings,
    PathsSettings,
    PushSettings,
    RadioSettings,
    RemoteSettings,
    RingSettings,
    Settings,
    UplinkSettings,
)
from edge.configchange import REACH
from edge.errors import ConfigError, SettingsError
from edge.templates import Payload, Topic

FILE_LIMIT_BYTES = 262_144
SOCKET_PATH_LIMIT_BYTES = 107     # sockaddr_un.sun_path without its closing zero, unix(7)
# no fault of the file
STORAGE_FAILS = (errno.EIO, errno.ENXIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
NAME_LIMIT = 64
SUBNET_LIMIT = 1_024
NO_ZONE = ("this machine's time zone database has no such zone, or there is none (Debian: package tzdata); an offset "
           'like "-05:00" or "+01:00 eu" needs none')
PULSE_LIMIT_S = 25.0      # the radio's watchdog allows a look 30 s (halow.monitor.PULSE_SPARE_S)


def load(path: Path | None) -> Settings:
    """Read and validate a settings file; None gives the defaults.

    Raises SettingsError with one line per problem, each with file, key path, value and what is allowed. All problems
    are found in one go, except that relations between keys are looked at only once every key is right by itself.
    Raises ConfigError where the storage under the file fails, which is no fault of what stands in it.
    """
    if path is None:
        return Settings()
    settings, problems = examine(_parse(_read(path), str(path)))
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return settings


def examine(data: dict[str, Any]) -> tuple[Settings, list[str]]:
    """Validate what a settings file holds: the settings, and each problem in one line that begins with its key path."""
    problems: list[str] = []
    settings = _sections(data, problems)
    if not problems:
        problems = contradictions(settings)
    return settings, problems


def written(path: Path | None) -> frozenset[str]:
    """Return which "section.key" a settings file holds, whatever their values. Raises as `load` does."""
    data = _parse(_read(path), str(path)) if path is not None else {}
    return frozenset(f"{section}.{key}" for section, table in data.items() if isinstance(table, dict) for key in table)


def contradictions(settings: Settings) -> list[str]:
    """Return what settings that are right one by one have against one another, as `examine` says it."""
    return [f"{key}: {text}" for key, text in _relations(settings)]


def examine_text(text: str) -> tuple[Settings, list[str]]:
    """Validate a settings file's text, as `examine` does. Raises SettingsError where it is no TOML."""
    if len(text) > FILE_LIMIT_BYTES:
        raise SettingsError(f"larger than {FILE_LIMIT_BYTES} bytes; this is no settings file")
    return examine(_parse(text.encode("utf-8", "surrogatepass"), "the text"))


class Described(NamedTuple):
    """One setting as a form shows it."""

    section: str
    key: str
    value: Any
    default: Any
    comment: str
    allowed: str


def describe(settings: Settings) -> Iterator[Described]:
    """Yield every setting with what is said of it."""
    for section, value in _members(settings):
        hints = get_type_hints(type(value), include_extras=True)
        defaults = dict(_members(type(value)()))
        for key, each in _members(value):
            comment = next((note for note in _notes(hints[key]) if isinstance(note, str)), "")
            yield Described(section, key, each, defaults[key], comment, _allowed(hints[key]))


def default_toml() -> str:
    """Return the default settings as TOML, each key below a comment; `load` gives `Settings()` back from it."""
    head = "# Settings of the HaLow edge gateway. Every key may be left out; what stands here is the default.\n"
    return head + to_toml(Settings())


def to_toml(settings: Settings, origins: Mapping[str, str] | None = None) -> str:
    """Return settings as commented TOML; `load` gives equal ones back from it.

    `origins` says of "section.key" where its value comes from, in words for a comment behind it.
    """
    lines: list[str] = []
    known = origins or {}
    for section, value in _members(settings):
        lines += ["", f"# {(type(value).__doc__ or '').strip()}", f"[{section}]"]
        hints = get_type_hints(type(value), include_extras=True)
        for key, default in _members(value):
            comment = next((note for note in _notes(hints[key]) if isinstance(note, str)), "")
            origin = known.get(f"{section}.{key}", "")
            lines += [f"# {comment or _allowed(hints[key])}",
                      f"{key} = {_toml(default)}" + (f"      # {origin}" if origin else "")]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        kind = ConfigError if error.errno in STORAGE_FAILS else SettingsError
        raise kind(f"{path}: cannot be read: {error.strerror}; see `halow-gateway config default`") from error
    if len(raw) > FILE_LIMIT_BYTES:
        raise SettingsError(f"{path}: larger than {FILE_LIMIT_BYTES} bytes; this is no settings file")
    return raw


def _parse(raw: bytes, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode().removeprefix("\ufeff"))      # what some editors put in front
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from error
    except (ValueError, RecursionError) as error:      # also integers of thousands of digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise SettingsError(f"{where}: not TOML: {reason}") from error


def _sections(data: dict[str, Any], problems: list[str]) -> Settings:
    built: dict[str, Any] = {}
    types = get_type_hints(Settings)
    for section, table in data.items():
        if section not in types:
            problems.append(f"{_key(section)}: unknown section{_suggestion(section, types)}")
        elif not isinstance(table, dict):
            problems.append(f"{section} = {_shown(table)}: must be a section, [{section}]")
        else:
            built[section] = _section(section, types[section], table, problems)
    return Settings(**built)


def _section(section: str, struct: type[msgspec.Struct], table: dict[str, Any], problems: list[str]) -> msgspec.Struct:
    return struct(**_keys(section, struct, table, problems))


def _keys(section: str, struct: type[msgspec.Struct], table: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return what is right of a table, converted."""
    hints = get_type_hints(struct, include_extras=True)
    good: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:      # the value stays unsaid: it may be a token in the wrong place
            problems.append(f"{section}.{_key(key)}: unknown key{_suggestion(key, hints)}")
            continue
        whole, before = value, len(problems)
        if (kind := _kind_of_tables(hints[key])) and isinstance(value, list):
            whole = [_table(f"{section}.{key}[{at}]", kind, one, problems) for at, one in enumerate(value, 1)]
        if len(problems) > before:
            continue
        try:
            good[key] = msgspec.convert(whole, hints[key])
        except msgspec.ValidationError:
            problems.append(f"{section}.{key} = {_shown(value)}: must be {_allowed(hints[key])}")
    return good


def _kind_of_tables(hint: Any) -> type[msgspec.Struct] | None:
    """Return what a key holds an array of, [[section.key]]; None where it holds no tables."""
    base = get_args(hint)[0] if _notes(hint) else hint
    first = get_args(base)[0] if get_origin(base) is tuple else None
    return first if isinstance(first, type) and issubclass(first, msgspec.Struct) else None


def _table(path: str, struct: type[msgspec.Struct], table: Any, problems: list[str]) -> dict[str, Any]:
    """Return what is right of one table of an array; what is missing is a problem too."""
    if not isinstance(table, dict):
        problems.append(f"{path} = {_shown(table)}: must be a table")
        return {}
    problems += [f"{path}.{field.name}: missing" for field in msgspec.structs.fields(struct)
                 if field.required and field.name not in table]
    return _keys(path, struct, table, problems)


def _relations(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (key path and value, what is allowed) for what only shows when several keys are seen together."""
    poll, uplink, radio = settings.poll, settings.uplink, settings.radio
    push, clock_sync = settings.push, settings.clock_sync
    for path, first, most_path, most in (
        ("poll.backoff_first_s", poll.backoff_first_s, "backoff_max_s", poll.backoff_max_s),
        ("poll.breaker_open_s", poll.breaker_open_s, "breaker_open_max_s", poll.breaker_open_max_s),
        ("uplink.backoff_first_s", uplink.backoff_first_s, "backoff_max_s", uplink.backoff_max_s),
        ("uplink.batch_bytes", uplink.batch_bytes, "window_bytes", uplink.window_bytes),
        ("radio.interval_s", radio.interval_s, "record_interval_s", radio.record_interval_s),
        ("push.max_connections_per_address", push.max_connections_per_address, "max_connections", push.max_connections),
        ("push.messages_per_minute", push.messages_per_minute,
         "messages_per_minute_in_all", push.messages_per_minute_in_all),
        ("clock_sync.shift_max_s", clock_sync.shift_max_s, "set_max_s", clock_sync.set_max_s),
    ):
        if first > most:
            yield f"{path} = {first}", f"must be at most {most_path} = {most}"
    yield from _ring_relations(settings.ring)
    yield from _push_relations(push)
    yield from _discovery_relations(settings.discovery)
    if len(settings.gateway.name.replace(IDENTITY, "x" * IDENTITY_LIMIT)) > NAME_LIMIT:
        yield (f"gateway.name = {_shown(settings.gateway.name)}",
               f"too long: at most {NAME_LIMIT} characters, of which {IDENTITY} takes up to {IDENTITY_LIMIT}")
    yield from _dialect_relations(uplink)
    yield from _path_relations(settings.paths, uplink)
    if uplink.tls and not uplink.ca_file:
        yield "uplink.tls = true", "needs uplink.ca_file, the CA certificate that the server is checked against"
    if uplink.credentials == "x509" and not uplink.tls:
        yield 'uplink.credentials = "x509"', "needs uplink.tls = true"
    if uplink.provision_key and uplink.credentials == "mqtt_basic" and not uplink.username:
        yield "uplink.provision_key", 'with credentials = "mqtt_basic" it needs uplink.username'
    if uplink.ca_file and not uplink.tls:
        yield f"uplink.ca_file = {_shown(uplink.ca_file)}", "does nothing without uplink.tls = true"
    yield from _radio_relations(radio)
    ota = settings.ota
    for key in ("firmware_command", "reboot_command", "software_command"):
        yield from _is_command(f"ota.{key}", getattr(ota, key))
    yield from _api_relations(settings.api)
    yield from _remote_relations(settings.remote)
    if len(settings.gateway.runtime_dir.encode()) + len("/control.sock") > SOCKET_PATH_LIMIT_BYTES:
        yield f"gateway.runtime_dir = {_shown(settings.gateway.runtime_dir)}", "too long for the path of a Unix socket"


def _dialect_relations(uplink: UplinkSettings) -> Iterator[tuple[str, str]]:
    for key, template in (("topic", Topic), ("payload", Payload), ("attributes_topic", Topic)):
        text = getattr(uplink, key)
        if not text and key == "attributes_topic":
            continue
        try:
            template(text)
        except ValueError as error:
            yield f"uplink.{key} = {_shown(text)}", str(error)
    if uplink.dialect == "mqtt" and uplink.provision_key:
        yield "uplink.provision_key", 'ThingsBoard knows it, no other broker: not with dialect = "mqtt"'


def _path_relations(paths: PathsSettings, uplink: UplinkSettings) -> Iterator[tuple[str, str]]:
    names = [path.name for path in paths.path]
    for at, path in enumerate(paths.path, 1):
        if path.name in names[:at - 1]:
            yield f"paths.path[{at}].name = {_shown(path.name)}", "there is another path of this name"
        if path.backlog != "always" and uplink.order == "oldest":
            yield (f"paths.path[{at}].backlog = {_shown(path.backlog)}",
                   'with uplink.order = "oldest" new values wait behind older ones; set "live+backfill" or "newest"')
    if paths.path and paths.dead_after_s < 2 * uplink.keepalive_s:
        yield (f"paths.dead_after_s = {paths.dead_after_s:g}",
               f"must be at least twice uplink.keepalive_s = {uplink.keepalive_s}: no answer is due before")
    if paths.thin_s and all(path.backlog == "always" for path in paths.path):
        yield f"paths.thin_s = {paths.thin_s:g}", 'does nothing where every path has backlog = "always"'
    if "/" in paths.zone and not _zone_known(paths.zone):
        yield f"paths.zone = {_shown(paths.zone)}", NO_ZONE


def _zone_known(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - few have one

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _radio_relations(radio: RadioSettings) -> Iterator[tuple[str, str]]:
    if radio.kind == "simulated" and not radio.trace:
        yield 'radio.kind = "simulated"', "needs radio.trace, the file to replay"
    if radio.kind == "external" and bool(radio.external_command) == bool(radio.external_file):
        yield 'radio.kind = "external"', "needs one of radio.external_command and radio.external_file"
    if radio.external_timeout_s > PULSE_LIMIT_S:
        yield f"radio.external_timeout_s = {radio.external_timeout_s}", f"must be at most {PULSE_LIMIT_S:g}"
    yield from _is_command("radio.vendor_tool", radio.vendor_tool)
    yield from _is_command("radio.external_command", radio.external_command)


def _is_command(path: str, command: str) -> Iterator[tuple[str, str]]:
    try:
        shlex.split(command)
    except ValueError as error:
        yield f"{path} = {_shown(command)}", f"must be a command as a shell reads it: {error}"


def _ring_relations(ring: RingSettings) -> Iterator[tuple[str, str]]:
    slots = math.floor(ring.size_mib / ring.slot_mib)
    alarm, billing = (max(2, math.floor(share * slots)) for share in (ring.alarm_share, ring.billing_share))
    if slots < 6:
        yield f"ring.size_mib = {ring.size_mib}", f"must hold 6 slots of slot_mib = {ring.slot_mib} at least"
    elif alarm + billing + 2 > slots:
        yield (f"ring.alarm_share + ring.billing_share = {ring.alarm_share} + {ring.billing_share}",
               f"must leave 2 of the {slots} slots for polled values")
    if ring.record_limit_bytes > ring.slot_mib * MIB / 2:
        yield f"ring.record_limit_bytes = {ring.record_limit_bytes}", "must be at most half of slot_mib"
    yield from _is_command("ring.key_command", ring.key_command)
    if ring.key_command and ring.key_file:
        yield f"ring.key_file = {_shown(ring.key_file)}", "does nothing beside ring.key_command; one of them"


def _discovery_relations(discovery: DiscoverySettings) -> Iterator[tuple[str, str]]:
    if not discovery.subnet:
        return
    try:
        size = ipaddress.ip_network(discovery.subnet).num_addresses
    except ValueError as error:
        yield f"discovery.subnet = {_shown(discovery.subnet)}", f"must be a net like 10.30.0.0/24: {error}"
    else:
        if size > SUBNET_LIMIT:
            yield f"discovery.subnet = {_shown(discovery.subnet)}", f"has {size} addresses; at most {SUBNET_LIMIT}"


def _push_relations(push: PushSettings) -> Iterator[tuple[str, str]]:
    try:
        ipaddress.ip_address(push.listen)
    except ValueError:
        yield f"push.listen = {_shown(push.listen)}", "must be an IP address of this machine, 0.0.0.0 or ::"
    if push.enabled and not push.tcp_port and not push.udp_port:
        yield "push.tcp_port = 0, push.udp_port = 0", "one of them must be a port, or push.enabled false"


def _api_relations(api: ApiSettings) -> Iterator[tuple[str, str]]:
    try:
        loopback = ipaddress.ip_address(api.listen.partition("%")[0]).is_loopback
    except ValueError:
        yield f"api.listen = {_shown(api.listen)}", "must be an IP address of this machine, 0.0.0.0 or ::"
        return
    if not api.tls and not loopback:
        yield "api.tls = false", f"passwords would be in clear on the network; {_shown(api.listen)} wants tls"


def _remote_relations(remote: RemoteSettings) -> Iterator[tuple[str, str]]:
    possible = {key for key, reach in REACH.items() if reach == "remote"}
    sections = {key.partition(".")[0] for key in possible}
    for name in remote.configurable:
        if name not in possible | sections:
            yield (f"remote.configurable: {_shown(name)}",
                   f"nothing of it is taken from a server; possible are {', '.join(sorted(sections))}, or section.key")


def _members(struct: msgspec.Struct) -> list[tuple[str, Any]]:
    return [(name, getattr(struct, name)) for name in struct.__struct_fields__]


def _notes(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _allowed(hint: Any) -> str:
    """Say what a field takes: from its Meta's description, else from its type and bounds."""
    base = get_args(hint)[0] if _notes(hint) else hint
    if get_origin(base) is Literal:
        *others, last = (_shown(value) for value in get_args(base))
        return f"{', '.join(others)} or {last}"
    meta = next((note for note in _notes(hint) if isinstance(note, Meta)), Meta())
    if meta.description:
        return meta.description
    words = {int: "a whole number", float: "a number", bool: "true or false"}.get(base, "text")
    bounds = (("greater than", meta.gt), ("at least", meta.ge), ("less than", meta.lt), ("at most", meta.le))
    limits = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
    return f"{words} {limits}".rstrip()


def _shown(value: Any) -> str:
    """Write a value much as TOML does, on one line and not too long."""
    if isinstance(value, str | bool):
        text = json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())
    elif isinstance(value, int) and value.bit_length() > 256:      # repr refuses thousands of digits
        text = f"a number of {value.bit_length()} bits"
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, msgspec.Struct):
        return f"{{{', '.join(f'{key} = {_toml(each)}' for key, each in _members(value))}}}"
    # TOML's basic strings are JSON's but for DEL, which no setting may hold
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and len(key) <= 80 else _shown(key)


def _suggestion(key: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"

"""`gateway.toml`: reading it into the structs of `edge/config`, checking it whole, writing it with its comments.

Reading the file is the only I/O here.
"""

import difflib
import errno
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from edge.config import Settings
from edge.configrelations import relations, shown
from edge.errors import ConfigError, SettingsError

FILE_LIMIT_BYTES = 262_144
# no fault of the file
STORAGE_FAILS = (errno.EIO, errno.ENXIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


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
    return [f"{key}: {text}" for key, text in relations(settings)]


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
            problems.append(f"{section} = {shown(table)}: must be a section, [{section}]")
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
            problems.append(f"{section}.{key} = {shown(value)}: must be {_allowed(hints[key])}")
    return good


def _kind_of_tables(hint: Any) -> type[msgspec.Struct] | None:
    """Return what a key holds an array of, [[section.key]]; None where it holds no tables."""
    base = get_args(hint)[0] if _notes(hint) else hint
    first = get_args(base)[0] if get_origin(base) is tuple else None
    return first if isinstance(first, type) and issubclass(first, msgspec.Struct) else None


def _table(path: str, struct: type[msgspec.Struct], table: Any, problems: list[str]) -> dict[str, Any]:
    """Return what is right of one table of an array; what is missing is a problem too."""
    if not isinstance(table, dict):
        problems.append(f"{path} = {shown(table)}: must be a table")
        return {}
    problems += [f"{path}.{field.name}: missing" for field in msgspec.structs.fields(struct)
                 if field.required and field.name not in table]
    return _keys(path, struct, table, problems)


def _members(struct: msgspec.Struct) -> list[tuple[str, Any]]:
    return [(name, getattr(struct, name)) for name in struct.__struct_fields__]


def _notes(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _allowed(hint: Any) -> str:
    """Say what a field takes: from its Meta's description, else from its type and bounds."""
    base = get_args(hint)[0] if _notes(hint) else hint
    if get_origin(base) is Literal:
        *others, last = (shown(value) for value in get_args(base))
        return f"{', '.join(others)} or {last}"
    meta = next((note for note in _notes(hint) if isinstance(note, Meta)), Meta())
    if meta.description:
        return meta.description
    if get_origin(base) is tuple:
        return f"a list, each {_allowed(get_args(base)[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false"}.get(base, "text")
    bounds = (("greater than", meta.gt), ("at least", meta.ge), ("less than", meta.lt), ("at most", meta.le))
    limits = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
    return f"{words} {limits}".rstrip()


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, msgspec.Struct):
        return f"{{{', '.join(f'{key} = {_toml(each)}' for key, each in _members(value))}}}"
    # TOML's basic strings are JSON's but for DEL, which no setting may hold
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and len(key) <= 80 else shown(key)


def _suggestion(key: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"

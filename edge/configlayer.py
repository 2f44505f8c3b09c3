"""Settings that ThingsBoard has set, as a layer over `gateway.toml` (I/O edge): what it may be, and what is kept.

    remote-config.json   {"applied": the layer in force, "trial": one that is not proven, "refused": the last no}

The file is replaced whole at each step, so a power cut leaves the state before or after it. A layer is on trial there
before it is in force: one that is found on trial at a start has had its try. docs/decisions/0032-*.md
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from edge.config import Settings
from edge.configchange import REACH, reach_of
from edge.configfile import examine
from edge.durable import write_file
from edge.errors import ConfigError, SettingsError

FILE_NAME = "remote-config.json"
LIMIT_BYTES = 16_384         # of an attribute
FILE_LIMIT_BYTES = 1_048_576
NO_HASH = ""                 # of an attribute that is not there

Keys = dict[str, dict[str, Any]]
"""Section -> key -> value, as a settings file holds them."""


class Layer(msgspec.Struct, frozen=True):
    """What an attribute said. `hash` tells one attribute from another."""

    hash: str = NO_HASH
    settings: Keys = {}


class Refused(msgspec.Struct, frozen=True):
    """The last attribute that is not in force. One that was rolled back is not tried again, others are judged anew."""

    hash: str
    outcome: Literal["refused", "rolled_back"]
    why: str


class Kept(msgspec.Struct, frozen=True):
    """What is on flash."""

    applied: Layer = Layer()
    trial: Layer | None = None
    refused: Refused | None = None


class Look(NamedTuple):
    """What commands see: the settings in force, the layer in them, and why there is none although one is kept."""

    settings: Settings
    layer: Layer
    problem: str = ""
    trial: bool = False


def load(state_dir: Path) -> Kept:
    """Return what is kept. ConfigError for a file that cannot be read or is damaged: then nothing lies over it."""
    path = state_dir / FILE_NAME
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(FILE_LIMIT_BYTES), type=Kept)
    except FileNotFoundError:
        return Kept()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is damaged: {error}; what ThingsBoard has set is asked for anew") from error


def keep(state_dir: Path, kept: Kept) -> None:
    """Put it on flash. Raises OSError; then it is what it was."""
    write_file(state_dir / FILE_NAME, msgspec.json.encode(kept), replace=True)


def look(state_dir: Path, file: Settings) -> Look:
    """Return what a gateway with this file has in force, for commands beside it. Raises nothing."""
    try:
        kept = load(state_dir)
        layer = kept.trial or kept.applied
        return Look(over(file, layer.settings), layer, trial=kept.trial is not None)
    except ConfigError as error:
        return Look(file, Layer(), problem="; ".join(str(error).splitlines()))


def hash_of(value: object) -> str:
    """Return what an attribute's value is known by: the same for JSON and for text that holds the same."""
    if value is None:
        return NO_HASH
    raw = msgspec.json.encode(_decoded(value), order="sorted")
    return f"sha256:{hashlib.sha256(raw).hexdigest()[:16]}"      # without the word it could be taken for a number


def understood(value: object) -> Layer:
    """Return an attribute's value as a layer; None is an empty one. SettingsError for what has no such form."""
    if value is None:
        return Layer()
    decoded = _decoded(value)
    if not isinstance(decoded, dict) or not all(isinstance(keys, dict) for keys in decoded.values()):
        raise SettingsError('config: must be a JSON object of sections, such as {"poll": {"interval_s": 30}}')
    if len(msgspec.json.encode(decoded)) > LIMIT_BYTES:
        raise SettingsError(f"config: larger than {LIMIT_BYTES} bytes")
    return Layer(hash_of(value), decoded)


def over(file: Settings, layer: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Return `file` with a layer laid over it, good as a whole. SettingsError with one line per problem.

    What is allowed stands in the file: `remote.configurable`.
    """
    problems = list(_not_allowed(layer, file.remote.configurable))
    if not problems:
        data: dict[str, Any] = msgspec.to_builtins(file)
        for section, keys in layer.items():
            data[section] = {**data[section], **keys}
        settings, problems = examine(data)
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _not_allowed(layer: Mapping[str, Mapping[str, Any]], configurable: Collection[str]) -> Iterator[str]:
    for section, keys in layer.items():
        for key in keys:
            name = f"{section}.{key}"[:80]
            if name not in REACH:
                yield f"{name}: there is no such setting"
            elif reach_of(name) != "remote":
                yield f"{name}: is never taken from a server"
            elif not {section, name} & {*configurable}:
                yield f"{name}: remote.configurable does not name it"


def _decoded(value: object) -> object:
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return value
    return value

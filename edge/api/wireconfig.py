"""What goes over the wire about settings (pure); the rest is in `wire.py`, whose rules count here too."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. `redacted`: what is shown is not the value."""

    section: str
    key: str
    value: Any
    default: Any
    comment: str
    allowed: str
    redacted: bool = False


class Config(msgspec.Struct, frozen=True):
    """The settings in force."""

    settings: tuple[Setting, ...]


class ConfigBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A candidate: a whole settings file as `toml`, or `changes` to what is in force, section -> key -> value."""

    toml: Annotated[str, Meta(max_length=262_144)] = ""
    changes: dict[str, dict[str, Any]] = {}


class Checked(msgspec.Struct, frozen=True):
    """What a candidate is worth. `toml`: what to put into gateway.toml, where `changes` were given and are good."""

    good: bool
    problems: tuple["CheckedProblem", ...]
    toml: str = ""


class CheckedProblem(msgspec.Struct, frozen=True):
    """One problem; `field` is "section.key", "" where the whole is meant."""

    field: str
    text: str


class Altered(msgspec.Struct, frozen=True):
    """One setting that is another now, or would be after a restart; secrets are not shown."""

    key: str
    before: Any
    after: Any


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload did. `objection`: why what ThingsBoard has set is left out."""

    changed: tuple[Altered, ...]
    needs_restart: tuple[Altered, ...]
    restarted: tuple[str, ...]
    objection: str


class ConfigChange(msgspec.Struct, frozen=True):
    """What became of settings, when and by whom: applied, trial, refused or rolled_back."""

    at_ms: int
    by: str
    outcome: str
    text: str


class ConfigHistory(msgspec.Struct, frozen=True):
    """The newest changes, newest first."""

    changes: tuple[ConfigChange, ...]

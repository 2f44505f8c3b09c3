"""Routes about the settings: what is in force, whether a candidate would be, who changed what, and taking up the file.

Nothing is written from here.

The settings file is the operator's, and on the image part of what is flashed; a form that is right gives the text to
put there. What a setting tells of secrets (a user name, the arguments of a command) is not shown.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge import confighistory
from edge.api import wireconfig as wire
from edge.api.doors import Doors
from edge.api.problem import at_fields, refused
from edge.api.sessions import Role
from edge.api.table import BASE, Call, Route
from edge.config import Settings
from edge.configfile import describe, examine, examine_text, to_toml
from edge.errors import SettingsError
from edge.redaction import redacted

LIMIT_BYTES = 1_048_576


class ConfigRoutes:
    """The handlers."""

    def __init__(self, doors: Doors) -> None:
        """`doors` have the settings."""
        self._doors = doors

    def routes(self) -> list[Route]:
        """Return the rows of the table."""
        return [
            Route("GET", f"{BASE}/config", Role.VIEW, self.show, "The settings in force, with what each means.",
                  wire.Config),
            Route("POST", f"{BASE}/config/check", Role.ADMIN, self.check, "Whether a candidate is good.",
                  wire.Checked, wire.ConfigBody, limit_bytes=LIMIT_BYTES),
            Route("POST", f"{BASE}/config/reload", Role.ADMIN, self.reload,
                  "Take up gateway.toml as `config reload` does; what has not changed goes on.",
                  wire.Reloaded, fails=(422,)),
            Route("GET", f"{BASE}/config/history", Role.VIEW, self.history, "Who changed which setting, newest first.",
                  wire.ConfigHistory, fails=(422,)),
        ]

    async def show(self, _call: Call) -> wire.Config:
        """Return the settings."""
        rows = []
        for each in describe(self._doors.settings):
            shown = redacted(f"{each.section}.{each.key}", each.value)
            rows.append(wire.Setting(section=each.section, key=each.key, value=shown, default=each.default,
                                     comment=each.comment, allowed=each.allowed, redacted=shown != each.value))
        return wire.Config(tuple(rows))

    async def check(self, call: Call) -> wire.Checked:
        """Examine a candidate as a start of the gateway would."""
        body: wire.ConfigBody = call.body
        try:
            settings, problems = examine_text(body.toml) if body.toml else examine(
                _changed(self._doors.settings, body.changes))
        except SettingsError as error:
            return wire.Checked(good=False, problems=(wire.CheckedProblem("", str(error)),))
        known = [f"{each.section}.{each.key}" for each in describe(Settings())]
        found = tuple(wire.CheckedProblem(*each) for each in at_fields(problems, known))
        text = _changes_toml(settings, body.changes) if not found and not body.toml else ""
        return wire.Checked(good=not found, problems=found, toml=text)

    async def reload(self, call: Call) -> wire.Reloaded:
        """Have the running gateway read its file; one that is wrong changes nothing, and is told line by line."""
        try:
            told = await self._doors.reload_config({"by": f"{call.who.name} at {call.address}"})
        except SettingsError as error:
            known = [f"{each.section}.{each.key}" for each in describe(Settings())]
            raise refused(error, known) from error
        changed, waits = (tuple(wire.Altered(**each) for each in told[key]) for key in ("changed", "needs_restart"))
        return wire.Reloaded(changed, waits, tuple(told["restarted"]), told["objection"])

    async def history(self, _call: Call) -> wire.ConfigHistory:
        """Return what is kept of it."""
        entries = await asyncio.to_thread(confighistory.read, Path(self._doors.settings.gateway.state_dir))
        return wire.ConfigHistory(tuple(wire.ConfigChange(each.at_ms, each.by, each.outcome, each.words())
                                        for each in reversed(entries)))


def _changed(settings: Settings, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings in force with changes laid over them, as a settings file holds them."""
    data: dict[str, Any] = msgspec.to_builtins(settings)
    for section, keys in changes.items():
        data[section] = {**data.get(section, {}), **keys}
    return data


def _changes_toml(settings: Settings, changes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the lines for gateway.toml: of the whole, commented text only what was changed."""
    lines: list[str] = []
    section = ""
    for line in to_toml(settings).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            if section in changes:
                lines.append(line)
        elif line.partition(" = ")[0] in changes.get(section, {}) and not line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n" if lines else ""

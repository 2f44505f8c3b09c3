"""What an alarm is: one table of shipped.toml, or of the operator's own file (pure but for the files).

    [[alarm]]
    name = "over_voltage"                # of the record, and what an operator acknowledges
    device = "meter"                     # whose figures: each meter's, or the "gateway"'s own
    figures = ["voltage_l1"]             # keys as in cloud/keys.toml; any of them raises, all that are known clear
    above = 110.0                        # one of: above, below, one_of (texts), rises, falls (against the value before)
    clear_at = 109.0                     # hysteresis: holds until the figure is back here; the limit itself if without
    of = "nominal_voltage_v"             # limits are per cent of this setting, or of what the meter type says; 0: off
    meters = ["m1", "m2"]                # only these; all if without
    for_s = 60                           # on-delay: it has to hold for so long
    severity = "major"                   # critical, major, minor, warning
    latched = false                      # true: stands until it is gone and somebody has acknowledged it

A condition of the operator with a shipped one's name replaces it; with `enabled = false` it takes it away.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from edge.errors import ConfigError, SettingsError

EVENT_FIGURE = "event"
SHIPPED = "shipped.toml"
FILE_LIMIT_BYTES = 262_144
Severity = Literal["critical", "major", "minor", "warning"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OPERATORS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError)


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One alarm. Times in seconds; limits in the figure's unit, or in per cent of `of`."""

    name: str
    device: Literal["meter", "gateway"]
    figures: tuple[str, ...]
    severity: Severity
    above: float | None = None
    below: float | None = None
    one_of: tuple[str, ...] = ()
    rises: bool = False
    falls: bool = False
    clear_at: float | None = None
    of: str = ""
    meters: tuple[str, ...] = ()
    for_s: float = 0.0
    latched: bool = False
    enabled: bool = True

    @property
    def momentary(self) -> bool:
        """Tell whether it holds for one look only: a change, or an event."""
        return self.rises or self.falls or self.figures == (EVENT_FIGURE,)

    def holds(self, figure: str, value: float | str, before: float | None, *, standing: bool) -> bool | None:
        """Judge one figure; None where a value of this type says nothing. `before` is the value of the last look."""
        if self.one_of:
            return value in self.one_of if isinstance(value, str) else None
        if isinstance(value, str) or not math.isfinite(value):
            return None
        if self.rises or self.falls:
            return before is not None and (value > before if self.rises else value < before)
        if self.above is not None:
            return value > (self.above if not standing or self.clear_at is None else self.clear_at)
        assert self.below is not None, figure
        return value < (self.below if not standing or self.clear_at is None else self.clear_at)


class Judges(Protocol):
    """Tells which conditions concern a device, their limits absolute; "" is the gateway."""

    def of(self, device: str) -> tuple[Condition, ...]: ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """The conditions in force for one supply, by whom they concern."""

    meter: tuple[Condition, ...]
    gateway: tuple[Condition, ...]

    def of(self, device: str) -> tuple[Condition, ...]:
        """Return those of a device."""
        return tuple(one for one in self.meter if not one.meters or device in one.meters) if device else self.gateway


Supply = tuple[tuple[str, float], ...]
"""What a meter type says of its supply, in the words of the settings: (("nominal_voltage_v", 120.0), ...)."""


@dataclass(slots=True)
class BySupply:
    """Judges each meter by the supply of its type, and by the settings where that says nothing.

    Equal are two that judge by the same. `supply_of` is asked for each record of a meter. SettingsError as `in_force`.
    """

    conditions: Mapping[str, Condition]
    nominal: Mapping[str, float]
    supply_of: Callable[[str], Supply] = field(compare=False)
    _made: dict[Supply, Judgement] = field(default_factory=dict, init=False, compare=False)

    def __post_init__(self) -> None:
        """Judge by the settings alone at first, so that what is wrong with them is said at once."""
        self._made[()] = in_force(self.conditions, self.nominal)

    def of(self, device: str) -> tuple[Condition, ...]:
        """Return those of a device."""
        supply = self.supply_of(device) if device else ()
        made = self._made.get(supply)
        if made is None:
            made = self._made[supply] = in_force(self.conditions, {**self.nominal, **dict(supply)})
        return made.of(device)


def shipped() -> dict[str, Condition]:
    """Return the shipped conditions by name."""
    return parse((resources.files("edge.alarms") / SHIPPED).read_text("utf-8"), SHIPPED)


def own(file: str) -> dict[str, Condition]:
    """Return the operator's own conditions, none without a file. SettingsError names each that is wrong, and why.

    Only the operator can mend them, so a gateway that cannot start for them ends as for its settings file. ConfigError
    where the storage fails.
    """
    if not file:
        return {}
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(FILE_LIMIT_BYTES + 1).decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else (
            "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error))      # a name with a zero in it
        kind = SettingsError if isinstance(error, _OPERATORS) else ConfigError
        what = "put the file there, or take the setting out"
        raise kind(f"alarms.file = {file}: cannot be read: {why}; {what}") from error
    if len(text.encode()) > FILE_LIMIT_BYTES:
        raise SettingsError(f"alarms.file = {file}: is larger than {FILE_LIMIT_BYTES} bytes; what is behind them would "
                            "not be judged")
    return parse(text, file)


def parse(text: str, where: str) -> dict[str, Condition]:
    """Read a file of conditions. SettingsError names each alarm that is wrong, and why."""
    try:
        tables = msgspec.toml.decode(text.encode(), type=dict[str, list[dict[str, Any]]]).get("alarm", [])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:      # ValueError: a number of 5,000 digits
        raise SettingsError(f"{where}: is no file of [[alarm]] tables: {error}") from None
    found: dict[str, Condition] = {}
    wrong: list[str] = []
    for number, table in enumerate(tables, start=1):
        label = f"{where}: alarm {table.get('name') or number}"
        try:
            one = msgspec.convert(table, Condition)
        except msgspec.ValidationError as error:
            wrong.append(f"{label}: {str(error).replace('`', '')}")
            continue
        wrong += [f"{label}: {why}" for why in _faults(one)]
        if one.name in found:
            wrong.append(f"{label}: stands there twice")
        found[one.name] = one
    if wrong:
        raise SettingsError("\n".join(wrong))
    return found


def in_force(conditions: Mapping[str, Condition], nominal: Mapping[str, float]) -> Judgement:
    """Make limits absolute and leave out what is switched off. `nominal`: settings by name, 0 = not known, so off.

    Raises SettingsError for an `of` that names no setting.
    """
    taken = []
    for one in conditions.values():
        if one.of and one.of not in nominal:
            raise SettingsError(f"alarm {one.name}: of = {one.of!r} is no setting; there are {', '.join(nominal)}")
        if one.enabled and (not one.of or nominal[one.of] > 0):
            taken.append(_absolute(one, nominal[one.of] / 100.0) if one.of else one)
    return Judgement(tuple(one for one in taken if one.device == "meter"),
                     tuple(one for one in taken if one.device == "gateway"))


def _absolute(one: Condition, unit: float) -> Condition:
    above, below, clear_at = (None if limit is None else round(limit * unit, 6)
                              for limit in (one.above, one.below, one.clear_at))
    return msgspec.structs.replace(one, above=above, below=below, clear_at=clear_at)


def _faults(one: Condition) -> list[str]:
    ways = [one.above is not None, one.below is not None, bool(one.one_of), one.rises, one.falls]
    limits = [limit for limit in (one.above, one.below, one.clear_at, one.for_s) if limit is not None]
    checks = {
        "name is not of lower-case letters, digits and _": not _NAME.fullmatch(one.name),
        "needs a figure": not one.figures,
        "needs just one of above, below, one_of, rises, falls": sum(ways) != 1,
        "a limit is not a finite number": not all(map(math.isfinite, limits)),
        'meters needs device = "meter"': bool(one.meters) and one.device != "meter",
        "for_s is below 0": one.for_s < 0,
        "clear_at lies beyond the limit": one.clear_at is not None and not (
            (-math.inf if one.below is None else one.below) <= one.clear_at
            <= (math.inf if one.above is None else one.above)),
        "clear_at needs above or below": one.clear_at is not None and one.above is None and one.below is None,
        "an event or a change is over at once: it needs latched = true, and takes no for_s":
            one.momentary and (not one.latched or one.for_s > 0),
    }
    return [why for why, holds in checks.items() if holds]

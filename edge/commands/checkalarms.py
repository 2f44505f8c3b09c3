"""What `check` says of alarms: the operator's conditions, and whether the nominal values can be those of the site."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.alarms.conditions import Condition, in_force, own, shipped
from edge.alarms.figures import DERIVED
from edge.commands.context import State
from edge.commands.finding import Finding
from edge.config import AlarmSettings, Settings

NOMINAL_ALARMS = {"nominal_voltage_v": ("over_voltage", "under_voltage"),
                  "nominal_frequency_hz": ("over_frequency", "under_frequency")}


def alarm_findings(settings: Settings, state: State) -> Iterator[Finding]:
    """Yield what is found. Raises ConfigError with each condition that is wrong, one line each."""
    alarms = settings.alarms
    if not alarms.enabled:
        yield Finding("note", "alarms: only those of links and radio, by alarms.enabled = false")
        return
    mine, conditions = conditions_of(alarms)
    yield Finding("good", f"alarms: {sum(one.enabled for one in conditions.values())} conditions"
                          + (f", {len(mine)} of them from {alarms.file}" if mine else ""))
    yield from _strangers(mine, settings, state)
    yield from _far_from_nominal(settings)


def conditions_of(alarms: AlarmSettings) -> tuple[dict[str, Condition], dict[str, Condition]]:
    """Return the operator's own conditions, and all. Raises ConfigError, as the gateway's start does."""
    mine = own(alarms.file)
    conditions = {**shipped(), **mine}
    in_force(conditions, {name: getattr(alarms, name) for name in (*NOMINAL_ALARMS, "max_current_a", "max_power_w")})
    return mine, conditions


def _strangers(mine: Mapping[str, Condition], settings: Settings, state: State) -> Iterator[Finding]:
    """Own conditions that can never hold: of meters that are not registered, of figures that nothing has."""
    from edge.store.registry import FILE_NAME

    there: set[str] = set()
    if (Path(settings.gateway.state_dir) / FILE_NAME).exists():
        with state.registry(settings) as registry:
            there = {meter.name for meter in registry.list()}
    polled = {spec.key for profile in state.library(settings).values() for spec in profile.objects}
    known = polled | DERIVED
    for one in mine.values():
        if missing := [meter for meter in one.meters if meter not in there]:
            yield Finding("bad", f"{settings.alarms.file}: alarm {one.name}: no meter is named {', '.join(missing)}")
        if one.device == "meter" and (missing := [figure for figure in one.figures if figure not in known]):
            yield Finding("note", f"{settings.alarms.file}: alarm {one.name}: no meter type has {', '.join(missing)}; "
                                  "is the key right?")


def _far_from_nominal(settings: Settings) -> Iterator[Finding]:
    """Every meter that is read is beyond its limits: then not the supply is wrong, but what is taken for nominal."""
    from edge.control import NoDaemon, ask

    try:
        status = ask(Path(settings.gateway.runtime_dir), "status")
    except NoDaemon:
        return
    read = {meter["name"] for meter in status.get("meters", ()) if meter.get("readings")}
    for setting, names in NOMINAL_ALARMS.items():
        beyond: dict[str, dict[str, Any]] = {
            alarm["device"]: alarm for alarm in status.get("alarms", ())
            if alarm["name"] in names and alarm["device"] in read}
        if read and set(beyond) == read:
            meter, alarm = next(iter(sorted(beyond.items())))
            taken = getattr(settings.alarms, setting)
            yield Finding("note", f"alarms.{setting} = {taken:g}: every meter that is read is far from it ({meter}: "
                                  f"{alarm['detail']}); set this site's own, or the meter type's under [supply]")

"""Holds dashboards, alarm rules and rule chain against cloud/keys.toml, offline (pure but for the contract's file).

A dashboard that asks for a key which no gateway sends shows an empty column for ever, and nobody is told; an alarm rule
on it never fires. So every key, attribute, alias, state and widget is looked at here, in the JSON that is imported and
not in what it was made from.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloud import keys
from cloud.dashboards import widgets as building
from cloud.keys import Contract
from cloud.templates import DASHBOARD_OF, Templates

Json = Mapping[str, Any]

GRID_COLUMNS = 24

# Server attributes that ThingsBoard keeps of every device (DefaultDeviceStateService), and those of provisioning.
SERVERS_OWN = frozenset(
    {"active", "lastConnectTime", "lastDisconnectTime", "lastActivityTime", "inactivityAlarmTime", "inactivityTimeout"}
)
PROVISIONED = {
    "gateway": frozenset({"site", "meters_expected", "latitude", "longitude"}),
    "meter": frozenset({"gateway_name", "intervals_per_day"}),
}
FIELDS = {
    "alarm": {"createdTime", "startTime", "endTime", "originator", "type", "severity", "status", "details", "assignee"},
    "entityField": {"name", "label", "type", "createdTime"},
}
# Of what an alias is, by its name.
DEVICE_OF = {
    "Gateways": "gateway",
    "This gateway": "gateway",
    "Meters": "meter",
    "This meter": "meter",
    "Its meters": "meter",
}


def problems(templates: Templates, contract: Contract | None = None) -> list[str]:
    """Return everything that does not fit, one line each."""
    contract = contract or keys.load()
    found = [
        f"no dashboard {title!r}, which the details of a {device} open"
        for device, title in DASHBOARD_OF.items()
        if title not in templates.dashboards
    ]
    if templates.rule_chain not in templates.rule_chains:
        found.append(f"no rule chain {templates.rule_chain!r}")
    for title, configuration in templates.dashboards.items():
        found += [f"dashboard {title}: {line}" for line in _dashboard(configuration, contract)]
    found += _alarms(templates, contract)
    for name, metadata in templates.rule_chains.items():
        found += [f"rule chain {name}: {line}" for line in _chain(metadata, contract)]
    return found


# ---- dashboards


def _dashboard(configuration: Json, contract: Contract) -> Iterator[str]:
    aliases = configuration["entityAliases"]
    widgets, states = configuration["widgets"], configuration["states"]
    used: set[str] = set()
    for widget in widgets.values():
        title = widget["config"].get("title")
        if (widget.get("typeFullFqn"), widget.get("type")) not in building.TYPES.values():
            yield f"widget {title!r}: {widget.get('typeFullFqn')} ({widget.get('type')}) was never looked up"
        for alias, key in _keys(widget["config"]):
            used.add(alias)
            if alias not in aliases:
                yield f"widget {title!r}: no alias {alias}"
            else:
                yield from (f"widget {title!r}: {line}" for line in _one_key(key, aliases[alias]["alias"], contract))
        for target in _targets(widget["config"]):
            if target not in states:
                yield f"widget {title!r}: opens the state {target!r}, which is not there"
    yield from (f"alias {one['alias']!r} is used by nothing" for ident, one in aliases.items() if ident not in used)
    if [name for name, state in states.items() if state["root"]] != ["default"]:
        yield "one state is the root, and it is called default"
    placed: list[str] = []
    for name, state in states.items():
        places = state["layouts"]["main"]["widgets"]
        placed += places
        yield from (f"state {name}: {line}" for line in _layout(places, widgets))
    if sorted(placed) != sorted(widgets):
        yield "each widget stands in one state"


def _keys(config: Json) -> Iterator[tuple[str, Json]]:
    """Yield every data key with its alias; an alias without keys with an empty one."""
    for source in [*config.get("datasources", ()), *([config["alarmSource"]] if config.get("alarmSource") else [])]:
        yield source["entityAliasId"], {}
        yield from (
            (source["entityAliasId"], key) for key in [*source["dataKeys"], *(source.get("latestDataKeys") or ())]
        )
    for marker in config.get("settings", {}).get("markers", ()):
        yield from (
            (marker["dsEntityAliasId"], key) for key in [*marker["additionalDataKeys"], marker["xKey"], marker["yKey"]]
        )
    for threshold in config.get("settings", {}).get("thresholds", ()):
        if threshold["type"] == "latestKey":
            for source in config.get("datasources", ()):
                yield source["entityAliasId"], {"type": threshold["latestKeyType"], "name": threshold["latestKey"]}


def _one_key(key: Json, alias: str, contract: Contract) -> Iterator[str]:
    if not key:
        return
    name, kind, device = key["name"], key["type"], DEVICE_OF.get(alias)
    if device is None:
        yield f"of what is {alias!r}? known: {', '.join(DEVICE_OF)}"
    elif kind == "timeseries":
        entry = contract.find(name, device)
        if entry is None:
            yield f"no {device} sends {name}"
        elif key.get("units") and key["units"] != entry.unit:
            yield f"{name} is in {entry.unit or 'no unit'}, not in {key['units']}"
    elif kind == "attribute" and name not in SERVERS_OWN | PROVISIONED[device] | contract.attributes:
        yield f"no {device} has the attribute {name}"
    elif kind != "attribute" and name not in FIELDS.get(kind, ()):
        yield f"{kind} {name} was never looked up"


def _targets(config: Json) -> Iterator[str]:
    actions = [action for group in config.get("actions", {}).values() for action in group]
    for marker in config.get("settings", {}).get("markers", ()):
        actions += marker["tooltip"].get("tagActions", [])
    yield from (action["targetDashboardStateId"] for action in actions if action["type"] == "openDashboardState")


def _layout(places: Json, widgets: Json) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for ident, place in places.items():
        if ident not in widgets:
            yield f"no widget {ident}"
            continue
        title = widgets[ident]["config"]["title"]
        if place["col"] + place["sizeX"] > GRID_COLUMNS:
            yield f"{title!r} is wider than the grid"
        cells = [
            (column, row)
            for column in range(place["col"], place["col"] + place["sizeX"])
            for row in range(place["row"], place["row"] + place["sizeY"])
        ]
        for other in sorted({taken[cell] for cell in cells if cell in taken}):
            yield f"{title!r} lies over {other!r}"
        taken.update(dict.fromkeys(cells, title))


# ---- alarm rules and rule chain


def _alarms(templates: Templates, contract: Contract) -> Iterator[str]:
    types = [alarm.type for alarm in templates.alarms]
    yield from (
        f"alarm {name!r} stands there twice" for name in sorted({name for name in types if types.count(name) > 1})
    )
    for alarm in templates.alarms:
        for one in (*alarm.when, *alarm.clear):
            if one.attribute and one.attribute not in SERVERS_OWN | contract.attributes:
                yield f"alarm {alarm.type!r}: no device has the attribute {one.attribute}"
            if not one.key:
                continue
            entry = contract.find(one.key, alarm.device)
            if entry is None:
                yield f"alarm {alarm.type!r}: no {alarm.device} sends {one.key}"
            elif entry.type != _asked_type(one):
                yield f"alarm {alarm.type!r}: {one.key} is a {entry.type}, asked as a {_asked_type(one)}"
        subjects = {one.key or one.attribute for one in alarm.when}
        for name in set(re.findall(r"\$\{([^}]*)\}", alarm.details)) - subjects:
            yield f"alarm {alarm.type!r}: ThingsBoard does not fill in ${{{name}}}, which is no key of its conditions"


def _asked_type(condition: Any) -> str:
    if condition.is_ is not None:
        return "boolean"
    return "text" if condition.texts() else "number"


def _chain(metadata: Json, contract: Contract) -> Iterator[str]:
    nodes = metadata["nodes"]
    names = [node["name"] for node in nodes]
    if len(set(names)) != len(names):
        yield "two nodes have one name"
    reached, todo = {metadata["firstNodeIndex"]}, [metadata["firstNodeIndex"]]
    while todo:
        here = todo.pop()
        for wire in metadata["connections"]:
            if wire["fromIndex"] == here and wire["toIndex"] not in reached:
                reached.add(wire["toIndex"])
                todo.append(wire["toIndex"])
    yield from (f"nothing leads to {names[index]!r}" for index in range(len(nodes)) if index not in reached)
    for node in nodes:
        for script in ("tbelScript", "jsScript"):
            for key in set(re.findall(r"\bmsg\.(\w+)", node["configuration"].get(script) or "")):
                if contract.find(key, "meter") is None and contract.find(key, "gateway") is None:
                    yield f"{node['name']!r}: nobody sends {key}"

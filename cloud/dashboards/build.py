"""Board -> the JSON of a ThingsBoard dashboard (pure). The same board gives the same bytes.

Read in ThingsBoard v4.2.2.3 (commit 6c607478): ui-ngx/.../models/{dashboard,widget,alias}.models.ts; the widget types
in application/.../data/json/system/widget_types/*.json (their `fqn` with "system." before it); the shape of an export
in application/.../data/json/demo/dashboards/thermostats.json. Settings left out get the widget's own defaults.
"""

from typing import Any

from cloud.dashboards.spec import Board, State
from cloud.dashboards.widgets import DAY_MS, ident, realtime, widget
from cloud.fleet import GATEWAY_PROFILE

Json = dict[str, Any]

METER_TYPES = "(all meter types of the fleet)"  # replaced by their names when a fleet is provisioned


def dashboard(board: Board) -> Json:
    """Return title and configuration, as an export has them."""
    aliases = sorted({str(name) for state in board.states.values() for name in state.aliases})
    ids = {name: ident("alias", name) for name in aliases}
    first = next(iter(board.states))
    widgets: dict[str, Json] = {}
    states: dict[str, Json] = {}
    for name, state in board.states.items():
        places = {}
        for one in state.widget:
            key = ident(board.file, name, one.title)
            widgets[key] = {"id": key, **widget(one, ids)}
            column, row, width, height = one.at
            places[key] = {"col": column, "row": row, "sizeX": width, "sizeY": height}
        states["default" if not states else name] = _state(state, places, root=not states)
    if first != "default":
        _redirect(widgets, first)
    return {
        "title": board.title,
        "configuration": {
            "description": board.description,
            "widgets": widgets,
            "states": states,
            "entityAliases": {ids[name]: {"id": ids[name], "alias": name, "filter": _alias(name)} for name in aliases},
            "filters": {},
            "timewindow": realtime(DAY_MS, "AVG", interval_ms=300_000),
            "settings": {
                "stateControllerId": "entity",
                "showTitle": False,
                "showDashboardsSelect": True,
                "showEntitiesSelect": True,
                "showDashboardTimewindow": True,
                "showDashboardExport": True,
                "toolbarAlwaysOpen": True,
            },
        },
    }


def _redirect(widgets: dict[str, Json], first: str) -> None:
    """A click that opens the page which this dashboard begins with: that one is called "default"."""
    for one in widgets.values():
        for actions in one["config"].get("actions", {}).values():
            for action in actions:
                if action.get("targetDashboardStateId") == first:
                    action["targetDashboardStateId"] = "default"


def _state(state: State, places: Json, *, root: bool) -> Json:
    grid = {
        "backgroundColor": "#eeeeee",
        "columns": 24,
        "margin": 10,
        "outerMargin": True,
        "autoFillHeight": False,
        "mobileAutoFillHeight": False,
        "mobileRowHeight": 70,
        "layoutType": "default",
    }
    return {"name": state.name, "root": root, "layouts": {"main": {"widgets": places, "gridSettings": grid}}}


def _alias(name: str) -> Json:
    if name in ("Gateways", "Meters"):
        return {
            "type": "deviceType",
            "resolveMultiple": True,
            "deviceNameFilter": "",
            "deviceTypes": [GATEWAY_PROFILE if name == "Gateways" else METER_TYPES],
        }
    if name == "Its meters":
        return {
            "type": "relationsQuery",
            "resolveMultiple": True,
            "rootStateEntity": True,
            "stateEntityParamName": None,
            "defaultStateEntity": None,
            "rootEntity": None,
            "direction": "FROM",
            "maxLevel": 1,
            "fetchLastLevelOnly": False,
            "filters": [{"relationType": "Created", "entityTypes": ["DEVICE"]}],
        }
    return {"type": "stateEntity", "resolveMultiple": False, "stateEntityParamName": None, "defaultStateEntity": None}

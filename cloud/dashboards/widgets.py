"""One widget of a dashboard -> its JSON (pure). Types, names and shapes: where cloud/dashboards/build.py says."""

import uuid
from typing import Any

from cloud.dashboards import functions
from cloud.dashboards.spec import Column, Widget

Json = dict[str, Any]

_NAMESPACE = uuid.UUID("0d6a4f2e-9a43-4a0b-8d5e-5b1c9e6a7f10")
COLOURS = ("#1565c0", "#2e7d32", "#b26a00", "#6a1b9a", "#00838f", "#c62828", "#4e342e", "#37474f")
DAY_MS = 86_400_000

TYPES = {  # kind -> (fully qualified name, type of widget)
    "table": ("system.cards.entities_table", "latest"),
    "counts": ("system.cards.entities_table", "latest"),
    "map": ("system.map", "latest"),
    "alarms": ("system.alarm_widgets.alarms_table", "alarm"),
    "history": ("system.cards.timeseries_table", "timeseries"),
    "chart": ("system.time_series_chart", "timeseries"),
    "intervals": ("system.time_series_chart", "timeseries"),
    "daily": ("system.time_series_chart", "timeseries"),
    "states": ("system.state_chart", "timeseries"),
}


def ident(*words: str) -> str:
    """Return an id that follows from what it is of: the same at every build."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(words)))


def realtime(window_ms: int, aggregation: str, *, interval_ms: int) -> Json:
    """Return a time window that moves with the clock."""
    return {
        "selectedTab": 0,
        "realtime": {"realtimeType": 0, "timewindowMs": window_ms, "interval": interval_ms},
        "aggregation": {"type": aggregation, "limit": 25_000},
    }


def _yesterday() -> Json:
    return {
        "selectedTab": 1,
        "history": {"historyType": 2, "quickInterval": "YESTERDAY", "interval": DAY_MS},
        "aggregation": {"type": "NONE", "limit": 25_000},
    }


def widget(one: Widget, ids: dict[str, str]) -> Json:
    """Return a widget without its id; `ids` are those of aliases, by name."""
    fqn, kind = TYPES[one.kind]
    config: Json = {
        "title": one.title,
        "showTitle": True,
        "dropShadow": True,
        "enableFullscreen": True,
        "useDashboardTimewindow": True,
        "displayTimewindow": True,
        "backgroundColor": "#ffffff",
        "color": "rgba(0, 0, 0, 0.87)",
        "padding": "8px",
        "titleStyle": {"fontSize": "16px", "fontWeight": 500},
        "configMode": "advanced",
        "actions": {},
    }
    config |= _BUILDERS[one.kind](one, ids[one.alias])
    return {"typeFullFqn": fqn, "type": kind, "sizeX": one.at[2], "sizeY": one.at[3], "config": config}


def _source(alias: str, keys: list[Json]) -> list[Json]:
    return [{"type": "entity", "name": None, "entityAliasId": alias, "filterId": None, "dataKeys": keys}]


def _key(number: int, column: Column, settings: Json) -> Json:
    kind = "attribute" if column.attribute else "entityField" if column.field else "timeseries"
    key: Json = {
        "name": column.key or column.count or column.attribute or column.field,
        "type": kind,
        "label": column.label,
        "color": COLOURS[number % len(COLOURS)],
        "settings": settings,
    }
    if column.count:
        key["aggregationType"] = "COUNT"
    if column.unit:
        key["units"] = column.unit
    if column.decimals is not None:
        key["decimals"] = column.decimals
    return key


def _cell(column: Column) -> Json:
    settings: Json = {
        "useCellStyleFunction": column.style in functions.STYLE,
        "useCellContentFunction": column.style in functions.CONTENT,
    }
    if settings["useCellStyleFunction"]:
        settings["cellStyleFunction"] = functions.STYLE[column.style]
    if settings["useCellContentFunction"]:
        settings["cellContentFunction"] = functions.CONTENT[column.style]
    return settings


def _click(opens: str, source: str) -> Json:
    if not opens:
        return {}
    return {
        source: [
            {
                "id": ident("action", source, opens),
                "name": "Open",
                "icon": "more_horiz",
                "type": "openDashboardState",
                "targetDashboardStateId": opens,
                "setEntityId": True,
                "stateEntityParamName": None,
            }
        ]
    }


def _table(one: Widget, alias: str) -> Json:
    keys = [_key(number, column, _cell(column)) for number, column in enumerate(one.columns)]
    return {
        "datasources": _source(alias, keys),
        "actions": _click(one.opens, "rowClick"),
        "timewindow": realtime(DAY_MS, "NONE", interval_ms=1000),
        "settings": {
            "entitiesTitle": one.title,
            "enableSearch": True,
            "enableSelectColumnDisplay": True,
            "enableStickyHeader": True,
            "displayEntityName": True,
            "entityNameColumnTitle": "Name",
            "displayEntityType": False,
            "displayEntityLabel": False,
            "displayPagination": True,
            "defaultPageSize": 20,
            "defaultSortOrder": "entityName",
        },
    }


def _counts(one: Widget, alias: str) -> Json:
    return {**_table(one, alias), "useDashboardTimewindow": False, "timewindow": _yesterday()}


def _history(one: Widget, alias: str) -> Json:
    keys = [
        _key(number, column, {"useCellStyleFunction": False, "useCellContentFunction": False})
        for number, column in enumerate(one.columns)
    ]
    return {
        "datasources": _source(alias, keys),
        "useDashboardTimewindow": False,
        "timewindow": realtime(7 * DAY_MS, "NONE", interval_ms=1000),
        "settings": {"showTimestamp": True, "displayPagination": True, "defaultPageSize": 10},
    }


def _lines(one: Widget, kind: str, line: Json | None = None) -> list[Json]:
    settings: Json = {
        "yAxisId": "default",
        "showInLegend": True,
        "type": kind,
        **({"lineSettings": line} if line else {}),
    }
    return [_key(number, column, dict(settings)) for number, column in enumerate(one.columns)]


def _chart(one: Widget, alias: str) -> Json:
    return {"datasources": _source(alias, _lines(one, "line")), "settings": _plot(one)}


def _plot(one: Widget) -> Json:
    units = {column.unit for column in one.columns}
    axis = {
        "id": "default",
        "order": 0,
        "show": True,
        "units": units.pop() if len(units) == 1 else None,
        "decimals": one.columns[0].decimals,
    }
    return {
        "showLegend": True,
        "dataZoom": True,
        "stack": False,
        "thresholds": [],
        "yAxes": {"default": axis},
        "legendConfig": {
            "direction": "column",
            "position": "bottom",
            "sortDataKeys": False,
            "showMin": True,
            "showMax": True,
            "showAvg": False,
            "showTotal": False,
            "showLatest": True,
        },
    }


def _intervals(one: Widget, alias: str) -> Json:
    """Points, not a line: without aggregation an interval that is not there leaves its place empty."""
    points = {"showLine": False, "showPoints": True, "pointShape": "circle", "pointSize": 4}
    return {
        "datasources": _source(alias, _lines(one, "line", points)),
        "settings": _plot(one),
        "useDashboardTimewindow": False,
        "timewindow": realtime(2 * DAY_MS, "NONE", interval_ms=1000),
    }


def _daily(one: Widget, alias: str) -> Json:
    """Bars of COUNT per day, and the expected number as a line from an attribute of the device."""
    settings = _plot(one)
    settings["thresholds"] = [
        {
            "type": "latestKey",
            "latestKey": one.expected,
            "latestKeyType": "attribute",
            "yAxisId": "default",
            "lineColor": functions.BAD,
            "lineType": "dashed",
            "lineWidth": 1,
            "startSymbol": "none",
            "endSymbol": "none",
            "showLabel": True,
            "labelPosition": "end",
        }
    ]
    source = _source(alias, _lines(one, "bar"))
    source[0]["latestDataKeys"] = [
        {"name": one.expected, "type": "attribute", "label": one.expected, "color": functions.BAD, "settings": {}}
    ]
    return {
        "datasources": source,
        "settings": settings,
        "useDashboardTimewindow": False,
        "timewindow": realtime(14 * DAY_MS, "COUNT", interval_ms=DAY_MS),
    }


def _states(one: Widget, alias: str) -> Json:
    levels = [
        {"label": text, "value": number, "sourceType": "constant", "sourceValue": text}
        for number, text in enumerate(one.levels)
    ]
    step = {"showLine": True, "step": True, "stepType": "end", "showPoints": False}
    return {
        "datasources": _source(alias, _lines(one, "line", step)),
        "useDashboardTimewindow": False,
        "timewindow": realtime(DAY_MS, "NONE", interval_ms=1000),
        "settings": {"showLegend": True, "dataZoom": True, "states": levels},
    }


def _alarms(one: Widget, alias: str) -> Json:
    keys = [
        {"name": name, "type": "alarm", "label": label, "color": COLOURS[number], "settings": {}}
        for number, (name, label) in enumerate(
            (
                ("createdTime", "Since"),
                ("originator", "Of"),
                ("type", "Alarm"),
                ("severity", "Severity"),
                ("status", "State"),
                ("details", "Details"),
            )
        )
    ]
    return {
        "alarmSource": {"type": "entity", "name": "alarms", "entityAliasId": alias, "filterId": None, "dataKeys": keys},
        "datasources": [],
        "alarmFilterConfig": {
            "statusList": ["ACTIVE"],
            "severityList": [],
            "typeList": [],
            "searchPropagatedAlarms": True,
        },
        "useDashboardTimewindow": False,
        "timewindow": realtime(30 * DAY_MS, "NONE", interval_ms=1000),
        "settings": {
            "alarmsTitle": one.title,
            "enableSelection": True,
            "enableSearch": True,
            "enableFilter": True,
            "displayDetails": True,
            "allowAcknowledgment": True,
            "allowClear": True,
            "allowAssign": True,
            "displayPagination": True,
            "defaultPageSize": 10,
            "defaultSortOrder": "-createdTime",
        },
    }


def _map(one: Widget, alias: str) -> Json:
    """A marker per gateway at its site's latitude and longitude, coloured by its worst link."""
    where: Json = {
        name: {"name": name, "label": name, "type": "attribute", "color": COLOURS[0], "settings": {}}
        for name in ("latitude", "longitude")
    }
    lines = "<br/>".join(f"{column.label}: ${{{column.label}}}" for column in one.columns)
    opens = {
        "name": "open",
        "type": "openDashboardState",
        "targetDashboardStateId": one.opens,
        "setEntityId": True,
        "stateEntityParamName": None,
    }
    marker = {
        "dsType": "entity",
        "dsLabel": "",
        "dsDeviceId": None,
        "dsEntityAliasId": alias,
        "dsFilterId": None,
        "additionalDataKeys": [_key(number, column, {}) for number, column in enumerate(one.columns)],
        "label": {"show": True, "type": "pattern", "pattern": "${entityName}"},
        "tooltip": {
            "show": True,
            "trigger": "click",
            "autoclose": True,
            "type": "pattern",
            "tagActions": [opens],
            "pattern": f'<b>${{entityName}}</b><br/>{lines}<br/><link-act name="open">open</link-act>',
            "offsetX": 0,
            "offsetY": -1,
        },
        "click": {"type": "doNothing"},
        "xKey": where["latitude"],
        "yKey": where["longitude"],
        "markerType": "shape",
        "markerShape": {
            "shape": "markerShape1",
            "size": 34,
            "color": {"type": "function", "color": functions.FAINT, "colorFunction": functions.MARKER_COLOUR},
        },
        "markerOffsetX": 0.5,
        "markerOffsetY": 1,
    }
    return {
        "datasources": [],
        "settings": {
            "mapType": "geoMap",
            "markers": [marker],
            "polygons": [],
            "circles": [],
            "additionalDataSources": [],
        },
    }


_BUILDERS = {
    "table": _table,
    "counts": _counts,
    "history": _history,
    "chart": _chart,
    "intervals": _intervals,
    "daily": _daily,
    "states": _states,
    "alarms": _alarms,
    "map": _map,
}

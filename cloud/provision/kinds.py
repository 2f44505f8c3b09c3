"""The kinds of entities that a fleet is made of: where the server keeps them, and how one of ours is known (pure).

Read in ThingsBoard v4.2.2.3 (commit 6c607478), application/.../controller: {Customer,RuleChain,Dashboard,DeviceProfile,
AssetProfile,Asset,Device}Controller.java; entity shapes in common/data. Names are unique per tenant but for dashboards
and rule chains. A list of dashboards leaves `configuration` out. Device and asset profiles and dashboards have no
`additionalInfo`, so theirs is a line at the end of a description.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

MARK_KEY = "halowCloud"
# Anywhere in it: who adds a line to a description in a browser must not take the fleet's object away from it.
_MARK_LINE = re.compile(r"\n?^\[halow-cloud fleet=([A-Za-z0-9_.-]+) (made|adopted)\][ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class EntityKind:
    """One kind, there once. `described` is where its description stands, for those without additionalInfo."""

    word: str  # in messages
    entity_type: str  # EntityType
    path: str  # POST, and with an id GET and DELETE
    listing: str
    title: str = "name"
    described: tuple[str, ...] = ()
    listing_query: Mapping[str, str] = field(default_factory=dict)
    listed_whole: bool = True
    exact: frozenset[str] = frozenset()  # fields that are compared whole: nothing in them belongs to anyone else


CUSTOMER = EntityKind("customer", "CUSTOMER", "/api/customer", "/api/customers", title="title")
RULE_CHAIN = EntityKind("rule chain", "RULE_CHAIN", "/api/ruleChain", "/api/ruleChains", listing_query={"type": "CORE"})
DASHBOARD = EntityKind(
    "dashboard",
    "DASHBOARD",
    "/api/dashboard",
    "/api/tenant/dashboards",
    title="title",
    described=("configuration", "description"),
    listed_whole=False,
    exact=frozenset({"configuration"}),
)
DEVICE_PROFILE = EntityKind(
    "device profile", "DEVICE_PROFILE", "/api/deviceProfile", "/api/deviceProfiles", described=("description",)
)
ASSET_PROFILE = EntityKind(
    "asset profile", "ASSET_PROFILE", "/api/assetProfile", "/api/assetProfiles", described=("description",)
)
ASSET = EntityKind("asset", "ASSET", "/api/asset", "/api/tenant/assets")
DEVICE = EntityKind("device", "DEVICE", "/api/device", "/api/tenant/devices")

KINDS = (CUSTOMER, RULE_CHAIN, DASHBOARD, DEVICE_PROFILE, ASSET_PROFILE, ASSET, DEVICE)
"""In the order in which they are made: each may refer to those before it. Removed in the order backwards."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose an entity is. `made` is False where it was there before the fleet took it up: destroy leaves it."""

    fleet: str
    made: bool = True


def mark_of(kind: EntityKind, entity: Mapping[str, Any]) -> Mark | None:
    """Return an entity's mark, None where it has none."""
    if kind.described:
        found = _MARK_LINE.search(_description(kind, entity))
        return Mark(found[1], found[2] == "made") if found else None
    marked = (entity.get("additionalInfo") or {}).get(MARK_KEY)
    if not isinstance(marked, dict) or not isinstance(marked.get("fleet"), str):
        return None
    return Mark(marked["fleet"], marked.get("made") is True)


def marked(kind: EntityKind, body: Json, mark: Mark) -> Json:
    """Return `body` with the mark on it; the one given stays as it is."""
    body = {**body}
    if not kind.described:
        info = {MARK_KEY: {"fleet": mark.fleet, "made": mark.made}}
        body["additionalInfo"] = {**(body.get("additionalInfo") or {}), **info}
        return body
    holder = body
    for key in kind.described[:-1]:
        holder[key] = {**(holder.get(key) or {})}
        holder = holder[key]
    text = _MARK_LINE.sub("", holder.get(kind.described[-1]) or "")
    word = "made" if mark.made else "adopted"
    holder[kind.described[-1]] = f"{text}\n[halow-cloud fleet={mark.fleet} {word}]".lstrip()
    return body


def _description(kind: EntityKind, entity: Mapping[str, Any]) -> str:
    value: Any = entity
    for key in kind.described:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""

"""What a fleet has on the server, as JSON files that say the same on every server: no ids, times, versions, secrets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud.errors import CloudError
from cloud.provision.kinds import DASHBOARD, DEVICE_PROFILE, RULE_CHAIN, EntityKind, Json
from cloud.provision.server import Server
from cloud.templates import normal

FOLDERS = {DASHBOARD.word: "dashboards", DEVICE_PROFILE.word: "profiles", RULE_CHAIN.word: "rulechains"}
_OF_THE_SERVER = frozenset(
    {
        "id",
        "createdTime",
        "tenantId",
        "version",
        "externalId",
        "customerId",
        "assignedCustomers",
        "ruleChainId",
        "image",
        "firstRuleNodeId",
        "default",
        "resources",
        "provisionDeviceKey",
    }
)
_SECRET = frozenset({"provisionDeviceSecret"})


def export(server: Server, fleet: str, folder: Path) -> list[Path]:
    """Write one file per dashboard, device profile and rule chain of the fleet. Raises CloudError."""
    written = []
    try:
        for kind, entity in server.owned(fleet):
            if kind.word not in FOLDERS:
                continue
            body = portable(kind, entity, server.chain(entity["id"]["id"]) if kind is RULE_CHAIN else None)
            path = folder / FOLDERS[kind.word] / f"{_stem(entity[kind.title])}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(normal(body))
            written.append(path)
    except OSError as error:
        raise CloudError(f"{folder}: cannot be written: {error.strerror}") from error
    return written


def portable(kind: EntityKind, entity: Mapping[str, Any], metadata: Json | None) -> Json:
    """Return an entity without what belongs to one server; a rule chain in the form of ThingsBoard's own export."""
    body = {key: _open(value) for key, value in entity.items() if key not in _OF_THE_SERVER and not _is_id(value)}
    if kind is not RULE_CHAIN:
        return body
    nodes = [
        {key: value for key, value in node.items() if key not in _OF_THE_SERVER}
        for node in (metadata or {}).get("nodes") or ()
    ]
    return {
        "ruleChain": body,
        "metadata": {
            "firstNodeIndex": (metadata or {}).get("firstNodeIndex"),
            "nodes": nodes,
            "connections": (metadata or {}).get("connections") or [],
        },
    }


def _open(value: Any) -> Any:
    """Return JSON without secrets, however deep: somebody may have switched device provisioning on in the profile."""
    if isinstance(value, Mapping):
        return {key: _open(item) for key, item in value.items() if key not in _SECRET}
    return [_open(item) for item in value] if isinstance(value, list) else value


def _is_id(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) == {"entityType", "id"}


def _stem(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"

"""The server's side of a fleet: find, save, relate, delete; one call per question (I/O edge, through Rest).

Paths and shapes: ThingsBoard v4.2.2.3 (commit 6c607478), application/.../controller/{Device,Asset,Dashboard,RuleChain,
EntityRelation,Telemetry}Controller.java. Saving returns the entity with its new version; saving with an old one is
refused with 409. A POST without id makes a new entity; a second one of a name is refused with 400.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from cloud.errors import ServerError
from cloud.provision.compare import merged
from cloud.provision.kinds import ASSET, DASHBOARD, DEVICE, KINDS, EntityKind, Json, mark_of
from cloud.provision.rest import Rest

CONFLICT = 409
NULL_UUID = "13814000-1dd2-11b2-8080-808080808080"  # EntityId.NULL_UUID: "no customer"


class Server:
    """What is asked of ThingsBoard."""

    def __init__(self, rest: Rest) -> None:
        """`rest` is logged in."""
        self._rest = rest

    def version(self) -> str:
        """Return the server's version, "" where it does not say."""
        found = self._rest.find("/api/system/info")
        return str(found.get("version") or "") if isinstance(found, dict) else ""

    def named(self, kind: EntityKind, names: Collection[str], fleet: str) -> dict[str, list[Json]]:
        """Return the entities of a kind that have one of the names or the fleet's mark, by name."""
        found: dict[str, list[Json]] = defaultdict(list)
        for listed in self._rest.pages(kind.listing, dict(kind.listing_query)):
            name = listed[kind.title]
            entity = listed
            if not kind.listed_whole:
                entity = self._rest.get(f"{kind.path}/{listed['id']['id']}")
            mark = mark_of(kind, entity)
            if name in names or (mark is not None and mark.fleet == fleet):
                found[name].append(entity)
        return found

    def owned(self, fleet: str) -> Iterable[tuple[EntityKind, Json]]:
        """Yield every entity with the fleet's mark, in the order in which they can be removed."""
        for kind in reversed(KINDS):
            for entities in self.named(kind, (), fleet).values():
                yield from ((kind, entity) for entity in entities)

    def create(self, kind: EntityKind, body: Json) -> Json:
        """Make an entity."""
        saved: Json = self._rest.post(kind.path, body)
        return saved

    def update(self, kind: EntityKind, body: Json, found: Json) -> Json:
        """Change an entity; where somebody else changed it meanwhile, look once more and lay ours over that."""
        try:
            saved: Json = self._rest.post(kind.path, merged(kind, body, found))
        except ServerError as error:
            if error.status != CONFLICT:
                raise
            saved = self._rest.post(kind.path, merged(kind, body, self._rest.get(f"{kind.path}/{found['id']['id']}")))
        return saved

    def remove(self, kind: EntityKind, entity: Mapping[str, Any]) -> None:
        """Delete an entity, with its relations, attributes and telemetry."""
        self._rest.delete(f"{kind.path}/{entity['id']['id']}")

    def users(self, customer_id: str) -> int:
        """Return how many people log in for a customer."""
        return int(self._rest.get(f"/api/customer/{customer_id}/users", {"pageSize": 1, "page": 0})["totalElements"])

    # ---- beside the entity

    def attributes(self, kind: EntityKind, entity_id: str, keys: Collection[str]) -> dict[str, object]:
        """Return server-side attributes by key."""
        path = f"/api/plugins/telemetry/{kind.entity_type}/{entity_id}/values/attributes/SERVER_SCOPE"
        return {one["key"]: one["value"] for one in self._rest.get(path, {"keys": ",".join(sorted(keys))})}

    def set_attributes(self, kind: EntityKind, entity_id: str, values: Mapping[str, object]) -> None:
        """Write server-side attributes; others stay."""
        self._rest.post(f"/api/plugins/telemetry/{kind.entity_type}/{entity_id}/attributes/SERVER_SCOPE", dict(values))

    def assign(self, kind: EntityKind, entity_id: str, customer_id: str) -> None:
        """Let a customer see a device, an asset or a dashboard."""
        self._rest.post(f"/api/customer/{customer_id}/{_assignable(kind)}/{entity_id}")

    def unassign(self, kind: EntityKind, entity_id: str, customer_id: str) -> None:
        """Take it away from the customer again."""
        where = f"/api/customer/{customer_id}" if kind is DASHBOARD else "/api/customer"
        self._rest.delete(f"{where}/{_assignable(kind)}/{entity_id}")

    def chain(self, chain_id: str) -> Json | None:
        """Return the nodes and connections of a rule chain."""
        found: Json | None = self._rest.find(f"/api/ruleChain/{chain_id}/metadata")
        return found

    def set_chain(self, chain: Json, metadata: Json) -> None:
        """Put nodes and connections into a rule chain; those that were there go."""
        self._rest.post(
            "/api/ruleChain/metadata", {**metadata, "ruleChainId": chain["id"], "version": chain.get("version")}
        )

    def credentials(self, device_id: str) -> Json:
        """Return how a device says who it is: a secret."""
        found: Json = self._rest.get(f"/api/device/{device_id}/credentials")
        return found

    def set_certificate(self, credentials: Json, pem: str) -> None:
        """Let a device in by its certificate, and by nothing else."""
        self._rest.post(
            "/api/device/credentials",
            {**credentials, "credentialsType": "X509_CERTIFICATE", "credentialsId": None, "credentialsValue": pem},
        )

    def below(self, kind: EntityKind, entity_id: str, relation: str) -> list[Json]:
        """Return the ids of what an entity has this relation to."""
        found = self._rest.get(
            "/api/relations", {"fromId": entity_id, "fromType": kind.entity_type, "relationType": relation}
        )
        return [one["to"] for one in found]

    def relate(self, above: Json, relation: str, below: Json) -> None:
        """Write a relation."""
        self._rest.post("/api/relation", {"from": above, "to": below, "type": relation, "typeGroup": "COMMON"})

    def part(self, above: Json, relation: str, below: Json) -> None:
        """Delete a relation."""
        self._rest.delete(
            "/api/relation",
            {
                "fromId": above["id"],
                "fromType": above["entityType"],
                "relationType": relation,
                "toId": below["id"],
                "toType": below["entityType"],
            },
        )


def _assignable(kind: EntityKind) -> str:
    return {DEVICE.word: "device", ASSET.word: "asset", DASHBOARD.word: "dashboard"}[kind.word]

"""Makes the server hold what is wanted, or tells what would have to be done; one object at a time, told one by one.

Nothing is done twice and nothing is guessed: an object that is there without a mark is somebody's, and is refused
unless it is to be adopted; one with another fleet's mark is never touched. What fails is told with its reason, what
depends on it is told as left out, and everything else goes on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cloud.errors import CloudError, LoginRefused, Unreachable
from cloud.provision.compare import differences, kept, same_certificate, same_chain
from cloud.provision.kinds import CUSTOMER, DASHBOARD, EntityKind, Json, Mark, mark_of, marked
from cloud.provision.server import NULL_UUID, Server
from cloud.provision.wanted import Family, Ref, Wanted

NEW_ID = "(to be made)"
ENDS_A_RUN = (Unreachable, LoginRefused)  # a login that is refused again and again locks the account


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done, or would be. `sign` is +, ~ or -; ? is for what is only told."""

    sign: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"{self.sign} {self.what}{': ' if self.detail else ''}{self.detail}"


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    changes: list[Change] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    kept: int = 0  # objects that are as they should be
    ids: dict[Ref, str] = field(default_factory=dict)  # of what is there


class _LeftOut(CloudError):
    """Not tried: something that it needs failed."""


class Reconciler:
    """One run for one fleet. With `act` False nothing is sent that changes anything."""

    def __init__(self, server: Server, fleet: str, *, act: bool, adopt: bool = False) -> None:
        """`adopt` takes up objects that are there without a mark."""
        self._server = server
        self._fleet = fleet
        self._act = act
        self._adopt = adopt
        self.outcome = Outcome()
        self._entities: dict[Ref, Json] = {}
        self._customer_ids: dict[str, str] = {}  # by title
        self._failed: set[Ref] = set()
        self._names: dict[str, Ref] = {}  # by id
        self._orphans: list[tuple[EntityKind, Json]] = []

    def run(self, wanted: Sequence[Wanted], families: Sequence[Family], *, prune: bool = False) -> Outcome:
        """Make it so. Raises what ends a run: `outcome` has what was done until then, the next run goes on there."""
        for kind, group in _by_kind(wanted):
            names = {one.ref.name for one in group}
            there = self._server.named(kind, names, self._fleet)
            for one in group:
                self._guarded(one.ref, partial(self._entity, one, there.get(one.ref.name, [])))
            self._orphans += [
                (kind, entity)
                for name, entities in there.items()
                if name not in names
                for entity in entities
                if mark_of(kind, entity) == Mark(self._fleet)
            ]
        self._names = {entity["id"]["id"]: ref for ref, entity in self._entities.items()}
        for one_family in families:
            self._guarded(one_family.above, partial(self._family, one_family))
        for kind, entity in reversed(self._orphans):
            self._orphan(kind, entity, prune=prune)
        self.outcome.ids = {
            ref: entity["id"]["id"] for ref, entity in self._entities.items() if entity["id"]["id"] != NEW_ID
        }
        return self.outcome

    def _guarded(self, ref: Ref, work: Callable[[], None]) -> None:
        try:
            work()
        except ENDS_A_RUN:
            raise
        except CloudError as error:
            self._failed.add(ref)
            self.outcome.failures.append(f"{ref}: {error}")

    def _tell(self, sign: str, what: object, detail: str = "") -> None:
        self.outcome.changes.append(Change(sign, str(what), detail))

    # ---- entities

    def _entity(self, one: Wanted, there: list[Json]) -> None:
        kind, before = one.ref.kind, len(self.outcome.changes)
        body = self._resolved(one.body)
        if len(there) > 1:
            raise CloudError(f"{len(there)} of that name are there; rename all but one")
        if not there:
            entity = self._create(one.ref, marked(kind, body, Mark(self._fleet)))
        else:
            entity = self._keep(one.ref, body, there[0])
        self._entities[one.ref] = entity
        if kind is CUSTOMER:
            self._customer_ids[one.ref.name] = entity["id"]["id"]
        for beside in (self._chain, self._certificate, self._attributes, self._customers):
            beside(one, entity)
        self.outcome.kept += len(self.outcome.changes) == before

    def _create(self, ref: Ref, body: Json) -> Json:
        if not self._act:
            self._tell("+", ref)
            return {**body, "id": {"entityType": ref.kind.entity_type, "id": NEW_ID}}
        entity = self._server.create(ref.kind, body)
        self._tell("+", ref)
        return entity

    def _keep(self, ref: Ref, body: Json, found: Json) -> Json:
        kind, mark = ref.kind, mark_of(ref.kind, found)
        if mark is None and not self._adopt:
            raise CloudError(
                "is there already and nobody marked it as this fleet's; --adopt takes it up, and destroy leaves it then"
            )
        if mark is not None and mark.fleet != self._fleet:
            raise CloudError(f"belongs to the fleet {mark.fleet}")
        body = marked(kind, body, mark or Mark(self._fleet, made=False))
        differs = differences(kind, body, found)
        if not differs:
            return found
        if self._act:
            found = self._server.update(kind, body, found)
        self._tell("~", ref, "adopted; " * (mark is None) + _some(differs))
        return found

    def _resolved(self, value: Any) -> Any:
        """Put ids in the place of references. A reference to what failed leaves its holder out."""
        if isinstance(value, Ref):
            return self._id(value)
        if isinstance(value, Mapping):
            return {key: self._resolved(item) for key, item in value.items()}
        return [self._resolved(item) for item in value] if isinstance(value, list) else value

    def _id(self, ref: Ref) -> Json:
        if ref in self._failed or ref not in self._entities:
            raise _LeftOut(f"left out: it needs the {ref}, which failed")
        found: Json = self._entities[ref]["id"]
        return found

    # ---- beside them

    def _chain(self, one: Wanted, entity: Json) -> None:
        if one.metadata is None:
            return
        if not _new(entity) and same_chain(one.metadata, self._server.chain(entity["id"]["id"])):
            return
        if self._act:
            self._server.set_chain(entity, one.metadata)
        self._tell("~", one.ref, f"{len(one.metadata['nodes'])} nodes")

    def _certificate(self, one: Wanted, entity: Json) -> None:
        if not one.certificate:
            return
        if not _new(entity):
            credentials = self._server.credentials(entity["id"]["id"])
            same = same_certificate(one.certificate, credentials.get("credentialsValue"))
            if credentials.get("credentialsType") == "X509_CERTIFICATE" and same:
                return
            if self._act:
                self._server.set_certificate(credentials, one.certificate)
        self._tell("~", one.ref, "certificate")

    def _attributes(self, one: Wanted, entity: Json) -> None:
        if not one.attributes:
            return
        found = {} if _new(entity) else self._server.attributes(one.ref.kind, entity["id"]["id"], one.attributes.keys())
        differing = {key: value for key, value in one.attributes.items() if found.get(key) != kept(value)}
        if not differing:
            return
        if self._act:
            self._server.set_attributes(one.ref.kind, entity["id"]["id"], differing)
        self._tell("~", one.ref, f"server attributes {', '.join(sorted(differing))}")

    def _customers(self, one: Wanted, entity: Json) -> None:
        kind = one.ref.kind
        has = _assigned(kind, entity)
        wanted = {title: self._id(Ref(CUSTOMER, title))["id"] for title in one.customers}
        for title, customer_id in wanted.items():
            if customer_id not in has or _new(entity):
                if self._act:
                    self._server.assign(kind, entity["id"]["id"], customer_id)
                self._tell("~", one.ref, f"for customer {title}")
        if kind is DASHBOARD or not wanted:  # a device or an asset has one customer: assigning took the other away
            for title, customer_id in self._customer_ids.items():
                if customer_id in has and title not in wanted:
                    if self._act:
                        self._server.unassign(kind, entity["id"]["id"], customer_id)
                    self._tell("~", one.ref, f"no longer for customer {title}")

    # ---- relations

    def _family(self, one: Family) -> None:
        if one.above in self._failed:  # told already
            return
        parent = self._id(one.above)
        there = [] if parent["id"] == NEW_ID else self._server.below(one.above.kind, parent["id"], one.type)
        has = {child["id"] for child in there}
        wanted = {ref: self._id(ref) for ref in one.below if ref not in self._failed}
        for ref, child in wanted.items():
            if child["id"] not in has or child["id"] == NEW_ID:
                if self._act:
                    self._server.relate(parent, one.type, child)
                self._tell("+", f"relation {one.above} -{one.type}-> {ref}")
        keep = {child["id"] for child in wanted.values()}
        for child in there:
            if child["id"] in self._names and child["id"] not in keep:  # it moved: the fleet has another place for it
                if self._act:
                    self._server.part(parent, one.type, child)
                self._tell("-", f"relation {one.above} -{one.type}-> {self._names[child['id']]}")

    # ---- what the file has no longer

    def _orphan(self, kind: EntityKind, entity: Json, *, prune: bool) -> None:
        ref = Ref(kind, entity[kind.title])
        if not prune:
            self._tell("?", ref, "made by this fleet, and not in the file any more; --prune removes it with its data")
            return
        self._guarded(ref, partial(self._remove, ref, entity))

    def _remove(self, ref: Ref, entity: Json) -> None:
        _remove(self._server, ref.kind, entity, act=self._act)
        self._tell("-", ref)


def destroy(server: Server, fleet: str, *, act: bool, outcome: Outcome) -> None:
    """Remove what the fleet made. What it adopted stays; what the server will not delete is told in its words.

    Raises what ends a run: `outcome` has what was done until then.
    """
    for kind, entity in server.owned(fleet):
        ref, mark = Ref(kind, entity[kind.title]), mark_of(kind, entity)
        if mark is None or not mark.made:
            outcome.changes.append(Change("?", str(ref), "was there before this fleet took it up; it stays"))
            continue
        try:
            _remove(server, kind, entity, act=act)
            outcome.changes.append(Change("-", str(ref)))
        except ENDS_A_RUN:
            raise
        except CloudError as error:
            outcome.failures.append(f"{ref}: {error}")


def _remove(server: Server, kind: EntityKind, entity: Json, *, act: bool) -> None:
    """Delete one of ours. People are not ours: ThingsBoard deletes a customer's users with the customer."""
    if kind is CUSTOMER and (users := server.users(entity["id"]["id"])):
        raise CloudError(f"has {users} users, who would be deleted with it; delete them first, in its Manage users")
    if act:
        server.remove(kind, entity)


def _by_kind(wanted: Iterable[Wanted]) -> list[tuple[EntityKind, list[Wanted]]]:
    groups: dict[str, tuple[EntityKind, list[Wanted]]] = {}
    for one in wanted:
        groups.setdefault(one.ref.kind.word, (one.ref.kind, []))[1].append(one)
    return list(groups.values())


def _new(entity: Json) -> bool:
    return bool(entity["id"]["id"] == NEW_ID)


def _assigned(kind: EntityKind, entity: Mapping[str, Any]) -> set[str]:
    if kind is DASHBOARD:
        return {one["customerId"]["id"] for one in entity.get("assignedCustomers") or ()}
    customer = (entity.get("customerId") or {}).get("id", NULL_UUID)
    return set() if customer == NULL_UUID else {customer}


def _some(paths: list[str]) -> str:
    shown = ", ".join(paths[:4])
    return shown if len(paths) <= 4 else f"{shown} and {len(paths) - 4} more"

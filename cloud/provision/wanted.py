"""Fleet -> everything that shall be on the server (pure): entities with references by name, and who is below whom.

The hierarchy: region -Contains-> site -Contains-> gateway -Created-> meter. "Created" is what ThingsBoard itself writes
when a gateway announces a meter that it does not know (DefaultTransportApiService, v4.2.2.3); for one that is there
already it writes none, so that it has to be ours.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cloud.dashboards.build import METER_TYPES
from cloud.fleet import GATEWAY_PROFILE, Fleet, Gateway, Site
from cloud.provision.kinds import (
    ASSET,
    ASSET_PROFILE,
    CUSTOMER,
    DASHBOARD,
    DEVICE,
    DEVICE_PROFILE,
    RULE_CHAIN,
    EntityKind,
    Json,
)
from cloud.templates import Templates

CONTAINS, CREATED = "Contains", "Created"
REGION_PROFILE, SITE_PROFILE = "HaLow region", "HaLow site"
SILENT_POLLS = 3  # a meter is inactive after so many missing polls ...
SILENT_AT_LEAST_S = 180.0  # ... but not sooner: ThingsBoard looks every 60 s (state.defaultStateCheckIntervalInSec)
MINUTES_A_DAY = 1440


@dataclass(frozen=True, slots=True)
class Ref:
    """Another entity, by kind and name."""

    kind: EntityKind
    name: str

    def __str__(self) -> str:
        """Name it for a person."""
        return f"{self.kind.word} {self.name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entity. `body` may hold Refs anywhere; the rest is kept beside the entity and has calls of its own."""

    ref: Ref
    body: Json = field(repr=False)  # a gateways' profile may hold the secret of provisioning
    customers: tuple[str, ...] = ()  # who may see it; devices and assets have one at most
    attributes: Mapping[str, float | str] = field(default_factory=dict)  # SERVER_SCOPE
    metadata: Json | None = None  # a rule chain's nodes
    certificate: str = field(default="", repr=False)  # PEM: how a device says who it is


@dataclass(frozen=True, slots=True)
class Files:
    """What stands in files that the fleet file names: PEM by gateway, and the secret of device provisioning."""

    certificates: Mapping[str, str] = field(default_factory=dict)
    provision_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Family:
    """`above` -type-> each of `below`, in the group COMMON; nobody else of this fleet is below it."""

    above: Ref
    type: str
    below: tuple[Ref, ...]


def everything(fleet: Fleet, templates: Templates, files: Files) -> list[Wanted]:
    """Return all entities in the order in which they can be made."""
    customers = tuple(one.title for one in fleet.customer)
    types = [one.name for one in fleet.meter_type]
    return [
        *(Wanted(Ref(CUSTOMER, title), {"title": title}) for title in customers),
        *(
            Wanted(Ref(RULE_CHAIN, name), {"name": name, "type": "CORE", "debugMode": False}, metadata=metadata)
            for name, metadata in templates.rule_chains.items()
        ),
        *(
            Wanted(
                Ref(DASHBOARD, title),
                {"title": title, "configuration": _with_types(configuration, types)},
                customers=customers,
            )
            for title, configuration in templates.dashboards.items()
        ),
        *_device_profiles(fleet, templates, files.provision_secret),
        *(Wanted(Ref(ASSET_PROFILE, name), {"name": name}) for name in (REGION_PROFILE, SITE_PROFILE)),
        *_assets(fleet),
        *_gateways(fleet, files.certificates),
        *_meters(fleet),
    ]


def families(fleet: Fleet) -> list[Family]:
    """Return the hierarchy, also of those that have nothing below them (any more)."""
    sites: dict[str, list[Ref]] = {one.name: [] for one in fleet.region}
    gateways: dict[str, list[Ref]] = {one.name: [] for one in fleet.site}
    meters: dict[str, list[Ref]] = {one.name: [] for one in fleet.gateway}
    for site in fleet.site:
        sites[site.region].append(Ref(ASSET, site.name))
    for gateway in fleet.gateway:
        gateways[gateway.site].append(Ref(DEVICE, gateway.name))
    for meter in fleet.meter:
        meters[meter.gateway].append(Ref(DEVICE, meter.name))
    return [
        *(Family(Ref(ASSET, name), CONTAINS, tuple(below)) for name, below in (*sites.items(), *gateways.items())),
        *(Family(Ref(DEVICE, name), CREATED, tuple(below)) for name, below in meters.items()),
    ]


def _with_types(configuration: Json, types: list[str]) -> Json:
    """Put the fleet's meter types into the aliases that mean all of them."""
    aliases = {
        ident: {**alias, "filter": {**alias["filter"], "deviceTypes": types}}
        if alias["filter"].get("deviceTypes") == [METER_TYPES]
        else alias
        for ident, alias in configuration["entityAliases"].items()
    }
    return {**configuration, "entityAliases": aliases}


def _device_profiles(fleet: Fleet, templates: Templates, secret: str) -> Iterator[Wanted]:
    gateways = _profile(
        GATEWAY_PROFILE, "Smart-meter edge gateways.", templates.alarms_of_gateways(), templates, "gateway"
    )
    if fleet.provisioning is not None:
        _let_in(gateways.body, fleet.provisioning.key, secret)
    yield gateways
    for one in fleet.meter_type:
        spread = one.nominal_voltage_v * one.voltage_tolerance_pct / 100
        limits = {
            "voltage_low_v": round(one.nominal_voltage_v - spread, 3),
            "voltage_high_v": round(one.nominal_voltage_v + spread, 3),
        }
        yield _profile(
            one.name,
            "Meters that gateways announce with this type.",
            templates.alarms_of_meters(limits),
            templates,
            "meter",
        )


def _let_in(profile: Json, key: str, secret: str) -> None:
    """Switch device provisioning on, for devices that are here already: whoever has the secret makes no new ones."""
    strategy = "CHECK_PRE_PROVISIONED_DEVICES"
    profile |= {"provisionType": strategy, "provisionDeviceKey": key}
    profile["profileData"]["provisionConfiguration"] = {"type": strategy, "provisionDeviceSecret": secret}


def _profile(name: str, description: str, alarms: list[Json], templates: Templates, device: str) -> Wanted:
    """Queue HighPriority repeats what failed (RETRY_FAILED_AND_TIMED_OUT); Main drops acknowledged data."""
    body: Json = {
        "name": name,
        "description": description,
        "type": "DEFAULT",
        "transportType": "DEFAULT",
        "provisionType": "DISABLED",
        "defaultQueueName": "HighPriority",
        "defaultRuleChainId": Ref(RULE_CHAIN, templates.rule_chain),
        "defaultDashboardId": Ref(DASHBOARD, templates.dashboard_of[device]),
        "profileData": {
            "configuration": {"type": "DEFAULT"},
            "transportConfiguration": {"type": "DEFAULT"},
            "provisionConfiguration": {"type": "DISABLED"},
            "alarms": alarms,
        },
    }
    return Wanted(Ref(DEVICE_PROFILE, name), body)


def _assets(fleet: Fleet) -> Iterator[Wanted]:
    for region in fleet.region:
        yield Wanted(
            Ref(ASSET, region.name), {"name": region.name, "assetProfileId": Ref(ASSET_PROFILE, REGION_PROFILE)}
        )
    for site in fleet.site:
        yield Wanted(
            Ref(ASSET, site.name),
            {"name": site.name, "assetProfileId": Ref(ASSET_PROFILE, SITE_PROFILE)},
            customers=_customers(site),
            attributes=_position(site),
        )


def _gateways(fleet: Fleet, certificates: Mapping[str, str]) -> Iterator[Wanted]:
    sites = {one.name: one for one in fleet.site}
    expected: dict[str, int] = {}
    for meter in fleet.meter:
        expected[meter.gateway] = expected.get(meter.gateway, 0) + 1
    for gateway in fleet.gateway:
        site = sites[gateway.site]
        attributes: dict[str, float | str] = {
            "inactivityTimeout": round(fleet.fleet.gateway_silent_after_s * 1000),
            "site": site.name,
            "meters_expected": expected.get(gateway.name, 0),
            **_position(site),
        }
        # overwriteActivityTime stays off: "active" of a meter shall mean that the meter was heard of, not its gateway.
        yield _device(
            gateway.name,
            GATEWAY_PROFILE,
            site,
            attributes,
            {"gateway": True, "overwriteActivityTime": False},
            certificates.get(gateway.name, ""),
        )


def _meters(fleet: Fleet) -> Iterator[Wanted]:
    types = {one.name: one for one in fleet.meter_type}
    places = {gateway.name: site for gateway, site in _placed(fleet)}
    for meter in fleet.meter:
        kind = types[meter.type]
        attributes: dict[str, float | str] = {
            "inactivityTimeout": round(max(SILENT_AT_LEAST_S, SILENT_POLLS * kind.poll_interval_s) * 1000),
            "intervals_per_day": MINUTES_A_DAY // kind.profile_interval_minutes,
            "gateway_name": meter.gateway,
        }
        yield _device(meter.name, meter.type, places[meter.gateway], attributes, {})


def _placed(fleet: Fleet) -> Iterable[tuple[Gateway, Site]]:
    sites = {one.name: one for one in fleet.site}
    return ((gateway, sites[gateway.site]) for gateway in fleet.gateway)


def _device(
    name: str, profile: str, site: Site, attributes: Mapping[str, float | str], info: Json, certificate: str = ""
) -> Wanted:
    body: Json = {"name": name, "deviceProfileId": Ref(DEVICE_PROFILE, profile)}
    if info:
        body["additionalInfo"] = info
    return Wanted(Ref(DEVICE, name), body, customers=_customers(site), attributes=attributes, certificate=certificate)


def _customers(site: Site) -> tuple[str, ...]:
    return (site.customer,) if site.customer else ()


def _position(site: Site) -> dict[str, float | str]:
    if site.latitude is None or site.longitude is None:
        return {}
    return {"latitude": site.latitude, "longitude": site.longitude}

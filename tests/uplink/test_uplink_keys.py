"""cloud/keys.toml lists every key the gateway can send: read from the schemas that make records, not from a copy."""

import re
import tomllib
from pathlib import Path

import pytest

from edge.alarms import engine as alarm_engine
from edge.daemon import backfill, ota, vitals
from edge.dlms.push import notification
from edge.errands import clock_keeper, event_log, means
from edge.health import linkrecords
from edge.meters import events
from edge.meters.layout import TIME_DOUBT
from edge.meters.profile import NOT_READ, load_profiles
from edge.model import Field, Kind, Record, Schema, Stamp
from edge.ring.losses import GAP_SCHEMA
from edge.uplink import pathwatch, quarantine, uplink
from edge.uplink.thingsboard import OBSERVED, SILENT_KEY, TEXT_MARK, element, key_of

CONTRACT = tomllib.loads((Path(__file__).parents[2] / "cloud/keys.toml").read_text())
KEYS = CONTRACT["key"]
NOTIFICATION = notification(bytes.fromhex("c2000003" "0100200700ff" "02" "1208fd"))
STRANGER = [Field("link_peer_0200000000ff_rssi_dbm"), Field("link_peer_0200000000ff_grade")]

SCHEMAS = {
    "failure": (Schema(Kind.FAILURE, (Field("reason"), Field("detail")), "p"), "meter"),
    "meter link": (linkrecords.METER_LINK, "meter"),
    "gateway link": (Schema(Kind.LINK, (*linkrecords.GATEWAY_FIELDS, *STRANGER)), "gateway"),
    "gateway": (vitals.SCHEMA, "gateway"),
    "event": (vitals.EVENT, "gateway"),
    **{f"update {what}": (schema, "gateway") for what, schema in ota.SCHEMAS.items()},
    "takeover": (uplink.TAKEOVER, "gateway"),
    "quarantine": (quarantine.SCHEMA, "gateway"),
    "alarm": (alarm_engine.SCHEMA, "any"),
    "paths": (pathwatch.schema(["modem", "site-wifi"]), "gateway"),
    "path event": (pathwatch.EVENT, "gateway"),
    "gap": (GAP_SCHEMA, "gateway"),
    "clock": (clock_keeper.schema("p"), "meter"),
    "deed": (means.deed_schema("p"), "meter"),
    "billing": (Schema(Kind.BILLING, (Field("active_energy_t1"), Field("active_power_max_time"), Field("not_read"))), "meter"),
    "event log": (event_log.schema("p"), "meter"),
    "push": (Schema(Kind.PUSHED, (Field(NOT_READ), Field(TIME_DOUBT)), "p"), "meter"),
    "meter event": (events.notification(NOTIFICATION, load_profiles()["generic-three-phase"], Stamp(0, 0, "b", synchronised=True), "m").schema, "meter"),
    "backfill": (backfill.SCHEMA, "meter"),
    **{f"load profile {name}": (Schema(Kind.INTERVAL, (*(Field(one.key, 0, one.unit) for one in profile.load_profile.columns), Field(TIME_DOUBT))), "meter")
       for name, profile in load_profiles().items() if profile.load_profile is not None},
    **{f"profile {name}": (Schema(Kind.READING, tuple(Field(spec.key) for spec in profile.objects), name), "meter")
       for name, profile in load_profiles().items()},
}


def entries(key: str, kind: Kind, *, named_only: bool = True) -> list[dict]:
    found = []
    for entry in KEYS:
        hit = re.fullmatch(entry["name"], key) if entry.get("pattern") else entry["name"] == key
        of_kind = entry["record"] == "any" or kind.name in entry["record"].split(", ")
        if hit and of_kind and not (named_only and entry.get("profile")):
            found.append(entry)
    return found


def sent_keys(schema: Schema, *, synchronised: bool = False) -> list[str]:
    """The keys in the JSON of a full record: what leaves, not what should."""
    stamp = Stamp(0, 0, "b", synchronised=True) if synchronised else Stamp(0, 0, "b", synchronised=False, source="bracket", latest_ms=9)
    record = Record(schema, "", stamp, tuple(range(len(schema.fields))))
    import msgspec

    return list(msgspec.json.decode(element(record)[0])["values"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_that_can_be_sent_is_listed_once(name):
    schema, device = SCHEMAS[name]
    keys = sent_keys(schema)
    assert len(keys) >= len(schema.fields)
    for key in keys:
        found = entries(key, schema.kind)
        assert len(found) == 1, f"{key} of a {schema.kind.name} record: {len(found)} entries in cloud/keys.toml"
        assert device == "any" or found[0]["device"] in (device, "any"), key


def test_units_agree_with_the_schemas():
    for schema, _ in SCHEMAS.values():
        for field in schema.fields:
            if field.unit:
                assert entries(key_of(schema.kind, field.key), schema.kind)[0]["unit"] == field.unit, field


@pytest.mark.parametrize("profile", load_profiles().values(), ids=lambda profile: profile.name)
def test_profile_units_agree(profile):
    for spec in profile.objects:
        (entry,) = entries(spec.key, Kind.READING)
        assert entry["unit"] == spec.unit, spec.key


def test_keys_of_an_operators_own_profile_are_covered_by_the_pattern():
    assert entries("reactive_power", Kind.READING) == []
    assert [entry["profile"] for entry in entries("reactive_power", Kind.READING, named_only=False)] == [True]


def test_the_contract_itself_is_whole():
    for entry in KEYS:
        assert set(entry) - {"pattern", "profile"} == {"name", "device", "type", "unit", "record", "meaning"}, entry["name"]
        assert entry["device"] in ("meter", "gateway", "any")
        assert entry["type"] in ("number", "text", "boolean")
    assert CONTRACT["text_mark"] == TEXT_MARK


def test_nothing_is_listed_that_is_never_sent():
    """But for the pattern for an operator's own profile."""
    sent = {(key, schema.kind) for schema, _ in SCHEMAS.values() for key in sent_keys(schema)} | {("not_read", Kind.READING)}
    sent |= {(SILENT_KEY.decode(), kind) for kind in OBSERVED}
    used = [entry["name"] for key, kind in sent for entry in entries(key, kind)]
    unused = {entry["name"] for entry in KEYS if not entry.get("profile")} - set(used)
    assert unused == set()


def test_a_planted_key_is_noticed():
    assert entries("linc_rssi", Kind.LINK) == []
    assert entries("event", Kind.READING) == []

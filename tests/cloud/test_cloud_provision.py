"""halow-cloud against a server that keeps entities as ThingsBoard does: once, twice, moved, refused, gone again."""

import tomllib

import msgspec
import pytest
from small_fleet import FLEET, WHOLE
from thingsboard_rest import Refusal, ThingsBoardRest

from cloud import templates


def test_a_dry_run_tells_everything_and_sends_nothing(server, cloud):
    status, output = cloud("apply")
    assert status == 0
    assert "+ device gw-1" in output
    assert "+ relation device gw-1 -Created-> device meter-17" in output
    assert "--yes" in output
    assert server.writes() == []


def test_what_it_made_is_what_the_file_says(server, cloud):
    assert cloud("apply", "--yes")[0] == 0
    gateway, meter = server.named("device", "gw-1"), server.named("device", "meter-17")
    assert gateway["type"] == "halow-gateway"
    assert gateway["additionalInfo"]["gateway"] is True
    assert meter["type"] == "microstar"
    ids = {one["id"]["id"]: one["name"] for one in [*server.store["device"].values(), *server.store["asset"].values()]}
    tree = {(ids[one["from"]["id"]], one["type"], ids[one["to"]["id"]]) for one in server.relations}
    assert tree == {("North", "Contains", "Substation 12"), ("North", "Contains", "Cabinet 3"), ("Substation 12", "Contains", "gw-1"),
                    ("Cabinet 3", "Contains", "gw-2"), ("gw-1", "Created", "meter-17"), ("gw-2", "Created", "meter-18")}
    customer = server.named("customer", "Utility North")["id"]
    assert meter["customerId"] == customer
    assert server.named("device", "meter-18")["customerId"] != customer
    assert server.attributes[gateway["id"]["id"]] == {"inactivityTimeout": 300_000, "site": "Substation 12", "meters_expected": 1,
                                                     "latitude": 47.1, "longitude": 9.5}
    profile = server.named("deviceProfile", "microstar")
    assert profile["defaultQueueName"] == "HighPriority"
    assert profile["defaultRuleChainId"] == server.named("ruleChain", "HaLow")["id"]
    (rule,) = [one for one in profile["profileData"]["alarms"] if one["alarmType"] == "Voltage L1 out of range"]
    limits = [one["value"]["defaultValue"] for one in rule["createRules"]["MAJOR"]["condition"]["condition"][0]["predicate"]["predicates"]]
    assert limits == [114.3, 139.7]
    assert server.credentials[server.named("device", "gw-2")["id"]["id"]]["credentialsType"] == "X509_CERTIFICATE"
    board = server.named("dashboard", "HaLow data completeness")
    assert ["generic-three-phase", "microstar"] in [alias["filter"].get("deviceTypes") for alias in board["configuration"]["entityAliases"].values()]


def test_twice_does_nothing_twice_and_the_difference_is_empty(server, cloud, monkeypatch):
    monkeypatch.setattr(templates, "load", lambda: WHOLE)
    cloud("apply", "--yes")
    before, sent = server.snapshot(), len(server.writes())
    status, output = cloud("apply", "--yes")
    assert (status, output.splitlines()[-1].split(",")[0]) == (0, "0 changes")
    assert server.snapshot() == before
    assert len(server.writes()) == sent
    assert cloud("diff")[0] == 0


@pytest.mark.parametrize(("path", "name", "change", "told"), [
    ("device", "gw-1", {"additionalInfo": {"halowCloud": {"fleet": "north", "made": True}, "gateway": False}}, "~ device gw-1: additionalInfo.gateway"),
    ("deviceProfile", "microstar", {"defaultQueueName": "Main"}, "~ device profile microstar: defaultQueueName"),
    ("dashboard", "HaLow meter", {"configuration": {"description": "x\n[halow-cloud fleet=north made]"}}, "~ dashboard HaLow meter: configuration"),
])
def test_what_somebody_changed_is_told_and_put_right(server, cloud, path, name, change, told):
    cloud("apply", "--yes")
    server.seed(path, {**server.named(path, name), **change})
    status, output = cloud("diff")
    assert status == 3
    assert told in output
    assert cloud("apply", "--yes")[0] == 0
    assert cloud("diff")[0] == 0


def test_what_the_server_and_others_keep_in_an_entity_stays(server, cloud):
    cloud("apply", "--yes")
    meter = server.named("device", "meter-17")
    server.seed("device", {**meter, "label": "cellar", "additionalInfo": {**meter["additionalInfo"], "lastConnectedGateway": "g"}})
    assert cloud("diff")[0] == 0
    cloud("apply", "--yes", fleet=FLEET.replace('gateway = "gw-1"\ntype = "microstar"', 'gateway = "gw-1"\ntype = "generic-three-phase"'))
    changed = server.named("device", "meter-17")
    assert changed["type"] == "generic-three-phase"
    assert changed["label"] == "cellar"
    assert changed["additionalInfo"]["lastConnectedGateway"] == "g"


def test_a_meter_that_moved_has_one_gateway(server, cloud):
    cloud("apply", "--yes")
    status, output = cloud("apply", "--yes", fleet=FLEET.replace('name = "meter-17"\ngateway = "gw-1"', 'name = "meter-17"\ngateway = "gw-2"'))
    assert status == 0
    assert "- relation device gw-1 -Created-> device meter-17" in output
    meter = server.named("device", "meter-17")
    parents = [one["from"]["id"] for one in server.relations if one["to"] == meter["id"]]
    assert parents == [server.named("device", "gw-2")["id"]["id"]]
    assert meter["customerId"]["id"].startswith("13814000"), "its old customer must not see it any more"
    assert cloud("diff")[0] == 0


def test_destroy_removes_only_what_it_made(server, cloud):
    server.seed("device", {"name": "meter-99", "deviceProfileId": server.named("deviceProfile", "default")["id"]})
    before = {path: server.names(path) for path in server.store}
    cloud("apply", "--yes")
    assert cloud("destroy")[0] == 0
    assert len(server.names("device")) == 5
    status, output = cloud("destroy", "--yes")
    assert status == 0, output
    assert {path: server.names(path) for path in server.store} == before
    assert server.relations == []


def test_what_is_there_unmarked_is_refused_or_taken_up_and_then_stays(server, cloud):
    server.seed("device", {"name": "meter-17", "deviceProfileId": server.named("deviceProfile", "default")["id"], "additionalInfo": {"note": 1}})
    status, output = cloud("apply", "--yes")
    assert status == 1
    assert "device meter-17: is there already" in output
    assert "note" in server.named("device", "meter-17")["additionalInfo"]
    assert server.named("device", "meter-18")
    status, output = cloud("apply", "--yes", "--adopt")
    assert status == 0
    assert "~ device meter-17: adopted" in output
    assert cloud("diff")[0] == 0
    status, output = cloud("destroy", "--yes")
    # Its profile is in use by it, so that ThingsBoard keeps the profile too, and what that refers to: told in its words.
    assert status == 1
    assert "? device meter-17: was there before" in output
    assert "cannot be deleted!" in output
    assert server.named("device", "meter-17")["additionalInfo"]["note"] == 1
    assert server.names("device") == ["meter-17"]


def test_another_fleets_objects_are_never_touched(server, cloud):
    cloud("apply", "--yes")
    before = server.snapshot()
    status, output = cloud("apply", "--yes", "--adopt", fleet=FLEET.replace('name = "north"', 'name = "south"'))
    assert status == 1
    assert "customer Utility North: belongs to the fleet north" in output
    assert server.snapshot() == before


def test_what_left_the_file_is_told_and_removed_only_when_asked(server, cloud):
    cloud("apply", "--yes")
    shorter = FLEET[:FLEET.rindex("[[meter]]")]
    status, output = cloud("apply", "--yes", fleet=shorter)
    assert status == 0
    assert "? device meter-18" in output
    assert "meter-18" in server.names("device")
    status, output = cloud("apply", "--yes", "--prune", fleet=shorter)
    assert status == 0
    assert "- device meter-18" in output
    assert server.names("device") == ["gw-1", "gw-2", "meter-17"]


def test_a_failure_names_the_object_and_the_reason_and_the_rest_goes_on(server, cloud):
    server.refuse[("POST", "/api/asset")] = Refusal(400, "Assets limit reached", 31)
    status, output = cloud("apply", "--yes")
    assert status == 1
    assert "asset Substation 12: POST /api/asset: 400 Assets limit reached" in output
    assert "device gw-1" not in [line for line in output.splitlines() if "failed" in line]
    assert server.names("device") == ["gw-1", "gw-2", "meter-17", "meter-18"], "devices need no asset"
    server.refuse.clear()
    assert cloud("apply", "--yes")[0] == 0
    assert cloud("diff")[0] == 0


def test_what_needs_a_failed_object_is_left_out_with_its_name(server, cloud):
    server.refuse[("POST", "/api/ruleChain")] = Refusal(500, "out of memory", 2)
    status, output = cloud("apply", "--yes")
    assert status == 1
    assert "device gw-1: left out: it needs the device profile halow-gateway, which failed" in output
    assert server.names("device") == []


def test_cut_after_any_write_the_next_run_finishes_the_work(server, cloud):
    with ThingsBoardRest() as other:
        cloud("apply", "--yes", at=other)
        whole, writes = {path: other.names(path) for path in other.store}, len(other.writes())
    for cut in range(0, writes, 9):
        server.cut_at_write = cut
        status, output = cloud("apply", "--yes")
        assert status == 1
        assert "halow-cloud: http://127.0.0.1" in output, output
        assert output.count("\n+ ") + output.startswith("+ ") <= cut, "what is not known to be done is not told as done"
        assert cloud("apply", "--yes")[0] == 0
        assert cloud("diff")[0] == 0
        assert {path: server.names(path) for path in server.store} == whole
        assert len(server.relations) == 6
        assert cloud("destroy", "--yes")[0] == 0


def test_tokens_go_into_files_for_their_owner_and_nowhere_else(server, cloud):
    status, output = cloud("apply", "--yes", "--tokens", cloud.folder / "tokens")
    token = server.credentials[server.named("device", "gw-1")["id"]["id"]]["credentialsId"]
    (path,) = (cloud.folder / "tokens").iterdir()      # gw-2 has a certificate
    assert (path.name, path.read_text(), path.stat().st_mode & 0o777) == ("gw-1.token", token + "\n", 0o600)
    assert status == 0
    assert token not in output


def test_export_gives_back_what_was_applied_without_ids_and_secrets(server, cloud):
    cloud("apply", "--yes")
    profile = server.named("deviceProfile", "halow-gateway")
    profile["profileData"]["provisionConfiguration"] = {"type": "ALLOW_CREATE_NEW_DEVICES", "provisionDeviceSecret": "geheim"}
    status, output = cloud("export", cloud.folder / "out")
    assert status == 0
    assert "7 files" in output
    written = {path.relative_to(cloud.folder / "out").as_posix(): path.read_text() for path in (cloud.folder / "out").rglob("*.json")}
    assert "geheim" not in "".join(written.values())
    assert profile["id"]["id"] not in "".join(written.values())
    chain = msgspec.json.decode(written["rulechains/halow.json"])
    assert len(chain["metadata"]["nodes"]) == 7
    assert msgspec.json.decode(written["dashboards/halow_meter.json"])["configuration"]["states"]["default"]["root"]


def test_gateways_of_the_file_may_fetch_their_own_credentials(server, cloud):
    provisioned = FLEET.replace("[[customer]]", '[provisioning]\nkey = "halow-north"\nsecret_file = "secret"\n[[customer]]', 1)
    (cloud.folder / "secret").write_text("short")
    status, output = cloud("apply", "--yes", fleet=provisioned)
    assert status == 1
    assert "the secret has 5 characters" in output
    for secret in ("first-secret-of-all", "second-secret-of-all"):
        (cloud.folder / "secret").write_text(f"{secret}\n")
        status, output = cloud("apply", "--yes")
        assert status == 0
        assert secret not in output
        profile = server.named("deviceProfile", "halow-gateway")
        assert (profile["provisionType"], profile["provisionDeviceKey"]) == ("CHECK_PRE_PROVISIONED_DEVICES", "halow-north")
        assert profile["profileData"]["provisionConfiguration"] == {"type": "CHECK_PRE_PROVISIONED_DEVICES", "provisionDeviceSecret": secret}
    assert "profileData.provisionConfiguration.provisionDeviceSecret" in output, "the change is told, not the secret"
    assert server.named("deviceProfile", "microstar")["provisionType"] == "DISABLED"
    assert cloud("diff")[0] == 0
    assert cloud("apply", "--yes", fleet=FLEET)[0] == 0
    assert server.named("deviceProfile", "halow-gateway")["provisionType"] == "DISABLED"


def test_a_csv_says_the_same(server, cloud):
    rows = ("region,site,latitude,longitude,customer,gateway,certificate,meter,meter_type\n"
            "North,Substation 12,47.1,9.5,Utility North,gw-1,,meter-17,generic-three-phase\n"
            "North,Substation 12,47.1,9.5,Utility North,gw-1,,meter-19,generic-three-phase\n"
            "North,Cabinet 3,,,,gw-2,gw-2.pem,,\n")
    assert cloud("apply", "--yes", fleet=rows, file="north.csv")[0] == 0
    assert server.names("device") == ["gw-1", "gw-2", "meter-17", "meter-19"]
    assert cloud("diff", file="north.csv")[0] == 0
    assert tomllib.loads(FLEET)["fleet"]["name"] == server.named("device", "gw-1")["additionalInfo"]["halowCloud"]["fleet"]


def test_a_server_of_another_version_is_not_touched(cloud, server):
    server.version = "4.3.1"
    status, output = cloud("apply", "--yes")
    assert status == 1
    assert "4.3.1" in output
    assert server.writes() == []

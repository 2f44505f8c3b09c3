"""What is shipped fits the contract of keys; every kind of fault that can creep in is found; the rules fire when they should."""

import copy
import json

import pytest

from cloud import check, templates
from cloud.dashboards import build, spec
from cloud.provision.cli import root
from edge.daemon.vitals import NO_PROBLEM
from edge.errors import FailReason
from edge.meters.profile import load_profiles
from edge.uplink import quarantine
from halow.model import Grade

SHIPPED = templates.load()
ALARMS = {alarm.type: alarm for alarm in SHIPPED.alarms}
LIMITS = {"voltage_low_v": 207.0, "voltage_high_v": 253.0}


def test_what_is_shipped_has_no_problem():
    assert check.problems(SHIPPED) == []


@pytest.mark.parametrize("board", spec.load(), ids=lambda board: board.file)
def test_the_json_is_what_the_description_makes(board):
    path = templates.HERE / f"dashboards/{board.file}.json"
    assert path.read_text() == templates.normal(build.dashboard(board)), "run `halow-cloud build`"


def test_no_json_is_left_over():
    assert {path.stem for path in (templates.HERE / "dashboards").glob("*.json")} == {board.file for board in spec.load()}


def first(board, fqn):
    return next(one for one in board["widgets"].values() if one["typeFullFqn"].endswith(fqn))


def clickable(board):
    return next(one for one in board["widgets"].values() if one["config"]["actions"])


def key_of(board, name):
    return next(key for one in board["widgets"].values() for source in one["config"]["datasources"] for key in source["dataKeys"] if key["name"] == name)


FAULTS = {
    "no gateway sends link_wurst_grade": lambda b: key_of(b, "link_worst_grade").update(name="link_wurst_grade"),
    "no gateway sends voltage_l1": lambda b: key_of(b, "backlog_records").update(name="voltage_l1"),
    "is in dBm, not in dB": lambda b: key_of(b, "link_worst_rssi_dbm").update(units="dB"),
    "no gateway has the attribute colour": lambda b: key_of(b, "active").update(name="colour"),
    "no meter has the attribute site": lambda b: key_of(b, "gateway_name").update(name="site"),
    "entityField shoe was never looked up": lambda b: key_of(b, "type").update(name="shoe"),
    "never looked up": lambda b: first(b, "entities_table").update(typeFullFqn="system.cards.entity_table"),
    "no alias nowhere": lambda b: first(b, "entities_table")["config"]["datasources"][0].update(entityAliasId="nowhere"),
    "of what is 'Things'?": lambda b: next(iter(b["entityAliases"].values())).update(alias="Things"),
    "is used by nothing": lambda b: b["entityAliases"].update(x={"alias": "Spare", "filter": {}}),
    "opens the state 'garage'": lambda b: clickable(b)["config"]["actions"]["rowClick"][0].update(targetDashboardStateId="garage"),
    "opens the state 'cellar'": lambda b: first(b, "map")["config"]["settings"]["markers"][0]["tooltip"]["tagActions"][0].update(targetDashboardStateId="cellar"),
    "lies over": lambda b: list(b["states"]["default"]["layouts"]["main"]["widgets"].values())[1].update(col=0, row=0),
    "is wider than the grid": lambda b: next(iter(b["states"]["default"]["layouts"]["main"]["widgets"].values())).update(sizeX=25),
    "each widget stands in one state": lambda b: b["states"]["default"]["layouts"]["main"]["widgets"].popitem(),
    "one state is the root": lambda b: b["states"]["meter"].update(root=True),
}


@pytest.mark.parametrize("told", FAULTS)
def test_a_planted_fault_in_a_dashboard_is_found(told):
    board = copy.deepcopy(SHIPPED.dashboards["HaLow fleet"])
    FAULTS[told](board)
    found = check.problems(templates.Templates(SHIPPED.alarms, SHIPPED.rule_chains, {**SHIPPED.dashboards, "HaLow fleet": board}))
    assert any(told in line and line.startswith("dashboard HaLow fleet") for line in found), found


@pytest.mark.parametrize(("text", "told"), [
    ('when = [{ key = "voltage_l9", above = 1 }]', "no meter sends voltage_l9"),
    ('when = [{ key = "backlog_records", above = 1 }]', "no meter sends backlog_records"),
    ('when = [{ key = "poll_ok", above = 1 }]', "poll_ok is a boolean, asked as a number"),
    ('when = [{ attribute = "mood", is = true }]', "no device has the attribute mood"),
    ('when = [{ key = "poll_ok", is = true }]\ndetails = "${link_grade}"', "does not fill in ${link_grade}"),
])
def test_a_planted_fault_in_an_alarm_is_found(tmp_path, text, told):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/alarms.toml").write_text('[[alarm]]\ntype = "T"\ndevice = "meter"\nseverity = "MAJOR"\n' + text + ("" if "details" in text else '\ndetails = ""'))
    found = check.problems(templates.Templates(templates.load_alarms(tmp_path), SHIPPED.rule_chains, SHIPPED.dashboards))
    assert any(told in line for line in found), found


def test_planted_faults_in_the_rule_chain_are_found():
    metadata = copy.deepcopy(SHIPPED.rule_chains["HaLow"])
    metadata["nodes"][0]["configuration"]["tbelScript"] += "msg.evnt"
    metadata["connections"] = [wire for wire in metadata["connections"] if wire["toIndex"] != 5]
    found = check.problems(templates.Templates(SHIPPED.alarms, {"HaLow": metadata}, SHIPPED.dashboards))
    assert found == ["rule chain HaLow: nothing leads to 'Call the device'", "rule chain HaLow: 'Is it news?': nobody sends evnt"]


# ---- the rules as ThingsBoard judges them: AlarmRuleState.eval of v4.2.2.3, for one snapshot of values

def holds(condition, snapshot, attributes):
    return all(judged(one["predicate"], snapshot.get(one["key"]["key"]), attributes) for one in condition["condition"])


def judged(predicate, value, attributes):
    if value is None:
        return False
    if predicate["type"] == "COMPLEX":
        parts = [judged(one, value, attributes) for one in predicate["predicates"]]
        return any(parts) if predicate["operation"] == "OR" else all(parts)
    limit = predicate["value"]["defaultValue"]
    dynamic = predicate["value"].get("dynamicValue")
    if dynamic:
        limit = attributes.get(dynamic["sourceAttribute"], limit)
    return {
        "EQUAL": lambda: value == limit, "GREATER": lambda: value > limit, "LESS": lambda: value < limit,
        "GREATER_OR_EQUAL": lambda: value >= limit, "LESS_OR_EQUAL": lambda: value <= limit,
        "IN": lambda: value in limit.split(","), "NOT_IN": lambda: value not in limit.split(","),
    }[predicate["operation"]]()


@pytest.mark.parametrize(("alarm", "snapshot", "raised"), [
    ("Gateway silent", {"active": False}, True), ("Gateway silent", {"active": True}, False),
    ("Backlog old", {"oldest_unsent_age_s": 3601}, True), ("Backlog old", {"oldest_unsent_age_s": 3600}, False),
    ("Ring loss", {"gap_count": 1}, True), ("Ring loss", {}, False),
    ("Link poor", {"link_grade": "poor"}, True), ("Link poor", {"link_grade": "lost"}, True), ("Link poor", {"link_grade": "fair"}, False),
    ("Link poor", {"link_grade": "unknown"}, False),
    ("Meter silent", {"poll_ok": False}, True), ("Meter silent", {"poll_ok": True}, False),
    ("Voltage L1 out of range", {"voltage_l1": 253.1}, True), ("Voltage L1 out of range", {"voltage_l1": 206.9}, True),
    ("Voltage L1 out of range", {"voltage_l1": 230.0}, False), ("Voltage L2 out of range", {"voltage_l1": 300.0}, False),
    ("Tamper", {"event": "meter_meter_cover_removed"}, True), ("Tamper", {"event": "meter_power_up"}, False),
])
def test_a_rule_fires_when_it_should(alarm, snapshot, raised):
    made = ALARMS[alarm].json(LIMITS)
    (rule,) = made["createRules"].values()
    assert holds(rule["condition"], snapshot, {}) is raised
    if raised and made["clearRule"]:
        assert not holds(made["clearRule"]["condition"], snapshot, {}), "raised and cleared by one value: it would flap"


def test_a_meters_own_limit_goes_before_its_types():
    (rule,) = ALARMS["Voltage L1 out of range"].json(LIMITS)["createRules"].values()
    assert not holds(rule["condition"], {"voltage_l1": 256.0}, {"voltage_high_v": 260.0})


def test_every_alarm_that_clears_by_itself_has_a_value_that_clears_it():
    back = {"active": True, "poll_ok": True, "oldest_unsent_age_s": 0, "link_grade": "good", "link_radio_state": "present", "link_deaf_s": 0,
            "ring_problem": NO_PROBLEM,
            "voltage_l1": 230, "voltage_l2": 230, "voltage_l3": 230}
    for alarm in SHIPPED.alarms:
        rule = alarm.json(LIMITS)["clearRule"]
        assert rule is None or holds(rule["condition"], back, {}), alarm.type


def test_ids_of_alarms_are_the_same_at_every_run():
    ids = [alarm.json(LIMITS)["id"] for alarm in SHIPPED.alarms]
    assert len(set(ids)) == len(ids)
    assert ids == [alarm.json(LIMITS)["id"] for alarm in templates.load_alarms()]


def test_the_words_in_the_rules_are_words_that_the_gateway_says():
    codes = {text.split()[0] for profile in load_profiles().values() for text in map(str, names_of(profile))}
    events = {f"meter_{name}" for name in codes} | {quarantine.EVENT, "uplink_takeover"}
    grades, states = {grade.label for grade in Grade}, {"present", "absent", "none"}
    known = {"event": events, "link_grade": grades, "link_radio_state": states, "poll_fail_reason": set(FailReason),
             "ring_problem": {NO_PROBLEM}}
    for alarm in SHIPPED.alarms:
        for one in (*alarm.when, *alarm.clear):
            assert set(one.texts()) <= known.get(one.key, set()), alarm.type
    levels = next(one for one in SHIPPED.dashboards["HaLow gateway"]["widgets"].values() if one["typeFullFqn"] == "system.state_chart")
    assert {level["sourceValue"] for level in levels["config"]["settings"]["states"]} == grades - {"unknown"}


def names_of(profile):
    return [getattr(one, "name", one) for one in profile.event_codes.values()]


def test_check_is_a_command(capsys):
    with pytest.raises(SystemExit) as done:
        root.main(["check"], prog_name="halow-cloud")
    assert (done.value.code, capsys.readouterr().err) == (0, "")


def test_check_looks_for_the_files_that_a_fleet_file_names(tmp_path, capsys):
    fleet = tmp_path / "fleet.toml"
    fleet.write_text("""
        fleet.name = "north"
        provisioning = {key = "halow-north", secret_file = "provision.secret"}
        region = [{name = "North"}]
        site = [{name = "Yard", region = "North"}]
        gateway = [{name = "gw-1", site = "Yard", certificate = "gw-1.pem"}, {name = "gw-2", site = "Yard", certificate = "gw-2.pem"}]
        """)
    (tmp_path / "gw-2.pem").write_bytes(b"\x30\x82\x01")

    def checked():
        with pytest.raises(SystemExit) as done:
            root.main(["check", str(fleet)], prog_name="halow-cloud")
        return done.value.code, capsys.readouterr()

    status, told = checked()
    assert (status, told.out) == (1, f"{fleet}: 2 gateways, 0 meters\n")
    first, second, third = told.err.splitlines()
    assert first == (f"halow-cloud: {fleet}: gateway gw-1: {tmp_path}/gw-1.pem: cannot be read: No such file or directory; "
                     "names are looked for beside the fleet file")
    assert "gateway gw-2" in second
    assert "openssl x509 -inform DER" in second
    assert "provisioning.secret_file" in third

    for name in ("gw-1.pem", "gw-2.pem"):
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n")
    (tmp_path / "provision.secret").write_text("correct horse battery\n")
    assert checked()[0] == 0


def test_files_are_normalised():
    for path in [*(templates.HERE / "dashboards").glob("*.json"), *(templates.HERE / "rulechains").glob("*.json")]:
        assert path.read_text() == templates.normal(json.loads(path.read_text())), path.name

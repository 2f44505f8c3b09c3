"""Client attributes: what is so now, once per connection and when it changes; a meter's only once it is announced."""

import json
import tomllib
from pathlib import Path

import pytest
from moat.lib.mqtt import ReasonCode
from uplink_bench import TOKEN, until
from wiretap import WireTap

from edge.daemon.nameplates import Nameplates
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.meters.profile import load_profiles
from edge.model import Learned, Meter
from edge.poll.fleet import Enrolled
from edge.uplink.attributes import MAX_TEXT_CHARS, Attributes, Report
from edge.uplink.thingsboard import GATEWAY_ATTRIBUTES, OWN_ATTRIBUTES, ThingsBoardGateway

FORM = ThingsBoardGateway(lambda _device: "").attributes

LIMIT_BYTES = 65_000


def said(report, announced=frozenset(), limit_bytes=LIMIT_BYTES):
    """Take everything that is due, as (topic, body)."""
    found = []
    while due := report.due(announced, limit_bytes):
        report.said(due)
        found.append((due.publish.topic, json.loads(due.publish.payload)))
    return found


def test_everything_once_then_what_changes_and_everything_again_on_the_next_connection():
    board = Attributes()
    board.tell("", {"identity": "ab12", "ports": 4})
    first = Report(board, FORM)
    assert said(first) == [(OWN_ATTRIBUTES, {"identity": "ab12", "ports": 4})]
    assert said(first) == []
    board.tell("", {"ports": 5, "identity": "ab12"})
    assert said(first) == [(OWN_ATTRIBUTES, {"ports": 5})]
    assert said(Report(board, FORM)) == [(OWN_ATTRIBUTES, {"identity": "ab12", "ports": 5})]


def test_meters_wait_for_their_announcement_and_are_forgotten_with_the_registry():
    board = Attributes()
    board.tell("m1", {"meter_driver": "microstar"})
    board.tell("m2", {"meter_driver": "microstar"})
    report = Report(board, FORM)
    assert said(report) == []
    assert said(report, {"m1"}) == [(GATEWAY_ATTRIBUTES, {"m1": {"meter_driver": "microstar"}})]
    board.forget("m2")
    assert said(report, {"m1", "m2"}) == []


def test_only_a_change_wakes_the_uplink():
    board, woken = Attributes(), []
    board.wake = lambda: woken.append(board.version)
    board.tell("", {"a": 1})
    board.tell("", {"a": 1})
    board.tell("", {"b": None})
    board.forget("m9")
    assert woken == [1]
    board.tell("", {"a": None})
    assert (woken, dict(board.of(""))) == ([1, 2], {})


@pytest.mark.parametrize(("value", "text"), [
    ("00123456", '"#00123456"'), (True, "true"), (1, "1"), (2**63, f"{2**63}.0"), ("\0\ud800", '"?"'), ('"', '"\\""'),
])
def test_values_as_thingsboard_keeps_them(value, text):
    board = Attributes()
    board.tell("", {"k": value})
    assert Report(board, FORM).due(set(), LIMIT_BYTES).publish.payload == b'{"k":%b}' % text.encode()


def test_true_and_1_are_two_values():
    board = Attributes()
    board.tell("", {"k": 1})
    report = Report(board, FORM)
    said(report)
    board.tell("", {"k": "1"})
    assert said(report) == [(OWN_ATTRIBUTES, {"k": "#1"})]


def test_publications_stay_within_the_servers_size_and_what_fits_into_none_is_left_out():
    board = Attributes()
    board.tell("m", {f"k{number:02}": "x" * 30 for number in range(20)} | {"long": "y" * 5_000})
    report = Report(board, FORM)
    parts = []
    while due := report.due({"m"}, 200):
        assert len(due.publish.payload) <= 200
        report.said(due)
        parts.append(due.values)
    assert len(parts) == 5
    assert {key for part in parts for key in part} == {f"k{number:02}" for number in range(20)}
    assert len(board.of("m")["long"]) == MAX_TEXT_CHARS


async def test_against_the_server_over_a_cut(feed, run_uplink):
    """Told before the connection, changed on it, and all of it again after a cut; the meters' after their announcement."""
    board = Attributes()
    board.tell("", {"Version": "0.1.0"})
    board.tell("m0", {"meter_identity": "00042"})
    board.tell("never-read", {"meter_identity": "x"})
    async with ThingsBoard(Rules(TOKEN, gateway_name="gw")) as server, WireTap(("127.0.0.1", server.port)) as tap, \
            run_uplink(tap.port, attributes=board) as uplink:
        stored = server.contract.store.attributes
        await until(lambda: stored.get("gw") == {"Version": "0.1.0"})
        await feed.readings(5)
        await until(lambda: stored.get("m0") == {"meter_identity": "#00042"})
        topics = [published.topic for published in tap.published]
        assert topics.index("v1/gateway/connect") < topics.index(GATEWAY_ATTRIBUTES)
        board.tell("", {"radio_driver": "morse_sdio"})
        await until(lambda: stored["gw"] == {"Version": "0.1.0", "radio_driver": "morse_sdio"})
        stored.clear()
        tap.reset()
        await until(lambda: stored.get("gw") == {"Version": "0.1.0", "radio_driver": "morse_sdio"})
        await feed.readings(5)
        await until(lambda: "m0" in stored)
        assert set(stored) == {"gw", "m0"}
        assert uplink.state().connections == 2


async def test_a_refusal_is_told_and_stops_no_reading(feed, run_uplink, caplog):
    board = Attributes()
    board.tell("", {"k": "v"})
    rules = Rules(TOKEN, gateway_name="gw", refuse_attributes=ReasonCode.PAYLOAD_FORMAT_INVALID)
    async with ThingsBoard(rules) as server, run_uplink(server.port, attributes=board) as uplink:
        await feed.readings(20)
        await uplink.drained()
        await until(lambda: "refuses attributes of the gateway: 0x99" in caplog.text)
        assert (server.contract.store.attributes, uplink.state().connections) == ({}, 1)


def test_nameplates_follow_the_registry_and_their_names_stand_in_the_contract():
    class Registry:
        enrolled = None

    class Profiles(dict):
        generation = 1

    registry, board = Registry(), Attributes()
    plates = Nameplates("ab12", registry, Profiles(load_profiles()), board)
    plates.look()
    assert board.devices() == ()
    meter = Meter("one", "192.0.2.1", 4059, profile="microstar")
    registry.enrolled = (Enrolled(meter, "", Learned(identity="MSX1")),)
    plates.look()
    assert board.of("one") == {"meter_identity": "MSX1", "meter_driver": "microstar",
                               "meter_vendor": load_profiles()["microstar"].vendor}
    contract = tomllib.loads((Path(__file__).parents[2] / "cloud/keys.toml").read_text())["attribute"]
    assert set(board.of("one")) <= {entry["name"] for entry in contract if entry["device"] in ("meter", "any")}
    assert all(set(entry) - {"pattern"} == {"name", "device", "type", "unit", "meaning"} for entry in contract)
    registry.enrolled = ()
    plates.look()
    assert board.devices() == ()

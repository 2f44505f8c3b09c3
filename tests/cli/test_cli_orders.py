"""Orders at the shell: what is asked of the gateway, what is shown, and what is not even asked."""

import json
import sys
from typing import Any

import pytest
from cli_site import Site

from edge.commands import orders
from edge.commands.who import LIMIT, who
from edge.model import Meter

CLOSED = {"state": "connected (control mode 4)", "output": "closed", "control_state": "connected", "control_mode": 4}
VALUES = {"values": [
    {"class": 3, "obis": "1-0:32.7.0.255", "attribute": 2, "type": "long-unsigned", "value": 2301, "scaled": "230.1", "unit": "V"},
    {"class": 8, "obis": "0-0:1.0.0.255", "attribute": 2, "error": "object undefined (4)"}]}


def done(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"phase": "waiting"}, {"phase": "running"}, {"phase": "done", "result": result, "error": ""}]


def test_a_status_is_asked_and_shown(site: Site) -> None:
    with site.daemon(orders=done(CLOSED)) as asked:
        assert site.good("meter", "relay", "m1", "status") == "m1: connected (control mode 4)\n"
    assert asked[0]["ask"] == {"kind": "relay", "order": "status"}
    assert asked[0]["meter"] == "m1"
    assert asked[0]["by"]


@pytest.mark.parametrize(("changed", "more"), [(True, ""), (False, ", as it was")])
def test_switching_confirmed_by_option(site: Site, changed: bool, more: str) -> None:
    with site.daemon(orders=done(CLOSED | {"changed": changed, "summary": ""})) as asked:
        assert site.good("meter", "relay", "m1", "on", "--yes") == f"m1: connected (control mode 4){more}\n"
    assert asked[0]["ask"] == {"kind": "relay", "order": "on", "confirm": "m1"}


def test_switching_confirmed_at_the_terminal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "sys", type("S", (), {"stdin": type("T", (), {"isatty": staticmethod(lambda: True)})}))
    with site.daemon(orders=done(CLOSED | {"changed": True})) as asked:
        shown = site.good("meter", "relay", "m1", "off", "--json", stdin="m1\n")
    assert shown.startswith("Type the meter's name to switch its supply off: ")
    assert json.loads(shown[shown.index("{"):])["output"] == "closed"
    assert asked[0]["ask"]["confirm"] == "m1"


def test_switching_is_never_confirmed_by_a_pipe(site: Site) -> None:
    assert "no terminal to ask at; give --yes" in site.misused("meter", "relay", "m1", "off", stdin="m1\n")


@pytest.mark.parametrize("phase", ["failed", "expired"])
def test_what_went_wrong_is_one_line(site: Site, phase: str) -> None:
    with site.daemon(orders=[{"phase": phase, "result": None, "error": "the meter refuses: other reason (250)"}]):
        assert site.refused("meter", "relay", "m1", "on", "--yes") == ["m1: the meter refuses: other reason (250)"]


def test_values_are_shown_typed_and_scaled(site: Site) -> None:
    with site.daemon(orders=done(VALUES)) as asked:
        shown = site.good("meter", "get", "m1", "3/1-0:32.7.0@2", "0-0:1.0.0")
    assert asked[0]["ask"] == {"kind": "get", "targets": ["3/1-0:32.7.0@2", "0-0:1.0.0"]}
    assert shown == ("3/1-0:32.7.0.255@2  long-unsigned 2301  = 230.1 V\n"
                     "8/0-0:1.0.0.255@2  not read: object undefined (4)\n")
    with site.daemon(orders=done(VALUES)):
        assert json.loads(site.good("meter", "get", "m1", "1-0:32.7.0", "--json")) == VALUES["values"]


def test_nothing_read_is_a_failure(site: Site) -> None:
    with site.daemon(orders=done({"values": VALUES["values"][1:]})):
        assert site.refused("meter", "get", "m1", "0-0:1.0.0") == ["m1: nothing could be read"]


def test_set_and_action(site: Site) -> None:
    with site.daemon(orders=done({"summary": "the meter has taken it"})) as asked:
        assert site.good("meter", "set", "m1", "0-0:96.3.10@4", "enum:4") == "m1: the meter has taken it\n"
    assert asked[0]["ask"] == {"kind": "set", "target": "0-0:96.3.10@4", "value": "enum:4"}
    with site.daemon(orders=done({"summary": "done", "data": {"type": "unsigned", "value": 5}})) as asked:
        assert site.good("meter", "action", "m1", "7/1-0:99.1.0@1") == "m1: done\nunsigned 5\n"
    assert asked[0]["ask"] == {"kind": "action", "target": "7/1-0:99.1.0@1", "value": ""}
    with site.daemon(orders=done({"summary": "done"})):
        assert json.loads(site.good("meter", "action", "m1", "7/1-0:99.1.0@1", "i8:0", "--json")) == {"summary": "done"}


def test_permissions(site: Site) -> None:
    with site.registry() as registry:
        registry.add(Meter("m1", "10.0.0.1", 4059))
    assert site.good("meter", "permit", "m1", "relay") == (
        "m1: relay is permitted.\nIt takes effect when the settings allow any switching: [relay] allow = true.\n")
    site.configure("[relay]\nallow = true\n")
    assert site.good("meter", "permit", "m1", "relay") == "m1: relay is permitted already.\n"
    assert "relay" in site.good("meter", "show", "m1")
    assert json.loads(site.good("meter", "show", "m1", "--json"))["permitted"] == ["relay"]
    assert site.good("meter", "forbid", "m1", "relay") == "m1: relay is forbidden.\n"
    assert "no meter is named 'm2'" in site.refused("meter", "permit", "m2", "relay")[0]


def test_who_gives_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setenv("SSH_CONNECTION", "10.1.2.3 50000 10.1.2.4 22")
    assert who().startswith("alice as ")
    assert who().endswith(" from 10.1.2.3")
    monkeypatch.setenv("SUDO_USER", "x" * 300 + "\x1b[2J")
    assert len(who()) == LIMIT
    assert who().isprintable()
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.delenv("SSH_CONNECTION")
    monkeypatch.setattr(sys, "stdin", None)
    assert " as " not in who()

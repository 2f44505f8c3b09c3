"""Who is connected and active at the server: true for each meter, over silence, cuts and changes of the registry."""

import asyncio
import itertools
import json
import time

import pytest
from uplink_bench import READING, TOKEN, until

from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.model import Field, Kind, Record, Schema, Stream
from edge.uplink import drain, presence, uplink
from edge.uplink.arrivals import Loss
from edge.uplink.presence import LINGER_S, LOOK_S, Presence
from edge.uplink.takeover import SHORT_IN_ROW, SUSPECTED, Takeover
from edge.uplink.thingsboard import announce

FAILURE = Schema(Kind.FAILURE, (Field("reason"), Field("detail")), "three-phase")


@pytest.fixture
async def server(monkeypatch):
    monkeypatch.setattr(drain, "TICK_S", 0.05)
    monkeypatch.setattr(presence, "LOOK_S", 0.05)
    monkeypatch.setattr(presence, "LINGER_S", 0.1)
    async with ThingsBoard(Rules(TOKEN, gateway_name="gw")) as made:
        yield made


def test_a_silent_meter_leaves_once_nothing_was_sent_of_it_for_a_while():
    silent = {"A"}
    here = Presence(silent.__contains__)
    connects = {name: announce(name, "") for name in "AB"}
    for name, _ in here.missing(connects):
        assert here.may_ask(name)
        here.asked(name)
        assert not here.may_ask(name)
    here.answered("A", taken=True)
    here.answered("B", taken=False)
    assert (here.connected, [name for name, _ in here.missing(connects)]) == ({"A"}, ["B"])
    assert here.may_ask("B")
    here.sent(connects, 100.0)
    assert here.leaving(100.0 + LINGER_S - 1) == []
    assert here.leaving(100.0 + LINGER_S) == [], "looked a moment ago"
    assert here.leaving(100.0 + LINGER_S + LOOK_S) == ["A"]
    before = here.changes
    here.left("A")
    assert (here.connected, here.changes) == (set(), before + 1)


async def test_a_silent_meter_is_disconnected_and_does_not_look_active_for_its_failures(server, ring, clock, run_uplink):
    devices, store, silent = server.contract.devices, server.contract.store, set()

    async def reading(meter, number):
        await ring.append(Stream.INSTANT, Record(READING, meter, clock.stamp(), (23_000, number, "x")))

    async with run_uplink(server.port, silent=silent.__contains__) as running:
        await reading("A", 1)
        await reading("B", 2)
        await running.drained()
        assert devices.of("A").connected
        silent.add("A")
        await until(lambda: not devices.of("A").connected)
        heard_at = devices.of("A").last_activity
        await ring.append(Stream.INSTANT, Record(FAILURE, "A", clock.stamp(), ("no_answer", "x")))
        await ring.append(Stream.INSTANT, Record(FAILURE, "B", clock.stamp(), ("no_answer", "y")))
        await running.drained()
        assert (devices.of("A").connected, devices.of("A").last_activity) == (False, heard_at)
        assert devices.of("B").connected
        assert [json.loads(value) for (whose, key, _), value in store.points.items() if (whose, key) == ("gw", "silent_meter")] == [
            {"meter": "A", "poll_ok": False, "poll_fail_reason": "no_answer", "poll_fail_detail": "x"}]
        silent.clear()
        await reading("A", 3)
        await running.drained()
        assert devices.of("A").connected, "with its first value"
        assert (store.announced["A"], store.retired["A"], store.profiles["A"]) == (2, 1, "three-phase")
        assert store.retired["B"] == 0
        calls = server.contract.call("A", "latest")
        assert calls.status == "SENT"


async def test_after_a_cut_only_who_speaks_is_connected_again(server, ring, clock, run_uplink):
    silent = set()
    async with run_uplink(server.port, silent=silent.__contains__) as running:
        for meter in "AB":
            await ring.append(Stream.INSTANT, Record(READING, meter, clock.stamp(), (23_000, 1, "x")))
        await running.drained()
        silent.add("A")      # removed, paused, or not heard
        await server.outage()
        await server.restore()
        await until(lambda: running.state().connections == 2)
        await ring.append(Stream.INSTANT, Record(READING, "B", clock.stamp(), (23_000, 2, "x")))
        await running.drained()
        devices = server.contract.devices
        assert (devices.of("A").connected, devices.of("B").connected) == (False, True)


async def test_a_backlog_of_a_meter_that_is_silent_now_connects_it_for_as_long_as_it_takes(server, ring, clock, run_uplink):
    for number in range(50):
        await ring.append(Stream.INSTANT, Record(READING, "A", clock.stamp(), (23_000, number, "x")))
    async with run_uplink(server.port, silent=lambda _meter: True) as running:
        await running.drained()
        await until(lambda: server.contract.store.retired["A"])
        assert not server.contract.devices.of("A").connected
        assert server.contract.store.retired["A"] == 1, "not after each piece"


# ---- another client with our identity


def test_a_takeover_is_raised_once_and_cleared_once():
    takeover, told = Takeover(), Loss("another client logged in", 0x8E)
    first = takeover.ended(told, 0.5)
    assert (first.name, first.raised, first.device) == ("uplink_takeover", True, "")
    assert takeover.ended(told, 0.5) is None
    assert takeover.count == 2
    assert not takeover.steady().raised
    assert takeover.steady() is None
    assert takeover.ended(told, 700.0).raised


def test_one_that_an_earlier_start_raised_is_cleared():
    assert not Takeover().steady().raised


def test_connections_that_others_close_at_once_are_suspected():
    takeover = Takeover()
    closed, ours = Loss("the connection was lost"), None
    assert [takeover.ended(closed, 1.0) for _ in range(SHORT_IN_ROW - 1)] == [None] * (SHORT_IN_ROW - 1)
    takeover.ended(ours, 1.0)
    assert [takeover.ended(closed, 1.0) for _ in range(SHORT_IN_ROW - 1)] == [None] * (SHORT_IN_ROW - 1)
    assert takeover.ended(closed, 300.0) is None, "one that lasted"
    assert [takeover.ended(closed, 1.0) for _ in range(SHORT_IN_ROW)][-1].detail == SUSPECTED


async def test_two_with_one_identity_do_not_fight(server, run_uplink, monkeypatch):
    monkeypatch.setattr(uplink, "CLEAR_S", 0.3)
    logins, opened, alarms = [], server.contract.opened, []
    server.contract.opened = lambda send: (logins.append(time.monotonic()), opened(send))
    async with run_uplink(server.port, backoff_first_s=0.02, backoff_max_s=10.0, alarm=alarms.append) as one:
        async with run_uplink(server.port, backoff_first_s=0.02, backoff_max_s=10.0):
            await until(lambda: one.state().takeovers >= 4, timeout_s=30)
        gaps = [later - earlier for earlier, later in itertools.pairwise(logins)]
        assert sum(gaps) >= 0.02 * (1 + 2 + 4) / 2, "each rests twice as long as before"
        async with asyncio.timeout(20):
            while len(alarms) < 2:
                await asyncio.sleep(0.02)
    assert [alarm.values[:2] for alarm in alarms[:2]] == [("uplink_takeover", "raised"), ("uplink_takeover", "cleared")]

"""An edge node of Sparkplug B at a real Mosquitto, judged by a host application on paho and the official decoder."""

import itertools

import pytest
from sparkplug_oracle import HostApplication
from uplink_bench import until
from wiretap import WireTap

from edge.model import Field, Kind, Record, Schema, Stamp, Stream
from edge.uplink.attributes import Attributes

QUICK = {"dialect": "sparkplug", "sparkplug_group": "utility", "batch_bytes": 256}
MIXED = [Schema(Kind.READING, (Field("active_energy", scaler, "Wh"), Field("note")), "three-phase") for scaler in (0, -1)]


async def emptied(ring, timeout_s=20):
    await until(lambda: not any(ring.backlog(stream).records for stream in Stream), timeout_s)


def numbers(places, values):
    return sorted(values[place] for place in places if place[1] == "active_energy")


def counted(start=0):
    """A bdSeq that is kept nowhere."""
    found = itertools.count(start)

    async def following():
        return next(found) % 256
    return following


@pytest.mark.parametrize("mqtt", ["5", "3.1.1"])
async def test_births_come_before_data_and_every_value_once(mosquitto, ring, feed, run_uplink, mqtt):
    async with HostApplication(mosquitto.port) as host:
        book = host.book
        async with run_uplink(mosquitto.port, **QUICK, mqtt=mqtt, next_bdseq=counted(7)) as uplink:
            await feed.readings(900)
            await feed.health(17)
            await emptied(ring)
            assert uplink.state().acked_records == 901
            await host.until(lambda: len(numbers(book.values, book.values)) == 900)
        assert book.verbs[0] == "NBIRTH"
        assert numbers(book.values, book.values) == list(range(900))
        assert {value for (_, name, _), value in book.values.items() if name == "voltage_l1"} == {(23_000 + n) / 100 for n in range(100)}
        assert book.units()["m1", "voltage_l1"] == "V"
        assert len(book.verbs) > 256                      # seq went round
        await host.until(lambda: book.deaths)
        assert (set(book.births), set(book.deaths), book.online) == ({7}, {7}, False)      # said by the node as it left
        assert (book.faults, book.copies) == ([], 0)


async def test_nothing_is_lost_over_outages_and_what_came_late_is_history(mosquitto, ring, feed, run_uplink, clock):
    async with HostApplication(mosquitto.port) as host, WireTap(("127.0.0.1", mosquitto.port)) as tap:
        book = host.book
        async with run_uplink(tap.port, **QUICK, window_messages=8, ack_timeout_s=0.6, next_bdseq=counted()) as uplink:
            await feed.readings(100)
            await until(lambda: uplink.state().acked_records >= 20)
            tap.blackhole()                               # publications at QoS 0 go nowhere, and no error tells it
            await feed.readings(100)
            await until(lambda: uplink.state().last_error == (
                "no answer to the ping behind what was sent at QoS 0 within 0.6 s: the link is taken for dead"))
            long_ago = clock.stamp()
            old = Record(MIXED[0], "m1", Stamp(long_ago.boottime_ms - 3_600_000, long_ago.wall_ms - 3_600_000, long_ago.boot_id, True), (1_000, "old"))
            await ring.append(Stream.BILLING, old)
            tap.heal()
            await emptied(ring)
            tap.reset()
            await feed.readings(100)
            await emptied(ring)
            await host.until(lambda: len(numbers(book.values, book.values)) == 301)
            await host.until(lambda: len(book.deaths) >= 2)
        assert book.faults == []
        assert numbers(book.values, book.values) == [*range(300), 1_000]
        assert 1_000 in numbers(book.history, book.values)
        assert 1_000 not in numbers(book.current, book.values)
        assert set(range(290, 300)) <= set(numbers(book.current, book.values))      # fresh again
        births = [verb for verb in book.verbs if verb.endswith("BIRTH") or "BIRTH " in verb]
        assert book.births == sorted(set(book.births))                              # a number more for each CONNECT, answered or not
        assert len(book.births) >= 3
        assert all(f"DBIRTH m{n}" in births[-5:] for n in range(5))                 # known devices right after the node


async def test_a_host_that_asks_gets_all_births_again_and_writes_nothing_else(mosquitto, ring, feed, run_uplink, monkeypatch):
    monkeypatch.setattr("edge.uplink.sparkplugnode.REBIRTH_REST_S", 0.5)
    async with HostApplication(mosquitto.port) as host, run_uplink(mosquitto.port, **QUICK, next_bdseq=counted(255)):
        book = host.book
        await feed.readings(20)
        await emptied(ring)
        await host.until(lambda: len(numbers(book.values, book.values)) == 20)
        before = len(book.verbs)
        host.client.publish("spBv1.0/utility/NCMD/gw", b"\xff\xff", qos=0)              # no payload at all
        host.command(("Node Control/Reboot", True), ("active_energy", True))
        host.command(("Node Control/Rebirth", False))
        for _ in range(50):
            host.command(("Node Control/Rebirth", True))
        await host.until(lambda: len(book.verbs) >= before + 6)
        await feed.readings(20)
        await emptied(ring)
        await host.until(lambda: len(numbers(book.values, book.values)) == 40)
        again = book.verbs[before:]
        assert again[:6] == ["NBIRTH", *(f"DBIRTH m{n}" for n in range(5))]
        assert again.count("NBIRTH") <= 10                # fifty wishes within the rest are one, and a few that came late
        assert set(book.births) == {255}
        assert book.faults == []


async def test_without_its_primary_host_a_node_keeps_everything(mosquitto, ring, feed, run_uplink):
    async with HostApplication(mosquitto.port, "Versorgung Süd", host_id="scada") as host, run_uplink(
            mosquitto.port, **(QUICK | {"sparkplug_group": "Versorgung Süd"}), sparkplug_primary_host="scada",
            next_bdseq=counted()) as uplink:
        book = host.book
        await until(lambda: uplink.state().connected)
        await feed.readings(30)
        assert uplink.state().waits_for == "the primary host 'scada' has not told its STATE"
        host.state(1_000, online=False)
        await until(lambda: "offline" in uplink.state().waits_for)
        assert (book.verbs, uplink.state().sent_records, uplink.state().connections) == ([], 0, 1)
        host.state(2_000, online=True)
        await emptied(ring)
        host.state(1_500, online=False)                   # of a session that the host has left behind
        await feed.readings(30)
        await emptied(ring)
        await host.until(lambda: len(numbers(book.values, book.values)) == 60)
        assert (book.online, book.births) == (True, [0])
        host.state(2_000, online=False)
        await host.until(lambda: 0 in book.deaths)
        await until(lambda: uplink.state().connections == 2)
        await feed.readings(30)
        await until(lambda: ring.backlog(Stream.INSTANT).records == 30)
        assert book.births == [0]
        host.state(3_000, online=True)
        await host.until(lambda: len(numbers(book.values, book.values)) == 90)
        assert (book.births, book.faults) == ([0, 1], [])


async def test_a_meter_that_falls_silent_dies_and_comes_back(mosquitto, ring, feed, run_uplink, clock, monkeypatch):
    monkeypatch.setattr("edge.uplink.sparkplugnode.LINGER_S", 0.2)
    monkeypatch.setattr("edge.uplink.sparkplugnode.LOOK_S", 0.05)
    monkeypatch.setattr("edge.uplink.drain.TICK_S", 0.05)
    silent = set()
    failure = Schema(Kind.FAILURE, (Field("reason"), Field("detail")), "three-phase")
    async with HostApplication(mosquitto.port) as host, run_uplink(
            mosquitto.port, **QUICK, silent=silent.__contains__, next_bdseq=counted()):
        book = host.book
        await feed.readings(10)
        await host.until(lambda: len(numbers(book.values, book.values)) == 10)
        silent.add("m3")
        await host.until(lambda: "DDEATH m3" in book.verbs)
        dead = len(book.verbs)
        await ring.append(Stream.INSTANT, Record(failure, "m3", clock.stamp(), ("timeout", "no answer")))
        await host.until(lambda: any(name == "silent_meter" for _, name, _ in book.values))
        assert [verb for verb in book.verbs[dead:] if verb.endswith("m3") and verb != "DBIRTH m3"] == []
        silent.clear()
        await feed.readings(10)
        await host.until(lambda: len(numbers(book.values, book.values)) == 20)
        assert book.verbs[dead:].count("DDEATH m3") == 0
        assert "DBIRTH m3" in book.verbs[dead:]
        assert book.faults == []


async def test_what_a_thing_is_stands_in_its_birth(mosquitto, ring, feed, run_uplink):
    board = Attributes()
    board.tell("", {"identity": "ab12", "paths": 2})
    board.tell("m1", {"meter_identity": "00123456"})
    board.tell("m9", {"meter_identity": "never heard"})
    async with HostApplication(mosquitto.port) as host, run_uplink(mosquitto.port, **QUICK, attributes=board):
        told = host.book.declared
        await feed.readings(10)
        await emptied(ring)
        await host.until(lambda: ("m1", "Properties/meter_identity") in told)
        assert (told["", "Properties/identity"], told["", "Properties/paths"]) == ("ab12", 2)
        assert told["m1", "Properties/meter_identity"] == "00123456"
        board.tell("m1", {"meter_identity": "00123457"})
        await host.until(lambda: told["m1", "Properties/meter_identity"] == "00123457")
        board.tell("", {"identity": "cd34"})
        await host.until(lambda: told["", "Properties/identity"] == "cd34")
        await host.until(lambda: host.book.verbs[-1].startswith("DBIRTH"))
        assert not any(verb.endswith("m9") for verb in host.book.verbs)
        assert host.book.faults == []


async def test_a_tag_that_needs_another_type_is_declared_anew_before_its_value(mosquitto, ring, run_uplink, clock):
    async with HostApplication(mosquitto.port) as host, run_uplink(mosquitto.port, **(QUICK | {"batch_bytes": 4_096}), order="oldest", next_bdseq=counted()):
        for n, values in enumerate([(5, "a"), (-7, 3), (25, "b"), (None, 4)]):
            await ring.append(Stream.INSTANT, Record(MIXED[n // 2], "m1", clock.stamp(), values))
        await host.until(lambda: sum(name == "note" for _, name, _ in host.book.values) == 4)
        ordered = sorted(host.book.values.items(), key=lambda item: item[0][2])
        assert [value for (_, name, _), value in ordered if name == "active_energy"] == [5, -7, 2.5]
        assert [value for (_, name, _), value in ordered if name == "note"] == ["a", "3", "b", "4"]
        assert host.book.faults == []

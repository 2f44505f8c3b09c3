"""Radio peers joined to meters, and what of it reaches the ring."""

import asyncio
from dataclasses import replace

import pytest

from edge.clock import SystemClock
from edge.daemon import links
from edge.daemon.links import LinkDesk
from edge.daemon.radioseen import RadioSeen
from edge.model import Kind, Meter, Record
from halow.model import Grade, LinkState, RadioFacts, RadioState
from halow.neighbours import Neighbours

NEAR, FAR, STRANGER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
RADIO = RadioState(present=True, since=0.0, facts=RadioFacts("wlan1", "simulated", "02:00:00:00:00:00", channel="S1G 38"))
METERS = (Meter("by-mac", "192.0.2.9", 4059, mac=NEAR), Meter("by-address", "192.0.2.7", 4059), Meter("unknown", "192.0.2.8", 4059))


def state(mac: str, rssi_dbm: float, grade: Grade = Grade.GOOD, *, changed: bool = False) -> LinkState:
    return LinkState(mac, grade, changed=changed, rssi_avg_dbm=rssi_dbm, rssi_min_dbm=round(rssi_dbm) - 2, rssi_max_dbm=round(rssi_dbm) + 2)


class Bench:
    """A desk whose records can be awaited."""

    def __init__(self, record_interval_s: float, seen: RadioSeen | None = None) -> None:
        self.records: list[Record] = []
        self.alarms: list[Record] = []
        self.news = asyncio.Event()
        self.desk = LinkDesk(lambda: METERS, self.keep, SystemClock(trust_wall=True), record_interval_s, tell=self.alarms.append, seen=seen)

    def keep(self, record: Record) -> None:
        self.records.append(record)
        self.news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.records) < count:
                self.news.clear()
                await self.news.wait()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.desk.run(dict, lambda _within_s: None))
        return self

    async def __aexit__(self, *_exc):
        self.task.cancel()
        await asyncio.wait({self.task})


@pytest.fixture(autouse=True)
def neighbour_table(monkeypatch: pytest.MonkeyPatch):
    """The machine's own table is read by tests of halow; here it is what the test says."""
    table = {"192.0.2.7": FAR}

    async def neighbours() -> Neighbours:
        return Neighbours(table, "test")

    monkeypatch.setattr(links, "neighbours", neighbours)
    return table


async def test_each_meter_gets_the_link_of_its_peer_and_strangers_are_the_gateways():
    async with Bench(0.05) as bench:
        bench.desk.heard((state(NEAR, -61.26), state(FAR, -88.0, Grade.FAIR), state(STRANGER, -70.0)), RADIO)
        await bench.until(4)       # the radio's appearance first, then all peers when the interval is over
    by_device = {record.device: dict(zip((f.key for f in record.schema.fields), record.values, strict=True)) for record in bench.records}
    assert set(by_device) == {"", "by-mac", "by-address"}
    assert by_device["by-mac"]["link_rssi_dbm"] == -613, "tenths of a dB, as the field's scaler says"
    assert by_device["by-address"]["link_grade"] == "fair"
    own = by_device[""]
    assert (own["link_peer_count"], own["link_worst_peer"], own["link_channel"]) == (3, FAR, "S1G 38")
    assert own["link_peer_020000000003_rssi_dbm"] == -700
    assert "link_peer_020000000001_rssi_dbm" not in own
    assert {record.schema.kind for record in bench.records} == {Kind.LINK}


async def test_a_grade_change_is_written_at_once_and_only_for_that_peer():
    async with Bench(3_600) as bench:
        bench.desk.heard((state(NEAR, -61), state(FAR, -75)), RADIO)
        await bench.until(1)
        bench.desk.heard((state(NEAR, -61), state(FAR, -92, Grade.POOR, changed=True)), RADIO)
        bench.desk.heard((state(NEAR, -61), state(FAR, -92, Grade.POOR)), RADIO)
        await bench.until(3)
    assert [record.device for record in bench.records] == ["", "", "by-address"]


async def test_a_radio_that_goes_away_is_told_at_once():
    async with Bench(3_600) as bench:
        bench.desk.heard((), RADIO)
        await bench.until(1)
        bench.desk.heard((), RadioState(present=False, since=1.0, reason="interface_gone", detail="gone", absences=1))
        await bench.until(2)
    values = dict(zip((f.key for f in bench.records[-1].schema.fields), bench.records[-1].values, strict=True))
    assert (values["link_radio_state"], values["link_radio_reason"]) == ("absent", "interface_gone")


async def test_a_radio_that_does_not_come_up_again_is_an_alarm_and_one_that_never_was_is_none(tmp_path, monkeypatch):
    clock = SystemClock(trust_wall=True)
    monkeypatch.setattr(clock, "monotonic", lambda: 180.0)
    absent = RadioState(present=False, since=0.0, reason="no_interface", detail="no wireless interface")

    async def started(*looks: RadioState) -> list[tuple[str, str]]:
        async with Bench(3_600, RadioSeen(tmp_path, clock)) as bench:
            for number, look in enumerate(looks, start=1):
                bench.desk.heard((), look)
                await bench.until(number)
        return [record.values[:2] for record in bench.alarms]

    assert await started(absent) == [], "no radio is no fault"
    assert await started(RADIO) == []
    assert await started(replace(absent, since=1.0)) == [], "its driver may be late"
    assert await started(absent, RADIO) == [("radio_absent", "raised"), ("radio_absent", "cleared")]
    assert (tmp_path / "radio.seen").exists()


async def test_without_a_neighbour_table_the_registered_mac_still_joins(monkeypatch: pytest.MonkeyPatch):
    async def closed() -> Neighbours:
        raise PermissionError("netlink is closed to this process")

    monkeypatch.setattr(links, "neighbours", closed)
    async with Bench(0.05) as bench:
        bench.desk.heard((state(NEAR, -61), state(FAR, -75)), RADIO)
        await bench.until(3)
    assert {record.device for record in bench.records} == {"", "by-mac"}


async def test_a_meters_host_is_compared_as_an_address_not_as_text(neighbour_table):
    neighbour_table.clear()
    neighbour_table["2001:db8::7"] = FAR
    bench = Bench(0.05)
    bench.desk.heard((state(FAR, -75),), RADIO)
    await bench.desk._learn_neighbours()
    assert bench.desk.peer_of(Meter("six", "2001:DB8:0::7", 4059)).mac == FAR
    assert bench.desk.peer_of(Meter("named", "meter.example", 4059)) is None


async def test_an_interval_gives_one_record_whatever_the_loops_timers_round_to():
    """uvloop counts in whole milliseconds: its timers may fire before `due`, and once gave ten records instead of one."""
    async with Bench(0.0503) as bench:
        bench.desk.heard((), RADIO)
        await bench.until(1)
        began = asyncio.get_running_loop().time()
        await bench.until(12)
        assert asyncio.get_running_loop().time() - began >= 10 * 0.0503


@pytest.mark.parametrize("turns", range(6))
async def test_an_end_that_comes_together_with_news_is_not_swallowed(turns):
    bench = Bench(3_600)
    task = asyncio.create_task(bench.desk.run(dict, lambda _within_s: None))
    await asyncio.sleep(0.01)
    bench.desk.heard((), RADIO)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=2)
    assert task.cancelled()


async def test_two_hundred_peers_and_five_hundred_meters_do_not_hold_up_the_loop(neighbour_table, monkeypatch):
    macs = [f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(200)]
    meters = tuple(Meter(f"m{number}", f"10.0.{number >> 8}.{number & 255}", 4059) for number in range(500))
    neighbour_table.update({meter.host: macs[number % 200] for number, meter in enumerate(meters)})
    walks = 0

    class Walked(tuple):
        __slots__ = ()

        def __iter__(self):
            nonlocal walks
            walks += 1
            return super().__iter__()

    bench = Bench(3_600)
    monkeypatch.setattr(bench.desk, "_meters", lambda: meters)
    bench.desk.heard(Walked(state(mac, -70) for mac in macs), RADIO)
    await bench.desk._learn_neighbours()
    bench.desk._write(set(macs), {})
    assert len(bench.records) == 501
    assert walks < 10, "not once per meter"


async def test_a_link_that_is_lost_is_an_alarm_of_its_meter():
    async with Bench(60.0) as bench:
        bench.desk.heard((state(NEAR, -70.0, changed=True),), RADIO)
        await bench.until(1)
        lost = LinkState(NEAR, Grade.LOST, changed=True, lost_because="disassociated (reason 4: inactivity)")
        bench.desk.heard((lost,), RADIO)
        async with asyncio.timeout(5):
            while len(bench.alarms) < 2:
                bench.news.clear()
                await bench.news.wait()
    assert [(record.device, record.values[:2]) for record in bench.alarms] == [
        ("by-mac", ("link_lost", "raised")), ("by-mac", ("link_poor", "raised"))]
    assert "reason 4: inactivity" in str(bench.alarms[0].values[3])
    assert bench.alarms[0].schema.kind is Kind.ALARM


async def test_a_lost_meter_that_has_left_the_neighbour_table_is_lost_still(neighbour_table):
    bench = Bench(3_600)
    bench.desk.heard((state(FAR, -75),), RADIO)
    await bench.desk._learn_neighbours()
    bench.desk.heard((LinkState(FAR, Grade.LOST, changed=True, lost_because="silent"),), RADIO)
    bench.desk._write({FAR}, {})
    neighbour_table.clear()      # nobody answers ARP there: the entry has failed
    await bench.desk._learn_neighbours()
    bench.desk._write(set(), {})
    assert [record.values[:2] for record in bench.alarms] == [("link_lost", "raised"), ("link_poor", "raised")]
    neighbour_table["192.0.2.7"] = NEAR
    await bench.desk._learn_neighbours()
    bench.desk.heard((state(NEAR, -75),), RADIO)
    bench.desk._write(set(), {})
    assert {record.values[1] for record in bench.alarms[2:]} == {"cleared"}, "another peer has the address now"

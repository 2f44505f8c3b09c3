"""A meter whose address changed is found again: real registry, real pollers, real TCP on loopback nets."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from discovery_bench import NAME, ciphered, hdlc, impostor, standing
from poll_bench import PASSWORD, QUICK, Sink, meter_settings, slower

from edge.clock import SystemClock
from edge.config import DiscoverySettings
from edge.daemon import enrolment as enrolment_module
from edge.daemon import finder as finder_module
from edge.daemon.enrolment import Enrolment
from edge.daemon.finder import Finder
from edge.demo.meter_tcp import SimulatedMeter
from edge.health.promise import Promises
from edge.health.supervise import RestartPolicy
from edge.meters.library import Library
from edge.model import Learned, Meter, Record
from edge.poll.fleet import Fleet
from edge.store.registry import Registry
from halow.neighbours import Neighbours

POLL = slower(QUICK, interval_s=0.1, breaker_failures=2, breaker_open_s=0.2, breaker_open_max_s=0.3, connect_timeout_s=2.0)
SUBNET = "127.0.0.48/28"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The neighbour table is what the test says; looks come at once."""
    table: dict[str, str] = {}

    async def neighbours() -> Neighbours:
        return Neighbours(dict(table), "test")

    monkeypatch.setattr(finder_module, "neighbours", neighbours)
    monkeypatch.setattr(finder_module, "LOOK_S", 0.05)
    monkeypatch.setattr(enrolment_module, "LOOK_S", 0.2)
    return table


class Site:
    """Registry, pollers and finder, as the daemon has them."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.path = path
        self.sink = Sink()
        self.events: list[Record] = []
        self.news = asyncio.Event()
        clock = SystemClock(trust_wall=True)
        library = Library(path.parent / "profiles")
        self.enrolment = Enrolment(path, library)
        self.fleet = Fleet(library, settings=POLL, sink=self.sink, on_learned=self.enrolment.keep_learned, clock=clock, promises=Promises(),
                           rng=random.Random(1), policy=RestartPolicy(vital=False, enabled=False))
        told = {"subnet": SUBNET, "missing_after_s": 0.3, "probe_interval_s": 0.001, "sweep_rest_s": 0.5, "answer_s": 1.0} | settings
        self.finder = Finder(DiscoverySettings(**told), self.enrolment, library, self.fleet.states, self.fleet.turnstile.gate, self.tell, clock)

    def tell(self, record: Record) -> None:
        self.events.append(record)
        self.news.set()

    async def event(self, name: str) -> Record:
        async with asyncio.timeout(30):
            while True:
                for record in self.events:
                    if record.values[0] == name:
                        return record
                self.news.clear()
                await self.news.wait()

    def hosts(self) -> Mapping[str, str]:
        with Registry.open(self.path) as registry:
            return {meter.name: meter.host for meter in registry.list()}

    async def reading_of(self, name: str) -> None:
        have = sum(record.device == name for record in self.sink.readings())
        await self.sink.until(lambda _: sum(record.device == name for record in self.sink.readings()) > have, 30.0)

    async def missing(self, name: str, reason: str) -> None:
        await self.sink.until(lambda records: any(record.device == name and record.values[0] == reason for record in records), 30.0)


@asynccontextmanager
async def site(tmp_path: Path, rows: Mapping[SimulatedMeter, Meter], *, learned: bool = True, **settings: object) -> AsyncIterator[Site]:
    path = tmp_path / "state" / "registry.db"
    with Registry.open(path) as registry:
        for row in rows.values():
            registry.add(row, PASSWORD)
    opened = Site(path, **settings)
    async with opened.fleet:
        tasks = [asyncio.create_task(opened.enrolment.run(opened.fleet, lambda _s: None))]
        try:
            if learned:
                for row in rows.values():
                    await opened.reading_of(row.name)
            tasks.append(asyncio.create_task(opened.finder.run(lambda _s: None)))
            yield opened
            for task in tasks:
                assert not task.done(), task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await opened.enrolment.close()


def row_of(meter: SimulatedMeter, name: str, **more: object) -> Meter:
    host, port = meter.address
    return Meter(name, host, port, client_sap=1, authentication="lls", **more)


async def test_a_meter_that_moved_is_found_by_its_identity_and_polled_again(tmp_path: Path) -> None:
    async with (
        standing(meter_settings("wrapper"), host="127.0.0.51", serial="51") as meter,
        impostor(host="127.0.0.53", port=meter.address[1]) as other, site(tmp_path, {meter: row_of(meter, "m1")}, answer_s=0.3) as at,
    ):
        rejected = meter.counters.rejected
        await meter.move("127.0.0.55", meter.address[1])
        event = await at.event("meter_moved")
        assert event.device == "m1"
        assert event.values[1] == "from 127.0.0.51 to 127.0.0.55, by its identity HGW51; nobody answers there"
        assert at.hosts() == {"m1": "127.0.0.55"}
        with Registry.open(at.path) as registry:
            assert registry.learned("m1").scalers, "it is the same meter: what was learned stays"
        await at.reading_of("m1")
        assert meter.counters.rejected == rejected
        assert PASSWORD not in other.heard
    assert [record.values[0] for record in at.events] == ["meter_moved"]


async def test_behind_a_bridge_and_with_another_meter_at_the_old_address(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        meter = await stack.enter_async_context(standing(hdlc(17, 4), host="127.0.0.51", serial="51"))
        port = meter.address[1]
        at = await stack.enter_async_context(site(tmp_path, {meter: row_of(meter, "m1", framing="hdlc", server_physical=17, address_bytes=4)}))
        await meter.move("127.0.0.54", port)
        await stack.enter_async_context(standing(hdlc(17, 4), host="127.0.0.51", port=port, serial="99"))
        event = await at.event("meter_moved")
        assert "to 127.0.0.54" in str(event.values[1])
        await at.reading_of("m1")


async def test_two_with_one_identity_are_told_and_nothing_is_changed(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        meter = await stack.enter_async_context(standing(meter_settings("wrapper"), host="127.0.0.51", serial="51"))
        port = meter.address[1]
        at = await stack.enter_async_context(site(tmp_path, {meter: row_of(meter, "m1")}))
        await meter.move("127.0.0.54", port)
        await stack.enter_async_context(standing(meter_settings("wrapper"), host="127.0.0.57", port=port, serial="51"))
        event = await at.event("meter_found_twice")
        assert "127.0.0.54 and at 127.0.0.57" in str(event.values[1])
        sweeps = meter.counters.associations
        async with asyncio.timeout(30):
            while meter.counters.associations < sweeps + 3:      # it goes on looking, and says it once
                await asyncio.sleep(0.02)
        assert [record.values[0] for record in at.events] == ["meter_found_twice"]
        assert at.hosts() == {"m1": "127.0.0.51"}


async def test_an_address_of_another_meter_is_not_taken(tmp_path: Path) -> None:
    """m2 is paused: nobody polls it, and its address is its own all the same."""
    async with (
        standing(meter_settings("wrapper"), host="127.0.0.51", serial="51") as meter,
        site(tmp_path, {meter: row_of(meter, "m1")}) as at,
    ):
        with Registry.open(at.path) as registry:
            registry.add(Meter("m2", "127.0.0.54", meter.address[1], paused=True))
        await at.enrolment.reload()
        await meter.move("127.0.0.54", meter.address[1])
        event = await at.event("meter_found_at_taken_address")
        assert event.values[1] == "it answers at 127.0.0.54, where m2 is registered: nothing was changed"
        assert at.hosts() == {"m1": "127.0.0.51", "m2": "127.0.0.54"}


async def test_two_meters_that_changed_places(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(standing(meter_settings("wrapper"), host="127.0.0.51", serial="51"))
        port = one.address[1]
        two = await stack.enter_async_context(standing(meter_settings("wrapper"), host="127.0.0.52", port=port, serial="52", seed=2))
        at = await stack.enter_async_context(site(tmp_path, {one: row_of(one, "m1"), two: row_of(two, "m2")}))
        one.model.become("52")
        two.model.become("51")
        one.drop_connections()
        two.drop_connections()
        async with asyncio.timeout(30):
            while at.hosts() != {"m1": "127.0.0.52", "m2": "127.0.0.51"}:
                await asyncio.sleep(0.05)
        await at.reading_of("m1")
        await at.reading_of("m2")
        assert {record.device for record in at.events} == {"m1", "m2"}
        assert "another meter answers there now" in str(at.events[0].values[1])


async def test_the_neighbour_table_tells_at_once(tmp_path: Path, quick: dict[str, str]) -> None:
    mac = "02:00:5e:10:00:01"
    async with standing(meter_settings("wrapper"), host="127.0.0.51", serial="51") as meter:
        quick["127.0.0.51"] = mac
        async with site(tmp_path, {meter: row_of(meter, "m1")}, probe_interval_s=60.0) as at:
            async with asyncio.timeout(10):
                while at.finder._macs.get("m1") != mac:
                    await asyncio.sleep(0.01)
            await meter.move("127.0.0.60", meter.address[1])
            quick.clear()
            quick.update({"127.0.0.60": mac, "10.9.9.9": mac})
            await at.event("meter_moved")
            assert at.hosts() == {"m1": "127.0.0.60"}


async def test_a_mac_that_leads_to_another_meter_is_asked_once(tmp_path: Path, quick: dict[str, str]) -> None:
    async with AsyncExitStack() as stack:
        meter = await stack.enter_async_context(standing(meter_settings("wrapper"), host="127.0.0.51", serial="51"))
        port = meter.address[1]
        at = await stack.enter_async_context(site(tmp_path, {meter: row_of(meter, "m1", mac="02:00:5e:10:00:01")}, probe_interval_s=60.0,
                                                  sweep_rest_s=600.0))
        other = await stack.enter_async_context(standing(meter_settings("wrapper"), host="127.0.0.58", port=port, serial="58"))
        quick["127.0.0.58"] = "02:00:5e:10:00:01"
        await meter.power_off()
        await at.missing("m1", "circuit_open")
        async with asyncio.timeout(30):
            while not other.counters.associations:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert (other.counters.associations, other.counters.rejected) == (1, 0)
        assert at.hosts() == {"m1": "127.0.0.51"}


async def test_a_meter_that_does_not_tell_the_public_client_is_not_guessed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edge.daemon.finder")
    settings = meter_settings("wrapper")
    settings.manners.public_reads = frozenset()
    async with (
        standing(settings, host="127.0.0.51", serial="51") as meter,
        site(tmp_path, {meter: row_of(meter, "m1")}) as at,
    ):
        await meter.move("127.0.0.54", meter.address[1])
        async with asyncio.timeout(30):
            while "do not tell the public client who they are" not in caplog.text:
                await asyncio.sleep(0.02)
        assert at.events == []
        assert meter.counters.rejected == 0


async def test_a_meter_back_at_its_address_is_looked_for_no_longer(tmp_path: Path) -> None:
    async with (
        standing(meter_settings("wrapper"), host="127.0.0.51", serial="51") as meter,
        site(tmp_path, {meter: row_of(meter, "m1")}, probe_interval_s=0.2) as at,
    ):
        await meter.power_off()
        async with asyncio.timeout(30):
            while at.finder._sweep is None:
                await asyncio.sleep(0.01)
        await meter.power_on()
        await at.reading_of("m1")
        async with asyncio.timeout(30):
            while at.finder._sweep is not None:
                await asyncio.sleep(0.01)
        assert at.events == []


async def test_a_ciphered_meter_is_found_by_the_name_that_everybody_may_read(tmp_path: Path) -> None:
    """It cannot be polled here (no keys), but it is missing and its name was learned."""
    settings = ciphered(meter_settings("wrapper"))
    async with standing(settings, host="127.0.0.51", serial="51") as meter:
        path = tmp_path / "state" / "registry.db"
        row = Meter("m1", "127.0.0.50", meter.address[1], client_sap=16, authentication="none")
        with Registry.open(path) as registry:
            registry.add(row)
            registry.keep_learned("m1", Learned("HGW51"))
        async with site(tmp_path, {}, learned=False) as at:
            event = await at.event("meter_moved")
            assert "from 127.0.0.50 to 127.0.0.51" in str(event.values[1])
            assert NAME in settings.manners.public_reads


async def test_an_edit_meanwhile_wins(tmp_path: Path) -> None:
    async with (
        standing(meter_settings("wrapper"), host="127.0.0.51", serial="51") as meter,
        site(tmp_path, {meter: row_of(meter, "m1")}) as at,
    ):
        assert await at.enrolment.move("m1", "127.0.0.9", "127.0.0.77") is False
        assert await at.enrolment.move("nobody", "127.0.0.9", "127.0.0.51") is False
        assert at.hosts() == {"m1": "127.0.0.51"}

"""The registry followed by the fleet: a real registry file, and a fleet that notes what it is told."""

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from edge.daemon import enrolment
from edge.daemon.enrolment import Enrolment
from edge.errors import RegistryError
from edge.meters.library import Library
from edge.model import Keys, Learned, Meter
from edge.poll.fleet import Change
from edge.store.registry import Registry

ONE = Meter("one", "192.0.2.1", 4059, authentication="none")
TWO = Meter("two", "192.0.2.2", 4059, authentication="lls")


class FleetBook:
    """Notes every `apply`; each can be held up to play a look that is under way."""

    def __init__(self) -> None:
        self.applied = []
        self.news = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, enrolled):
        await self.gate.wait()
        self.applied.append(tuple(enrolled))
        self.news.set()
        return Change(started=tuple(item.meter.name for item in enrolled))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.applied) < count:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def running(path):
    desk, fleet = Enrolment(path, Library(path.parent / "profiles")), FleetBook()
    task = asyncio.create_task(desk.run(fleet, lambda _within_s: None))
    try:
        yield desk, fleet
    finally:
        task.cancel()
        await asyncio.wait({task})
        await desk.close()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state" / "registry.db"
    with Registry.open(path) as registry:
        registry.add(ONE)
        registry.add(TWO, b"12345678")
    return path


async def test_the_fleet_gets_meters_with_secrets_and_what_was_learned(path):
    with Registry.open(path) as registry:
        registry.keep_learned("one", Learned(identity="S1", list_limit=9))
    async with running(path) as (desk, fleet):
        await fleet.until(1)
    first, second = fleet.applied[0]
    assert (first.meter, first.learned.identity, first.password) == (ONE, "S1", b"")
    assert (second.meter, second.password) == (TWO, b"12345678")
    assert "12345678" not in repr(fleet.applied)
    assert desk.meters == (ONE, TWO)
    assert (desk.profile_of("one"), desk.profile_of("nobody")) == (ONE.profile, "")


async def test_reload_returns_once_the_change_has_taken_effect(path):
    async with running(path) as (desk, fleet):
        await fleet.until(1)
        with Registry.open(path) as registry:
            registry.set_paused("one", True)
        change = await asyncio.wait_for(desk.reload(), 2)
        assert change.started == ("one", "two")
        assert fleet.applied[-1][0].meter == replace(ONE, paused=True)
        assert (await asyncio.wait_for(desk.reload(), 2)) == Change(), "nothing changed since"
        assert len(fleet.applied) == 2


async def test_names_that_mean_another_meter_are_told_once_its_old_poller_rests(path):
    three, four = Meter("three", "192.0.2.3", 4059, authentication="none"), Meter("four", "192.0.2.4", 4059, authentication="none")
    with Registry.open(path) as registry:
        registry.add(three)
        registry.add(four)
        registry.keep_learned("two", Learned(identity="S2"))
        registry.keep_learned("four", Learned(identity="S4"))
    told = []
    async with running(path) as (desk, fleet):
        desk.when_parted(lambda names: told.append((names, len(fleet.applied))))
        await fleet.until(1)
        with Registry.open(path) as registry:
            registry.update(replace(ONE, interval_s=5.0))        # the same meter
            registry.move("two", "192.0.2.22", TWO.host)         # found again elsewhere
            registry.remove("three")
            registry.add(three)                                  # registered anew, at the same place
        await asyncio.wait_for(desk.reload(), 2)
        assert told == []
        with Registry.open(path) as registry:
            registry.update(replace(ONE, host="192.0.2.11"))
            registry.remove("three")
            registry.keep_learned("four", Learned(identity="S5"))      # somebody has taken another one for it
        await asyncio.wait_for(desk.reload(), 2)
        assert told == [({"one", "three", "four"}, 3)]


async def test_reload_during_a_look_waits_for_the_look_after_it(path):
    """The one under way may have read the registry before the change was made."""
    async with running(path) as (desk, fleet):
        await fleet.until(1)
        fleet.gate.clear()
        with Registry.open(path) as registry:
            registry.set_paused("one", True)
        early = asyncio.create_task(desk.reload())
        await asyncio.sleep(0)
        while not desk._looking:
            await asyncio.sleep(0)
        while desk._version == await desk._call(Registry.data_version):
            await asyncio.sleep(0)
        with Registry.open(path) as registry:
            registry.set_paused("two", True)
        late = asyncio.create_task(desk.reload())
        await asyncio.sleep(0)
        fleet.gate.set()
        await asyncio.wait_for(late, 2)
        assert [item.meter.paused for item in fleet.applied[-1]] == [True, True]
        await asyncio.wait_for(early, 2)


async def test_a_change_without_a_poke_is_found_by_itself(path, monkeypatch):
    monkeypatch.setattr(enrolment, "LOOK_S", 0.02)
    async with running(path) as (_desk, fleet):
        await fleet.until(1)
        with Registry.open(path) as registry:
            registry.remove("two")
        await fleet.until(2)
    assert [item.meter.name for item in fleet.applied[-1]] == ["one"]


async def test_a_registry_that_cannot_be_read_is_told_once_and_tried_again(path, monkeypatch, caplog):
    monkeypatch.setattr(enrolment, "RETRY_S", 0.02)
    good = path.read_bytes()
    path.write_bytes(b"x" * 5_000)
    async with running(path) as (desk, fleet):
        with pytest.raises(RegistryError, match=r"registry\.db"):
            await asyncio.wait_for(desk.reload(), 2)
        with pytest.raises(RegistryError):
            await asyncio.wait_for(desk.reload(), 2)
        assert desk.fault
        assert fleet.applied == []
        path.write_bytes(good)
        await fleet.until(1)
        assert (await asyncio.wait_for(desk.reload(), 2)) == Change()
        assert desk.fault == ""
    assert [record.levelname for record in caplog.records if "no meter is added" in record.message].count("ERROR") == 1


async def test_a_registry_that_is_moved_away_stops_nobody_and_the_one_put_there_is_followed(path):
    """The way out that the line over a damaged one names: move it away, import the meters again."""
    async with running(path) as (desk, fleet):
        await fleet.until(1)
        aside = path.rename(path.with_name("registry.bad"))
        with pytest.raises(RegistryError, match=r"registry\.db: is gone; put it back"):
            await asyncio.wait_for(desk.reload(), 2)
        with pytest.raises(RegistryError, match="is gone"):
            await desk.reserve_counters("digest", 100, 0)      # in a file that nobody will open again they would be lost
        assert (len(fleet.applied), desk.meters) == (1, (ONE, TWO))
        assert not path.exists(), "no empty one is made: it would stop everybody"
        with Registry.open(path) as registry:      # as many changes as the old one has seen
            registry.add(ONE)
            registry.add(replace(TWO, host="192.0.2.9"), b"12345678")
        await asyncio.wait_for(desk.reload(), 2)
        assert [item.meter.host for item in fleet.applied[-1]] == [ONE.host, "192.0.2.9"]
        assert desk.fault == ""
        aside.replace(path)
        await asyncio.wait_for(desk.reload(), 2)
        assert [item.meter for item in fleet.applied[-1]] == [ONE, TWO]


async def test_what_was_learned_is_kept_and_a_fault_in_keeping_is_only_told(path, caplog):
    async with running(path) as (desk, fleet):
        await fleet.until(1)
        await desk.keep_learned("one", Learned(identity="S9"))
        with Registry.open(path) as registry:
            assert registry.learned("one").identity == "S9"
        await desk.keep_learned("nobody", Learned(identity="S9"))
        desk._registry.close()
        await desk.keep_learned("one", Learned(identity="S10"))
    assert "what was learned is not kept" in caplog.text


@pytest.mark.parametrize("turns", range(6))
async def test_an_end_that_comes_together_with_a_reload_is_not_swallowed(path, turns):
    """`asyncio.wait_for` of Python 3.11 did that: the daemon then ignored its stop signal."""
    desk, fleet = Enrolment(path, Library(path.parent / "profiles")), FleetBook()
    task = asyncio.create_task(desk.run(fleet, lambda _within_s: None))
    await fleet.until(1)
    while desk._looking:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    desk._wake.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=2)
    assert task.cancelled()
    await desk.close()


async def test_a_registry_that_hangs_holds_up_neither_the_loop_nor_the_end(path, monkeypatch, caplog):
    """The ring closes after the registry, on the same card perhaps: its last sync must get its chance."""
    monkeypatch.setattr(enrolment, "CLOSE_S", 0.1)
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_registry):
        hanging.set()
        go_on.wait(20)

    desk = Enrolment(path, Library(path.parent / "profiles"))
    call = asyncio.create_task(desk._call(hang))
    while not hanging.is_set():
        await asyncio.sleep(0.01)
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    turning = asyncio.create_task(turn())
    await asyncio.wait_for(desk.close(), 5)
    assert turns >= 3, "the loop was held up"
    assert "closing the registry took longer" in caplog.text
    go_on.set()
    await call
    turning.cancel()


async def test_counters_and_keys_reach_the_fleet_through_the_registrys_own_thread(tmp_path):
    path = tmp_path / "registry.db"
    keys = Keys(bytes(16), bytes(range(16)))
    with Registry.open(path) as registry:
        registry.add(ONE, keys=keys)
        title = registry.client_title()
    async with running(path) as (desk, fleet):
        await fleet.until(1)
        (enrolled,) = fleet.applied[0]
        assert (enrolled.keys, enrolled.client_title) == (keys, title)
        blocks = await asyncio.gather(*(desk.reserve_counters("digest", 100, 7) for _ in range(5)))
        assert sorted(blocks) == [7, 107, 207, 307, 407]
        with Registry.open(path) as registry:
            assert registry.reserve_counters("digest", 1) == 507
            registry.set_keys("one", encryption=b"")
        await desk.reload()
        assert fleet.applied[-1][0].keys == Keys(b"", keys.authentication)


async def test_a_meter_type_that_changes_is_applied_without_a_change_of_the_registry(path, monkeypatch):
    monkeypatch.setattr(enrolment, "LOOK_S", 0.02)
    async with running(path) as (_desk, fleet):
        await fleet.until(1)
        directory = path.parent / "profiles"
        directory.mkdir()
        (directory / "mine.toml").write_text(
            'name = "mine"\nvendor = "v"\nsource = "s"\n[[objects]]\nkey = "energy"\nobis = "1-0:1.8.0"\nunit = "Wh"\n')
        await fleet.until(2)

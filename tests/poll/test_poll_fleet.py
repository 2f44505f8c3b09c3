"""The fleet follows the registry: pause at once, edit restarts only what changed."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from poll_bench import GENERIC_PROFILE, PASSWORD, QUICK, Sink, moved, replace_struct, simulated, slower

from edge.clock import SystemClock
from edge.config import PollSettings
from edge.demo.bridge import Quirks
from edge.health.promise import Promises
from edge.health.supervise import Phase, RestartPolicy
from edge.model import Learned, Meter
from edge.poll.fleet import Change, Enrolled, Fleet
from edge.poll.schedule import Between

PROFILES = {GENERIC_PROFILE.name: GENERIC_PROFILE}


class Yard:
    """A fleet with its surroundings."""

    def __init__(self, settings: PollSettings = QUICK, policy: RestartPolicy | None = None) -> None:
        self.sink = Sink()
        self.kept: dict[str, Learned] = {}
        self.promises = Promises()
        self.fleet = Fleet(
            PROFILES, settings=settings, sink=self.sink, on_learned=self._keep, clock=SystemClock(trust_wall=True),
            promises=self.promises, rng=random.Random(1), policy=policy or RestartPolicy(vital=False, enabled=False))

    async def _keep(self, name: str, learned: Learned) -> None:
        self.kept[name] = learned

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Yard"]:
        async with self.fleet:
            yield self

    async def readings_of(self, name: str, more: int = 1) -> None:
        have = sum(record.device == name for record in self.sink.readings())
        await self.sink.until(lambda _: sum(record.device == name for record in self.sink.readings()) >= have + more)


def enrol(row: Meter, **changes: object) -> Enrolled:
    return Enrolled(moved(row, **changes), PASSWORD)


async def test_start_pause_resume_remove() -> None:
    async with simulated(name="a") as (one, a), simulated(name="b") as (two, b), Yard().open() as yard:
        assert await yard.fleet.apply([enrol(a), enrol(b)]) == Change(started=("a", "b"))
        await yard.readings_of("a")
        await yard.readings_of("b")
        assert set(yard.fleet.states()) == {"a", "b"}
        assert yard.fleet.workers["poll a"].phase is Phase.RUNNING

        assert await yard.fleet.apply([enrol(a, paused=True), enrol(b)]) == Change(stopped=("a",))
        count = sum(record.device == "a" for record in yard.sink.records)
        await yard.readings_of("b", 3)
        assert sum(record.device == "a" for record in yard.sink.records) == count
        assert set(yard.fleet.states()) == {"b"}
        assert not one.connections
        assert two.counters.associations == 1, "nobody else is disturbed"

        assert await yard.fleet.apply([enrol(a), enrol(b)]) == Change(started=("a",))
        await yard.readings_of("a")
        assert await yard.fleet.apply([]) == Change(stopped=("a", "b"))
        assert yard.fleet.states() == {}
        assert yard.promises.owing(0.0) == {}


async def test_another_table_for_its_type_restarts_a_meter_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with simulated(name="a") as (one, a), simulated(name="b") as (two, b), Yard(slower(exchange_timeout_s=20.0)).open() as yard:
        rows = [enrol(a), enrol(b, profile="other")]
        monkeypatch.setitem(PROFILES, "other", GENERIC_PROFILE)
        await yard.fleet.apply(rows)
        await yard.readings_of("a")
        await yard.readings_of("b")
        monkeypatch.setitem(PROFILES, "other", replace_struct(GENERIC_PROFILE, objects=GENERIC_PROFILE.objects[:1]))
        assert await yard.fleet.apply(rows) == Change(restarted=("b",))
        await yard.sink.until(lambda records: any(len(record.values) == 1 for record in records))
        assert (one.counters.associations, two.counters.associations) == (1, 2)


async def test_a_pause_cancels_the_poll_under_way() -> None:
    async with simulated(name="a", quirks=Quirks(latency_s=(30.0, 30.0))) as (meter, a), Yard(slower(exchange_timeout_s=60.0)).open() as yard:
        await yard.fleet.apply([enrol(a)])
        while not meter.connections:
            await asyncio.sleep(0.005)
        began = asyncio.get_running_loop().time()
        await yard.fleet.apply([enrol(a, paused=True)])
        assert asyncio.get_running_loop().time() - began < 1.0
        while meter.connections:
            await asyncio.sleep(0.005)
        assert yard.sink.records == []
        assert yard.fleet.gate_state().inside == 0


async def test_an_edit_restarts_only_the_meter_it_touches_and_it_is_polled_at_the_new_place() -> None:
    async with simulated(name="a", serial="1") as (old, a), simulated(name="b") as (other, b), Yard().open() as yard:
        await yard.fleet.apply([enrol(a), enrol(b)])
        await yard.readings_of("a")
        await yard.readings_of("b")
        await old.power_off()
        async with simulated(name="a", serial="1") as (new, elsewhere):
            change = await yard.fleet.apply([enrol(a, port=elsewhere.port), enrol(b)])
            assert change == Change(restarted=("a",))
            await yard.readings_of("a")
            assert new.counters.associations == 1
            assert other.counters.associations == 1
            await yard.fleet.apply([])


async def test_nothing_changed_restarts_nobody_although_something_was_learned() -> None:
    async with simulated(name="a") as (meter, a), Yard().open() as yard:
        await yard.fleet.apply([enrol(a)])
        await yard.readings_of("a")
        assert yard.kept["a"].identity
        for learned in (Learned(), yard.kept["a"]):
            assert await yard.fleet.apply([replace(enrol(a), learned=learned)]) == Change()
        await yard.readings_of("a", 2)
        assert meter.counters.associations == 1


async def test_a_meter_that_was_replaced_goes_on_once_the_operator_adopts_it() -> None:
    async with simulated(name="a", serial="1") as (meter, a), Yard(slower(breaker_open_s=60.0, breaker_open_max_s=60.0)).open() as yard:
        await yard.fleet.apply([enrol(a)])
        await yard.readings_of("a")
        meter.model.become("2")
        meter.drop_connections()
        await yard.sink.until(lambda _: "wrong_meter" in yard.sink.reasons())
        change = await yard.fleet.apply([replace(enrol(a), learned=Learned(identity="HGW2"))])
        assert change == Change(restarted=("a",))
        await yard.readings_of("a")


async def test_a_new_password_is_tried_at_once() -> None:
    async with simulated(name="a") as (meter, a), Yard(slower(breaker_open_max_s=600.0)).open() as yard:
        await yard.fleet.apply([Enrolled(a, b"87654321")])
        await yard.sink.until(lambda _: "association_refused" in yard.sink.reasons())
        assert await yard.fleet.apply([enrol(a)]) == Change(restarted=("a",))
        await yard.readings_of("a")
        assert meter.counters.rejected == 1


async def test_a_meter_that_cannot_be_polled_is_refused_and_stops_nobody() -> None:
    async with simulated(name="a") as (_, a), Yard().open() as yard:
        change = await yard.fleet.apply([enrol(a), enrol(a, name="odd", profile="no-such"), Enrolled(moved(a, name="mute"))])
        assert change.started == ("a",)
        assert "no-such" in change.refused["odd"]
        assert "password" in change.refused["mute"]
        assert yard.fleet.refused() == dict(change.refused)
        await yard.readings_of("a")
        assert (await yard.fleet.apply([enrol(a)])).refused == {}


async def test_two_rows_for_one_meter_take_turns_and_neither_keeps_it() -> None:
    # One HDLC link: what the one had open would be gone, and its numbers wrong, after the other.
    async with simulated("hdlc", Quirks(second_client="refused", latency_s=(0.005, 0.01)), name="a") as (meter, a), Yard().open() as yard:
        await yard.fleet.apply([enrol(a), enrol(a, name="b")])
        await yard.readings_of("a", 3)
        await yard.readings_of("b", 3)
        assert yard.sink.reasons() == []
        assert meter.counters.refused_connections == 0
        assert {state.between for state in yard.fleet.states().values()} == {Between.HANG_UP}
        assert await yard.fleet.apply([enrol(a)]) == Change(stopped=("b",), restarted=("a",))
        assert yard.fleet.states() == {} or yard.fleet.states()["a"].between is Between.KEEP
        await yard.readings_of("a", 2)


async def test_no_more_meters_than_the_gate_allows_are_asked_at_once() -> None:
    most = 0
    async with Yard(slower(at_once=2, interval_s=0.02)).open() as yard:
        meters = [simulated(name=f"m{n}", quirks=Quirks(latency_s=(0.01, 0.02))) for n in range(6)]
        rows = [(await meter.__aenter__())[1] for meter in meters]
        await yard.fleet.apply([enrol(row) for row in rows])
        for _ in range(60):
            await asyncio.sleep(0.01)
            most = max(most, yard.fleet.gate_state().inside)
        assert most == 2
        assert {record.device for record in yard.sink.readings()} == {row.name for row in rows}, "nobody starves"
        await yard.fleet.apply([])
        for meter in meters:
            await meter.__aexit__(None, None, None)


async def test_dead_meters_do_not_starve_the_living() -> None:
    settings = slower(at_once=2, interval_s=0.5, exchange_timeout_s=2.0, breaker_failures=1000)
    dead = [simulated(name=f"dead{n}", quirks=Quirks(meter_silent=True)) for n in range(6)]
    async with simulated(name="alive") as (_, alive), Yard(settings).open() as yard:
        rows = [(await meter.__aenter__())[1] for meter in dead]
        await yard.fleet.apply([enrol(alive), *(enrol(row) for row in rows)])
        await yard.sink.until(lambda _: len(yard.sink.reasons()) >= 6)       # now all of them are known to be doubtful
        before = yard.fleet.states()["alive"]
        await yard.readings_of("alive", 10)
        after = yard.fleet.states()["alive"]
        assert after.skipped == before.skipped
        assert max(after.lateness_s[-10:]) < 0.5
        assert len(yard.sink.reasons()) > 6, "the dead are still tried"
        await yard.fleet.apply([])
        for meter in dead:
            await meter.__aexit__(None, None, None)


async def test_a_bug_in_one_poller_is_answered_by_policy_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    policy = RestartPolicy(vital=False, faults=1, delay_first_s=0.01, delay_max_s=0.01)
    async with simulated(name="a") as (_, a), simulated(name="b") as (_, b), Yard(policy=policy).open() as yard:
        faults = 0

        async def sink(record: object) -> int:
            nonlocal faults
            if record.device == "a":
                faults += 1
                raise ZeroDivisionError
            return await yard.sink(record)

        yard.fleet._sink = sink
        await yard.fleet.apply([enrol(a), enrol(b)])
        await yard.readings_of("b", 3)
        while yard.fleet.workers["poll a"].phase is not Phase.PARKED:
            await asyncio.sleep(0.01)
        await yard.readings_of("b", 3)
        assert faults >= 2
    assert "poll a" in caplog.text

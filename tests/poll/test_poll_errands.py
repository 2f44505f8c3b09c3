"""Errands: work on a meter between its polls, over the same association, never ahead of a poll."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from poll_bench import Bench, simulated, slower

from edge.dlms.axdr import Integer
from edge.dlms.cosem import Attribute, Obis
from edge.errors import LocalStateError, NoAnswer, Unreachable, WrongMeter
from edge.model import Learned
from edge.poll.errand import Ask, Errands

CLOCK = Attribute(8, Obis.parse("0-0:1.0.0"), 2)
SCALER = Attribute(3, Obis.parse("1-0:32.7.0"), 3)


class Task:
    """An errand of a test: `steps` steps, each `work`; what happened is kept."""

    name = "test"

    def __init__(self, work: Callable[[Ask], Any], *, steps: int = 1, lasts_s: float = 0.01, rest_s: float = 0.05) -> None:
        self.lasts_s = lasts_s
        self.left = steps
        self.failures: list[Exception] = []
        self.done: list[Any] = []
        self.news = asyncio.Event()
        self._work = work
        self._rest_s = rest_s
        self._not_before = 0.0

    def due(self, now: float) -> float | None:
        return max(now, self._not_before) if self.left else None

    async def step(self, ask: Ask) -> None:
        self.done.append(await self._work(ask))
        self.left -= 1
        self.news.set()

    def failed(self, error: Exception, now: float) -> None:
        self.failures.append(error)
        self._not_before = now + self._rest_s
        self.news.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                self.news.clear()
                await self.news.wait()


async def read_clock(ask: Ask) -> Any:
    return (await ask.get((CLOCK,)))[0].data


@pytest.mark.parametrize("kind", ["wrapper", "hdlc"])
async def test_a_standing_errand_does_its_steps_on_the_kept_association(kind: str) -> None:
    task = Task(read_clock, steps=6)
    async with simulated(kind) as (meter, row), Bench(row, errands=[task]).running() as bench:
        await task.until(lambda: task.left == 0)
        await bench.sink.until(lambda records: len(records) >= 8)
        assert meter.counters.associations == 1
    assert all(data is not None for data in task.done)
    assert bench.sink.reasons() == []
    assert (bench.poller.state().steps, bench.poller.state().steps_failed) == (6, 0)


async def test_nothing_is_done_before_the_first_poll_has_shown_that_it_is_the_right_meter() -> None:
    task = Task(read_clock)
    async with simulated() as (_, row), Bench(row, errands=[task], learned=Learned(identity="another")).running() as bench:
        await bench.sink.until(lambda records: len(records) >= 2)
    assert bench.sink.reasons()[0] == WrongMeter.reason.value
    assert task.done == task.failures == []


async def test_an_order_to_a_meter_that_hangs_up_after_each_poll_asks_who_answers_first() -> None:
    async with simulated() as (meter, row):
        bench = Bench(row, settings=slower(interval_s=1.0), hang_up=True)
        async with bench.running():
            await bench.sink.until(lambda records: records)
            meter.model.become("another meter")
            task = Task(read_clock, rest_s=60.0)
            bench.poller.order(task)
            await task.until(lambda: task.failures)
    assert isinstance(task.failures[0], WrongMeter)
    assert task.done == []


async def test_a_step_that_does_not_fit_waits_and_an_order_does_not() -> None:
    standing, ordered = Task(read_clock, lasts_s=30.0), Task(read_clock, lasts_s=30.0)
    async with simulated() as (_, row), Bench(row, settings=slower(interval_s=0.4), errands=[standing]).running() as bench:
        await bench.sink.until(lambda records: records)
        assert standing.done == []
        bench.poller.order(ordered)
        await ordered.until(lambda: ordered.done)
        assert standing.done == []
        await standing.until(lambda: standing.done)      # after five intervals without room
        assert len(bench.sink.records) >= 3
    assert bench.sink.reasons() == []


async def test_a_step_that_hangs_is_cut_and_the_polls_go_on() -> None:
    never = asyncio.Event()

    async def hang(ask: Ask) -> None:
        await ask.get((CLOCK,))
        await never.wait()

    task = Task(hang, rest_s=60.0)
    async with simulated() as (meter, row), Bench(row, errands=[task], settings=slower(interval_s=0.2)).running() as bench:
        await task.until(lambda: task.failures)
        seen = len(bench.sink.records)
        await bench.sink.until(lambda records: len(records) >= seen + 2)
        assert meter.counters.associations == 2
    assert isinstance(task.failures[0], TimeoutError)
    assert bench.sink.reasons() == []


async def test_a_meter_that_falls_silent_in_a_step_costs_the_step_not_the_next_reading() -> None:
    async with simulated() as (meter, row):
        async def fall_silent(ask: Ask) -> None:
            meter.quirks.meter_silent = True
            try:
                await ask.get((CLOCK,))
            finally:
                meter.quirks.meter_silent = False

        task = Task(fall_silent, rest_s=60.0)
        async with Bench(row, errands=[task], settings=slower(interval_s=2.0)).running() as bench:
            await task.until(lambda: task.failures)
            await bench.sink.until(lambda records: len(records) >= 2)
    assert isinstance(task.failures[0], NoAnswer)
    assert bench.sink.reasons() == []
    assert bench.poller.recovery.failures_in_row == 0


async def test_a_bug_in_an_errand_stops_no_poll(caplog: pytest.LogCaptureFixture) -> None:
    async def bug(_ask: Ask) -> None:
        raise KeyError("ours")

    task = Task(bug, rest_s=60.0)
    async with simulated() as (_, row), Bench(row, errands=[task]).running() as bench:
        await task.until(lambda: task.failures)
        await bench.sink.until(lambda records: len(records) >= 3)
    assert isinstance(task.failures[0], KeyError)
    assert "a fault in the gateway" in caplog.text
    assert bench.sink.reasons() == []


async def test_set_and_action_and_what_the_meter_did_not_negotiate() -> None:
    async def write(ask: Ask) -> Any:
        return (await ask.set([(SCALER, (Integer(15, 0), Integer(22, 35)))]))[0].error

    async def unknown(ask: Ask) -> Any:
        await ask.access([])

    async with simulated() as (meter, row), Bench(row, settings=slower(interval_s=0.5)).running() as bench:
        await bench.sink.until(lambda records: records)
        first, second = Task(write), Task(unknown, rest_s=60.0)
        bench.poller.order(first)
        bench.poller.order(second)
        await first.until(lambda: first.done)
        await second.until(lambda: second.failures)
        assert meter.counters.associations == 1, "a service that is not there ends nothing"
    assert first.done[0] is not None, "the simulated meter's scalers are read-only"
    assert isinstance(second.failures[0], LocalStateError)


async def test_an_order_to_a_resting_meter_is_refused_with_the_reason_and_one_to_a_stopped_poller_is_told() -> None:
    async with simulated() as (meter, row):
        bench = Bench(row, settings=slower(breaker_failures=1, breaker_open_s=60.0, breaker_open_max_s=60.0))
        async with bench.running():
            await bench.sink.until(lambda records: records)
            waiting = Task(read_clock, steps=10**6)
            bench.poller.order(waiting)
            await waiting.until(lambda: waiting.done)
            await meter.close()
            await bench.sink.until(lambda _: "circuit_open" in bench.sink.reasons())
            with pytest.raises(Unreachable, match="does not answer"):
                bench.poller.order(Task(read_clock))
        assert isinstance(waiting.failures[-1], LocalStateError)


async def test_polls_of_other_meters_do_not_wait_for_background_work() -> None:
    settings = slower(interval_s=0.3, at_once=1)
    async with simulated() as (_, row), simulated("wrapper", seed=2, name="m2") as (_, other):
        busy = Task(read_clock, steps=10**6, lasts_s=0.001)
        first = Bench(row, settings=settings, errands=[busy])
        second = Bench(other, settings=settings, gate=first.gate)
        async with first.running(), second.running():
            await first.sink.until(lambda records: len(records) >= 5)
            await second.sink.until(lambda records: len(records) >= 5)
        assert len(busy.done) > 20
    # one period is the promise; what a loaded machine adds stays far below it
    assert sorted(second.poller.state().lateness_s)[len(second.poller.state().lateness_s) // 2] < settings.interval_s


def test_orders_come_first_and_standing_errands_take_turns() -> None:
    class Plain:
        lasts_s = 0.0

        def __init__(self, name: str, at: float | None) -> None:
            self.name, self.at = name, at

        def due(self, _now: float) -> float | None:
            return self.at

        async def step(self, _ask: Ask) -> None:
            raise AssertionError

        def failed(self, _error: Exception, _now: float) -> None:
            raise AssertionError

    a, b, order = Plain("a", 5.0), Plain("b", 1.0), Plain("order", 0.0)
    errands = Errands([a, b])
    errands.order(order)
    assert [(one.name, at) for one, at in errands.wanted(2.0)] == [("order", 2.0), ("a", 5.0), ("b", 2.0)]
    errands.served(a)
    order.at = None
    assert [one.name for one, _ in errands.wanted(6.0)] == ["b", "a"]
    assert errands.orders() == ()

"""Supervision: what follows when a worker's bug gets out."""

import asyncio
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import WorkerFailed
from edge.health.promise import Promises
from edge.health.supervise import Phase, RestartPolicy, supervise

QUICK = {"delay_first_s": 0.001, "delay_max_s": 0.002, "park_s": 0.001}


class Bench:
    """A supervised worker that the test scripts: each start takes the next item."""

    def __init__(self, *script, vital=True, **policy):
        self.script = list(script)
        self.promises = Promises()
        self.states = {}
        self.starts = 0
        self.running = asyncio.Event()
        self.policy = RestartPolicy(**{"vital": vital, **QUICK, **policy})

    async def worker(self, pulse):
        self.starts += 1
        item = self.script.pop(0) if self.script else None
        if isinstance(item, BaseException):
            raise item
        if callable(item):
            await item(pulse)
            return
        pulse(30)
        self.running.set()
        await asyncio.Event().wait()

    async def run(self):
        await supervise("w", self.worker, self.policy, promises=self.promises, rng=random.Random(1), states=self.states)


async def cancel(task):
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_bug_is_logged_with_its_worker_and_answered_by_a_restart(caplog):
    bench = Bench(ZeroDivisionError("one"), KeyError("two"))
    task = asyncio.create_task(bench.run())
    await bench.running.wait()
    state = bench.states["w"]
    assert (state.phase, state.starts, state.faults, state.last_error) == (Phase.RUNNING, 3, 2, "KeyError: 'two'")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert ["worker w failed" in record.getMessage() for record in errors] == [True, True]
    assert errors[0].exc_info[0] is ZeroDivisionError
    await cancel(task)


async def test_a_vital_worker_that_keeps_failing_ends_the_group():
    bench = Bench(*[ValueError(str(n)) for n in range(10)], faults=3)
    with pytest.raises(WorkerFailed, match="worker w kept failing: ValueError: 3") as failed:
        await bench.run()
    assert isinstance(failed.value.__cause__, ValueError)
    assert bench.starts == 4
    assert bench.states["w"].phase is Phase.FAILED
    assert bench.promises.owing(0) == {}


async def test_in_a_task_group_its_neighbours_are_cancelled():
    neighbour = Bench()

    async def together():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(neighbour.run())
            tasks.create_task(Bench(ValueError(), faults=0).run())

    with pytest.raises(ExceptionGroup) as group:
        await together()
    assert [type(error) for error in group.value.exceptions] == [WorkerFailed]
    assert neighbour.states == {}


async def test_an_expendable_worker_is_parked_shown_and_tried_again_after_a_long_rest():
    bench = Bench(*[ValueError("x")] * 3, vital=False, faults=2, park_s=3600)
    task = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while "w" not in bench.states or bench.states["w"].phase is not Phase.PARKED:
            await asyncio.sleep(0.001)
    assert bench.promises.owing(0) == {}, "a parked worker breaks no promise"
    assert (bench.starts, bench.states["w"].last_error) == (3, "ValueError: x")
    await cancel(task)
    assert bench.states == {}, "cancelled while parked"

    bench = Bench(*[ValueError("x")] * 3, vital=False, faults=2, park_s=0.001)
    task = asyncio.create_task(bench.run())
    await bench.running.wait()
    assert bench.starts == 4
    await cancel(task)


async def test_cancelling_reaches_the_worker_releases_its_promise_and_goes_on():
    seen = []

    async def tidy(pulse):
        try:
            bench.running.set()
            await asyncio.Event().wait()
        finally:
            seen.append("tidied")

    bench = Bench(tidy)
    task = asyncio.create_task(bench.run())
    await bench.running.wait()
    assert bench.promises.owing(0)
    await cancel(task)
    assert seen == ["tidied"]
    assert bench.promises.owing(0) == {}
    assert bench.states == {}


async def test_cancelling_during_the_wait_between_two_starts():
    bench = Bench(ValueError(), delay_first_s=3600, delay_max_s=3600)
    task = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while "w" not in bench.states or bench.states["w"].phase is not Phase.WAITING:
            await asyncio.sleep(0.001)
    (left_s,) = bench.promises.owing(0).values()
    assert left_s > 1800, "the rest before the next start is promised"
    await cancel(task)


async def test_a_cancellation_nobody_asked_for_is_a_bug():
    async def leaks(pulse):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    bench = Bench(leaks)
    task = asyncio.create_task(bench.run())
    await bench.running.wait()
    assert bench.states["w"].last_error.startswith("CancelledError")
    await cancel(task)


async def test_a_worker_that_returns_is_a_fault_unless_it_may():
    async def returns(pulse):
        return

    bench = Bench(returns)
    task = asyncio.create_task(bench.run())
    await bench.running.wait()
    assert "returned" in bench.states["w"].last_error
    await cancel(task)

    bench = Bench(returns, may_return=True)
    await bench.run()
    assert bench.states["w"].phase is Phase.FINISHED
    assert bench.promises.owing(0) == {}


async def test_with_restarts_disabled_the_bug_comes_out_as_it_is():
    with pytest.raises(ZeroDivisionError):
        await Bench(ZeroDivisionError(), enabled=False).run()


async def test_a_worker_that_says_nothing_has_promised_to_start():
    async def silent(pulse):
        bench.running.set()
        await asyncio.Event().wait()

    bench = Bench(silent, start_within_s=60)
    task = asyncio.create_task(bench.run())
    await bench.running.wait()
    assert bench.promises.overdue(asyncio.get_running_loop().time() + 3600) == ("w",)
    await cancel(task)


def test_delays_double_up_to_the_longest():
    policy = RestartPolicy(vital=True, faults=100, delay_first_s=1, delay_max_s=60)
    delays = [policy.answer(range(n), n - 1, 0.0).delay_s for n in range(1, 9)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]


def test_faults_out_of_the_window_are_forgiven():
    policy = RestartPolicy(vital=True, faults=2, window_s=100)
    assert policy.answer([0, 1, 2], 2, 0).phase is Phase.FAILED
    assert policy.answer([0, 1, 150], 150, 0) == policy.answer([150], 150, 0)


@given(vital=st.booleans(), count=st.integers(1, 50), jitter=st.floats(0, 1), allowed=st.integers(0, 40))
def test_every_answer_is_bounded(vital, count, jitter, allowed):
    policy = RestartPolicy(vital=vital, faults=allowed)
    answer = policy.answer([0.0] * count, 0.0, jitter)
    if count <= allowed:
        assert answer.phase is Phase.WAITING
        assert 0.5 * policy.delay_first_s <= answer.delay_s <= policy.delay_max_s
    else:
        assert answer.phase is (Phase.FAILED if vital else Phase.PARKED)

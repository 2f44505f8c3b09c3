"""The thread for storage: order, errors, late answers, and nothing kept."""

import asyncio
import gc
import threading
import weakref

import pytest

from edge.errors import RingError
from edge.ring.writer import Writer


@pytest.fixture
async def writer():
    made = Writer()
    yield made
    made._stopped = False
    made.stop()


async def test_it_works_in_the_order_of_asking_and_answers_in_it(writer: Writer) -> None:
    worked, answered = [], []
    for n in range(50):
        writer.run(lambda result, error: answered.append((result, error)), lambda n=n: worked.append(n) or n)
        if n % 7 == 0:
            writer.post(worked.append, -n)
    assert await writer.call(lambda: "last") == "last"
    assert [n for n in worked if n >= 0 and worked.count(n)] == sorted(n for n in worked if n >= 0)
    assert answered == [(n, None) for n in range(50)]


async def test_an_error_is_told_to_who_asked_and_the_thread_goes_on(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        await writer.call(lambda: 1 // 0)
    told = []
    writer.run(lambda *answer: told.append(answer), lambda: 1 // 0)
    writer.post(lambda: 1 // 0)
    assert await writer.call(int, "7") == 7
    assert isinstance(told[0][1], ZeroDivisionError)
    assert [line.message for line in caplog.records] == ["ring: the writer failed"]


async def test_who_is_cancelled_waits_no_longer_and_the_work_is_done_all_the_same(writer: Writer) -> None:
    gate, done = threading.Event(), []
    waiting = asyncio.ensure_future(writer.call(lambda: gate.wait(10) and done.append(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.set()
    await writer.call(lambda: None)
    assert done == [1]
    assert waiting.cancelled()


async def test_what_was_asked_for_is_done_before_it_stops_and_nothing_after() -> None:
    writer, gate = Writer(), threading.Event()
    first = writer.call(gate.wait, 10)
    second = writer.call(lambda: "done")
    writer.stop()
    for ask in (writer.call, writer.post):
        with pytest.raises(RingError, match="closed"):
            ask(int)
    gate.set()
    assert await first
    assert await second == "done"


def test_storage_that_answers_after_the_loop_has_ended_hurts_nobody() -> None:
    gate, threads = threading.Event(), set(threading.enumerate())

    async def leave() -> None:
        writer = Writer()
        writer.call(gate.wait, 10)
        writer.stop()

    asyncio.run(leave())
    gate.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive()


async def test_nothing_of_a_job_stays_behind(writer: Writer) -> None:
    class Rows(list):
        """Can be watched."""

    rows = Rows([1])
    gone = weakref.ref(rows)
    assert await writer.call(len, rows) == 1
    del rows
    await writer.call(int)
    gc.collect()
    assert gone() is None

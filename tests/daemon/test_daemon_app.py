"""What the composition root decides by itself: who ends the program, and with which status."""

import asyncio
import time

from edge.app import _work
from edge.health.notify import Notifier
from edge.health.promise import Promises
from edge.health.supervise import RestartPolicy

AT_ONCE = RestartPolicy(vital=True, faults=0)


class Book(Notifier):
    def __init__(self):
        super().__init__()
        self.said = []

    def stopping(self):
        self.said.append("stopping")


async def fails(pulse):
    raise RuntimeError("a bug")


async def works(pulse):
    await asyncio.Event().wait()


async def test_a_vital_worker_that_keeps_failing_ends_the_others_with_status_1(caplog):
    notifier, promises, workers = Book(), Promises(), {}
    crew = [("drain", fails, AT_ONCE), ("bystander", works, AT_ONCE)]
    assert await asyncio.wait_for(_work(crew, asyncio.Event(), notifier, promises, workers), 5) == 1
    assert notifier.said == ["stopping"]
    assert "ending: worker drain kept failing: RuntimeError: a bug" in caplog.text
    assert promises.owing(time.monotonic()) == {}


async def test_an_expendable_worker_ends_nobody_and_the_stop_gives_status_0():
    stop, workers = asyncio.Event(), {}
    crew = [("links", fails, RestartPolicy(vital=False, faults=0)), ("bystander", works, AT_ONCE)]
    working = asyncio.create_task(_work(crew, stop, Book(), Promises(), workers))
    async with asyncio.timeout(5):
        while "links" not in workers or workers["links"].phase != "parked":
            await asyncio.sleep(0)
    stop.set()
    assert await asyncio.wait_for(working, 5) == 0


async def test_a_stop_that_came_before_the_work_ends_it_at_once():
    stop = asyncio.Event()
    stop.set()
    assert await asyncio.wait_for(_work([("bystander", works, AT_ONCE)], stop, Book(), Promises(), {}), 5) == 0

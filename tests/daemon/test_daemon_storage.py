"""The ring's writer under the watchdog: a file system that hangs, and a writer that is broken."""

import asyncio
import threading

import pytest

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.daemon import storage
from edge.errors import RingError
from edge.health.promise import Promises
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.fs import OsFileSystem
from edge.ring.store import Ring

SCHEMA = Schema(Kind.EVENT, (Field("event"), Field("detail")))
SETTINGS = RingSettings(size_mib=1, slot_mib=0.015625, alarm_commit_window_s=0.0)


class Card(OsFileSystem):
    """A file system whose sync can be made to hang, or to fail in a way that no file system does."""

    def __init__(self):
        super().__init__()
        self.answers, self.hangs = threading.Event(), threading.Event()
        self.answers.set()
        self.bug = None

    def sync(self, path):
        if self.bug is not None:
            raise self.bug
        if not self.answers.is_set():
            self.hangs.set()
            self.answers.wait(20)
        super().sync(path)


@pytest.fixture
async def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOOK_S", 0.05)
    monkeypatch.setattr(storage, "STALL_S", 0.3)
    card, clock = Card(), SystemClock(trust_wall=True)
    async with Ring.open(tmp_path / "ring", SETTINGS, clock, card) as ring:
        yield card, clock, ring
        card.answers.set()


async def test_a_card_that_hangs_breaks_the_promise_of_the_ring_and_mends_it_when_it_answers(bench):
    card, clock, ring = bench
    promises = Promises()
    task = asyncio.create_task(storage.watch(ring, lambda within_s: promises.expect("ring", within_s, clock.monotonic())))
    await asyncio.sleep(0.5)
    assert promises.overdue(clock.monotonic()) == ()
    card.answers.clear()
    ticket = ring.put(Stream.ALARM, Record(SCHEMA, "", clock.stamp(), ("door", "open")))
    async with asyncio.timeout(5):
        while not promises.overdue(clock.monotonic()):
            await asyncio.sleep(0.02)      # the loop is alive all the while
    assert card.hangs.is_set()
    card.answers.set()
    await ticket
    async with asyncio.timeout(5):
        while promises.overdue(clock.monotonic()):
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_writer_that_is_broken_leaves_as_a_fault(bench):
    """Only a new start mends it, and the worker is vital: without an uplink nobody else would end the program."""
    card, clock, ring = bench
    card.bug = RuntimeError("a bug in the writer")
    with pytest.raises(RingError):
        await ring.append(Stream.ALARM, Record(SCHEMA, "", clock.stamp(), ("door", "open")))
    with pytest.raises(RingError, match="writer failed"):
        await asyncio.wait_for(storage.watch(ring, lambda _within_s: None), 5)
    card.bug = None

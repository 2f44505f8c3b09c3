"""What live pages cost the loop: one event for all streams, and polls that are due go in between while it is made."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from edge.api import readings, wire
from edge.api.problem import Problem
from edge.api.watch import STREAMS, Watch
from edge.clock import SystemClock
from edge.config import Settings

METERS = 100


class Fleet:
    """What the status desk says of a hundred meters."""

    volts = 230

    async def status(self, _request):
        return {"gateway": dict.fromkeys(("name", "id", "version", "uptime_s", "clock_synchronised", "registry", "overdue")),
                "uplink": {}, "ring": {"healthy": True, "problem": "", "backlog": {}}, "radio": {}, "alarms": [],
                "meters": [{"name": f"m{number}", "address": "a", "profile": "p", "state": "reading", "readings": self.volts} for number in range(METERS)]}

    async def rows(self, told):
        return [readings.row(each, None) for each in told["meters"]]


@pytest.fixture
def fleet():
    return Fleet()


@pytest.fixture
def watch(fleet):
    doors = SimpleNamespace(settings=Settings(), clock=SystemClock(trust_wall=True), status=fleet.status)
    return Watch(doors, fleet.rows)


async def turns_meanwhile(work) -> int:
    """How often the loop came round while `work` was done: a poll that is due waits for one turn."""
    task, turns = asyncio.ensure_future(work), 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    await task
    return turns


async def test_an_event_is_written_once_for_all_and_with_pauses(watch, fleet):
    streams = [await watch.stream(f"session {number}", lambda: True) for number in range(5)]
    firsts = [await anext(stream) for stream in streams]
    assert len(json.loads(firsts[0].partition(b"data: ")[2])["meters"]) == METERS
    fleet.volts = 231
    assert await turns_meanwhile(watch._tell()) > 4
    events = [await anext(stream) for stream in streams]
    assert len({id(event) for event in events}) == 1, "one object, written once"
    told = json.loads(events[0].partition(b"data: ")[2])["meters"]
    assert msgspec_row(told[7]).readings == 231
    assert len(told) == METERS
    await watch._tell()
    assert json.loads((await anext(streams[0])).partition(b"data: ")[2])["meters"] == [], "nothing has changed"
    for stream in streams:
        await stream.aclose()


def msgspec_row(told: dict) -> wire.MeterRow:
    return wire.MeterRow(**{**told, "values": ()})


async def test_streams_are_shared_out(watch):
    streams = [await watch.stream(f"session {number}", lambda: True) for number in range(STREAMS)]
    with pytest.raises(Problem, match="pages are open already"):
        await watch.stream("one more", lambda: True)
    assert len(watch._streams) == STREAMS == len(streams)


async def test_who_holds_several_makes_room_for_who_holds_none(watch):
    for number in range(STREAMS - 1):
        await watch.stream(f"session {number}", lambda: True)
    await watch.stream("session 0", lambda: True)
    await watch.stream("a newcomer", lambda: True)
    assert sorted(watch._streams.values()) == sorted(["a newcomer", *(f"session {number}" for number in range(STREAMS - 1))])


async def test_a_stream_that_nobody_reads_is_forgotten(watch, fleet):
    await watch.stream("gone", lambda: True)
    for _ in range(10):
        await watch._tell()
    assert watch._streams == {}

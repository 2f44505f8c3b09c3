"""The gateway's own health record, with a real ring behind it."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.daemon.vitals import SCHEMA, Polls, Vitals, event, figures_of
from edge.health import wear
from edge.health.wear import StorageWear
from edge.model import Field, Kind, Record, Schema, Stream
from edge.poll.recovery import Circuit, LadderState, Level
from edge.poll.schedule import Between
from edge.poll.state import PollerState
from edge.ring.store import Ring

WEAR = StorageWear("mmcblk0", 8 * 10**9, 30, "normal", 10**9, 1_680)
LADDER = LadderState(Circuit.CLOSED, Level.STAY, 0, 0.0, 0, 0, 0)


def poller(readings: int = 0, failed: int = 0, *, last_failure: str = "", circuit: Circuit = Circuit.CLOSED) -> PollerState:
    values = dict.fromkeys(PollerState.__dataclass_fields__, 0)
    return PollerState(**values | {
        "meter": "m", "interval_s": 10.0, "between": Between.KEEP,
        "connected": True, "ladder": replace(LADDER, circuit=circuit), "slots": readings + failed, "readings": readings,
        "failed": failed, "failures": {}, "last_reading_age_s": None, "last_failure": last_failure, "not_read": "",
        "list_limit": None, "identity": "", "lateness_s": ()})


def test_polls_are_counted_over_restarts_of_a_poller():
    polls = Polls()
    assert polls.add({"a": poller(5, 1)}) == (5, 1)
    assert polls.add({"a": poller(8, 1), "b": poller(2)}) == (5, 0)
    assert polls.add({"a": poller(1), "b": poller(2)}) == (1, 0), "a was restarted: its counters began anew"
    assert polls.add({"b": poller(2)}) == (0, 0), "a was removed"
    assert polls.add({"a": poller(3), "b": poller(2)}) == (3, 0), "and is new again"
    assert (polls.ok, polls.failed) == (14, 1)


async def test_the_record_says_what_waits_and_for_how_long(tmp_path):
    clock = SystemClock(trust_wall=True)
    settings = RingSettings(size_mib=16, slot_mib=1, instant_commit_window_s=0.01)
    async with Ring.open(tmp_path / "ring", settings, clock) as ring:
        old = clock.stamp()
        old = structs.replace(old, boottime_ms=old.boottime_ms - 90_000, wall_ms=old.wall_ms - 90_000)
        await ring.append(Stream.INSTANT, Record(Schema(Kind.READING, (Field("x"),)), "m", old, (1,)))
        await ring.append(Stream.INSTANT, Record(Schema(Kind.READING, (Field("x"),)), "m", clock.stamp(), (2,)))
        states = {"a": poller(9, 1), "b": poller(0, 5, last_failure="no_answer: silence", circuit=Circuit.OPEN)}
        vitals = Vitals(lambda: figures_of(ring, "no access token", {}, WEAR, clock), lambda: states, ring.put, ring.put, clock, tmp_path, 60)
        record = await vitals.record()
    values = dict(zip((field.key for field in SCHEMA.fields), record.values, strict=True))
    assert record.schema is SCHEMA
    assert record.device == ""
    assert values["backlog_records"] == 2
    assert 90 <= values["oldest_unsent_age_s"] <= 92
    assert (values["meters_total"], values["meters_ok"], values["meters_resting"]) == (2, 1, 1)
    assert (values["polls_ok"], values["polls_failed"], values["read_success_pct"]) == (9, 6, 600)
    assert values["ring_problem"] == "none"
    assert values["ring_lost_records"] == 0
    assert values["ring_written_bytes"] > 0
    assert values["ring_damaged_pages"] == 0
    assert values["ring_written_bytes_per_day"] is None, "too early to tell"
    assert [values[field.key] for field in wear.FIELDS] == [30, "normal", 10**9, 1_680]
    assert values["uplink_connections"] is None, "not known without an uplink, never zero"
    assert values["rss_bytes"] > 10_000_000


async def test_nothing_waiting_is_age_zero_and_no_polls_is_no_percentage(tmp_path):
    clock = SystemClock(trust_wall=True)
    async with Ring.open(tmp_path / "ring", RingSettings(size_mib=16, slot_mib=1), clock) as ring:
        vitals = Vitals(lambda: figures_of(ring, "off", {}, StorageWear(), clock), dict, ring.put, ring.put, clock, tmp_path, 60)
        values = dict(zip((field.key for field in SCHEMA.fields), (await vitals.record()).values, strict=True))
    assert values["oldest_unsent_age_s"] == 0
    assert values["read_success_pct"] is None


async def test_a_start_is_told_as_an_event_and_health_follows_each_interval(tmp_path):
    clock, told, kept = SystemClock(trust_wall=True), [], []
    news = asyncio.Event()

    async def look() -> dict[str, int]:
        return {"backlog_records": 7}

    def keep(record: Record) -> None:
        kept.append(record)
        news.set()

    vitals = Vitals(look, dict, keep, told.append, clock, tmp_path, 0.01)
    promised: list[float] = []
    task = asyncio.create_task(vitals.run(promised.append))
    async with asyncio.timeout(5):
        while len(kept) < 2:
            news.clear()
            await news.wait()
    task.cancel()
    await asyncio.wait({task})
    assert [record.values[0] for record in told] == ["gateway_started"]
    assert all(dict(zip((f.key for f in SCHEMA.fields), record.values, strict=True))["backlog_records"] == 7 for record in kept)
    assert all(within_s > 0.01 for within_s in promised)
    assert len(promised) >= 2


def test_an_event_names_itself_and_its_detail():
    record = event("relay", "opened by operator", SystemClock(trust_wall=True))
    assert record.schema.kind is Kind.EVENT
    assert record.values == ("relay", "opened by operator")


async def test_a_fault_that_restarts_the_worker_is_no_start_of_the_gateway(tmp_path):
    told: list[Record] = []

    async def look() -> dict[str, int]:
        raise RuntimeError("a bug")

    vitals = Vitals(look, dict, told.append, told.append, SystemClock(trust_wall=True), tmp_path, 0.01)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(vitals.run(lambda _within_s: None), 5)
    assert [record.values[0] for record in told] == ["gateway_started"]

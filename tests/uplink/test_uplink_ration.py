"""What goes over a path that costs, and when: hours over midnight and daylight saving, thinning, gathering."""

import json
import random
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_uplink_mosquitto import drained, points
from uplink_bench import EVENT, READING, until
from wiretap import WireTap

from edge.config import PathSettings, PathsSettings, UplinkSettings
from edge.daemon.zones import local_minute
from edge.model import Kind, Record, Schema, Stamp, Stored, Stream
from edge.uplink import drain
from edge.uplink.hours import Hours, utc_minute
from edge.uplink.pathwatch import PathWatch
from edge.uplink.ration import OLD_AFTER_MS, Ration
from edge.uplink.source import Lane

DAY_S, MINUTE_S = 86_400, 60
INSTANTS = st.integers(int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2040, 1, 1, tzinfo=UTC).timestamp()))
OF_DAY = st.integers(0, 1_439)
try:
    ZoneInfo("Europe/Berlin")
except ZoneInfoNotFoundError:
    NAMES = []
else:
    NAMES = ["Europe/Berlin", "America/Bogota", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


# ---- hours of the day


def text_of(minute):
    return f"{minute // 60:02}:{minute % 60:02}"


@given(OF_DAY, OF_DAY, OF_DAY)
def test_hours_are_what_a_clock_on_the_wall_says(first, last, minute):
    hours = Hours.parse(f"{text_of(first)}-{text_of(last)}")
    at = first
    within = set()
    while True:                 # walk over the dial
        within.add(at)
        at = (at + 1) % 1_440
        if at == last:
            break
    if first == last:
        within = set(range(1_440))
    assert hours.open(minute) == (minute in within)


@settings(max_examples=40, deadline=None)
@given(INSTANTS, st.sampled_from(["UTC", "-05:00", "+01:00 eu", "+05:30", *NAMES]), OF_DAY, OF_DAY)
def test_a_day_in_any_zone_has_the_hours_once_but_for_the_change_of_the_clock(start_s, zone, first, last):
    """Of 24 hours, as many minutes are open as the hours have, give or take the hour that the clock was moved."""
    clock, hours = local_minute(zone), Hours(first, last)
    length = (last - first) % 1_440 or 1_440
    found = sum(hours.open(clock(start_s + minute * MINUTE_S)) for minute in range(1_440))
    changed = abs(clock(start_s) - clock(start_s + DAY_S))
    assert abs(found - length) <= min(changed, 1_440 - changed)


@given(INSTANTS)
@pytest.mark.skipif(not NAMES, reason="no time zone database here: apt install tzdata")
def test_the_european_offset_is_the_named_zone(utc_s):
    assert local_minute("+01:00 eu")(utc_s) == local_minute("Europe/Berlin")(utc_s)


@given(INSTANTS, st.sampled_from([("UTC", 0), ("-05:00", -300), ("+05:30", 330)]))
def test_offsets(utc_s, zone):
    name, offset_min = zone
    shown = datetime.fromtimestamp(utc_s, UTC) + timedelta(minutes=offset_min)
    assert local_minute(name)(utc_s) == shown.hour * 60 + shown.minute
    assert local_minute("UTC")(utc_s) == utc_minute(utc_s)


# ---- the ration


def ration(**changes):
    path = {key: changes.pop(key) for key in ("metered", "backlog") if key in changes}
    return Ration(PathSettings(name="modem", **path), PathsSettings(**changes))


def at(hour, minute=0, *, synchronised=True):
    wall_ms = int(datetime(2026, 11, 28, hour, minute, tzinfo=UTC).timestamp() * 1_000)
    return lambda: Stamp(0, wall_ms, "b", synchronised=synchronised)


def stored(seq, wall_ms, device="m1", schema=READING, stream=Stream.INSTANT):
    return Stored(stream, seq, Record(schema, device, Stamp(0, wall_ms, "b", synchronised=True), (1, 2, "x")))


def test_the_backlog_has_its_hours_and_nothing_else_has():
    one = ration(backlog="22:00-06:00")
    assert not one.look(0.0, at(12))
    assert one.shut(Lane.BACKFILL)
    assert not any(one.shut(lane) for lane in (Lane.ALARM, Lane.BILLING, Lane.FRESH))
    assert not one.look(10.0, at(21, 59))
    assert one.look(20.0, at(22)), "they begin"
    assert not one.look(30.0, at(23)), "told once"
    assert not one.shut(Lane.BACKFILL)
    assert not one.look(40.0, at(6))
    assert one.shut(Lane.BACKFILL)


def test_who_does_not_know_the_hour_waits():
    one = ration(backlog="00:00-00:00")
    one.look(0.0, at(12, synchronised=False))
    assert one.shut(Lane.BACKFILL)
    assert one.look(2.0, at(12))


def test_always_asks_no_clock_and_never_is_never():
    def nobody():
        raise AssertionError("asked")

    assert not ration().look(0.0, nobody)
    never = ration(backlog="never")
    for hour in range(24):
        assert not never.look(float(hour) * 2, at(hour))
    assert never.shut(Lane.BACKFILL)


def test_departures():
    one = ration(metered=True, gather_s=60.0)
    one.look(100.0, at(12))
    assert not one.shut(Lane.FRESH), "the first is at once"
    one.emptied()
    one.look(101.0, at(12))
    assert one.shut(Lane.FRESH)
    assert one.shut(Lane.BILLING)
    assert not one.shut(Lane.ALARM)
    assert not one.shut(Lane.BACKFILL)
    assert one.rest_s() == 59.0
    one.emptied()
    one.look(160.0, at(12))
    assert not one.shut(Lane.FRESH)
    assert one.rest_s() == float("inf")
    assert ration(gather_s=60.0).gather_s == 0, "only where bytes cost"


def test_old_billing_rows_are_backlog():
    one = ration(backlog="22:00-06:00")
    one.look(0.0, at(12))
    now_ms = at(12)().wall_ms
    assert one.holds(stored(1, now_ms - OLD_AFTER_MS - 1, stream=Stream.BILLING))
    assert not one.holds(stored(2, now_ms - OLD_AFTER_MS, stream=Stream.BILLING))
    assert not one.holds(stored(3, 0, stream=Stream.ALARM))
    one.look(10.0, at(23))
    assert not one.holds(stored(1, 0, stream=Stream.BILLING))


@given(st.lists(st.tuples(st.integers(0, 3_600_000), st.sampled_from(["m1", "m2"]), st.sampled_from([Kind.READING, Kind.FAILURE])), max_size=40))
def test_thinning_keeps_one_of_each_in_each_slot_and_is_asked_twice_without_harm(found):
    one = ration(backlog="never", thin_s=600.0)
    one.look(0.0, at(12))
    schemas = {kind: Schema(kind, READING.fields) for kind in (Kind.READING, Kind.FAILURE)}
    sent = []
    for seq, (wall_ms, device, kind) in enumerate(sorted(found)):
        record = stored(seq, wall_ms, device, schemas[kind])
        kept = not one.thins(record)
        assert kept == (not one.thins(record)), "packed again, it is the same"
        sent += [(device, kind, wall_ms // 600_000)] if kept else []
    assert sorted(sent) == sorted({(device, kind, wall_ms // 600_000) for wall_ms, device, kind in found})


def test_what_is_never_thinned():
    one = ration(backlog="22:00-06:00", thin_s=600.0)
    one.look(0.0, at(12))
    for schema, stream in ((EVENT, Stream.ALARM), (Schema(Kind.PUSHED, READING.fields), Stream.INSTANT), (READING, Stream.BILLING)):
        assert not any(one.thins(stored(seq, 0, schema=schema, stream=stream)) for seq in range(3))
    one.look(10.0, at(23))
    assert not any(one.thins(stored(seq, 0)) for seq in range(3)), "in its hours all of it goes"


# ---- over a real broker


@pytest.fixture
def costly(clock, mosquitto, run_uplink, monkeypatch):
    """`costly(tap, minute, ...)`: an uplink over one path of these settings, where it is as late as `minute()` says."""
    monkeypatch.setattr(drain, "TICK_S", 0.2)

    def make(tap, minute=lambda: 720, *, path=None, **changes):
        paths = PathsSettings(path=(PathSettings(name="modem", port=tap.port, **(path or {})),), **changes)
        watch = PathWatch(UplinkSettings(host="127.0.0.1"), paths, clock, random.Random(1), print, print,
                          lambda _zone: lambda _utc_s: minute())
        return run_uplink(tap.port, paths=watch)
    return make


def sent_numbers(tap):
    return {json.loads(values)["active_energy"] for _, _, values in points(tap.acked_payloads)}


async def test_metered_values_go_together_and_alarms_at_once(mosquitto, feed, costly, ring):
    """Ten commits of two values: one message instead of ten, unless this machine takes long for them."""
    gather_s = 2.0
    async with WireTap(("127.0.0.1", mosquitto.port)) as tap, costly(tap, path={"metered": True}, gather_s=gather_s) as uplink:
        await until(lambda: uplink.state().connected)
        await feed.readings(1)
        await drained(uplink)
        before, begun = len(tap.published), time.monotonic()
        for _ in range(10):
            await feed.readings(2)
        await feed.event("an_alarm")
        await until(lambda: any(b"an_alarm" in acked.publish.payload for acked in tap.acked))
        took_s = time.monotonic() - begun
        assert ring.backlog(Stream.INSTANT).records or took_s > gather_s / 2, "the alarm did not wait for them"
        await drained(uplink)
        took_s = time.monotonic() - begun
    assert len(sent_numbers(tap)) == 21
    together = [one for one in tap.published[before:] if b"voltage" in one.payload]
    assert len(together) <= 1 + took_s / gather_s


async def test_the_backlog_waits_for_its_hours_and_new_values_go_on(mosquitto, feed, costly, ring):
    minute = 720
    await feed.readings(300)
    async with WireTap(("127.0.0.1", mosquitto.port)) as tap, \
            costly(tap, lambda: minute, path={"backlog": "22:00-06:00"}) as uplink:
        await until(lambda: uplink.state().connected)
        await feed.readings(20)
        await feed.event("an_alarm")
        await until(lambda: sent_numbers(tap) == set(range(300, 320)))
        await until(lambda: ring.backlog(Stream.ALARM).records == 0)
        await until(lambda: ring.backlog(Stream.INSTANT).records == 300)
        minute = 22 * 60
        await drained(uplink)
    assert sent_numbers(tap) == set(range(320))


async def test_thinned_values_are_not_lost(mosquitto, feed, costly, ring):
    minute = 720
    async with WireTap(("127.0.0.1", mosquitto.port)) as tap, \
            costly(tap, lambda: minute, path={"backlog": "22:00-06:00"}, thin_s=86_400.0) as uplink:
        await until(lambda: uplink.state().connected)
        for _ in range(4):
            await feed.readings(25)
        await until(lambda: ring.backlog(Stream.INSTANT).records <= 95)
        assert len(sent_numbers(tap)) in (5, 10), "one of each of the five meters, two over midnight"
        minute = 23 * 60
        await drained(uplink)
    assert sent_numbers(tap) == set(range(100))

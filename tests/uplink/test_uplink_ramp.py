"""The slow start, and how a rate limit is found that nobody told: against ThingsBoard's buckets, in simulated time."""

import asyncio
import random
from collections import Counter

import pytest
from uplink_bench import TOKEN

from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.demo.thingsboard_limits import buckets
from edge.uplink.pace import Pace, backoff
from edge.uplink.ramp import FIRST_BYTES, FORGET_S, GrowingBucket, Quota, Ramp


def test_what_is_on_the_way_doubles_with_each_round_of_pubacks():
    pace = Pace(window_messages=16, window_bytes=262_144, batch_bytes=16_384)
    rounds, now, carried = 0, 0.0, []
    while pace.batch_now_bytes < 16_384 and rounds < 50:
        size, sent_at, before = pace.batch_now_bytes, now, sum(carried)
        on_its_way = 0
        while pace.room(on_its_way, on_its_way * size, size):
            on_its_way += 1
        now += 0.01
        for _ in range(on_its_way):
            carried.append(size)
            pace.answered(size, sum(carried) - before, sent_at, now)
        rounds += 1
    assert carried[0] == FIRST_BYTES // 2
    assert rounds <= 6


def test_a_server_that_gets_slow_halves_it_once_a_round():
    ramp = Ramp(65_536)
    for now in range(1, 30):
        ramp.answered(4_096, now - 0.1, float(now))
    assert ramp.limit_bytes == 65_536
    for n in range(8):
        ramp.answered(4_096, 30.0, 45.0 + n / 10)
    assert ramp.limit_bytes == 32_768
    ramp.answered(4_096, 50.0, 70.0)
    assert ramp.limit_bytes == 16_384
    ramp.answered(4_096, 71.0, 71.1)
    assert ramp.limit_bytes == 20_480


def test_a_thin_link_is_no_slow_server():
    """Every PUBACK takes twelve seconds, the first one too."""
    ramp = Ramp(65_536)
    for now in range(12, 240, 12):
        ramp.answered(4_096, now - 12.0, float(now))
    assert ramp.limit_bytes == 65_536


def drained(limit, *, for_s, backlog=10**9, entries=20, points=180, seed=1):
    """A backlog against a server that enforces `limit` on entries; returns when it closed, and how many were taken."""
    quota, server, rng = Quota(), buckets(limit, 0.0), random.Random(seed)
    now, closings, taken, delays = 0.0, [], 0, None
    quota.began(now)
    while now < for_s and taken < backlog:
        if wait_s := quota.wait_s(entries, points, now):
            now += max(wait_s, 0.001)
            continue
        now += 0.02                                # a round trip
        quota.spend(entries, points, now)
        if all(bucket.has(entries, now) for bucket in server):
            for bucket in server:
                bucket.take(entries)
            quota.taken(entries, points)
            taken += entries
            continue
        delays = delays if delays and closings and now - closings[-1] < 60 else backoff(1.0, 60.0, rng)
        closings.append(now)
        quota.closed(now)
        now += next(delays)
        quota.began(now)
    return closings, taken


@pytest.mark.parametrize(("limit", "allowed_per_s"), [("100:1", 100), ("200:1,3000:60", 50), ("1000:1,15000:3600", 15000 / 3600), ("20:1,600:60", 10)])
def test_a_limit_that_nobody_told_is_found_and_kept(limit, allowed_per_s):
    closings, taken = drained(limit, for_s=3_600)
    assert len(closings) <= 20, closings
    assert len([at for at in closings if at > 1_800]) <= 2, "ever more rarely"
    assert taken >= 0.5 * allowed_per_s * 3_600


def test_a_limit_is_forgotten_when_it_has_not_shown_for_long():
    quota = Quota()
    quota.began(0.0)
    quota.taken(100, 900)
    quota.closed(10.0)
    assert quota.batch_points(10.0) == 72
    quota.began(10.0 + FORGET_S - 1)
    assert quota.batch_points(11.0) is not None
    quota.began(10.0 + FORGET_S + 1)
    assert quota.batch_points(11.0) is None
    assert quota.wait_s(1_000, 9_000, 11.0) == 0.0


def test_what_is_more_than_a_second_of_the_rate_passes_and_is_paid_off():
    bucket = GrowingBucket(10.0, 0.0, 0.0)
    assert bucket.wait_s(100, 0.0) == pytest.approx(1.0)
    assert bucket.wait_s(100, 1.0) == 0.0
    bucket.spend(100, 1.0)
    assert bucket.wait_s(1, 1.0) == pytest.approx(9.1)


def test_a_fleet_does_not_come_back_all_at_once():
    """A thousand gateways lose the server at one moment, for a minute: their logins, a second at a time."""
    logins = Counter()
    for seed in range(1_000):
        now, delays = 0.0, backoff(1.0, 60.0, random.Random(seed))
        while now < 60.0:
            now += next(delays)
        logins[int(now)] += 1
    assert max(logins.values()) < 100
    assert max(logins) >= 90


# ---- against the server


@pytest.fixture
async def server():
    async with ThingsBoard(Rules(TOKEN, gateway_name="gw")) as made:
        made.contract.rules.enforce_limits = True
        yield made


async def drain(uplink):
    async with asyncio.timeout(40):
        await uplink.drained()


async def test_limits_that_are_told_are_kept_from_the_first_message_on(server, feed, run_uplink):
    await feed.readings(400)
    server.contract.rules.limits = {"rateLimits": {"messages": "40:10"}, "gatewayRateLimits": {
        "messages": "40:10", "telemetryMessages": "60:1", "telemetryDataPoints": "500:1"}}
    async with run_uplink(server.port) as uplink:
        await drain(uplink)
        assert (uplink.state().connections, uplink.state().refused) == (1, 0)
    assert (server.contract.limits.refused, server.contract.store.duplicates) == (0, 0)


async def test_limits_that_are_not_told_are_found(server, feed, run_uplink):
    await feed.readings(600)
    server.contract.rules.limits, server.contract.rules.tells_limits = {"gatewayRateLimits": {"telemetryDataPoints": "600:1"}}, False
    async with run_uplink(server.port) as uplink:
        await drain(uplink)
        assert uplink.state().connections <= 8
        assert uplink.state().quarantined == 0
    store = server.contract.store
    assert sorted(value for (_, key, _), value in store.points.items() if key == "active_energy") == list(range(600))
    assert server.contract.limits.refused >= 1


async def test_an_alarm_does_not_wait_behind_a_backlog_that_may_not_go(server, feed, run_uplink):
    await feed.readings(2_000)
    server.contract.rules.limits = {"gatewayRateLimits": {"telemetryDataPoints": "100:10"}}
    async with run_uplink(server.port) as uplink:
        async with asyncio.timeout(20):
            while not uplink.state().acked_records:
                await asyncio.sleep(0.01)
        await feed.event("tamper")
        async with asyncio.timeout(5):
            while "tamper" not in server.contract.store.points.values():
                await asyncio.sleep(0.01)
        assert uplink.state().acked_records < 1_000

"""Window, token buckets, the server's limits, back-off: arithmetic only."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.uplink.bucket import Rate, TokenBucket
from edge.uplink.pace import Cost, Pace, Rates, SessionLimits, backoff, parse_limits, parse_rates
from edge.uplink.ports import Parking


def pace(**changes):
    return Pace(**{"window_messages": 16, "window_bytes": 100_000, "batch_bytes": 16_384} | changes)


def test_backoff_doubles_to_its_limit_and_is_never_more_than_half_off():
    delays = backoff(1.0, 60.0, random.Random(7))
    tops = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for top, delay in zip(tops, delays, strict=False):
        assert top / 2 <= delay <= top


def test_window_counts_messages_and_bytes():
    plain = pace()
    for now in (0.1, 0.2):
        plain.answered(1_000_000, 1_000_000, now - 0.1, now)
    assert plain.room(15, 80_000, 20_000)
    assert not plain.room(16, 0, 1)
    assert not plain.room(1, 90_000, 10_001)
    assert plain.room(0, 0, 1_000_000), "one always fits into an empty window, or it would never go"


@pytest.mark.parametrize(("receive_maximum", "window"), [(None, 16), (20, 16), (10, 6), (4, 1), (1, 1)])
def test_window_leaves_packet_ids_free(receive_maximum, window):
    assert pace(receive_maximum=receive_maximum).window_messages == window


def test_limits_of_the_server_tighten_only():
    limited = pace()
    limited.learn(SessionLimits(max_payload_bytes=10_000, max_inflight=10), 0.0)
    assert (limited.batch_bytes, limited.record_limit_bytes, limited.window_messages) == (8_000, 9_936, 8)
    limited.learn(SessionLimits(max_payload_bytes=1_000_000, max_inflight=1_000), 1.0)
    assert (limited.batch_bytes, limited.record_limit_bytes, limited.window_messages) == (8_000, 9_936, 8)
    assert pace(packet_limit_bytes=4_096).batch_bytes == 3_276


def test_answer_of_the_server():
    limits = parse_limits(b'{"maxPayloadSize":65536,"maxInflightMessages":100,"rateLimits":{"messages":"20:1,600:60"},'
                          b'"gatewayRateLimits":{"telemetryDataPoints":"100:1"},"new":[1]}')
    assert limits == SessionLimits(65_536, 100, Rates(messages=(Rate(20, 1.0), Rate(600, 60.0))), Rates(points=(Rate(100, 1.0),)))
    assert parse_limits(b"{}") == SessionLimits()
    assert parse_limits(b'{"rateLimits":{"messages":""},"gatewayRateLimits":null}') == SessionLimits()


@pytest.mark.parametrize("payload", [b"", b"[]", b'"x"', b'{"rateLimits":{"messages":"20"}}', b'{"rateLimits":{"messages":"0:1"}}',
                                     b'{"rateLimits":{"messages":"1:inf"}}', b'{"maxPayloadSize":"big"}', b"\xff", b'{"rateLimits":{"messages":"1:nan"}}'])
def test_nonsense_is_a_value_error(payload):
    with pytest.raises(ValueError):
        parse_limits(payload)


@given(st.integers(1, 500), st.floats(0.1, 3600), st.lists(st.tuples(st.floats(0, 10), st.integers(1, 60)), max_size=60))
def test_a_bucket_keeps_its_rate_over_any_time(count, period_s, steps):
    bucket, now, spent = TokenBucket(Rate(count, period_s), 0.0), 0.0, 0.0
    largest = 0
    for rest, cost in steps:
        now += rest
        if bucket.wait_s(cost, now) == 0.0:
            bucket.spend(cost)
            spent, largest = spent + cost, max(largest, cost)
        assert spent <= bucket.capacity * (1 + now / period_s) + largest + 1e-6


def test_a_bucket_is_at_80_percent_and_tells_how_long_to_wait():
    bucket = TokenBucket(Rate(10, 2.0), 0.0)
    assert bucket.wait_s(8, 0.0) == 0.0
    bucket.spend(8)
    assert bucket.wait_s(4, 0.0) == pytest.approx(1.0)
    assert bucket.wait_s(4, 1.0) == 0.0
    assert bucket.wait_s(1_000, 2.0) == 0.0, "more than the whole bucket: when it is full"


def test_costs_go_to_their_own_books():
    limited = pace()
    rates = Rates(parse_rates("10:1"), parse_rates("10:1"), parse_rates("10:1"))
    limited.learn(SessionLimits(own=rates), 0.0)
    assert limited.batch_points(0.0) == 8
    for cost in (Cost(own=True, messages=8), Cost(own=True, entries=8), Cost(own=True, points=8)):
        assert limited.wait_s(cost, 0.0) == 0.0
        limited.spend(cost, 0.0)
        assert limited.wait_s(cost, 0.0) == pytest.approx(1.0)
    assert limited.wait_s(Cost(own=False, messages=99, entries=99, points=99), 0.0) == 0.0
    assert pace().wait_s(Cost(own=True, messages=99), 0.0) == 0.0


def test_a_refused_meter_rests_longer_each_time():
    parking = Parking()
    assert [parking.refuse("A", now) for now in (0.0, 100.0, 300.0)] == [30.0, 60.0, 120.0]
    assert parking.rests("A", 419.0)
    assert not parking.rests("A", 421.0)
    assert not parking.rests("B", 0.0)
    assert parking.names(310.0) == ("A",)
    parking.accept("A")
    assert parking.refuse("A", 500.0) == 30.0
    for _ in range(20):
        rest_s = parking.refuse("A", 500.0)
    assert rest_s == 600.0


def carried(bytes_per_s, rtt_s, for_s=300.0):
    """A link of one rate and one delay under a backlog without end; returns its use (0..1) and the longest wait at the end."""
    pace = Pace(window_messages=16, window_bytes=262_144, batch_bytes=16_384)
    now, free_at, delivered, carried_bytes, waits = 0.0, 0.0, 0, 0, []
    on_its_way = []                                    # (answered at, sent at, bytes, delivered before)
    while now < for_s:
        while pace.room(len(on_its_way), sum(size for _, _, size, _ in on_its_way), pace.batch_now_bytes):
            size = pace.batch_now_bytes
            free_at = max(free_at, now) + size / bytes_per_s
            on_its_way.append((free_at + rtt_s, now, size, delivered))
        now, sent_at, size, before = on_its_way.pop(0)
        delivered += size
        pace.answered(size, delivered - before, sent_at, now)
        if now > for_s / 2:
            carried_bytes += size
            waits.append(max(0.0, free_at - now))
    return carried_bytes / (for_s / 2) / bytes_per_s, max(waits)


@pytest.mark.parametrize(("bytes_per_s", "rtt_s", "use", "wait_s"), [
    (2_500, 2.0, 0.75, 6.0),        # a poor modem: 20 kbit/s; a full window of 256 KiB would be 105 s
    (600, 2.0, 0.7, 15.0),          # sub-GHz at its worst: two batches of 4 KiB
    (125_000, 0.5, 0.95, 3.0),      # HaLow, 1 Mbit/s
    (20_000, 2.0, 0.85, 6.0),
])
def test_the_window_follows_the_link(bytes_per_s, rtt_s, use, wait_s):
    """An alarm waits behind what is on its way, so that must not be much more than keeps the link busy."""
    used, waited = carried(bytes_per_s, rtt_s)
    assert used >= use
    assert waited <= wait_s


def test_small_publications_do_not_keep_the_window_small():
    pace = Pace(window_messages=16, window_bytes=262_144, batch_bytes=16_384)
    for _ in range(100):
        pace.answered(200, 200, 0.0, 2.0)
    assert pace.room(1, 4_000, pace.batch_now_bytes)
    for _ in range(12):
        pace.answered(pace.batch_now_bytes, 2 * pace.batch_now_bytes, 0.0, 0.5)
    assert pace.batch_now_bytes == 16_384

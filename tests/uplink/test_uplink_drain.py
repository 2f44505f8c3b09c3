"""The uplink against a server with ThingsBoard's contract and the real ring: order, window, cuts, refusals, poison."""

import asyncio
import itertools
import json
import logging
import time
from collections import Counter

import pytest
from moat.lib.mqtt import ReasonCode
from mosquitto_broker import free_port
from uplink_bench import TOKEN, until
from wiretap import WireTap

from edge.credentials import Login
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules, Verdict
from edge.errors import RingError
from edge.model import Stream
from edge.uplink import drain
from edge.uplink.thingsboard import GATEWAY_CONNECT, GATEWAY_TELEMETRY, OWN_TELEMETRY

RESERVED = Verdict(ReasonCode.QUOTA_EXCEEDED, close=ReasonCode.QUOTA_EXCEEDED)
REFUSED = Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)


@pytest.fixture
async def tap(server):
    async with WireTap(("127.0.0.1", server.port)) as made:
        yield made


def numbers(store):
    """Numbers of the readings that arrived."""
    return sorted(value for (_, key, _), value in store.points.items() if key == "active_energy")


def sent_numbers(tap):
    """Numbers of the readings as they were sent, in order, and how often."""
    found = []
    for published in tap.published:
        if published.topic == GATEWAY_TELEMETRY:
            found += [element["values"]["active_energy"] for elements in json.loads(published.payload).values() for element in elements]
    return found


async def drained(uplink, timeout_s=20):
    async with asyncio.timeout(timeout_s):
        await uplink.drained()


def nothing_lost(server, feed):
    store = server.contract.store
    assert numbers(store) == list(range(feed.written))
    assert store.conflicts == []
    assert all(store.announced[device] for device in store.profiles if device != "gw")
    assert set(store.profiles.values()) == {"three-phase"}


async def test_a_backlog_and_then_live(server, feed, run_uplink):
    await feed.readings(500)
    async with run_uplink(server.port) as uplink:
        await drained(uplink)
        nothing_lost(server, feed)
        await feed.readings(50)
        await drained(uplink)
        state = uplink.state()
    nothing_lost(server, feed)
    assert (state.connected, state.connections, state.acked_records, state.in_flight_messages, state.last_error) == (True, 1, 550, 0, "")
    assert server.contract.store.duplicates == 0


async def test_the_ring_is_empty_only_after_the_acknowledgement(server, ring, feed, run_uplink):
    await feed.readings(20)
    server.contract.rules.is_gateway = False          # silence
    async with run_uplink(server.port, ack_timeout_s=30) as uplink:
        await until(lambda: uplink.state().in_flight_messages)
        assert ring.backlog(Stream.INSTANT).records == 20
    assert ring.backlog(Stream.INSTANT).records == 20


async def test_no_broker_at_the_start_is_normal(ring, feed, run_uplink, caplog):
    port = free_port()
    await feed.readings(20)
    caplog.set_level(logging.DEBUG, "edge.uplink")
    async with run_uplink(port) as uplink:
        await until(lambda: caplog.text.count("cannot reach") >= 3)
        assert not uplink.state().connected
        assert "cannot reach" in uplink.state().last_error
        async with ThingsBoard(Rules(TOKEN, gateway_name="gw"), port=port) as server:
            await drained(uplink)
            nothing_lost(server, feed)
            assert uplink.state().last_error == ""
    levels = Counter(record.levelname for record in caplog.records if "cannot reach" in record.getMessage())
    assert levels["WARNING"] == 1, "the first is a warning, the repeats are not"
    assert levels["DEBUG"] >= 2


async def test_a_server_that_takes_a_little_and_closes_is_no_storm(server, feed, run_uplink):
    """ThingsBoard 4.2.0's rate limit: some PUBACKs, then a closed connection, at once, every time."""
    await feed.readings(2_000)
    closing = Verdict(reason=None, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
    server.contract.rules.next_verdicts += [Verdict(), closing] * 1_000
    came = []
    opened = server.contract.opened
    server.contract.opened = lambda send: (came.append(time.monotonic()), opened(send))
    async with run_uplink(server.port, backoff_first_s=0.02, backoff_max_s=10.0, batch_bytes=500) as uplink:
        await until(lambda: len(came) == 6, timeout_s=30)
        assert uplink.state().acked_records > 0
    rests = [later - earlier for earlier, later in itertools.pairwise(came)]
    assert all(rest >= 0.02 * 2**n / 2 for n, rest in enumerate(rests)), "each rest at least half of twice the one before"


async def test_a_refused_login_is_asked_again_slowly(server, feed, run_uplink):
    await feed.readings(5)
    server.contract.rules.token = "another"
    async with run_uplink(server.port, refused_backoff_s=1.0) as uplink:
        await until(lambda: "not authorised" in uplink.state().last_error)
        before = time.monotonic()
        server.contract.rules.token = TOKEN
        await drained(uplink)
        assert 0.4 < time.monotonic() - before < 1.5


@pytest.mark.parametrize("moment", ["connect", "announce", "telemetry", "puback"])
async def test_a_reset_at_every_kind_of_moment(server, feed, run_uplink, moment):
    await feed.readings(400)
    cuts = 0

    def watch(what, packet):
        nonlocal cuts
        topic = getattr(packet, "topic", None) or packet.publish.topic
        hit = {"announce": what == "published" and topic == GATEWAY_CONNECT, "puback": what == "acked" and topic == GATEWAY_TELEMETRY,
               "telemetry": what == "published" and topic == GATEWAY_TELEMETRY, "connect": what == "published"}[moment]
        if hit and cuts < 3:
            cuts += 1
            tap.reset()

    async with WireTap(("127.0.0.1", server.port), on_packet=watch) as tap, run_uplink(tap.port) as uplink:
        await drained(uplink)
        assert cuts == 3
        nothing_lost(server, feed)
        assert len(tap.published) < 400


@pytest.mark.parametrize("order", ["oldest", "newest", "live+backfill"])
async def test_a_black_hole_is_noticed_within_the_ack_time_out(server, tap, feed, run_uplink, order):
    await feed.readings(300)
    async with run_uplink(tap.port, ack_timeout_s=0.5, order=order) as uplink:
        await drained(uplink)
        tap.blackhole()
        await feed.readings(50)
        async with asyncio.timeout(1.0):
            while uplink.state().connected:
                await asyncio.sleep(0.01)
        await until(lambda: "no PUBACK within 0.5 s" in uplink.state().last_error)
        tap.heal()
        await drained(uplink)
        state = uplink.state()
    nothing_lost(server, feed)
    assert state.sent_records - state.acked_records <= 50 * (state.connections - 1), "on a loaded machine more than one is given up"


async def test_a_slow_link_is_not_taken_for_dead(server, feed, run_uplink):
    """64 kB/s and a window that takes it a second to carry, ack time-out 0.5 s: PUBACKs keep coming, so it is alive."""
    await feed.readings(400, text="x" * 200)
    relayed = asyncio.Event()

    async def relay(reader, writer):
        back, forth = await asyncio.open_connection("127.0.0.1", server.port)

        async def slowly():
            while data := await reader.read(4_096):
                await asyncio.sleep(len(data) / 65_536)
                forth.write(data)

        async def pump():
            while data := await back.read(4_096):
                writer.write(data)

        tasks = [asyncio.ensure_future(slowly()), asyncio.ensure_future(pump())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for sink in (writer, forth):
            sink.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        relayed.set()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as slow:
        async with run_uplink(slow.sockets[0].getsockname()[1], ack_timeout_s=0.5, batch_bytes=8_000) as uplink:
            await drained(uplink)
            assert uplink.state().connections == 1
        await relayed.wait()
    nothing_lost(server, feed)


async def test_an_idle_dead_link_is_noticed_by_silence(server, tap, feed, run_uplink):
    await feed.readings(1)
    async with run_uplink(tap.port, keepalive_s=1) as uplink:
        await drained(uplink)
        tap.blackhole()
        async with asyncio.timeout(3.5):
            while uplink.state().connected:
                await asyncio.sleep(0.01)
        assert "not a byte" in uplink.state().last_error or "lost" in uplink.state().last_error


async def test_the_window_bounds_what_is_in_flight_and_sent_twice(server, tap, feed, run_uplink):
    await feed.readings(2_000)
    most, now_open = 0, Counter()

    def watch(what, packet):
        nonlocal most
        if what == "published" and packet.packet_id:
            now_open[packet.connection] += 1
            most = max(most, now_open[packet.connection])
        if what == "acked":
            now_open[packet.publish.connection] -= 1
        if what == "acked" and len(tap.acked) in (8, 20, 30):
            tap.reset()

    tap.on_packet = watch
    async with run_uplink(tap.port, window_messages=4) as uplink:
        await drained(uplink)
        state = uplink.state()
    nothing_lost(server, feed)
    assert 1 < most <= 4
    repeated = sum(count - 1 for count in Counter(sent_numbers(tap)).values())
    per_message = max(Counter(p.payload.count(b'"ts"') for p in tap.published))
    assert 0 < repeated <= (state.connections - 1) * 4 * per_message
    assert state.connections >= 4
    assert server.contract.store.duplicates >= 0
    assert server.contract.store.conflicts == []


async def test_alarms_first_then_billing_then_fresh_and_old_three_to_one(server, tap, feed, run_uplink):
    await feed.readings(600)
    await feed.readings(1, stream=Stream.BILLING, text="billing")
    await feed.event("power_lost")
    async with run_uplink(tap.port, window_messages=1, batch_bytes=1_000) as uplink:
        await until(lambda: len(tap.acked) > 10)
        fresh = asyncio.create_task(feed.readings(600, text="fresh"))
        await feed.event("tamper")
        durable_at = len(tap.published)
        await drained(uplink)
        await fresh
    nothing_lost(server, feed)
    tamper = next(i for i, p in enumerate(tap.published) if b"tamper" in p.payload)
    assert tamper <= durable_at + 5
    told = [p for p in tap.published if p.topic != GATEWAY_CONNECT and not p.topic.endswith("request/1")]
    assert b"power_lost" in told[0].payload
    assert b"billing" in told[1].payload
    telemetry = [("fresh" if b'"fresh"' in p.payload else "old") for p in told if p.topic == GATEWAY_TELEMETRY][1:]
    start = telemetry.index("fresh")
    both = telemetry[start:start + 40]
    assert 25 <= both.count("fresh") <= 34, "three of four turns"
    old = [min(sent_numbers_of(p)) for p in tap.published if p.topic == GATEWAY_TELEMETRY and b'"x"' in p.payload]
    assert old == sorted(old), "the backlog itself goes oldest first"


async def test_oldest_first_keeps_the_order(server, tap, feed, run_uplink):
    await feed.readings(300)
    async with run_uplink(tap.port, order="oldest") as uplink:
        await feed.readings(300)
        await drained(uplink)
    assert len(sent_numbers(tap)) == 600
    firsts = [min(sent_numbers_of(p)) for p in tap.published if p.topic == GATEWAY_TELEMETRY]
    assert firsts == sorted(firsts)


def sent_numbers_of(published):
    return [element["values"]["active_energy"] for elements in json.loads(published.payload).values() for element in elements]


async def test_own_records_and_meters_in_one_batch(server, ring, feed, run_uplink):
    await feed.readings(10)
    await feed.health(17)
    await feed.readings(10)
    async with run_uplink(server.port) as uplink:
        await drained(uplink)
    nothing_lost(server, feed)
    assert {place[1]: value for place, value in server.contract.store.points.items() if place[0] == "gw"} == {"uptime_s": 17}


async def test_a_batch_of_two_publications_needs_both_acknowledgements(server, tap, ring, feed, run_uplink):
    await feed.readings(3)
    await feed.health(17)
    server.contract.rules.next_verdicts += [Verdict(), Verdict(reason=None)]       # own: taken; meters: silence
    async with run_uplink(tap.port, ack_timeout_s=0.5) as uplink:
        await until(lambda: sum(acked.publish.topic == OWN_TELEMETRY for acked in tap.acked) == 1)
        assert ring.backlog(Stream.INSTANT).records == 4
        await drained(uplink)
    nothing_lost(server, feed)
    assert server.contract.store.duplicates == 1, "the own record, in the batch that was sent again"


async def test_profile_of_a_meter_that_only_has_link_records(server, ring, clock, run_uplink):
    from edge.model import Field, Kind, Record, Schema
    await ring.append(Stream.INSTANT, Record(Schema(Kind.LINK, (Field("link_grade"),)), "m9", clock.stamp(), ("good",)))
    async with run_uplink(server.port, profile_of=lambda device: f"profile of {device}") as uplink:
        await drained(uplink)
    assert server.contract.store.profiles == {"m9": "profile of m9"}


# ---- refusals


async def test_quota_exceeded_is_no_success(server, tap, feed, run_uplink):
    """PUBACK 0x97 and close: ThingsBoard's answer to a rate limit on the gateway API."""
    await feed.readings(60)
    server.contract.rules.next_verdicts += [Verdict(), RESERVED, RESERVED]
    async with run_uplink(tap.port) as uplink:
        await drained(uplink)
        state = uplink.state()
    nothing_lost(server, feed)
    assert state.refused >= 2
    assert state.quarantined == 0


async def test_unspecified_errors_without_a_close_are_tried_again(server, feed, run_uplink):
    await feed.readings(50)
    server.contract.rules.next_verdicts += [Verdict(ReasonCode.UNSPECIFIED_ERROR)] * 4
    async with run_uplink(server.port) as uplink:
        await drained(uplink)
        assert uplink.state().quarantined == 0
    nothing_lost(server, feed)


@pytest.mark.parametrize("verdict", [
    REFUSED, Verdict(ReasonCode.TOPIC_NAME_INVALID), Verdict(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR),
    Verdict(reason=None, close=ReasonCode.MALFORMED_PACKET), Verdict(reason=None),
], ids=["0x99", "0x90", "0x83 and close", "close without an answer", "silence"])
async def test_poison_is_found_reported_and_skipped(server, feed, run_uplink, verdict, monkeypatch):
    monkeypatch.setattr(drain, "TICK_S", 0.1)
    await feed.readings(100)
    await feed.readings(1, text="POISON")
    await feed.readings(100)
    server.contract.rules.poison['"POISON"'] = verdict
    silence = verdict.reason is None and verdict.close is None
    async with run_uplink(server.port, ack_timeout_s=0.1 if silence else 1.0) as uplink:
        async with asyncio.timeout(30):
            while uplink.state().quarantined < 1:
                await feed.readings(1)           # others pass: that is the proof
                await asyncio.sleep(0.05)
        await drained(uplink)
        assert uplink.state().quarantined == 1
    store = server.contract.store
    assert numbers(store) == [number for number in range(feed.written) if number != 100]
    report = {key: value for (device, key, _), value in store.points.items() if device == "gw"}
    assert report["event"] == "record_quarantined"
    assert report["event_device"] == "m0"
    assert report["event_stream"] == "instant"
    assert '"active_energy":100' in report["event_record"]


async def test_storage_that_fails_does_not_stop_the_drain(server, ring, feed, run_uplink, monkeypatch):
    """A report that cannot become durable keeps its record in the ring, and holds up nothing else."""
    monkeypatch.setattr(drain, "TICK_S", 0.05)
    works, append = asyncio.Event(), ring.append

    async def stalled(stream, record):
        await works.wait()
        return await append(stream, record)

    await feed.readings(20)
    await feed.readings(1, text="POISON")
    server.contract.rules.poison['"POISON"'] = REFUSED
    monkeypatch.setattr(ring, "append", stalled)
    async with run_uplink(server.port) as uplink:
        await until(lambda: uplink.state().refused >= 1)
        for last in (22, 24):
            for _ in range(2):
                ring.put(Stream.INSTANT, feed.record())
            await until(lambda last=last: len(numbers(server.contract.store)) == last)
        await until(lambda: ring.backlog(Stream.INSTANT).records == 1)
        refused = uplink.state().refused
        await asyncio.sleep(0.2)
        assert (uplink.state().quarantined, uplink.state().refused, uplink.state().connected) == (0, refused, True)
        works.set()
        await drained(uplink)
        assert uplink.state().quarantined == 1


async def test_a_report_that_the_ring_refuses_goes_without_the_record(server, ring, feed, run_uplink, monkeypatch):
    def small(stream, record, put=ring.put):
        if stream is Stream.ALARM and len(str(record.values)) > 400:
            raise RingError("too large")
        return put(stream, record)

    monkeypatch.setattr(ring, "put", small)
    await feed.readings(1, text="POISON" + "y" * 900)
    await feed.readings(5)
    server.contract.rules.poison['"POISON'] = REFUSED
    async with run_uplink(server.port) as uplink:
        await drained(uplink)
        assert uplink.state().quarantined == 1
    assert any(value == "record_quarantined" for value in server.contract.store.points.values())


async def test_a_server_that_refuses_everything_empties_nothing(server, ring, feed, run_uplink):
    await feed.readings(100)
    server.contract.rules.poison["voltage_l1"] = REFUSED
    async with run_uplink(server.port) as uplink:
        await until(lambda: "refuses every record" in uplink.state().last_error)
        assert uplink.state().quarantined == 0
        assert ring.backlog(Stream.INSTANT).records == 100
        server.contract.rules.poison.clear()
        await drained(uplink)
        assert uplink.state().quarantined == 0
    nothing_lost(server, feed)


async def test_a_gateway_that_is_none_loses_nothing(server, ring, feed, run_uplink):
    """Silence on v1/gateway/*, answers on v1/devices/me/*: the second proves nothing against the first."""
    await feed.readings(20)
    server.contract.rules.is_gateway = False
    async with run_uplink(server.port, ack_timeout_s=0.2, keepalive_s=1) as uplink:
        for uptime_s in range(8):
            await feed.health(uptime_s)
            await asyncio.sleep(0.12)
        assert uplink.state().quarantined == 0
        assert ring.backlog(Stream.INSTANT).records >= 20
        server.contract.rules.is_gateway = True
        await drained(uplink)
    nothing_lost(server, feed)


async def test_a_record_too_large_for_any_server(server, feed, run_uplink):
    await feed.readings(3)
    await feed.readings(1, text="x" * 9_000)
    await feed.readings(3)
    server.contract.rules.max_payload_bytes = 8_000
    server.contract.rules.limits = {"maxPayloadSize": 8_000}
    async with run_uplink(server.port) as uplink:
        await drained(uplink)
        assert uplink.state().quarantined == 1
    assert numbers(server.contract.store) == [0, 1, 2, 4, 5, 6]


async def test_a_meter_beyond_the_device_limit_rests_alone(server, ring, feed, run_uplink, monkeypatch):
    monkeypatch.setattr(drain, "TICK_S", 0.05)
    await feed.readings(100)
    server.contract.rules.refuse_device.add("m3")
    async with run_uplink(server.port) as uplink:
        await until(lambda: len(numbers(server.contract.store)) == 80)
        assert uplink.state().parked == ("m3",)
        await until(lambda: ring.backlog(Stream.INSTANT).records == 20)
        server.contract.rules.refuse_device.clear()
        uplink._shared.parking._until.clear()           # as if its rest were over
        uplink._drain._rests_until = 0.0
        uplink._shared.activity.set()
        await drained(uplink)
    nothing_lost(server, feed)


async def test_a_resting_meter_is_no_reason_to_send_the_others_again(server, ring, feed, run_uplink, monkeypatch):
    """The ring keeps 1,024 acknowledged intervals; every second record rests, which makes 1,500 of them."""
    monkeypatch.setattr(drain, "TICK_S", 0.05)
    reads = []
    monkeypatch.setattr(ring, "read", lambda *a, read=ring.read, **k: reads.append(a) or read(*a, **k))
    for _ in range(6):
        await feed.readings(500, meters=2)
    server.contract.rules.refuse_device.add("m1")
    async with run_uplink(server.port, batch_bytes=16_384) as uplink:
        await until(lambda: len(numbers(server.contract.store)) == 1_500, timeout_s=40)
        await until(lambda: not uplink.state().in_flight_messages, timeout_s=40)
        await asyncio.sleep(0.1)
        sent, looked = uplink.state().sent_records, len(reads)
        await asyncio.sleep(0.5)
        assert uplink.state().sent_records == sent == 1_500
        assert len(reads) - looked <= 4, "a ring of nothing but resting records is not read over and over"
        server.contract.rules.refuse_device.clear()
        for device in uplink._shared.parking._until:
            uplink._shared.parking._until[device] = 0.0
        uplink._drain._rests_until = 0.0                 # as if its rest were over
        uplink._shared.activity.set()
        await drained(uplink, timeout_s=60)
    nothing_lost(server, feed)
    assert server.contract.store.duplicates == 0


async def test_takeover_is_counted_and_reported(server, feed, run_uplink):
    async with run_uplink(server.port) as uplink:
        await until(lambda: uplink.state().connected)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        token = TOKEN.encode()
        body = b"\x00\x04MQTT\x05\x82\x00\x00\x00" + b"\x00\x01z" + len(token).to_bytes(2, "big") + token
        writer.write(b"\x10" + bytes([len(body)]) + body)
        await until(lambda: uplink.state().takeovers == 1)
        await until(lambda: any(key == "event" and value == "uplink_takeover" for (_, key, _), value in server.contract.store.points.items()))
        assert await reader.read() != b""
        writer.close()
        await writer.wait_closed()
    assert uplink.state().takeovers == 1


# ---- limits


async def test_limits_of_the_server_are_kept(server, tap, feed, run_uplink):
    await feed.readings(400)
    server.contract.rules.limits = {
        "maxPayloadSize": 2_000, "maxInflightMessages": 5, "rateLimits": {},
        "gatewayRateLimits": {"telemetryDataPoints": "2000:1", "telemetryMessages": "1000:1"},
    }
    async with run_uplink(tap.port) as uplink:
        before = time.monotonic()
        await drained(uplink)
        took = time.monotonic() - before
    nothing_lost(server, feed)
    late = [p for p in tap.published[3:] if p.topic == GATEWAY_TELEMETRY]
    assert max(len(p.payload) for p in late) <= 1_600
    points = server.contract.store.received
    assert points <= 2_000 * 0.8 * (1 + took) + 200


async def test_nonsense_for_limits_is_ignored(server, feed, run_uplink):
    server.contract.rules.limits = {"maxPayloadSize": "large"}
    await feed.readings(50)
    async with run_uplink(server.port) as uplink:
        await drained(uplink)
    nothing_lost(server, feed)


# ---- the end


async def test_cancelling_ends_hard_even_in_a_black_hole(server, tap, feed, run_uplink):
    await feed.readings(2_000)
    promised = []
    async with run_uplink(tap.port, promise=promised.append, ack_timeout_s=30):
        await until(lambda: tap.acked)
        tap.blackhole()
        before = time.monotonic()
    assert time.monotonic() - before < 2.0
    assert promised
    assert max(promised) <= 30 + drain.SLACK_S


async def test_a_ring_that_fails_ends_the_uplink_with_its_error(server, ring, run_uplink, clock):
    class Broken:
        def __getattr__(self, name):
            return getattr(ring, name)

        async def wait_committed(self):
            raise OSError("flash gone")

    from random import Random

    from uplink_bench import settings

    from edge.uplink.uplink import Uplink
    uplink = Uplink(Broken(), settings(server.port), gateway_name="g", login=Login("a test", TOKEN), clock=clock, promise=lambda _: None, rng=Random(1))
    with pytest.raises(ExceptionGroup) as caught:
        await uplink.run()
    assert caught.group_contains(OSError, match="flash gone")

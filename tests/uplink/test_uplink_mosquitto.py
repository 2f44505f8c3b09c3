"""Against the real Mosquitto, judged on the wire: the broker loses acknowledged messages of its own when killed."""

import asyncio
import json
from collections import Counter

import pytest
from uplink_bench import until
from wiretap import WireTap

from edge.model import Stream
from edge.uplink.thingsboard import GATEWAY_TELEMETRY

WINDOW = 8
PLAIN_TOPIC = "halow/gw"        # for the dialect "mqtt", whose default payload tells the device


def points(publications):
    """(device, ts, values) of every element, in order."""
    found = []
    for topic, payload in publications:
        if topic == GATEWAY_TELEMETRY:
            found += [(device, element["ts"], json.dumps(element["values"]))
                      for device, elements in json.loads(payload).items() for element in elements]
        elif topic == PLAIN_TOPIC:
            found += [(element["device"], element["ts"], json.dumps(element["values"])) for element in json.loads(payload)]
    return found


def judge(tap, feed, *, cuts):
    """0 lost; duplicates within a window per cut, and identical. Returns how many were sent twice."""
    acked = points(tap.acked_payloads)
    assert {json.loads(values)["active_energy"] for _, _, values in acked} == set(range(feed.written)), "lost"
    sent = points((published.topic, published.payload) for published in tap.published)
    assert len({(device, ts) for device, ts, _ in sent}) == feed.written, "two records of a meter share a millisecond"
    assert len(set(sent)) == feed.written, "a repetition differs from its first delivery"
    per_message = max(payload.count(b'"ts"') for topic, payload in tap.acked_payloads if topic in (GATEWAY_TELEMETRY, PLAIN_TOPIC))
    twice = sum(count - 1 for count in Counter(sent).values())
    assert twice <= cuts * WINDOW * per_message
    return twice


async def drained(uplink):
    async with asyncio.timeout(20):
        await uplink.drained()


@pytest.mark.parametrize("order", ["oldest", "newest", "live+backfill"])
async def test_kill_9_of_the_broker_and_a_cut_without_fin(mosquitto, ring, feed, run_uplink, order):
    """2,000 records; the broker killed twice, the link cut without FIN once, always in the middle of the work."""
    async with WireTap(("127.0.0.1", mosquitto.port)) as tap, \
            run_uplink(tap.port, order=order, window_messages=WINDOW, batch_bytes=1_000, ack_timeout_s=0.5) as uplink:
        await until(lambda: uplink.state().connected)
        for cut in ("kill", "blackhole", "kill"):
            begun = len(tap.acked)
            feeding = asyncio.create_task(feed.readings(600))
            await until(lambda begun=begun: len(tap.acked) >= begun + 5)
            if cut == "kill":
                await mosquitto.kill()
                assert ring.backlog(Stream.INSTANT).records or not feeding.done()
                await feeding
                await mosquitto.start()
            else:
                tap.blackhole()
                await feeding
                await until(lambda: not uplink.state().connected)
                tap.heal()
        await feed.readings(200)
        await drained(uplink)
        state = uplink.state()
    judge(tap, feed, cuts=3)
    assert state.quarantined == 0
    assert state.connections >= 4


async def test_many_resets(mosquitto, feed, run_uplink):
    """A cut at every 25th acknowledgement."""
    cuts = 0

    def watch(what, _packet):
        nonlocal cuts
        if what == "acked" and len(tap.acked) % 25 == 0:
            cuts += 1
            tap.reset()

    await feed.readings(2_000)
    async with WireTap(("127.0.0.1", mosquitto.port), on_packet=watch) as tap, \
            run_uplink(tap.port, window_messages=WINDOW, batch_bytes=2_000) as uplink:
        await drained(uplink)
        state = uplink.state()
    assert cuts >= 4
    judge(tap, feed, cuts=cuts)
    assert state.quarantined == 0


async def test_nothing_is_let_go_before_its_puback(mosquitto, ring, feed, run_uplink):
    """At every moment the ring holds all that the wire has not seen acknowledged."""
    await feed.readings(1_000)
    held = []

    def watch(what, _packet):
        if what == "published":
            held.append((ring.backlog(Stream.INSTANT).records, len(points(tap.acked_payloads))))

    async with WireTap(("127.0.0.1", mosquitto.port), on_packet=watch) as tap, \
            run_uplink(tap.port, window_messages=4, batch_bytes=2_000) as uplink:
        await drained(uplink)
    assert len(held) > 20
    assert all(backlog + acked >= 1_000 for backlog, acked in held)


async def test_receive_maximum_of_the_broker_is_respected(mosquitto, feed, run_uplink):
    """Mosquitto grants 20 (its default max_inflight_messages); a window of 100 must not end in OverflowError."""
    await feed.readings(2_000)
    async with WireTap(("127.0.0.1", mosquitto.port)) as tap, \
            run_uplink(tap.port, window_messages=100, batch_bytes=500) as uplink:
        await drained(uplink)
        assert uplink.state().connections == 1
    judge(tap, feed, cuts=0)

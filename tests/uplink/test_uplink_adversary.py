"""A server that means harm, or is broken: what it says in good MQTT takes no record away and does not end the uplink."""

import asyncio

import pytest
from test_uplink_drain import drained, nothing_lost
from test_uplink_hostile import CONNACK, Hostile, session
from uplink_bench import until

from edge.errors import OrderRefused, Rejected, Retryable
from edge.model import Stream
from edge.ota.chunks import REST_MAX_S, Chunks
from edge.ota.offer import Offer
from edge.uplink.claiming import Claiming
from edge.uplink.pace import LEAST_PACKET_BYTES, parse_limits, parse_rates
from edge.uplink.provisionwords import granted
from edge.uplink.shared import SharedAttributes
from edge.uplink.sparkplughost import PrimaryHost

DEEP = b'{"x":' + b"[" * 100_000
NO_UTF8 = b'{"x":"\xff"}'
LIMITS = "v1/devices/me/rpc/response/1"
ANYWHERE = (LIMITS, "v1/devices/me/attributes", "v1/devices/me/attributes/response/78000", "v1/devices/me/rpc/request/5", "v1/gateway/rpc", "v2/fw/error",
            "v2/fw/response/1/chunk/0", "v1/gateway/attributes", "spBv1.0/STATE/x", "/provision/response")
RUBBISH = [DEEP, NO_UTF8, b"", b"\0" * 100_000, b'{"deleted":[[1],null]}', b'{"device":"\\ud800","data":{"id":' + b"9" * 30 + b',"method":"x"}}',
           b'{"method":"x","params":' + b"9" * 5_000 + b"}"]
LIMITS_OF_A_FOOL = [
    b'{"maxPayloadSize":-5}', b'{"maxPayloadSize":1}', b'{"maxPayloadSize":100}', b'{"maxInflightMessages":-1}',
    b'{"rateLimits":{"messages":"' + b"9" * 400 + b':1"}}', b'{"gatewayRateLimits":{"telemetryMessages":"' + b"9" * 400 + b':1"}}',
    b'{"rateLimits":{"messages":"1:1e-320"}}', b'{"gatewayRateLimits":{"telemetryDataPoints":"' + b"1000:1," * 30_000 + b'"}}',
    b'{"gatewayRateLimits":{"telemetryDataPoints":"1:1e300"}}', DEEP, NO_UTF8]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
async def test_rubbish_on_every_topic_is_read_and_left(server, feed, run_uplink, rubbish):
    shared, chunks = SharedAttributes(), Chunks(4_096, 5.0, 0.5)
    shared.follow(("x", "fw_title"), lambda _attributes: None)
    async with run_uplink(server.port, talks=(shared, chunks, Claiming())) as uplink:
        await until(lambda: uplink.state().connected)
        for topic in ANYWHERE:
            server.publish(topic, rubbish)
        await feed.readings(50)
        await drained(uplink)
        assert uplink.state().connections == 1
    nothing_lost(server, feed)


@pytest.mark.parametrize("limits", LIMITS_OF_A_FOOL, ids=range(len(LIMITS_OF_A_FOOL)))
async def test_limits_that_no_server_has_are_not_used(server, feed, run_uplink, limits):
    """A payload of a hundred bytes at most had every record let go of as too large for any server."""
    async with run_uplink(server.port) as uplink:
        await until(lambda: uplink.state().connected)
        server.publish(LIMITS, limits)
        await feed.readings(20)
        await drained(uplink)
        assert (uplink.state().quarantined, uplink.state().connections) == (0, 1)
    nothing_lost(server, feed)


def test_sane_limits_are_used():
    assert parse_limits(b'{"maxPayloadSize":%d}' % LEAST_PACKET_BYTES).max_payload_bytes == LEAST_PACKET_BYTES
    assert len(parse_rates(",".join(["20:1"] * 16))) == 16
    with pytest.raises(ValueError, match="more than 16"):
        parse_rates(",".join(["20:1"] * 17))


async def test_a_server_that_takes_only_tiny_packets_is_refused_and_nothing_thrown_away(ring, feed, run_uplink):
    async with Hostile(b"\x20\x08\x00\x00\x05\x27" + (100).to_bytes(4, "big")) as server:
        with pytest.raises(Rejected, match="takes packets of up to 100 bytes; a reading wants 1024"):
            await session(server.port).open()
        await feed.readings(3)
        async with run_uplink(server.port) as uplink:
            await until(lambda: uplink.state().rejected)
            assert uplink.state().quarantined == 0
        assert ring.backlog(Stream.INSTANT).records == 3


@pytest.mark.parametrize("payload", [DEEP, b'{"status":"\xff"}', b'{"status":"SUCCESS","credentialsValue":"\\ud800"}'])
def test_an_answer_to_provisioning_that_is_none_may_pass(payload):
    with pytest.raises(Retryable, match="answers the provisioning request with what is none") as refused:
        granted(payload, "gw", "server:1")
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("payload", [DEEP, NO_UTF8])
def test_a_state_that_is_none_changes_nothing(payload):
    host = PrimaryHost("scada")
    host.heard(b'{"online":true,"timestamp":5}')
    host.heard(payload)
    assert host.online


def test_a_server_that_is_silent_about_a_package_for_weeks():
    chunks, now = Chunks(4_096, 5.0, 0.5), 0.0
    chunks.began()
    chunks.begin(Offer("fw", "a", "1", 100_000, "0" * 64, "SHA256"), 0)
    for _ in range(3_000):
        if chunks.due(now, idle=True, limit_bytes=60_000) is None:
            assert 0 < chunks.rest_s(now) <= REST_MAX_S
        now += chunks.rest_s(now)
    assert now > 300_000


async def test_who_waits_for_an_answer_hears_of_an_end_by_the_gateway_itself(run_uplink):
    """Other settings or credentials end a connection from this side."""
    claiming = Claiming()
    async with Hostile(CONNACK) as server:
        async with run_uplink(server.port, talks=(claiming,), ack_timeout_s=30.0) as uplink:
            await until(lambda: uplink.state().connected and uplink._drain is not None)
            asked = asyncio.create_task(claiming.answer({"secret": "s"}))
            await until(lambda: uplink.state().in_flight_messages == 1)
        async with asyncio.timeout(5):
            with pytest.raises(OrderRefused, match="the connection ended before the server answered"):
                await asked
        with pytest.raises(OrderRefused, match="is not connected to the server now"):
            await claiming.answer({"secret": "s"})

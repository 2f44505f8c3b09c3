"""The ThingsBoard stand-in in MQTT 3.1.1, as a foreign client sees it, and the uplink that falls back to it."""

import asyncio

import paho.mqtt.client as paho
import pytest
from foreign import TOKEN, Foreign
from hypothesis import example, given
from hypothesis import strategies as st
from moat.lib.mqtt import ReasonCode
from oldbroker import BY_CONNACK, BY_CONNACK_OF_5, OldBroker
from test_uplink_drain import drained, nothing_lost
from uplink_bench import until
from wiretap import WireTap

from edge.demo.thingsboard_contract import Verdict
from edge.demo.thingsboard_v311 import Tongue

OWN, GATEWAY = "v1/devices/me/telemetry", "v1/gateway/telemetry"
READING = {"A": [{"ts": 1, "values": {"a": 1}}]}
CONNECT = b"\x10\x1b\x00\x04MQTT\x04\xc6\x00\x3c\x00\x01g\x00\x01w\x00\x02NO\x00\x01u\x00\x02pw"


@pytest.fixture
async def old(server):
    async with Foreign(server.port, version=paho.MQTTv311) as made:
        yield made


@pytest.mark.parametrize(("token", "code"), [("", 5), ("wrong", 5)])
async def test_refused_logins(server, token, code):
    async with Foreign(server.port, token, version=paho.MQTTv311) as client:
        assert client.login == [paho.convert_connack_rc_to_reason_code(code).value]


@pytest.mark.parametrize(("topic", "payload"), [(OWN, {"a": 1}), (GATEWAY, READING), ("v1/somewhere/else", {"a": 1})])
async def test_what_is_taken_and_what_is_not_look_alike(old, topic, payload):
    assert await old.publish(topic, payload) == 0


async def test_a_bad_payload_closes_without_a_puback(server, old):
    assert await old.publish(OWN, b"{broken") is None
    assert server.contract.store.points == {}


async def test_a_rate_limit_acknowledges_and_closes(server, old):
    server.contract.rules.next_verdicts.append(Verdict(ReasonCode.QUOTA_EXCEEDED, close=ReasonCode.QUOTA_EXCEEDED))
    assert await old.publish(GATEWAY, READING) == 0
    await old.until(lambda: old.ends)
    assert server.contract.store.points == {}


async def test_subscriptions_and_what_comes_of_them(server, old):
    assert await old.subscribe("v1/devices/me/attributes", "no/such/topic") == [1, 0x80]
    server.contract.set_shared("", {"rate": 5, "text": "x" * 300})
    assert await old.next_message() == ("v1/devices/me/attributes", {"rate": 5, "text": "x" * 300})


@given(st.lists(st.integers(1, 90), max_size=6))
@example([1] * 6)
def test_whole_or_byte_by_byte_is_the_same(cuts):
    """CONNECT with a will, PUBLISH at both levels, SUBSCRIBE, PUBACK, ping, DISCONNECT."""
    said = (CONNECT + b"\x30\x05\x00\x01tab" + b"\x32\x85\x01\x00\x01t\x00\x07" + b"x" * 128 + b"\x82\x06\x00\x08\x00\x01t\x01" + b"\x40\x02\x00\x07"
            + b"\xc0\x00\xe0\x00")
    whole = (b"\x10\x1d\x00\x04MQTT\x05\xc6\x00\x3c\x00\x00\x01g\x00\x00\x01w\x00\x02NO\x00\x01u\x00\x02pw" + b"\x30\x06\x00\x01t\x00ab"
             + b"\x32\x86\x01\x00\x01t\x00\x07\x00" + b"x" * 128 + b"\x82\x07\x00\x08\x00\x00\x01t\x01" + b"\x40\x02\x00\x07" + b"\xc0\x00\xe0\x00")
    tongue, heard = Tongue(), b""
    for cut in cuts:
        heard, said = heard + tongue.inbound(said[:cut]), said[cut:]
    assert heard + tongue.inbound(said) == whole
    assert tongue.old


@given(st.binary(max_size=60))
@example(b"\x10\xff\xff\xff\xff\x7f")
@example(b"\x10\x07\x00\x04MQTT\x04")
@example(b"\x30\x00\x82\x00\x32\x01a\x10\x00")
def test_any_bytes_go_on_to_who_judges_them(noise):
    for begin in (CONNECT, b""):
        tongue = Tongue()
        bit_by_bit = b"".join(tongue.inbound(bytes([byte])) for byte in begin + noise)
        assert bit_by_bit == Tongue().inbound(begin + noise)


@pytest.mark.parametrize("refusal", [BY_CONNACK, BY_CONNACK_OF_5])
async def test_the_uplink_falls_back_and_loses_nothing(server, feed, run_uplink, refusal):
    """5 is refused; then 3.1.1 with a rate limit that says no by closing, a cut and an outage, all in the middle of the work."""
    rules = server.contract.rules
    async with OldBroker(("127.0.0.1", server.port), refusal) as front, WireTap(("127.0.0.1", front.port)) as tap, \
            run_uplink(tap.port, ack_timeout_s=0.5, batch_bytes=1_000) as uplink:
        await until(lambda: uplink.state().connected)
        assert uplink.state().mqtt == "3.1.1"
        for trouble in ("limit", "cut", "outage"):
            begun = len(tap.acked)
            feeding = asyncio.create_task(feed.readings(200))
            await until(lambda begun=begun: len(tap.acked) >= begun + 5)
            if trouble == "limit":
                rules.next_verdicts += [Verdict(ReasonCode.QUOTA_EXCEEDED, close=ReasonCode.QUOTA_EXCEEDED)] * 2
            elif trouble == "cut":
                tap.reset()
            else:
                await server.outage()
            await feeding
            await server.restore()
        await drained(uplink)
        state = uplink.state()
    nothing_lost(server, feed)
    assert (state.quarantined, state.parked) == (0, ())
    assert tap.levels[:2] == [5, 4]
    assert set(tap.levels[1:]) == {4}
    assert rules.token == TOKEN

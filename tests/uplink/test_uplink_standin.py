"""The ThingsBoard stand-in keeps the contract, seen by a foreign client (paho). Each point is one of ThingsBoard's."""

import asyncio

import pytest
from foreign import Foreign
from moat.lib.mqtt import ReasonCode

from edge.demo.thingsboard_contract import Verdict

GATEWAY = "v1/gateway/telemetry"
OWN = "v1/devices/me/telemetry"


@pytest.mark.parametrize(("token", "code"), [("", 0x86), ("wrong", 0x87)])
async def test_refused_logins(server, token, code):
    async with Foreign(server.port, token) as client:
        assert client.login == [code]


@pytest.mark.parametrize(("topic", "payload", "reason"), [
    (OWN, {"a": 1}, 0), (OWN, {"ts": 1, "values": {"a": 1}}, 0), (OWN, [{"a": 1}, {"ts": 2, "values": {"a": 2}}], 0),
    (OWN, b"{broken", 0x99), (OWN, [1], 0x99), (OWN, [], None), (OWN, {"ts": 1, "values": {"k" * 256: 1}}, 0x99),
    (GATEWAY, {"A": [{"ts": 1, "values": {"a": 1}}]}, 0), (GATEWAY, {"A": [3]}, 0x99), (GATEWAY, {"A": []}, None), (GATEWAY, {}, None),
    (GATEWAY, {"A": {"a": 1}}, 0), ("v1/gateway/connect", {"device": "A"}, 0), ("v1/gateway/connect", {"dev": "A"}, 0x83),
    ("v1/somewhere/else", {"a": 1}, 0x90), ("v1/gateway/disconnect", {"device": "A"}, 0), ("v1/gateway/disconnect", {}, 0x83),
    ("v1/devices/me/attributes", {"a": 1}, 0), ("v1/devices/me/attributes", [1], 0x99), ("v1/devices/me/attributes", {"k" * 256: 1}, 0x99),
    ("v1/gateway/attributes", {"A": {"a": 1}}, 0), ("v1/gateway/attributes", {"A": 1}, 0x99), ("v1/gateway/attributes", {}, None),
    ("v1/gateway/attributes", [1], 0x83),
])
async def test_answers(client, topic, payload, reason):
    assert await client.publish(topic, payload) == reason


async def test_what_is_stored(server, client):
    await client.publish("v1/gateway/connect", {"device": "A", "type": "three-phase"})
    body = {"A": [{"ts": 5, "values": {"serial": "00123", "v": 1.5}}], "B": [{"ts": 6, "values": {"v": 2}}], "C": {"v": 3}}
    await client.publish(GATEWAY, body)
    await client.publish(GATEWAY, body)
    await client.publish(OWN, [{"ts": 7, "values": {"u": 1}}])
    store = server.contract.store
    assert store.points == {("A", "serial", 5): 123, ("A", "v", 5): 1.5, ("B", "v", 6): 2, ("gw", "u", 7): 1}
    assert (store.received, store.duplicates, store.conflicts, store.skipped) == (7, 3, [], 2)
    assert store.profiles == {"A": "three-phase", "B": "default"}
    await client.publish(OWN, [{"ts": 7, "values": {"u": 2}}])
    assert store.conflicts == [(("gw", "u", 7, 2), 1)]


async def test_attributes_have_no_time_and_the_last_stands(server, client):
    await client.publish("v1/devices/me/attributes", {"serial": "00123", "a": 1})
    await client.publish("v1/devices/me/attributes", {"a": 2})
    await client.publish("v1/gateway/attributes", {"A": {"b": True}})
    await client.publish("v1/gateway/disconnect", {"device": "A"})
    store = server.contract.store
    assert store.attributes == {"gw": {"serial": 123, "a": 2}, "A": {"b": True}}
    assert (store.profiles, store.retired["A"]) == ({"A": "default"}, 1)


async def test_not_an_object_is_refused_and_the_connection_closed(client):
    assert await client.publish(GATEWAY, [1]) == 0x83
    await client.until(lambda: client.ends)
    assert client.ends == [0x83]


async def test_too_large_closes_without_an_answer(server, client):
    server.contract.rules.max_payload_bytes = 1_000
    assert await client.publish(OWN, b'{"a":"' + b"x" * 1_000 + b'"}') is None
    assert client.ends == [0x81]


async def test_a_device_that_is_no_gateway_gets_silence(server, client):
    server.contract.rules.is_gateway = False
    assert await client.publish(GATEWAY, {"A": [{"ts": 1, "values": {"a": 1}}]}) is None
    assert await client.publish(OWN, {"a": 1}) == 0


async def test_gateway_telemetry_at_qos_0_is_not_stored(server, client):
    await client.publish(GATEWAY, {"A": [{"ts": 1, "values": {"a": 1}}]}, qos=0)
    assert server.contract.store.points == {}


async def test_device_limit(server, client):
    server.contract.rules.refuse_device.add("A")
    assert await client.publish("v1/gateway/connect", {"device": "A"}) == 0x97
    assert await client.publish(GATEWAY, {"A": [{"ts": 1, "values": {"a": 1}}]}) == 0x97
    assert client.ends == []


async def test_scripted_rate_limit(server, client):
    server.contract.rules.next_verdicts.append(Verdict(ReasonCode.QUOTA_EXCEEDED, close=ReasonCode.QUOTA_EXCEEDED))
    assert await client.publish(OWN, {"a": 1}) == 0x97
    await client.until(lambda: client.ends)
    assert client.ends == [0x97]


async def test_session_limits_are_told_where_asked(server, client):
    server.contract.rules.limits = {"maxPayloadSize": 65_536}
    client.client.subscribe("v1/devices/me/rpc/response/+", qos=1)
    await client.publish("v1/devices/me/rpc/request/1", {"method": "getSessionLimits", "params": {}})
    await client.until(lambda: client.messages)
    assert client.messages == [("v1/devices/me/rpc/response/1", b'{"maxPayloadSize":65536}')]


async def test_one_session_per_identity(server, client):
    async with Foreign(server.port):
        await client.until(lambda: client.ends)
        assert client.ends == [0x8E]


async def test_outage_and_black_hole(server, client):
    await server.outage()
    await client.until(lambda: client.ends)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", server.port)
    await server.restore()
    async with Foreign(server.port) as again:
        assert await again.publish(OWN, {"a": 1}) == 0
        server.blackhole()
        again.client.publish(OWN, b'{"a":2}', qos=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        writer.close()
        assert list(server.contract.store.points.values()) == [1]

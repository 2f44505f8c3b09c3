"""ThingsBoard's contract beyond telemetry, seen by a foreign client: attributes both ways, calls, limits, who is active."""

import asyncio
import contextlib

import pytest
from foreign import TOKEN, Foreign

from edge.demo import thingsboard
from edge.demo.thingsboard_contract import Contract, Rules, text_cast
from edge.demo.thingsboard_rules import decoded

OWN, GATEWAY = "v1/devices/me/telemetry", "v1/gateway/telemetry"
READING = {"A": [{"ts": 1, "values": {"a": 1}}]}


# ---- shared attributes


@pytest.mark.parametrize(("request_topic", "response_topic"), [
    ("v1/devices/me/attributes/request/7", "v1/devices/me/attributes/response/7"), ("v2/a/req/7", "v2/a/res/7")])
async def test_attributes_are_told_where_asked(server, client, request_topic, response_topic):
    await client.publish("v1/devices/me/attributes", {"mine": 1})
    server.contract.set_shared("", {"rate": 5, "other": True})
    await client.publish(request_topic, {"sharedKeys": "rate,none", "clientKeys": "mine"})
    assert await client.next_message() == (response_topic, {"client": {"mine": 1}, "shared": {"rate": 5}})
    await client.publish(request_topic, {"sharedKeys": "none"})
    assert await client.next_message() == (response_topic, {}), "a scope that has nothing is left out"
    await client.publish(request_topic, {})
    assert await client.next_message() == (response_topic, {"client": {"mine": 1}, "shared": {"rate": 5, "other": True}})


async def test_a_change_of_shared_attributes_reaches_who_has_subscribed(server, client):
    server.contract.set_shared("", {"rate": 4})
    assert await client.subscribe("v1/devices/me/attributes", "no/such/topic") == [1, 0x8F]
    server.contract.set_shared("", {"rate": 5})
    assert await client.next_message() == ("v1/devices/me/attributes", {"rate": 5})
    server.contract.delete_shared("", "rate")
    assert await client.next_message() == ("v1/devices/me/attributes", {"deleted": ["rate"]})
    client.client.unsubscribe("v1/devices/me/attributes")
    await client.publish(OWN, {"a": 1})
    server.contract.set_shared("", {"rate": 6})
    await client.publish(OWN, {"a": 2})
    assert client.messages == []


async def test_shared_attributes_of_a_device_come_while_it_is_connected(server, client):
    server.contract.set_shared("A", {"k": 1})
    await client.publish("v1/gateway/connect", {"device": "A"})
    server.contract.set_shared("A", {"k": 2, "l": 3})
    assert await client.next_message() == ("v1/gateway/attributes", {"device": "A", "data": {"k": 2, "l": 3}})
    server.contract.delete_shared("A", "l")
    assert await client.next_message() == ("v1/gateway/attributes", {"device": "A", "data": {"deleted": ["l"]}})
    await client.publish("v1/gateway/disconnect", {"device": "A"})
    server.contract.set_shared("A", {"k": 3})
    await client.publish("v1/gateway/attributes/request", {"id": 1, "device": "A", "client": False, "key": "k"})
    assert await client.next_message() == ("v1/gateway/attributes/response", {"id": 1, "device": "A", "value": 3})
    await client.publish("v1/gateway/attributes/request", {"id": 2, "device": "A", "client": False, "keys": ["k", "l"]})
    assert await client.next_message() == ("v1/gateway/attributes/response", {"id": 2, "device": "A", "values": {"k": 3}})


@pytest.mark.parametrize("body", [[1], {"id": 1, "device": "A"}, {"id": 1, "device": "A", "client": False}])
async def test_an_attribute_request_of_another_form_closes(client, body):
    assert await client.publish("v1/gateway/attributes/request", body) == 0x83
    await client.until(lambda: client.ends)
    assert client.ends == [0x83]


# ---- calls


async def test_a_call_waits_for_who_subscribes_and_is_sent_again_until_it_is_answered(server):
    async with Foreign(server.port) as client:
        call = server.contract.call("", "status", {"a": 1})
        await client.subscribe("v1/devices/me/rpc/request/+")
        assert await client.next_message() == ("v1/devices/me/rpc/request/0", {"method": "status", "params": {"a": 1}})
    async with Foreign(server.port) as client:
        await client.subscribe("v1/devices/me/rpc/request/+")
        assert (await client.next_message())[0] == "v1/devices/me/rpc/request/0", "the same number"
        assert await client.publish("v1/devices/me/rpc/response/0", {"ok": 1}) == 0
        assert await client.publish("v1/devices/me/rpc/response/0", {"ok": 2}) == 0, "stale, and acknowledged"
    assert (call.status, call.answers, call.sent) == ("SUCCESSFUL", [{"ok": 1}], 2)


async def test_a_one_way_call_is_done_when_sent_and_a_persistent_one_when_acknowledged(server, client):
    await client.publish("v1/gateway/connect", {"device": "A"})
    once = server.contract.call("A", "resume", one_way=True)
    kept = server.contract.call("A", "pause", one_way=True, persistent=True)
    both = server.contract.call("A", "latest", persistent=True)
    for number, method in enumerate(("resume", "pause", "latest")):
        topic, body = await client.next_message()
        assert (topic, body) == ("v1/gateway/rpc", {"device": "A", "data": {"id": number, "method": method, "params": None}})
    await client.publish(OWN, {"a": 1})
    assert (once.status, kept.status, both.status) == ("SUCCESSFUL", "DELIVERED", "DELIVERED")
    await client.publish("v1/gateway/disconnect", {"device": "A"})
    await client.publish("v1/gateway/connect", {"device": "A"})
    assert (await client.next_message())[1]["data"]["id"] == 2, "only what has no answer"
    assert await client.publish("v1/gateway/rpc", {"device": "A", "id": 2, "data": {"x": 1}}) == 0
    assert both.answers == [{"x": 1}]


async def test_a_restart_of_the_server_numbers_anew_and_forgets_what_was_sent(server):
    for _ in range(2):
        server.contract.call("", "status")
    queued = server.contract.call("", "pause", persistent=True)
    server.contract.calls.restart()
    assert server.contract.call("", "status").number == 1
    async with Foreign(server.port) as client:
        await client.subscribe("v1/devices/me/rpc/request/+")
        assert (queued.number, (await client.next_message())[0]) == (0, "v1/devices/me/rpc/request/0")


def test_calls_that_nobody_hears_run_out():
    now = [0.0]
    contract = Contract(Rules(TOKEN), lambda: now[0])
    calls = [contract.call("A", "x", timeout_s=5), contract.call("A", "x", persistent=True, timeout_s=50)]
    now[0] = 6.0
    assert contract.calls.pending("A") == [calls[1]]
    now[0] = 60.0
    assert contract.calls.pending("A") == []
    assert [call.status for call in calls] == ["TIMEOUT", "EXPIRED"]


# ---- limits, logins


LIMITS = {"rateLimits": {"messages": "3:100", "telemetryMessages": "2:100", "telemetryDataPoints": "5:100"},
          "gatewayRateLimits": {"telemetryMessages": "2:100"}}


async def beyond(server, topic, bodies):
    """Publish until the session ends; return the reasons and how it ended."""
    async with Foreign(server.port) as client:
        reasons = [await client.publish(topic, body) for body in bodies if not client.ends]
        await client.until(lambda: client.ends)
        return reasons, client.ends, client.messages


@pytest.mark.parametrize(("topic", "bodies", "reasons", "end"), [
    (OWN, [{"a": 1}] * 9, [0, 0, None], 0x83), (OWN, [{"a": 1, "b": 2, "c": 3}] * 9, [0, None], 0x83),
    ("v1/devices/me/attributes", [{"a": 1}] * 9, [0, 0, None], 0x83),
    (GATEWAY, [READING] * 9, [0, 0, 0x97], 0x97),
    (GATEWAY, [dict.fromkeys("ABC", READING["A"])], [0x97], 0x97),
])
async def test_rate_limits_end_the_session(server, topic, bodies, reasons, end):
    rules = server.contract.rules
    rules.limits, rules.enforce_limits = {**LIMITS, "rateLimits": {**LIMITS["rateLimits"], "messages": "99:1"}}, True
    assert (await beyond(server, topic, bodies))[:2] == (reasons, [end])
    assert server.contract.limits.refused == 1


async def test_before_4_2_1_the_gateway_api_closes_without_an_answer(server):
    server.contract.rules.before_4_2_1, server.contract.rules.enforce_limits = True, True
    server.contract.rules.limits = LIMITS | {"rateLimits": {}}
    assert (await beyond(server, GATEWAY, [READING] * 9))[:2] == ([0, 0, None], [0x83])


async def test_regular_messages_have_a_limit_of_their_own_and_the_device_is_named(server):
    server.contract.rules.enforce_limits, server.contract.rules.limits = True, {"rateLimits": {}, "gatewayRateLimits": {"messages": "2:100"}}
    assert (await beyond(server, "v1/gateway/connect", [{"device": name} for name in "ABCD"]))[:2] == ([0, 0, 0x97], [0x97])
    server.contract.rules.limits = {"gatewayRateLimits": {"telemetryMessages": "1:100"}}
    _, ends, messages = await beyond(server, GATEWAY, [READING] * 3)
    assert (ends, messages) == ([0x97], [("v1/gateway/disconnect", b'{"device":"A","reason":151}')])


async def test_sessions_that_open_too_fast_and_logins_that_are_wrong_too_often(server):
    server.contract.rules.opens = "1:100"
    async with Foreign(server.port) as first, Foreign(server.port) as second:
        assert (first.login, second.login) == ([0], [0x9F])
    server.contract.rules.opens, server.contract.rules.block_after = "", 2
    for _ in range(2):
        async with Foreign(server.port, "wrong") as client:
            assert client.login == [0x87]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read(1) == b"", "closed unheard"
    writer.close()


async def test_acknowledgements_come_in_any_order(server, client, monkeypatch):
    monkeypatch.setattr(thingsboard, "HELD_S", 60.0)
    server.contract.rules.acks_together = 3
    order = []
    client.client.on_publish = lambda _c, _u, mid, _reason, _p: client._note(lambda: order.append(mid))
    mids = [client.client.publish(OWN, b'{"a":1}', qos=1).mid for _ in range(3)]
    await client.until(lambda: len(order) == 3)
    assert order == mids[::-1]


# ---- who is active


async def test_a_backlog_makes_a_device_active_now_and_disconnecting_alone_nothing(server, client):
    devices = server.contract.devices
    await client.publish("v1/gateway/connect", {"device": "A"})
    assert (devices.of("A").connected, devices.active("A")) == (True, False)
    await client.publish(GATEWAY, READING)
    assert devices.active("A"), "though its ts is of 1970"
    await client.publish("v1/gateway/disconnect", {"device": "A"})
    assert (devices.of("A").connected, devices.active("A")) == (False, True)
    await client.publish(GATEWAY, READING)
    assert devices.of("A").connected, "telemetry connects"
    assert devices.of("gw").connected


async def test_the_end_of_the_session_disconnects_every_device(server):
    async with Foreign(server.port) as client:
        await client.publish(GATEWAY, READING)
        async with Foreign(server.port) as other:
            await client.until(lambda: client.ends)
            assert not server.contract.devices.of("A").connected
            await other.publish(GATEWAY, READING)
            assert server.contract.devices.of("A").connected
    while server.connections:
        await asyncio.gather(*(connection.closed for connection in server.connections))
    assert not server.contract.devices.of("A").connected


# ---- forms


@pytest.mark.parametrize(("text", "stored"), [
    ("0.12345678901234567", "0.12345678901234567"), ("0.1234567890123456", 0.1234567890123456), ("9223372036854775807", 2**63 - 1),
    ("9223372036854775808", "9223372036854775808"), ('"00123"', 123), ('"1.50"', 1.5), ('"-7"', -7), ('"1_0"', "1_0"), ('"#1"', "#1"),
    ('{"x":[1]}', '{"x":[1]}'), ("true", True), ("1e3", 1000.0),
])
def test_values_are_stored_as_thingsboard_casts_them(text, stored):
    value = text_cast(decoded(text.encode()))
    assert (value, type(value)) == (stored, type(stored))


async def test_short_topics_claims_and_metadata(server, client):
    for topic in ("v2/t", "v2/t/j", "v2/a", "v2/a/j"):
        assert await client.publish(topic, {"k": 1}) == 0
    body = {"A": [{"ts": 1, "values": {"a": 1}, "metadata": {"connector": "c", "receivedTs": 1, "publishedTs": 2}}, {"ts": 2, "values": {}}]}
    assert await client.publish(GATEWAY, body) == 0
    assert {place: value for place, value in server.contract.store.points.items() if place[0] == "A"} == {("A", "a", 1): 1}
    assert await client.publish("v1/gateway/claim", {"A": {"secretKey": "s"}}) == 0
    assert server.contract.store.claims == [{"device": "A", "secretKey": "s"}]

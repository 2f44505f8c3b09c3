"""Calls over a real connection to the server's stand-in; the cut comes between the call and its PUBACKed answer."""

import asyncio

import msgspec
import pytest
from uplink_bench import until

from edge.remote.hands import Hands


@pytest.mark.parametrize("cut", ["never", "before the answer", "black hole"])
async def test_a_call_is_answered_over_whatever_happens_to_the_connection(server, run_uplink, cut):
    hands, calls = Hands(), []
    hands.arrived = lambda call: calls.append(call) is None
    async with run_uplink(server.port, talks=(hands,)) as uplink:
        await until(lambda: uplink.state().connected)
        server.publish("v1/gateway/rpc", msgspec.json.encode({"device": "m1", "data": {"id": 4, "method": "latest"}}))
        await until(lambda: calls)
        if cut == "before the answer":
            await server.outage()
        elif cut == "black hole":
            server.blackhole()
        hands.reply(calls[0], {"age_s": 1})
        if cut != "never":
            await asyncio.sleep(0)
            await server.outage()
            await server.restore()
        await until(lambda: server.contract.store.rpc_answers)
    assert server.contract.store.rpc_answers == [("v1/gateway/rpc", {"device": "m1", "id": 4, "data": {"age_s": 1}})]

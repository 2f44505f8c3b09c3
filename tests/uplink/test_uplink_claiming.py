"""Claiming: the server gets secret and duration once, and whoever asked hears what came of it, also when the link goes."""

import asyncio

import pytest
from moat.lib.mqtt import ReasonCode
from uplink_bench import until

from edge.demo.thingsboard_contract import Verdict
from edge.errors import ConfigError, OrderRefused
from edge.uplink.claiming import Claiming


async def test_the_server_gets_secret_and_duration_and_the_puback_is_waited_for(server, run_uplink):
    claiming = Claiming()
    with pytest.raises(OrderRefused, match="not connected"):
        await claiming.answer({"secret": "s"})
    async with run_uplink(server.port, talks=[claiming]) as uplink:
        await until(lambda: uplink.state().connected and claiming._connected)
        assert await claiming.answer({"secret": "s3cret", "duration_s": 60}) == {}
        await claiming.answer({"secret": "again"})
        assert server.contract.store.claims == [{"secretKey": "s3cret", "durationMs": 60_000}, {"secretKey": "again"}]
        for wrong in ({}, {"secret": 7}, {"secret": "a\nb"}, {"secret": "s", "duration_s": -1}):
            with pytest.raises(ConfigError):
                await claiming.answer(wrong)


async def test_a_refusal_and_a_cut_are_told(server, run_uplink, monkeypatch):
    claiming, contract = Claiming(), server.contract
    async with run_uplink(server.port, talks=[claiming]) as uplink:
        await until(lambda: uplink.state().connected and claiming._connected)
        publication = contract.publication
        verdict = Verdict(ReasonCode.QUOTA_EXCEEDED)
        monkeypatch.setattr(contract, "publication", lambda topic, payload, **more: (
            verdict if topic.endswith("claim") else publication(topic, payload, **more)))
        with pytest.raises(OrderRefused, match="refuses the claim: 0x97 quota exceeded"):
            await claiming.answer({"secret": "s"})
        verdict = Verdict(reason=None, cut=True)
        with pytest.raises(OrderRefused, match="the connection ended before the server answered"):
            async with asyncio.timeout(10):
                await claiming.answer({"secret": "s"})

"""Orders as an operator gives them: through the running gateway and without one, allowed and not, recorded each time."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from errands_site import KEYS, PASSWORD, Site
from gateway_process import GatewayProcess

ALLOWING: dict[str, dict[str, object]] = {
    "poll": {"interval_s": 1.0}, "relay": {"allow": True, "load_limit_w": 1e6, "min_between_s": 0.0},
    "orders": {"allow_set": True, "allow_action": True}}


class Operator:
    """A gateway's directory, a meter registered in it, and somebody at the shell; commands run in threads."""

    def __init__(self, gateway: GatewayProcess, site: Site) -> None:
        self.gateway = gateway
        self.site = site

    async def run(self, *words: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self.gateway.command, *words, check=check, stdin=stdin)

    async def refused(self, *words: str) -> str:
        done = await self.run(*words, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    async def enrol(self) -> None:
        row = self.site.row()
        words = ["meter", "add", "m1", row.host, "--port", str(row.port), "--framing", str(row.framing)]
        if self.site.kind == "ciphered":
            words += ["--client-sap", "3", "--authentication", "hls-gmac", "--security", "both"]
        if self.site.kind == "hdlc":
            words += ["--server-physical", "17", "--address-bytes", "4"]
        if self.site.kind != "ciphered":
            words += ["--password-file", "-"]
        await self.run(*words, stdin=None if self.site.kind == "ciphered" else PASSWORD.decode())
        if self.site.kind == "ciphered":
            await self.run("meter", "set-key", "m1", "encryption", "--file", "-", stdin=KEYS.encryption.hex())
            await self.run("meter", "set-key", "m1", "authentication", "--file", "-", stdin=KEYS.authentication.hex())

    async def reading(self) -> None:
        """Start the gateway, and wait until it reads the meter."""
        self.gateway.start()
        await asyncio.to_thread(self.gateway.await_status, lambda status: any(
            meter["state"] == "reading" for meter in status["meters"]))

    async def events(self) -> list[dict[str, Any]]:
        """What the ring keeps of orders."""
        dumped = await asyncio.to_thread(self.gateway.dump)
        found = [record["values"] for record in dumped if record["kind"] == "event"]
        return [event for event in found if str(event.get("event")).startswith("order_")]


@asynccontextmanager
async def operator(tmp_path: Path, kind: str, sections: dict[str, dict[str, object]]) -> AsyncIterator[Operator]:
    async with Site(kind).running() as site:
        with GatewayProcess(tmp_path, **sections) as gateway:
            one = Operator(gateway, site)
            await one.enrol()
            yield one


@pytest.mark.slow
async def test_through_the_gateway_and_without_one(tmp_path: Path) -> None:
    async with operator(tmp_path, "ciphered", ALLOWING) as one:
        assert "may not be switched" in await one.refused("meter", "relay", "m1", "off", "--yes")      # no gateway runs
        await one.run("meter", "permit", "m1", "relay")
        assert (await one.run("meter", "relay", "m1", "off", "--yes")).stdout == "m1: disconnected (control mode 4)\n"
        assert one.site.meter.model.connected is False
        await one.reading()
        told = json.loads((await one.run("meter", "relay", "m1", "on", "--yes", "--json")).stdout)
        assert (told["output"], told["changed"]) == ("closed", True)
        assert one.site.meter.model.connected is True
        [value] = json.loads((await one.run("meter", "get", "m1", "1-0:1.8.0", "--json")).stdout)
        assert (value["type"], value["unit"], value["scaled"]) == ("double-long-unsigned", "Wh", str(value["value"]))
        assert "command with interlocks" in await one.refused("meter", "action", "m1", "70/0-0:96.3.10@1", "i8:0")
        events = await one.events()
        assert [event["event"] for event in events] == [
            "order_refused", "order_given", "order_done", "order_given", "order_done", "order_refused"]
        assert all(event["by"] for event in events)

"""A gateway process with two meters on a serial line of its board: polled, pulled out, put back, and nobody else's meanwhile."""

import asyncio
import os
from functools import partial
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from poll_bench import PASSWORD
from serial_site import ENERGY, serial_line

pytestmark = [pytest.mark.system, pytest.mark.slow]

POLL = {"interval_s": 0.5, "exchange_timeout_s": 5.0, "backoff_first_s": 0.2, "backoff_max_s": 0.5, "breaker_open_s": 0.5, "breaker_open_max_s": 1.0}


async def test_a_gateway_polls_its_own_line_through_an_unplugged_adapter(tmp_path: Path) -> None:
    name = Path("/dev/shm") / f"halow-system-{os.getpid()}"
    secret = tmp_path / "password"
    secret.write_bytes(PASSWORD)
    with serial_line((17, 18), name=name) as (line, rows), GatewayProcess(tmp_path, poll=POLL) as gateway:

        async def command(*words: str, check: bool = True) -> str:
            done = await asyncio.to_thread(partial(gateway.command, *words, check=check))
            return done.stdout + done.stderr

        async def readings(more: int) -> None:
            """Wait until both have `more` readings more than now."""
            before = {meter["name"]: meter["readings"] for meter in gateway_meters(await asyncio.to_thread(gateway.status))}
            await asyncio.to_thread(gateway.await_status, lambda status: all(
                meter["readings"] >= before[meter["name"]] + more for meter in gateway_meters(status)), 60)

        for row in rows:
            await command("meter", "add", row.name, f"{row.host}?baud=9600", "--client-sap", "1", "--server-logical", "1",
                          "--server-physical", str(row.server_physical), "--address-bytes", "4", "--password-file", str(secret))
        assert f"serial line: {name}, 9600 baud 8N1" in await command("check", check=False)
        gateway.start()
        await asyncio.to_thread(gateway.await_status, lambda status: len(gateway_meters(status)) == 2
                                and all(meter["readings"] for meter in gateway_meters(status)), 60)
        assert line.counters.associations == 2
        told = await command("read", "m17", check=False)
        assert "bridge_busy" in told
        assert "another program has it" in told
        await readings(2)

        line.unplug()
        await asyncio.to_thread(gateway.await_status, lambda status: all(
            "is not there" in meter["last_failure"] for meter in gateway_meters(status)), 60)
        line.plug_in(name)
        await readings(2)
        assert {meter["address"] for meter in gateway_meters(await asyncio.to_thread(gateway.status))} == {str(name)}

        await command("meter", "pause", "m17", "m18")
        assert str(ENERGY + 18) in await command("read", "m18")
        assert await asyncio.to_thread(gateway.stop) == 0


def gateway_meters(status: dict[str, object]) -> list[dict[str, object]]:
    """The meters that are polled."""
    return [meter for meter in status["meters"] if "readings" in meter]

"""What the tests of the binary share: meters enrolled, the gateway started, their polls at the server."""

import asyncio

from gateway_process import TOKEN, GatewayProcess

from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard


def uplink(server: ThingsBoard) -> dict[str, object]:
    return {"enabled": True, "host": "127.0.0.1", "port": server.port, "backoff_first_s": 0.2}


async def work(gateway: GatewayProcess, population: Population, server: ThingsBoard, **start: object) -> None:
    """Enrol two meters (wrapper and HDLC), start, wait until both were read and their polls have arrived at the server."""
    await asyncio.to_thread(gateway.register, population.csv_text())
    gateway.token(TOKEN)
    gateway.start(**start)
    await asyncio.to_thread(gateway.await_status, lambda status: len(status["meters"]) == 2 and all(
        meter.get("readings", 0) >= 3 for meter in status["meters"]))
    async with asyncio.timeout(20):
        while len({device for device, key, _ in server.contract.store.points if key == "poll_ok"}) < 2:
            await asyncio.sleep(0.05)

"""A gateway as a process with a simulated meter and a server, and somebody who changes its settings."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from errands_site import PASSWORD, Site
from gateway_process import GatewayProcess

from edge.confighistory import Entry, read
from edge.control import ask
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules


class Place:
    """A gateway with a meter and a server, and somebody who edits its settings file."""

    def __init__(self, gateway: GatewayProcess, site: Site, server: ThingsBoard) -> None:
        self.gateway, self.site, self.server = gateway, site, server
        self.logins = 0
        login = server.contract.login

        def counted(*words: Any) -> Any:
            self.logins += 1
            return login(*words)

        server.contract.login = counted      # an ear, not another behaviour

    @property
    def connections(self) -> int:
        """How many TCP connections the meter has accepted."""
        return self.site.meter.counters.connections

    async def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self.gateway.command, *words, check=check)

    async def ask(self, request: str) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.gateway.directory / "run", request, timeout_s=20.0)

    async def reload(self) -> dict[str, Any]:
        """What `config reload --json` prints."""
        return await self.ask("config_reload")

    def history(self) -> tuple[Entry, ...]:
        return read(self.gateway.state)

    async def until(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        async with asyncio.timeout(90):
            while not condition(status := await self.ask("status")):
                await asyncio.sleep(0.1)
            return status

    async def reads_on(self) -> None:
        """Wait for two polls more."""
        before = (await self.until(lambda status: status["meters"]))["meters"][0]["readings"]
        await self.until(lambda status: status["meters"][0]["readings"] >= before + 2)


@asynccontextmanager
async def place(tmp_path: Path, **sections: dict[str, object]) -> AsyncIterator[Place]:
    """A gateway that polls a meter each hour, unless `sections` say otherwise, connected to the server."""
    uplink: dict[str, object] = {"enabled": True, "host": "127.0.0.1", "backoff_first_s": 0.05, "backoff_max_s": 0.2}
    async with Site("wrapper").running() as site, ThingsBoard(Rules(token="t0k3n")) as server:
        with GatewayProcess(tmp_path, **{"poll": {"interval_s": 3600.0}, "uplink": {**uplink, "port": server.port}, **sections}) as gateway:
            gateway.token("t0k3n")
            row = site.row()
            there = Place(gateway, site, server)
            await asyncio.to_thread(gateway.command, "meter", "add", "m1", row.host, "--port", str(row.port), "--framing", "wrapper",
                                    "--password-file", "-", stdin=PASSWORD.decode())
            gateway.start()
            await asyncio.to_thread(gateway.await_status, lambda _status: True, 90)      # nobody listens on the socket before
            await there.until(lambda status: status["uplink"].get("connected") and len(status["meters"]) == 1)
            yield there

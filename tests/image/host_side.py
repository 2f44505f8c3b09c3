"""What stands around the board: simulated meters and a real Mosquitto on this machine, and a card with the board's settings.

The board reaches this machine's loopback as 10.0.2.2, through QEMU's user-mode network: no root, nothing to set up or to undo.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from gpt import partitions
from judge import Judge
from mosquitto_broker import Mosquitto
from vm import Board
from wiretap import WireTap

from edge.demo.population import Population

HOST = "10.0.2.2"
ORDINALS = (1 << 40) - 1

_SETTINGS = """
[gateway]
name = "gw-rehearsal"

[clock]
hold_s = 5.0

[ring]
size_mib = {ring_mib}
instant_commit_window_s = {commit_window_s}
elide = false       # every poll on flash: what is there is counted against what was polled

[poll]
interval_s = {interval_s}
connect_timeout_s = 20.0
exchange_timeout_s = 20.0

[backfill]
enabled = false

[uplink]
host = "{host}"
port = {port}
ack_timeout_s = 20.0
backoff_first_s = 0.5
backoff_max_s = 2.0
"""


class HostSide:
    """Meters, broker and the tap between: `judge` sees every packet. An asynchronous context manager."""

    def __init__(
        self, folder: Path, *, meters: int = 10, interval_s: float = 2.0, ring_mib: int = 64, commit_window_s: float = 1.0,
        settings: str = "", meter_hosts: Sequence[str] = (),
    ) -> None:
        """`settings`: more sections of gateway.toml; `meter_hosts`: where the board finds each meter, this machine if left out."""
        self._folder = folder
        self._more_settings, self._meter_hosts = settings, meter_hosts
        self._settings = {"interval_s": interval_s, "ring_mib": ring_mib, "commit_window_s": commit_window_s}
        self.population = Population(meters, framing="mixed", seed=11)
        self.judge = Judge()
        self._broker = Mosquitto(shutil.which("mosquitto") or "/usr/sbin/mosquitto", folder)
        self.tap: WireTap

    async def __aenter__(self) -> Self:
        await self._broker.start()
        await self.population.start()
        self.tap = WireTap(("127.0.0.1", self._broker.port), on_packet=self.judge.packet)
        await self.tap.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.tap.__aexit__(*exc)
        await self.population.close()
        await self._broker.kill()

    def card(self, disk: Path) -> None:
        """Lay the board's settings on the boot partition, as an integrator does from a laptop."""
        files = {
            "gateway.toml": _SETTINGS.format(host=HOST, port=self.tap.port, **self._settings) + self._more_settings,
            "uplink.token": "token-of-the-rehearsal\n",
            "meters.csv": self._registry(),
        }
        image = f"{disk}@@{partitions(disk)['boot'][0]}"
        subprocess.run(["mmd", "-D", "s", "-i", image, "::provision"], check=False, capture_output=True)
        for name, text in files.items():
            source = self._folder / name
            source.write_text(text)
            subprocess.run(["mcopy", "-o", "-i", image, source, f"::provision/{name}"], check=True)

    def _registry(self) -> str:
        rows = self.population.csv_text()
        for host in self._meter_hosts:
            rows = rows.replace("127.0.0.1", host, 1)
        return rows.replace("127.0.0.1", HOST)

    async def acked(self, more: int, *, timeout_s: float) -> None:
        """Wait until so many more polls have been acknowledged."""
        wanted = len(self.judge.acked) + more
        try:
            await asyncio.wait_for(self.judge.until_acked(wanted), timeout_s)
        except TimeoutError:
            raise AssertionError(f"{len(self.judge.acked)} of {wanted} polls acknowledged in {timeout_s:.0f} s") from None


async def on(board: Board, command: str, *, timeout_s: float = 120.0, check: bool = True) -> str:
    """Run a command on the board without stopping the meters."""
    return await asyncio.to_thread(board.run, command, timeout_s=timeout_s, check=check)


async def status(board: Board) -> dict[str, Any]:
    """What the gateway on the board says of itself."""
    return dict(json.loads(await on(board, "halow-gateway status --json")))


async def ready(board: Board, *, timeout_s: float = 300.0) -> float:
    """Wait for the gateway's READY; return the seconds since the board was switched on."""
    await asyncio.to_thread(board.shell_up, timeout_s=timeout_s)
    # systemd ends this when the job is done: no asking again and again.
    await on(board, "systemctl start halow-gateway.service", timeout_s=timeout_s)
    return board.since_start_s()


async def status_until(board: Board, condition: Callable[[dict[str, Any]], bool], *, timeout_s: float) -> dict[str, Any]:
    """Ask the gateway until `condition` holds; it crosses a machine's border, where no event does."""
    async with asyncio.timeout(timeout_s):
        while not condition(found := await status(board)):
            await asyncio.sleep(1)
    return found

"""A real Mosquitto that can be killed: Debian's broker on a free loopback port."""

import asyncio
import os
import shutil
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path

import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mosquitto:
    """The Debian broker on a free loopback port, without persistence."""

    def __init__(self, binary, directory, **options):
        self.port = free_port()
        self.process = None
        self.binary = binary
        self._config = directory / "mosquitto.conf"
        lines = {"listener": f"{self.port} 127.0.0.1", "allow_anonymous": "true", "persistence": "false",
                 "max_queued_messages": "0"} | options
        self._config.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            self.binary, "-c", str(self._config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self.process.returncode is None, "mosquitto does not start"
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return

    async def kill(self):
        """Kill -9."""
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)
            await self.process.wait()


@asynccontextmanager
async def running(directory):
    """Yield a started broker; skip the test, with the reason, where none is installed."""
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(binary).exists():
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    broker = Mosquitto(binary, directory)
    await broker.start()
    yield broker
    await broker.kill()

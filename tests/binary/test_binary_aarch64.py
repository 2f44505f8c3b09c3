"""The aarch64 binary under user-mode emulation: every module loads, the daemon says READY, polls and ends with 0."""

import asyncio
import json
import shutil
import socket
import subprocess
from pathlib import Path

import gateway_process
import pytest
from binary_site import uplink, work
from gateway_process import GatewayProcess

from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard

pytestmark = [pytest.mark.system, pytest.mark.slow]

FOLDER = Path(__file__).resolve().parents[2] / "build" / "binary" / "aarch64"


@pytest.fixture
def emulated(binary: Path) -> list[str]:      # only in `make test-binary`
    if not (FOLDER / "halow-gateway").exists() or shutil.which("qemu-aarch64-static") is None:
        pytest.skip("no aarch64 binary here: `make binary-aarch64` builds it")
    return ["qemu-aarch64-static", "-L", str(FOLDER / "sysroot")]


def test_every_module_loads_on_aarch64(emulated: list[str]) -> None:
    done = subprocess.run([*emulated, str(FOLDER / "halow-gateway-probe")], check=False, capture_output=True, text=True, timeout=100)
    seen = json.loads(done.stdout)
    assert seen["failed"] == {}
    assert {"uvloop.loop", "msgspec._core", "_ssl", "cryptography.hazmat.bindings._rust"} <= set(seen["loaded"])
    assert (FOLDER / "halow-gateway").stat().st_size <= 25e6


async def test_the_daemon_works_on_aarch64(
    emulated: list[str], tmp_path: Path, population: Population, server: ThingsBoard, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway_process, "EDGE", [*emulated, str(FOLDER / "halow-gateway")])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, GatewayProcess(tmp_path, uplink=uplink(server), poll={"interval_s": 0.5}) as gateway:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        await work(gateway, population, server, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert b"READY=1" in await asyncio.to_thread(systemd.recv, 4096)
        assert await asyncio.to_thread(gateway.stop, 30) == 0
        assert "Traceback" not in gateway.log.read_text()

"""The binary under test: `make test-binary` builds it and says where it is."""

import os
import shutil
from pathlib import Path

import gateway_process
import pytest
from binary_site import TOKEN

from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules


@pytest.fixture(scope="session")
def binary() -> Path:
    named = os.environ.get("HALOW_GATEWAY_BINARY")
    if not named:
        pytest.skip("no binary here: `make test-binary` builds and tests it (Debian 12)")
    return Path(named).resolve(strict=True)


@pytest.fixture
def gateways_are_binaries(binary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`GatewayProcess` runs the binary instead of the source tree; with no Python in its PATH."""
    monkeypatch.setattr(gateway_process, "EDGE", [str(binary)])
    return binary


@pytest.fixture
async def population():
    meters = Population(2, framing="mixed", seed=5)
    await meters.start()
    yield meters
    await meters.close()


@pytest.fixture
async def server():
    async with ThingsBoard(Rules(token=TOKEN)) as thingsboard:
        yield thingsboard


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if not found:
        pytest.skip("strace is missing: apt install strace")
    return found

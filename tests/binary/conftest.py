"""The binary under test: `make test-binary` builds it and says where it is."""

import os
import shutil
from pathlib import Path

import gateway_process
import pytest
from gateway_site import population, server

from edge.demo.population import Framing

__all__ = ["population", "server"]


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
def framing() -> Framing:
    return "mixed"


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if not found:
        pytest.skip("strace is missing: apt install strace")
    return found

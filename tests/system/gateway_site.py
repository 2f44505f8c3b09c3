"""What a gateway as a process has around it: two simulated meters, and a server that keeps ThingsBoard's contract."""

from collections.abc import AsyncIterator

import pytest
from gateway_process import TOKEN

from edge.demo.population import Framing, Population
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules


@pytest.fixture
def framing() -> Framing:
    """How the meters are spoken to; a room that wants others says so in its conftest."""
    return "wrapper"


@pytest.fixture
async def population(framing: Framing) -> AsyncIterator[Population]:
    meters = Population(2, framing=framing, seed=5)
    await meters.start()
    yield meters
    await meters.close()


@pytest.fixture
async def server() -> AsyncIterator[ThingsBoard]:
    async with ThingsBoard(Rules(token=TOKEN)) as thingsboard:
        yield thingsboard

"""A real ring, a meter's worth of records, an uplink on a leash, and a Mosquitto that can be killed."""

import asyncio
import random
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from foreign import Foreign
from mosquitto_broker import running
from uplink_bench import QUICK, TOKEN, Feeder, settings

from edge.clock import SystemClock
from edge.credentials import Login
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.ring.store import Ring
from edge.uplink.dialects import bdseq_of_a_first_start
from edge.uplink.uplink import Uplink

ON_BOTH_LOOPS = {"test_uplink_drain", "test_uplink_session", "test_uplink_hostile"}


def pytest_asyncio_loop_factories(config, item):
    """What holds sockets must behave alike on both loops."""
    both = Path(item.path).stem in ON_BOTH_LOOPS
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})


@pytest.fixture
def clock():
    return SystemClock(trust_wall=True)


@pytest.fixture
async def ring(tmp_path, clock):
    async with Ring.open(tmp_path / "ring", QUICK, clock) as opened:
        yield opened


@pytest.fixture
def feed(ring, clock):
    return Feeder(ring, clock)


@pytest.fixture
def run_uplink(ring, clock):
    """`async with run_uplink(port, setting=..., ) as uplink:` runs one until the block ends; it must end within 2 s."""
    @asynccontextmanager
    async def run(port, *, token=TOKEN, gateway_name="gw", promise=lambda _within_s: None, profile_of=None, attributes=None, login=None, talks=(), paths=None,
                  silent=lambda _meter: False, alarm=lambda _record: None, next_bdseq=bdseq_of_a_first_start, **changes):
        uplink = Uplink(ring, settings(port, **changes), gateway_name=gateway_name, login=login or Login("a test", token), clock=clock,
                        promise=promise, rng=random.Random(5), profile_of=profile_of, attributes=attributes, talks=talks, paths=paths,
                        silent=silent, alarm=alarm, next_bdseq=next_bdseq)
        task = asyncio.create_task(uplink.run(), name="uplink under test")
        try:
            yield uplink
            assert not task.done(), "the uplink ended by itself"
        finally:
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=2.0)
            assert done, "the uplink did not end within 2 s"
            if not task.cancelled():
                task.result()
    return run


@pytest.fixture
async def server():
    """A stand-in for ThingsBoard."""
    async with ThingsBoard(Rules(TOKEN, gateway_name="gw")) as made:
        yield made


@pytest.fixture
async def client(server):
    """A foreign client of it."""
    async with Foreign(server.port) as made:
        yield made


@pytest.fixture
async def mosquitto(tmp_path):
    async with running(tmp_path) as broker:
        yield broker

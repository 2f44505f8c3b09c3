"""A real ring, a meter's worth of records, an uplink on a leash, and a Mosquitto that can be killed."""

import asyncio
import itertools
import random
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from mosquitto_broker import Mosquitto, free_port  # noqa: F401 - free_port is for the test modules

from edge.clock import SystemClock
from edge.config import RingSettings, UplinkSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.store import Ring
from edge.uplink.uplink import Uplink

ON_BOTH_LOOPS = {"test_uplink_drain", "test_uplink_session"}


def pytest_asyncio_loop_factories(config, item):
    """What holds sockets must behave alike on both loops."""
    both = Path(item.path).stem in ON_BOTH_LOOPS
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})


TOKEN = "a-token-of-its-own"
READING = Schema(Kind.READING, (Field("voltage_l1", -2, "V"), Field("active_energy", 0, "Wh"), Field("sample")), "three-phase")
EVENT = Schema(Kind.EVENT, (Field("event"), Field("detail")))
HEALTH = Schema(Kind.GATEWAY, (Field("uptime_s"),))
QUICK = RingSettings(size_mib=16, slot_mib=1, instant_commit_window_s=0.02, alarm_commit_window_s=0.01,
                     billing_commit_window_s=0.02, ack_commit_s=0.1)


@dataclass
class Feeder:
    """Writes readings with a number each, so that every one can be found on the wire."""

    ring: Ring
    clock: SystemClock
    numbers: itertools.count = field(default_factory=itertools.count)
    written: int = 0

    async def readings(self, count, *, stream=Stream.INSTANT, meters=5, text="x"):
        """Write `count` readings of `meters` meters; return when they are durable."""
        waiting = []
        for _ in range(count):
            number = next(self.numbers)
            record = Record(READING, f"m{number % meters}", self.clock.stamp(), (23_000 + number % 100, number, text))
            waiting.append(self.ring.append(stream, record))
        self.written += count
        return list(await asyncio.gather(*waiting))

    async def event(self, name, detail="-"):
        return await self.ring.append(Stream.ALARM, Record(EVENT, "", self.clock.stamp(), (name, detail)))

    async def health(self, uptime_s):
        return await self.ring.append(Stream.INSTANT, Record(HEALTH, "", self.clock.stamp(), (uptime_s,)))


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


def settings(port, **changes):
    quick = {"host": "127.0.0.1", "port": port, "connect_timeout_s": 2.0, "ack_timeout_s": 1.0, "keepalive_s": 5,
             "backoff_first_s": 0.05, "backoff_max_s": 0.4, "refused_backoff_s": 0.2, "batch_bytes": 4_096}
    return UplinkSettings(**(quick | changes))


@pytest.fixture
def run_uplink(ring, clock):
    """`async with run_uplink(port, setting=..., ) as uplink:` runs one until the block ends; it must end within 2 s."""
    @asynccontextmanager
    async def run(port, *, token=TOKEN, gateway_name="gw", promise=lambda _within_s: None, profile_of=None, **changes):
        uplink = Uplink(ring, settings(port, **changes), gateway_name=gateway_name, token=token, clock=clock,
                        promise=promise, rng=random.Random(5), profile_of=profile_of)
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


async def until(condition, timeout_s=10.0):
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def mosquitto(tmp_path):
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(binary).exists():
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    broker = Mosquitto(binary, tmp_path)
    await broker.start()
    yield broker
    await broker.kill()

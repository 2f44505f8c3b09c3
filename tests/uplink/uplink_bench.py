"""What the uplink tests share: settings in a hurry, records with a number each, a wait for foreign processes."""

import asyncio
import itertools
from dataclasses import dataclass, field

from edge.clock import SystemClock
from edge.config import RingSettings, UplinkSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.store import Ring

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
        waiting = [self.ring.append(stream, self.record(meters, text)) for _ in range(count)]
        return list(await asyncio.gather(*waiting))

    def record(self, meters=5, text="x"):
        """Make the next reading without writing it."""
        number = next(self.numbers)
        self.written += 1
        return Record(READING, f"m{number % meters}", self.clock.stamp(), (23_000 + number % 100, number, text))

    async def event(self, name, detail="-"):
        return await self.ring.append(Stream.ALARM, Record(EVENT, "", self.clock.stamp(), (name, detail)))

    async def health(self, uptime_s):
        return await self.ring.append(Stream.INSTANT, Record(HEALTH, "", self.clock.stamp(), (uptime_s,)))


def settings(port, **changes):
    quick = {"host": "127.0.0.1", "port": port, "connect_timeout_s": 2.0, "ack_timeout_s": 1.0, "keepalive_s": 5,
             "backoff_first_s": 0.05, "backoff_max_s": 0.4, "refused_backoff_s": 0.2, "batch_bytes": 4_096}
    return UplinkSettings(**(quick | changes))


async def until(condition, timeout_s=10.0):
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)

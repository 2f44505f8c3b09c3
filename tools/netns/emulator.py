"""A HaLow link between two network interfaces: python3 emulator.py IF_A IF_B [--profile NAME] [--seed N].

Takes every frame at one interface and gives it out at the other, as late as the air allows: one channel for both
directions (half duplex), a rate, a delay with jitter, loss in bursts, a queue that drops what would wait too long. Real
packets are lost, so TCP really repeats them. Needs CAP_NET_RAW. Order is kept within a connection: a radio repeats a
frame to one peer while those to others go on.

On standard input, one line each: `profile NAME`, `up`, `down`, `stats`, and `until up|down COUNTER N`, which waits for
so many frames more. Each is answered with one line of JSON.
"""

import argparse
import asyncio
import json
import random
import socket
import sys
from dataclasses import asdict, dataclass

from edge.demo.linkprofile import PROFILES, LinkProfile, Medium

ETH_P_ALL = 3
PACKET_OUTGOING = 4
BURST_FRAMES = 64          # taken from a socket before others have their turn
PORTS = slice(34, 38)      # of TCP over IPv4 over Ethernet; whatever else stands there keeps its order too


@dataclass
class Counters:
    """Frames of one direction."""

    taken: int = 0
    given: int = 0
    lost: int = 0
    dropped: int = 0
    taken_bytes: int = 0


class Air:
    """What both directions share: the profile, whether there is a link, and the channel."""

    def __init__(self, profile: LinkProfile, seed: int) -> None:
        self.profile = profile
        self.up = True
        self.rng = random.Random(seed)
        self.medium = Medium()


class Direction:
    """Frames from one interface to the other."""

    def __init__(self, air: Air, source: socket.socket, target: socket.socket) -> None:
        self.counters = Counters()
        self.news = asyncio.Event()
        self._air = air
        self._source, self._target = source, target
        self._fading = False
        self._last_due: dict[bytes, float] = {}

    def ready(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(BURST_FRAMES):
            try:
                frame, address = self._source.recvfrom(65_535)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            self.news.set()
            self.counters.taken += 1
            self.counters.taken_bytes += len(frame)
            due = self._due(frame, loop.time())
            if due is not None:
                loop.call_at(due, self._give, frame)

    def _due(self, frame: bytes, now: float) -> float | None:
        """Return when a frame comes out, None when it does not."""
        air, profile = self._air, self._air.profile
        if not air.up:
            self.counters.lost += 1
            return None
        air_s = len(frame) * 8 / profile.rate_bps
        if air.medium.wait_s(now) > profile.queue_s:
            self.counters.dropped += 1
            return None
        sent = air.medium.reserve(air_s, now)
        if self._fades():
            self.counters.lost += 1
            return None
        jitter_s = air.rng.expovariate(1 / profile.jitter_s) if profile.jitter_s else 0.0
        due = max(self._last_due.get(frame[PORTS], 0.0), sent + air.rng.uniform(*profile.delay_range_s) + jitter_s)
        self._last_due[frame[PORTS]] = due
        return due

    def _fades(self) -> bool:
        """Draw from Gilbert's two states, frame by frame: `burst` frames are lost in a row on average."""
        profile, chance = self._air.profile, self._air.rng.random()
        if profile.burst <= 1:
            return chance < profile.loss
        stays = 1 - 1 / profile.burst
        begins = profile.loss / profile.burst / (1 - profile.loss)
        self._fading = chance < (stays if self._fading else begins)
        return self._fading

    def _give(self, frame: bytes) -> None:
        try:
            self._target.send(frame)
        except OSError:      # the interface is down, or its queue is full: lost, as on any network
            self.counters.dropped += 1
        else:
            self.counters.given += 1
        self.news.set()

    async def until(self, counter: str, more: int) -> None:
        """Wait until a counter has grown by so much."""
        wanted = getattr(self.counters, counter) + more
        while getattr(self.counters, counter) < wanted:
            self.news.clear()
            await self.news.wait()


def _socket(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.bind((interface, 0))
    raw.setblocking(False)
    return raw


async def main() -> None:
    """Carry frames until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interface_a")
    parser.add_argument("interface_b")
    parser.add_argument("--profile", default="none", choices=sorted(PROFILES))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    air = Air(PROFILES[asked.profile], asked.seed)
    a, b = _socket(asked.interface_a), _socket(asked.interface_b)
    ways = {"up": Direction(air, a, b), "down": Direction(air, b, a)}
    loop = asyncio.get_running_loop()
    loop.add_reader(a, ways["up"].ready)
    loop.add_reader(b, ways["down"].ready)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)
    while line := await lines.readline():
        match line.decode().split():
            case ["profile", name]:
                air.profile = PROFILES[name]
            case ["up"]:
                air.up = True
            case ["down"]:
                air.up = False
            case ["until", way, counter, more]:
                await ways[way].until(counter, int(more))
        told = {name: asdict(way.counters) for name, way in ways.items()}
        print(json.dumps({"profile": air.profile.name, "up": air.up, "busy_s": air.medium.busy_s, **told}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

"""What elision saves: bytes that reach the ring's slots while the server answers, and while it does not.

    python benchmarks/ring_elision.py [--rate 10] [--window 5] [--seconds 60] [--round-trip 0.2]

Readings of nine values come at an even rate; the gateway's own uplink drains them to the ThingsBoard stand-in on
loopback, whose answers are delayed. Bytes are counted at the ring's file system port (pages of slots, headers and
openings included; what ext4 writes besides is in ring.py), and shown per day. Each line is a run of its own.
"""

import argparse
import asyncio
import random
import tempfile
from pathlib import Path

from edge.clock import SystemClock
from edge.config import RingSettings, UplinkSettings
from edge.credentials import Login
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.model import Field, Kind, Record, Schema, Stream
from edge.ring.fs import OsFileSystem
from edge.ring.store import Ring
from edge.uplink.uplink import Uplink

TOKEN = "token"
DAY_S = 86_400
SCHEMA = Schema(Kind.READING, tuple(Field(f"value_{n}", -2, "V") for n in range(9)), "bench")


class CountingFs(OsFileSystem):
    """The machine's file system; counts what is written and synced."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.syncs = 0

    def pwrite(self, path: Path, offset: int, data: bytes) -> None:
        self.bytes += len(data)
        super().pwrite(path, offset, data)

    def sync(self, path: Path) -> None:
        self.syncs += 1
        super().sync(path)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, delay_s: float) -> None:
    """Carry one connection to the server, each direction half the round trip late."""
    back, forth = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            loop.call_later(delay_s / 2, sink.write, data)

    await asyncio.wait([asyncio.ensure_future(carry(reader, forth)), asyncio.ensure_future(carry(back, writer))],
                       return_when=asyncio.FIRST_COMPLETED)
    forth.close()
    writer.close()


async def run(place: Path, options: argparse.Namespace, *, elide: bool, connected: bool) -> str:
    clock, fs = SystemClock(trust_wall=True), CountingFs()
    ring_settings = RingSettings(size_mib=64, instant_commit_window_s=options.window, elide=elide)
    async with ThingsBoard(Rules(token=TOKEN)) as server, Ring.open(place, ring_settings, clock, fs) as ring:
        slow = await asyncio.start_server(lambda r, w: relay(r, w, server.port, options.round_trip), "127.0.0.1", 0)
        settings = UplinkSettings(host="127.0.0.1", port=slow.sockets[0].getsockname()[1] if connected else 1)
        uplink = Uplink(ring, settings, gateway_name="bench", login=Login("the benchmark", TOKEN), clock=clock,
                        promise=lambda _within_s: None, rng=random.Random(1))
        task = asyncio.create_task(uplink.run())
        await asyncio.sleep(3.0)                       # connected, and the first slots are made
        written, syncs, begin = fs.bytes, fs.syncs, clock.monotonic()
        for n in range(int(options.rate * options.seconds)):
            values = tuple(23_000 + (7 * n + 13 * column) % 1_000 for column in range(9))
            ring.put(Stream.INSTANT, Record(SCHEMA, f"meter-{n % 20}", clock.stamp(), values))
            await asyncio.sleep(max(0.0, begin + (n + 1) / options.rate - clock.monotonic()))
        seconds = clock.monotonic() - begin
        written, syncs, sent = fs.bytes - written, fs.syncs - syncs, uplink.state().acked_records
        task.cancel()
        await asyncio.wait([task])
        slow.close()
        status = ring.status().streams["instant"]
    per_day = DAY_S / seconds
    return (f"{'on' if elide else 'off':7} {'up' if connected else 'down':7} {written * per_day / 1e6:10.1f} "
            f"{syncs * per_day:12,.0f} {sent:9,} {status.elided:8,} {status.lost:6}")


async def main(options: argparse.Namespace) -> None:
    print(f"{options.rate:g} readings/s of nine values, window {options.window:g} s, "
          f"round trip {options.round_trip:g} s, {options.seconds:g} s each")
    print(f"{'elision':7} {'uplink':7} {'MB a day':>10} {'syncs a day':>12} {'delivered':>9} {'elided':>8} {'lost':>6}")
    with tempfile.TemporaryDirectory(dir=options.dir) as place:
        for number, (elide, connected) in enumerate(((False, True), (True, True), (False, False), (True, False))):
            print(await run(Path(place) / str(number), options, elide=elide, connected=connected), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=10.0, help="readings per second")
    parser.add_argument("--window", type=float, default=5.0, help="ring.instant_commit_window_s")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--round-trip", type=float, default=0.2, help="of the way to the server, in seconds")
    parser.add_argument("--dir", help="where the rings are made; default: the system's place for temporary files")
    asyncio.run(main(parser.parse_args()))

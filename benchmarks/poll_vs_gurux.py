"""CPU per poll of nine values: this gateway's session against the gurux-dlms client, on the same simulated meters.

    python benchmarks/poll_vs_gurux.py [--polls 200] [--rounds 15]

Both keep one association and read nine registers with one GET-with-list per poll. The meters run in another process;
what is measured is the client process's CPU time (user + system), and the wall time beside it. Rounds of all variants
alternate, so that a busy machine hits each alike; the table shows medians. Exit status 1 when a session of ours needs
more CPU than gurux on the same framing.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gurux_dlms.objects import GXDLMSRegister

from edge.demo.meter_apdu import Manners
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms.association import AssociationSettings
from edge.meters.profile import load_profiles
from edge.poll.session import MeterSession
from edge.poll.transport import TcpTransport

PASSWORD = b"12345678"
GURUX_CLIENT = Path(__file__).parent.parent / "tests" / "demo"
NINE = tuple(spec.target for spec in load_profiles()["generic-three-phase"].objects)
BOTH = ("wrapper", "hdlc")


async def be_meters() -> None:
    """The other process: one meter per framing; prints its ports, ends with its standard input."""
    meters = [
        SimulatedMeter(framing, MeterModel(serial="1", seed=1),
                       MeterSettings(framing=framing, manners=Manners(passwords={1: PASSWORD})))
        for framing in BOTH]
    ports = [(await meter.start())[1] for meter in meters]
    print(*ports, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


class Ours:
    """The gateway's own session on an event loop that stays alive between rounds."""

    def __init__(self, framing: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        settings = AssociationSettings(
            framing=framing, client_sap=1, server_logical=1, authentication="lls", password=PASSWORD)
        self.session = loop.run_until_complete(self._open(settings, port))

    async def _open(self, settings: AssociationSettings, port: int) -> MeterSession:
        session = MeterSession(lambda: TcpTransport.connect("127.0.0.1", port, timeout_s=5.0), settings)
        await session.open()
        return session

    def polls(self, count: int) -> list[int]:
        return self.loop.run_until_complete(self._polls(count))

    async def _polls(self, count: int) -> list[int]:
        for _ in range(count):
            results = await self.session.get(NINE)
        return [int(result.data) for result in results]

    def close(self) -> None:
        self.loop.run_until_complete(self.session.close())


class Theirs:
    """gurux-dlms on a blocking socket; its register objects are made once."""

    def __init__(self, framing: str, port: int) -> None:
        sys.path.insert(0, str(GURUX_CLIENT))
        from gurux_client import GuruxReader

        self.reader = GuruxReader("127.0.0.1", port, framing, client_sap=1, server_address=1, password=PASSWORD)
        self.reader.connect()
        self.wanted = [(GXDLMSRegister(str(target.obis).replace("-", ".").replace(":", ".")), 2) for target in NINE]

    def polls(self, count: int) -> list[int]:
        for _ in range(count):
            values: list[int] = []
            for request in self.reader.client.readList(self.wanted):
                values += self.reader._requests(request).value
        return [int(value) for value in values]

    def close(self) -> None:
        self.reader.close()


def measure(polls: Callable[[int], list[int]], count: int) -> tuple[float, float]:
    """Return CPU and wall milliseconds per poll."""
    wall, cpu = time.perf_counter(), time.process_time()
    values = polls(count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert len(values) == 9
    return cpu / count * 1e3, wall / count * 1e3


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return found
    return found | {"uvloop": uvloop.new_event_loop}


def run(ports: dict[str, int], count: int, rounds: int) -> int:
    """Measure, print the table, return the exit status."""
    # A meter behind HDLC has one link per client address, so each client has its turn with an association of its own.
    makers: dict[tuple[str, str], Callable[[], Ours | Theirs]] = {}
    for framing in BOTH:
        makers[framing, "gurux-dlms"] = lambda framing=framing: Theirs(framing, ports[framing])
        for name, loop in loops().items():
            makers[framing, f"ours, {name}"] = lambda framing=framing, loop=loop: Ours(framing, ports[framing], loop())
    figures: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in makers}
    for number in range(rounds + 1):
        for key, maker in makers.items():
            client = maker()
            client.polls(20)
            figure = measure(client.polls, count)
            client.close()
            if isinstance(client, Ours):
                client.loop.close()
            if number:             # the first round warms caches up
                figures[key].append(figure)
    print(f"nine values, GET-with-list on a kept association, {rounds} rounds x {count} polls, medians")
    print(f"{'framing':9} {'client':15} {'CPU ms/poll':>12} {'min..max':>15} {'wall ms/poll':>13} {'CPU to gurux':>13}")
    status = 0
    for (framing, client), pairs in figures.items():
        cpu, wall = (statistics.median(column) for column in zip(*pairs, strict=True))
        least, most = min(pair[0] for pair in pairs), max(pair[0] for pair in pairs)
        gurux = statistics.median(pair[0] for pair in figures[framing, "gurux-dlms"])
        status |= cpu > gurux
        print(f"{framing:9} {client:15} {cpu:12.3f} {f'{least:.3f}..{most:.3f}':>15} {wall:13.3f} {cpu / gurux:12.2f}x")
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--be-meters", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_meters:
        asyncio.run(be_meters())
        return 0
    command = [sys.executable, __file__, "--be-meters"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as meters:
        assert meters.stdout is not None
        ports = dict(zip(BOTH, map(int, meters.stdout.readline().split()), strict=True))
        try:
            return run(ports, options.polls, options.rounds)
        finally:
            assert meters.stdin is not None
            meters.stdin.close()


if __name__ == "__main__":
    sys.exit(main())

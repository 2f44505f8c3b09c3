"""CPU per poll of nine values: this gateway's session, the gurux-dlms client, and floors, on the same simulated meters.

    python benchmarks/poll_vs_gurux.py [--polls 200] [--rounds 15]

Each keeps one association and reads nine registers with one GET-with-list per poll. The meters run in another process;
what is measured is the client process's CPU time (user + system), and the wall time beside it. Rounds of all variants
alternate, so that a busy machine hits each alike; the table shows medians. "floor" sends fixed octets and counts what
comes back without reading it; "deadline" does so over this gateway's own transport, each answer with its deadline.

Exit status 1 when ours on uvloop needs more than half of gurux's CPU on any way.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from poll_clients import WAYS, be_meters, loops, makers

Figures = dict[tuple[str, str], list[tuple[float, float]]]
MOST_OF_GURUX = 0.5


def measure(polls: Callable[[int], list[int]], count: int) -> tuple[float, float]:
    """Return CPU and wall milliseconds per poll."""
    wall, cpu = time.perf_counter(), time.process_time()
    values = polls(count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert len(values) == 9
    return cpu / count * 1e3, wall / count * 1e3


def run(ports: dict[str, int], count: int, rounds: int) -> int:
    """Measure, print the table, return the exit status."""
    # A meter behind HDLC has one link per client address, so each client has its turn with an association of its own.
    figures: Figures = {key: [] for key in makers(ports)}
    for number in range(rounds + 1):
        for key, maker in makers(ports).items():
            client = maker()
            client.polls(20)
            figure = measure(client.polls, count)
            client.close()
            if number:             # the first round warms caches up
                figures[key].append(figure)
    print(f"nine values, GET-with-list on a kept association, {rounds} rounds x {count} polls, medians")
    print(f"{'way':9} {'client':17} {'CPU ms/poll':>12} {'min..max':>15} {'wall ms/poll':>13} {'to gurux':>9}")
    cpu = {key: statistics.median(pair[0] for pair in pairs) for key, pairs in figures.items()}
    for (way, client), pairs in figures.items():
        least, most = min(pair[0] for pair in pairs), max(pair[0] for pair in pairs)
        wall = statistics.median(pair[1] for pair in pairs)
        print(f"{way:9} {client:17} {cpu[way, client]:12.3f} {f'{least:.3f}..{most:.3f}':>15} {wall:13.3f} "
              f"{cpu[way, client] / cpu[way, 'gurux-dlms']:8.2f}x")
    for loop in loops():
        own = cpu["wrapper", f"ours, {loop}"]
        print(f"ours on {loop}, wrapper: {own / cpu['wrapper', f'floor, {loop}']:.2f} times its floor, "
              f"{own / cpu['wrapper', f'deadline, {loop}']:.2f} times that with a deadline")
    return int(any(cpu[way, "ours, uvloop"] > MOST_OF_GURUX * cpu[way, "gurux-dlms"] for way in WAYS))


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
        ports = dict(zip(WAYS, map(int, meters.stdout.readline().split()), strict=True))
        try:
            return run(ports, options.polls, options.rounds)
        finally:
            assert meters.stdin is not None
            meters.stdin.close()


if __name__ == "__main__":
    sys.exit(main())

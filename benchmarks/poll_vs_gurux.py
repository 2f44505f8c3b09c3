"""CPU per poll of nine values: this gateway's session, the gurux-dlms client, and floors, on the same simulated meters.

    python benchmarks/poll_vs_gurux.py [--polls 200] [--rounds 15]

Each keeps one association and reads nine registers with one GET-with-list per poll. The meters run in another process;
what is measured is the client process's CPU time (user + system). Rounds of all variants alternate, so that a busy
machine hits each alike; the table shows medians. "floor" sends fixed octets and counts what comes back without reading
it; "deadline" does so over this gateway's own transport, each answer with its deadline.

"by itself": before each poll both processes come to rest, as they do in the field, where seconds lie between polls.
"back to back": the next poll follows at once, which costs both less, and the floor more so.

What ours does beyond the floor, in CPU microseconds of the same machine (the session over a transport that answers at
once; a floor of 42 to 45 back to back, 60 to 70 by itself):

    7   the answer: every octet but the values compared, nine integers with their types, nine results with their names
    3   the association: state, invoke-id, deadline, traffic counters, the request under the next invoke-id
    5   session and conversation: gap before a request, pulse, what cancelling must undo, patience
    5   the transport: one alarm for the deadlines, the end of the connection, the limit of what may wait unread

The rest, some 15 back to back and 25 by itself, is in none of these parts when they run alone: code runs slower between
system calls, and more so after a rest. It goes with the number of byte codes that a poll executes: 705, the floor 96.

Exit status 1 when ours on uvloop needs more than half of gurux's CPU on any way, or over the wrapper more than twice
its floor's, either way.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time

from poll_clients import WAYS, Client, NoRest, Watch, be_meters, loops, makers

Figures = dict[tuple[str, str], list[tuple[float, float]]]
MOST_OF_GURUX = 0.5
MOST_OF_FLOOR = 2.0


def measure(client: Client, count: int) -> tuple[float, float]:
    """Return CPU milliseconds per poll: by itself, and back to back."""
    watch = Watch()
    values = client.polls(count, watch)
    assert len(values) == 9
    began = time.process_time()
    client.polls(count, NoRest())
    return watch.cpu_s / count * 1e3, (time.process_time() - began) / count * 1e3


def run(ports: dict[str, int], count: int, rounds: int) -> int:
    """Measure, print the table, return the exit status."""
    # A meter behind HDLC has one link per client address, so each client has its turn with an association of its own.
    figures: Figures = {key: [] for key in makers(ports)}
    for number in range(rounds + 1):
        for key, maker in makers(ports).items():
            client = maker()
            client.polls(20, NoRest())
            figure = measure(client, count)
            client.close()
            if number:             # the first round warms caches up
                figures[key].append(figure)
    alone = {key: statistics.median(pair[0] for pair in pairs) for key, pairs in figures.items()}
    in_row = {key: statistics.median(pair[1] for pair in pairs) for key, pairs in figures.items()}
    print(f"nine values, GET-with-list on a kept association, CPU ms per poll, medians of {rounds} x {count} polls")
    print(f"{'way':9} {'client':17} {'by itself':>10} {'min..max':>15} {'to gurux':>9} "
          f"{'back to back':>13} {'to gurux':>9}")
    for (way, client), pairs in figures.items():
        least, most = min(pair[0] for pair in pairs), max(pair[0] for pair in pairs)
        theirs = way, "gurux-dlms"
        print(f"{way:9} {client:17} {alone[way, client]:10.3f} {f'{least:.3f}..{most:.3f}':>15} "
              f"{alone[way, client] / alone[theirs]:8.2f}x {in_row[way, client]:13.3f} "
              f"{in_row[way, client] / in_row[theirs]:8.2f}x")
    for loop in loops():
        ours, floor, deadline = (("wrapper", f"{name}, {loop}") for name in ("ours", "floor", "deadline"))
        print(f"ours on {loop}, wrapper: {alone[ours] / alone[floor]:.2f} times its floor "
              f"({in_row[ours] / in_row[floor]:.2f} back to back), "
              f"{alone[ours] / alone[deadline]:.2f} times that with a deadline")
    ours = "ours, uvloop"
    too_much = any(alone[way, ours] > MOST_OF_GURUX * alone[way, "gurux-dlms"] for way in WAYS)
    too_far = any(cpu["wrapper", ours] > MOST_OF_FLOOR * cpu["wrapper", "floor, uvloop"] for cpu in (alone, in_row))
    return int(too_much or too_far)


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

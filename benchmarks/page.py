"""What the local page costs: memory, and whether polls come later while five browsers look on.

    python benchmarks/page.py [--meters 100] [--seconds 8] [--rounds 12] [--realtime] [--only memory|lateness]

Memory: the gateway as a process, polling 100 meters every 2 s, without `[api]` and with it, there after a login, the
whole page fetched and five streams of events open, all over TLS. Lateness against the schedule: one gateway, rounds of
four short turns, without the streams, with, with, without, so that other work on the machine falls on both alike. Of
each turn the p99, of all turns of a kind the median, and the ratio of the two; how far that can be trusted say its 95 %
interval (rounds drawn again with replacement) and the same ratio of the turns without against each other, which would
be 1.00 on a quiet machine. `--realtime` (root) lets nothing else on the machine hold up the gateway: what is left is
what it does itself. The streams' other ends are here, read and thrown away.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.extend(str(Path(__file__).parent.parent / place) for place in ("tests/system", "tests/api", "benchmarks"))

from api_site import Client, Site
from daemon_memory import cpu_s, memory_kib
from gateway_process import EDGE

from edge.credentials import page_certificate

BROWSERS = 5
INTERVAL_S = 2.0

# The gateway as it is, with one more thing: on SIGUSR1 it writes what each poller knows of its lateness.
WATCHED = """
import asyncio, json, os, signal, sys
from pathlib import Path
from edge.poll.fleet import Fleet
enter, out = Fleet.__aenter__, Path(sys.argv.pop(1))
def dump(fleet):
    told = {name: [state.slots, list(state.lateness_s)] for name, state in fleet.states().items()}
    out.with_suffix(".new").write_text(json.dumps(told))
    os.replace(out.with_suffix(".new"), out)
async def watched(self):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, dump, self)
    return await enter(self)
Fleet.__aenter__ = watched
from edge.cli import main
main()
"""


@contextlib.contextmanager
def meters(count: int, csv: Path) -> Iterator[None]:
    """Run simulated meters."""
    process = subprocess.Popen([*EDGE, "simulate", "--meters", str(count), "--port-base", "0", "--framing", "wrapper",
                                "--csv", str(csv)], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        while "meters; stop" not in process.stdout.readline():
            pass
        yield
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def browsers(client: Client, count: int) -> Iterator[list[int]]:
    """Hold so many streams of events open; yields how many bytes each has brought."""
    got = [0] * count
    sockets = []
    for number in range(count):
        connection = client.connect()
        connection.connect()
        stream = connection.sock
        stream.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: gateway\r\nCookie: {client.cookie}\r\n\r\n".encode())
        sockets.append(stream)

        def read(stream: ssl.SSLSocket = stream, number: int = number) -> None:
            with contextlib.suppress(OSError):
                while chunk := stream.recv(65_536):
                    got[number] += len(chunk)
        threading.Thread(target=read, daemon=True).start()
    try:
        yield got
    finally:
        for stream in sockets:
            with contextlib.suppress(OSError):
                stream.shutdown(2)
            stream.close()


def whole_page(client: Client) -> None:
    """Fetch all that a browser fetches."""
    from edge.api.assets import Assets

    for path in Assets().by_path:
        assert client.call("GET", path).status == 200
    for path in ("status", "meters", "links", "ring", "logs", "config", "inventory"):
        assert client.call("GET", path).status == 200


def started(site: Site, csv: Path, command: list[str], count: int) -> None:
    """Start the gateway and wait until every meter has been read."""
    site.gateway.command("meter", "import", str(csv))
    site.gateway.run(command)
    site.gateway.await_status(
        lambda status: sum(1 for meter in status["meters"] if meter.get("readings")) == count, 120)


def memory(count: int, seconds: float, *, page: bool) -> tuple[int, int, float]:
    """Return RSS and PSS in KiB, and the CPU share."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        stack.enter_context(meters(count, directory / "meters.csv"))
        off = {} if page else {"api": {"enabled": False}}
        site = Site(directory, tls=True, poll={"interval_s": INTERVAL_S}, **off)
        page_certificate(site.gateway.state, "gw-test", "127.0.0.1")      # the first start makes it
        stack.enter_context(site.gateway)
        started(site, directory / "meters.csv", [*EDGE, "--config", str(site.gateway.config), "run"], count)
        if page:
            client = site.admin()
            whole_page(client)
            stack.enter_context(browsers(client, BROWSERS))
        pid = site.gateway.process.pid
        began, before_s = time.monotonic(), cpu_s(pid)
        time.sleep(seconds)
        share = (cpu_s(pid) - before_s) / (time.monotonic() - began)
        return *memory_kib(pid), share


Rounds = list[list[list[float]]]
"""Of each round its turns' latenesses in seconds: without, with, with, without."""


def lateness(count: int, seconds: float, rounds: int, *, realtime: bool) -> tuple[Rounds, int]:
    """Return the rounds, and what the browsers got in bytes."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        out = directory / "lateness.json"
        stack.enter_context(meters(count, directory / "meters.csv"))
        site = Site(directory, tls=True, poll={"interval_s": INTERVAL_S})
        stack.enter_context(site.gateway)
        started(site, directory / "meters.csv",
                [sys.executable, "-c", WATCHED, str(out), "--config", str(site.gateway.config), "run"], count)
        client = site.admin()
        whole_page(client)
        if realtime:
            for thread in Path(f"/proc/{site.gateway.process.pid}/task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(1))

        def look() -> dict[str, list]:
            out.unlink(missing_ok=True)
            site.gateway.process.send_signal(signal.SIGUSR1)
            while not out.exists():
                time.sleep(0.01)
            return json.loads(out.read_text())

        def turn() -> list[float]:
            before = look()
            time.sleep(seconds)
            after = look()
            new = {meter: min(len(kept), slots - before[meter][0]) for meter, (slots, kept) in after.items()}
            return [late for meter, (_, kept) in after.items() for late in kept[len(kept) - new[meter]:]]

        turn()      # warms up; what a login and the whole page at once cost is not asked here
        done, brought = [], 0
        for _ in range(rounds):
            first = turn()
            with browsers(client, BROWSERS) as got:
                time.sleep(INTERVAL_S)
                beside = [turn(), turn()]
                brought += sum(got)
            time.sleep(INTERVAL_S)
            done.append([first, *beside, turn()])
        return done, brought


def p99_ms(turns: list[list[float]]) -> float:
    """Return the median of the turns' p99."""
    return 1000 * statistics.median(statistics.quantiles(turn, n=100)[98] for turn in turns)


def ratio(rounds: Rounds, over: tuple[int, ...], under: tuple[int, ...]) -> str:
    """Return the ratio of two kinds of turns, and its 95 % interval."""
    def once(drawn: Rounds) -> float:
        upper, lower = ([each[at] for each in drawn for at in places] for places in (over, under))
        return p99_ms(upper) / p99_ms(lower)

    rng = random.Random(1)
    drawn = sorted(once(rng.choices(rounds, k=len(rounds))) for _ in range(1_000))
    return f"{once(rounds):.2f} (95 %: {drawn[25]:.2f} to {drawn[-26]:.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--only", choices=["memory", "lateness"])
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}; {options.meters} meters every {INTERVAL_S:g} s", flush=True)
    if options.only != "lateness":
        off, on = (memory(options.meters, options.seconds, page=page) for page in (False, True))
        for word, (rss, pss, share) in (("without the page", off), (f"with {BROWSERS} browsers", on)):
            print(f"{word:18} RSS {rss / 1024:6.1f} MiB  PSS {pss / 1024:6.1f} MiB  CPU {100 * share:5.1f} % of a core")
        print(f"the page adds {(on[0] - off[0]) / 1024:.1f} MiB RSS", flush=True)
    if options.only != "memory":
        rounds, brought = lateness(options.meters, options.seconds, options.rounds, realtime=options.realtime)
        for word, places in (("without", (0, 3)), ("with", (1, 2))):
            turns = [each[at] for each in rounds for at in places]
            every = [statistics.quantiles(turn, n=100) for turn in turns]
            print(f"polls {word:8} {sum(map(len, turns)):6}  lateness, median of {len(turns)} turns: "
                  f"p50 {1000 * statistics.median(cut[49] for cut in every):.2f} ms  p99 {p99_ms(turns):.2f} ms  "
                  f"(p99 of the turns: {', '.join(f'{1000 * cut[98]:.1f}' for cut in every)})")
        print(f"p99 with {BROWSERS} browsers is {ratio(rounds, (1, 2), (0, 3))} of that without; they got "
              f"{brought / 1024:.0f} KiB\n"
              f"p99 of the turns without, the later against the earlier: {ratio(rounds, (3,), (0,))}; load "
              f"{os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

"""The storages of the ThingsBoard IoT Gateway and the ring through the same put, drain and kill: what each loses.

    python benchmarks/incumbent.py [--puts N] [--states N] [--package DIR]

thingsboard-gateway (Apache-2.0) is only run, in processes of its own, from a directory of its own that `tools/setup
incumbent` fills; its storages get the values of the `tb_gateway.json` it ships with, with `type` set to file and to
sqlite (it ships set to memory, which survives nothing). A record is accepted when `put` says so: True there, a
ticket that resolved here. Lost: accepted and never handed out, in any number of drains afterwards.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from incumbent_storages import Accepted, Incumbent, OurRing
from rig import in_a_world_of_its_own, run, what_is_missing
from stores import RingStore

PACKAGE = Path(__file__).parent.parent / "build" / "incumbent"
HOUR_MS = 3_600_000


def in_a_child(function: Callable[[Accepted], list[int] | None], *, kill_after: int = 0) -> list[int]:
    """Run `function(accepted)` in a process of its own, which is killed once it has accepted `kill_after`.

    Returns what was accepted, or what it returned.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with os.fdopen(write, "w", buffering=1) as pipe:
                def accepted(numbers: list[int]) -> None:
                    pipe.write(" ".join(map(str, numbers)) + "\n")

                accepted(function(accepted) or [])
        finally:
            os._exit(0)
    os.close(write)
    found: list[int] = []
    with os.fdopen(read) as pipe:
        for line in pipe:
            if line.endswith("\n"):
                found += map(int, line.split())
            if kill_after and len(found) >= kill_after:
                os.kill(pid, signal.SIGKILL)
                kill_after = 0
    os.waitpid(pid, 0)
    return found


def outage(store, place: Path, puts: int, *, kill_after: int = 0,
           clock: Callable[[int], int] | None = None) -> tuple[int, int]:
    """Put while nothing is taken, then drain in new processes until nothing comes; returns (accepted, lost).

    `clock(n)` is the wall clock in ms at the n-th put; the drains see the machine's.
    """
    put = 0

    def numbers() -> Iterator[int]:
        nonlocal put
        for n in range(1, puts + 1):
            put = n
            yield n

    def fill(accepted: Accepted) -> None:
        if clock is not None:
            store.set_clock(lambda: clock(put))
        store.put(place, numbers(), accepted)

    accepted = set(in_a_child(fill, kill_after=kill_after))
    got: set[int] = set()
    while found := set(in_a_child(lambda _accepted: store.drain(place))) - got:
        got |= found
    return len(accepted), len(accepted - got)


def trials(store, base: Path, puts: int) -> Iterator[tuple[str, str]]:
    """Yield (what was done, what came of it)."""
    now_ms = time.time_ns() // 1_000_000

    def set_back(n: int) -> int:
        return now_ms - (HOUR_MS if n > puts // 2 else 0) + n

    steps = [
        (f"{puts:,} put in an outage, then drained", {"puts": puts}),
        ("killed (SIGKILL) after 5,000", {"puts": puts, "kill_after": 5_000}),
        ("clock back an hour during the outage", {"puts": puts, "clock": set_back}),
        ("1,000 put in 1970, then the time is right", {"puts": 1_000, "clock": lambda n: 60_000 + n}),
    ]
    for number, (what, how) in enumerate(steps):
        place = base / f"{store.name}-{number}"
        place.mkdir()
        accepted, lost = outage(store, place, **how)
        yield what, f"{lost:,} of {accepted:,} lost"


def stores(package: Path) -> list:
    return [OurRing(), Incumbent("file", package), Incumbent("sqlite", package)]


def inside(options: argparse.Namespace) -> None:
    base = Path("/dev/shm")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", base], check=True)
    def say(store, what: str, came: str) -> None:
        print(f"{store.name:10} {what:44} {came}", flush=True)

    for store in stores(options.package):
        for what, came in trials(store, base, options.puts):
            say(store, what, came)
    if options.states:
        # last, since it imports the storages here, where the trials' clocks could not reach them any more
        for store in (RingStore("ring", "grow"), *stores(options.package)[1:]):
            report = run(base / store.name, store, options.states, 200, 1, 1)
            say(store, "power cuts on ext4 (tests/crash/rig.py)", f"{report.losing} of {report.states} states lose "
                f"accepted records, {report.broken} do not open or hand out rubbish")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--puts", type=int, default=25_000)
    parser.add_argument("--states", type=int, default=200, help="crash states for each; 0 leaves the power cuts out")
    parser.add_argument("--package", type=Path, default=PACKAGE)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.package / "thingsboard_gateway").is_dir():
        print(f"{options.package} does not hold thingsboard-gateway: tools/setup incumbent", file=sys.stderr)
        return 1
    if options.inside:
        logging.disable()
        inside(options)
        return 0
    if reason := what_is_missing():
        print(reason, file=sys.stderr)
        return 3
    command = in_a_world_of_its_own([__file__, "--inside", *sys.argv[1:]])
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

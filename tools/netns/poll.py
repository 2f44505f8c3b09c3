"""Polls meters as fast as the link lets, for a while: python3 poll.py METERS.csv [--at-once N] [--seconds S].

The gateway's own fleet with its shipped profiles; `--at-once` fixes how many meters are asked at once, without it the
gateway finds out. Counts begin after `--warm-up` seconds, and are printed as JSON.
"""

import argparse
import asyncio
import csv
import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import uvloop

from edge.clock import SystemClock
from edge.config import PollSettings
from edge.health.promise import Promises
from edge.meters.profile import load_profiles
from edge.model import Keys, Kind, Learned, Meter, Record
from edge.poll.fleet import Enrolled, Fleet
from edge.poll.pacing import Pacing

WAITING = ("waiting before", "circuit open")
"""How a failure's text begins where the meter was not asked: slots of 10 ms make hundreds of those for one that was."""


class Count:
    """The sink: records by meter and kind, reasons of failures."""

    def __init__(self) -> None:
        self.counting = False
        self.readings: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    async def __call__(self, record: Record) -> int:
        if self.counting:
            if record.schema.kind is Kind.READING:
                self.readings[record.device] += 1
            elif not str(record.values[1]).startswith(WAITING):
                self.failures[str(record.values[0])] += 1
        return 1


def busy_s() -> float:
    """Return how long all processors together have been at work (proc(5), /proc/stat)."""
    user, nice, system, *_ = (int(word) for word in Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def meters(path: Path) -> list[Enrolled]:
    """Read what `halow-gateway simulate --csv` wrote."""
    with path.open(newline="") as file:
        return [
            Enrolled(Meter(name=row["name"], host=row["host"], port=int(row["port"]), profile=row["profile"],
                           framing=row["framing"], client_sap=int(row["client_sap"]),
                           server_logical=int(row["server_logical"]), authentication=row["authentication"]),
                     row["password"].encode(), Learned(), Keys())
            for row in csv.DictReader(file)]


async def poll(
    path: Path, *, at_once: int | None, seconds: float, warm_up_s: float, interval_s: float,
) -> dict[str, object]:
    """Poll; return the counts of the time after the warm-up."""
    enrolled = meters(path)
    count = Count()
    settings = PollSettings(interval_s=interval_s, at_once=64)

    async def forget(_name: str, _learned: Learned) -> None:
        pass

    async with Fleet(load_profiles(), settings=settings, sink=count, on_learned=forget, promises=Promises(),
                     clock=SystemClock(trust_wall=True), rng=random.Random(1)) as fleet:
        if at_once is not None:
            fleet.turnstile.pacing = Pacing(at_once, at_once)
            fleet.turnstile.gate.resize(at_once)
        await fleet.apply(enrolled)
        await asyncio.sleep(warm_up_s)
        before = {name: state.connects for name, state in fleet.states().items()}
        count.counting = True
        cpu_s, machine = time.process_time(), busy_s()
        await asyncio.sleep(seconds)
        count.counting = False
        cpu_s, machine = time.process_time() - cpu_s, busy_s() - machine
        states = fleet.states()
        lateness = sorted(late for state in states.values() for late in state.lateness_s)
        return {
            "seconds": seconds, "meters": len(enrolled), "at_once": fleet.turnstile.gate.limit,
            "readings": count.readings.total(), "failures": dict(count.failures),
            "fewest": min(count.readings[item.meter.name] for item in enrolled),
            "connects": sum(state.connects - before[name] for name, state in states.items()),
            "cpu_pct": 100 * cpu_s / seconds, "machine_pct": 100 * machine / seconds / (os.cpu_count() or 1),
            "lateness_p95_s": lateness[int(0.95 * (len(lateness) - 1))] if lateness else None,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meters", type=Path)
    parser.add_argument("--at-once", type=int)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=10.0)
    parser.add_argument("--interval", type=float, default=0.01,
                        help="s; a slot that a poll overruns is lost, so a coarse one would be the limit")
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(poll(asked.meters, at_once=asked.at_once, seconds=asked.seconds,
                                         warm_up_s=asked.warm_up, interval_s=asked.interval))))

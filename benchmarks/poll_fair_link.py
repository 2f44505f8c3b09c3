"""Fifty meters over fair radio links: is every poll answered, or recorded as failed with its reason?

    python benchmarks/poll_fair_link.py [--meters 50] [--interval 10] [--duration 600] [--link fair] [--shared-air]

Simulated meters (wrapper, HDLC, Microstar in turn) stand behind in-process links of the named profile; the gateway's
own fleet polls them with its shipped profiles and default settings. At the end every slot of every meter's schedule
must be accounted for: a reading, a failure with a reason, or a tick counted as skipped because a poll overran.
Exit status 1 when one is not, when a reading shows a value the meter never held, or when a meter connects more often
than once a minute (a reconnect storm).
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass

from edge.clock import SystemClock
from edge.config import PollSettings
from edge.demo.population import Member, Population
from edge.health.promise import Promises
from edge.meters.profile import load_profiles
from edge.model import Kind, Learned, Record
from edge.poll.fleet import Enrolled, Fleet

SETTLE_S = 60.0
"""After the end, polls under way may take so long to leave their record."""


@dataclass
class Result:
    """What the run showed. Lateness in seconds: from a slot's due time to the begin of its first request."""

    meters: int
    seconds: float
    due: int = 0
    readings: int = 0
    failed: int = 0
    skipped: int = 0
    unaccounted: int = 0
    wrong_values: int = 0
    storms: int = 0
    reconnects: int = 0
    connects: int = 0
    repeats: int = 0
    rests: int = 0
    lateness_p50_s: float = 0.0
    lateness_p99_s: float = 0.0
    lateness_max_s: float = 0.0

    @property
    def good(self) -> bool:
        return not (self.unaccounted or self.wrong_values or self.storms) and self.readings > 0


class Watcher:
    """The sink: keeps what there is to count, and looks at every value."""

    def __init__(self, members: list[Member]) -> None:
        self.kinds: Counter[tuple[str, Kind]] = Counter()
        self.reasons: Counter[str] = Counter()
        self.wrong = 0
        self._members = {member.row.name: member for member in members}

    async def __call__(self, record: Record) -> int:
        self.kinds[record.device, record.schema.kind] += 1
        if record.schema.kind is Kind.FAILURE:
            self.reasons[str(record.values[0])] += 1
        else:
            self.wrong += self._wrong_values(record)
        return sum(self.kinds.values())

    def _wrong_values(self, record: Record) -> int:
        """Count values that the meter did not show in any second of the last minute."""
        model = self._members[record.device].simulated.model
        now = time.time()
        shown = [model.raw_values(now - back) for back in range(60)]
        wrong = 0
        for field, value in zip(record.schema.fields, record.values, strict=True):
            if field.obis and value is not None:
                groups = bytes(int(part) for part in field.obis.replace("-", ".").replace(":", ".").split("."))
                wrong += value not in {moment[groups] for moment in shown}
        return wrong


async def run(
    meters: int, interval_s: float, duration_s: float, link: str, *, shared_air: bool = False, seed: int = 1,
) -> Result:
    """Poll for `duration_s` seconds and account for every slot."""
    population = Population(meters, link=link, shared_air=shared_air, seed=seed)
    members = await population.start()
    watcher = Watcher(members)

    async def keep(_name: str, _learned: Learned) -> None:
        """Nothing outlives this run."""

    fleet = Fleet(load_profiles(), settings=PollSettings(interval_s=interval_s), sink=watcher, on_learned=keep,
                  clock=SystemClock(trust_wall=True), promises=Promises(), rng=random.Random(seed))
    try:
        async with fleet:
            change = await fleet.apply(Enrolled(member.row, member.password) for member in members)
            assert not change.refused, change.refused
            await asyncio.sleep(duration_s)
            due = {name: state.due for name, state in fleet.states().items()}
            await accounted_for(fleet, due)
            result = summed(fleet, due, watcher, duration_s)
    finally:
        await population.close()
    for reason, count in watcher.reasons.most_common():
        print(f"  failed: {reason}: {count}")
    return result


async def accounted_for(fleet: Fleet, due: dict[str, int]) -> None:
    """Wait until the slots that were due have ended, at most SETTLE_S."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        states = fleet.states()
        if all(states[name].slots + states[name].skipped >= count for name, count in due.items()):
            return
        await asyncio.sleep(0.1)


def summed(fleet: Fleet, due: dict[str, int], watcher: Watcher, duration_s: float) -> Result:
    states = fleet.states()
    result = Result(len(states), duration_s, due=sum(due.values()), wrong_values=watcher.wrong)
    lateness: list[float] = []
    for name, state in states.items():
        # what the poller counts must also have reached the sink, record by record
        recorded = watcher.kinds[name, Kind.READING] + watcher.kinds[name, Kind.FAILURE]
        result.unaccounted += max(due[name] - recorded - state.skipped, 0) + abs(recorded - state.slots)
        result.readings += state.readings
        result.failed += state.failed
        result.skipped += state.skipped
        result.connects += state.connects
        result.reconnects += max(state.connects - 1, 0)
        result.repeats += state.ladder.repeats
        result.rests += state.ladder.rests
        result.storms += state.connects - 1 > duration_s / 60 + 1
        lateness += state.lateness_s
    lateness.sort()
    if lateness:
        result.lateness_p50_s, result.lateness_p99_s, result.lateness_max_s = (
            round(lateness[min(int(len(lateness) * share), len(lateness) - 1)], 4) for share in (0.5, 0.99, 1.0))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meters", type=int, default=50)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--duration", type=float, default=600.0)
    parser.add_argument("--link", default="fair")
    parser.add_argument("--shared-air", action="store_true", help="all links share the air of one channel")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = asyncio.run(run(options.meters, options.interval, options.duration, options.link,
                             shared_air=options.shared_air, seed=options.seed))
    print(json.dumps(asdict(result), indent=2))
    print("every poll is accounted for" if result.good else "NOT GOOD: see unaccounted, wrong_values, storms")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())

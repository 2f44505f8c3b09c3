"""The ring against SQLite FULL, LMDB and persist-queue: device bytes, flushes and CPU per record, in one run.

    python benchmarks/ring.py [--records N] [--rounds N] [--stores sqlite ring ...] [--batches 1 10 100]

Every store is durable per batch and gives back the same Record objects. `append` puts a batch and waits until it is
durable; `drain` reads 500 at a time and lets go of each chunk durably. The first round lets files grow; of the others,
in which the stores take turns, the median counts. CPU is process time of all threads. Bytes and flushes are the block
statistics of an ext4 of our own on a loop device, journal and metadata included, in a mount namespace that dies with
this process (root); without root `write_bytes` of /proc/self/io, which leaves out the journal, and no flushes. LMDB and
persist-queue need the extra `bench`; what is not installed is left out, and said so.
"""

import argparse
import gc
import importlib.util
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

import uvloop
from ring_stores import STORES, WITHOUT_BATCHES, records

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "crash"))

from loop_mount import mount_image
from rig import find, in_a_world_of_its_own, what_is_missing

NEEDS = {"lmdb": "lmdb", "persist-queue": "persistqueue"}
DISK_BYTES = 512 << 20
Reading = tuple[float, int, int, float]          # CPU s, device bytes, flushes, wall s
HEAD = f"""
{'':14}{'batch':>6}{'append':>10}{'drain':>9}{'append':>11}{'drain':>9}{'flushes':>9}{'records/s':>11}   of the first's
{'':14}{'':>6}{'CPU us':>10}{'CPU us':>9}{'B/record':>11}{'B/rec.':>9}{'/batch':>9}{'':>11}   CPU app., dr., both; B"""


@dataclass
class Cost:
    """Of one stretch of work, per record; flushes per batch."""

    cpu_us: float
    device_bytes: float
    flushes: float
    rate: float


class Gauge:
    """Reads what the process and the device have spent so far."""

    def __init__(self, device: str | None) -> None:
        self._device = device

    def read(self) -> Reading:
        os.sync()
        written, flushes = self._device_counters()
        return time.process_time(), written, flushes, time.perf_counter()

    def _device_counters(self) -> tuple[int, int]:
        if self._device is not None:
            words = Path(f"/sys/block/{self._device}/stat").read_text().split()
            return int(words[6]) * 512, int(words[15])
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes")), 0

    async def of(self, work: Awaitable[object], count: int, batches: int) -> Cost:
        """Return what some work costs; bytes that are still on their way count."""
        gc.collect()
        before = self.read()
        await work
        cpu, wall = time.process_time() - before[0], time.perf_counter() - before[3]
        _, written, flushes, _ = self.read()
        return Cost(cpu / count * 1e6, (written - before[1]) / count, (flushes - before[2]) / batches, count / wall)


async def measure(names: list[str], place: Path, count: int, batch: int, rounds: int, gauge: Gauge
                  ) -> dict[str, tuple[Cost, Cost]]:
    """Return the median cost of appending and of draining of each; they take turns: a busy minute is everybody's."""
    rows, found = records(count), {name: ([], []) for name in names}
    stores = {name: STORES[name](made(place / f"{name}-{batch}")) for name in names}

    async def append(store) -> None:
        for at in range(0, count, batch):
            await store.append(rows[at : at + batch])

    async def drain(name: str, store) -> None:
        seen = await store.drain()
        assert seen == count, f"{name}: {seen} of {count} read back"

    for _ in range(rounds + 1):
        for name, store in stores.items():
            appended, drained = found[name]
            appended.append(await gauge.of(append(store), count, count // batch))
            drained.append(await gauge.of(drain(name, store), count, count // batch))
    for store in stores.values():
        await store.close()
    return {name: (median(appended[1:]), median(drained[1:])) for name, (appended, drained) in found.items()}


def made(place: Path) -> Path:
    place.mkdir()
    return place


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, key) for cost in costs) for key in Cost.__dataclass_fields__))


def table(place: Path, device: str | None, options: argparse.Namespace) -> None:
    source = f"block statistics of {device}, ext4" if device else "/proc/self/io write_bytes"
    print(f"SQLite {sqlite3.sqlite_version}; bytes: {source}{HEAD}")
    for batch in options.batches:
        count = options.records // 10 if batch == 1 else options.records
        names = [name for name in options.stores if batch == 1 or name not in WITHOUT_BATCHES]
        found = uvloop.run(measure(names, place, count, batch, options.rounds, Gauge(device)))
        for name, costs in found.items():
            shutil.rmtree(place / f"{name}-{batch}")
            print(f"{name:14}{batch:>6}{line(*costs)}   {ratios(costs, found[names[0]])}", flush=True)


def line(append: Cost, drain: Cost) -> str:
    return (f"{append.cpu_us:>10.1f}{drain.cpu_us:>9.1f}{append.device_bytes:>11.0f}{drain.device_bytes:>9.0f}"
            f"{append.flushes + drain.flushes:>9.2f}{append.rate:>11.0f}")


def ratios(costs: tuple[Cost, Cost], first: tuple[Cost, Cost]) -> str:
    cpu, written = [cost.cpu_us for cost in costs], sum(cost.device_bytes for cost in costs)
    cpu0, written0 = [cost.cpu_us for cost in first], sum(cost.device_bytes for cost in first)
    found = [cpu[0] / cpu0[0], cpu[1] / cpu0[1], sum(cpu) / sum(cpu0), written / max(1, written0)]
    return "  ".join(f"{ratio:.2f}" for ratio in found)


def inside(options: argparse.Namespace) -> None:
    """Work on a private ext4 in `--dir`. Mounted, its image loses its name: it goes with this process."""
    descriptor, name = tempfile.mkstemp(dir=options.dir, suffix=".ext4")
    os.truncate(descriptor, DISK_BYTES)
    os.close(descriptor)
    subprocess.run([find("mkfs.ext4"), "-q", "-b", "4096", name], check=True)
    where = Path("/mnt")
    device = mount_image(Path(name), where)
    Path(name).unlink()
    table(where, Path(device).name, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000, help="for batches of 10 and 100; a tenth of it for 1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stores", nargs="+", default=list(STORES), choices=list(STORES),
                        help="ratios are of the first one")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 10, 100])
    parser.add_argument("--dir", type=Path, help="where the disk image goes; default: the temporary directory")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in [name for name in options.stores if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None]:
        print(f"{name} is left out: {NEEDS[name]} is not installed (tools/setup bench)")
        options.stores.remove(name)
    if options.inside:
        inside(options)
    elif reason := what_is_missing():
        print(f"no private ext4: {reason}")
        with tempfile.TemporaryDirectory(dir=options.dir) as place:
            table(Path(place), None, options)
    else:
        command = in_a_world_of_its_own([__file__, "--inside", *sys.argv[1:]])
        raise SystemExit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()

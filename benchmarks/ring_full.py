"""A full ring of one GiB: how long it takes to open, cold and warm, to its first records, and what memory it adds.

    python benchmarks/ring_full.py [--size-mib N] [--rounds N] [--dir DIR]

Each opening is a process of its own that has imported everything before. Cold: the ring is on an ext4 of its own on a
loop device (root), mounted anew each time, with the pages of its image given back to the machine, so neither data nor
the file system's own blocks are in memory. Without root the slots' pages are given back, no more. `+RSS` is resident
memory after the opening and the reading against before, measured without the interpreter's own.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgpack
from ring_stores import CLOCK, SCHEMA, records

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "crash"))

from loop_mount import mount_image, unmount
from rig import find, in_a_world_of_its_own, what_is_missing

from edge.config import MIB, RingSettings
from edge.model import Stream
from edge.ring.dictionary import Dictionary
from edge.ring.engine import Engine
from edge.ring.fs import OsFileSystem
from edge.ring.log import Commit
from edge.ring.records import pack_record
from edge.ring.store import Ring

COMMIT_RECORDS = 10_000
SPARE_MIB = 160                     # of the disk: journal, inodes, and what ext4 keeps for root
READ = 500


class Unsynced(OsFileSystem):
    """Filling takes minutes with a sync for each commit, and nothing here is cut."""

    def sync(self, path: Path) -> None:
        """Leave it to `os.sync` at the end."""


def settings(size_mib: int) -> RingSettings:
    return RingSettings(size_mib=size_mib, slot_mib=4)


def fill(place: Path, size_mib: int) -> int:
    """Fill every stream until it has let go of its oldest slot; returns how many records there are."""
    engine = Engine(Unsynced(), place, settings(size_mib), CLOCK.stamp, os.urandom)
    dictionary, pack = Dictionary(1 << 16), msgpack.Packer().pack
    rows = [pack_record(record, CLOCK.stamp().boottime_ms, dictionary, pack) for record in records(COMMIT_RECORDS)]
    total = 0
    for stream, log in engine.logs.items():
        while not log.tally.evictions:
            outcome = engine.commit(stream, Commit(log.view.next_ordinal, rows, dictionary.entries))
            assert outcome.error is None, outcome.error
        total += log.backlog(log.view.next_ordinal)
    engine.close()
    os.sync()
    return total


def resident_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


async def opening(place: Path, size_mib: int) -> dict[str, float]:
    """Open it as the gateway does and read from both ends."""
    assert SCHEMA.fields, "imported"
    before, began = resident_mib(), time.perf_counter()
    async with Ring.open(place, settings(size_mib), CLOCK) as ring:
        opened = time.perf_counter()
        oldest = await ring.read(Stream.INSTANT, limit_records=READ)
        first = time.perf_counter()
        newest = await ring.read_newest(Stream.INSTANT, limit_records=READ)
        last = time.perf_counter()
        assert len(oldest) == len(newest) == READ
        return {"open_ms": (opened - began) * 1e3, "oldest_ms": (first - opened) * 1e3,
                "newest_ms": (last - first) * 1e3, "rss_mib": resident_mib() - before}


def open_once(place: Path, size_mib: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", place, "--size-mib", str(size_mib)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def forget(files: Iterable[Path]) -> None:
    """Give the pages of files back to the machine; they must be on the disk already."""
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def tell(name: str, found: list[dict[str, float]]) -> None:
    middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
    print(f"{name:5}{middle['open_ms']:10.0f}{middle['oldest_ms']:12.1f}{middle['newest_ms']:12.1f}"
          f"{middle['rss_mib']:9.1f}   open: {', '.join(format(one['open_ms'], '.0f') for one in found)}", flush=True)


def head(count: int, place: Path, size_mib: int) -> None:
    slots = len(list(place.rglob("*.slot")))
    print(f"{size_mib} MiB, {slots} slots, {count:,} records that wait\n"
          f"{'':5}{'open ms':>10}{'oldest ms':>12}{'newest ms':>12}{'+RSS MiB':>9}", flush=True)


def inside(options: argparse.Namespace) -> None:
    """On an ext4 of its own, whose image is gone with this process."""
    descriptor, name = tempfile.mkstemp(dir=options.dir, suffix=".ext4")
    image, where = Path(name), Path("/mnt")
    try:
        os.truncate(descriptor, (options.size_mib + SPARE_MIB) * MIB)
        subprocess.run([find("mkfs.ext4"), "-q", "-b", "4096", image], check=True)
        mount_image(image, where)
        head(fill(where / "ring", options.size_mib), where, options.size_mib)
        cold = []
        for _ in range(options.rounds):
            unmount(where)
            os.fsync(descriptor)
            forget([image])
            mount_image(image, where)
            cold.append(open_once(where / "ring", options.size_mib))
        tell("cold", cold)
        tell("warm", [open_once(where / "ring", options.size_mib) for _ in range(options.rounds)])
    finally:
        image.unlink()


def outside(options: argparse.Namespace) -> None:
    """Where no file system may be mounted."""
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        place = Path(directory) / "ring"
        head(fill(place, options.size_mib), place, options.size_mib)
        cold = []
        for _ in range(options.rounds):
            os.sync()
            forget(place.rglob("*.slot"))
            cold.append(open_once(place, options.size_mib))
        tell("cold", cold)
        tell("warm", [open_once(place, options.size_mib) for _ in range(options.rounds)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, help="where the disk image goes; default: the temporary directory")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asyncio.run(opening(options.measure, options.size_mib))))
    elif options.inside:
        inside(options)
    elif reason := what_is_missing():
        print(f"no private ext4: {reason}")
        outside(options)
    else:
        command = in_a_world_of_its_own([__file__, "--inside", *sys.argv[1:]])
        raise SystemExit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()

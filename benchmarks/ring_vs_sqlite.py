"""The ring against SQLite (WAL, synchronous=FULL), the same records and batch sizes in one run.

    python benchmarks/ring_vs_sqlite.py [--records N] [--dir DIR]

Both are durable per batch, both take and give back Record objects, both are measured in a second round over files that
have grown in the first. `append` puts a batch and waits until it is durable; `drain` reads 500 at a time and
acknowledges (SQLite: deletes) each chunk durably. CPU is process time of all threads. Bytes are what the file system
sent to the block device: on a private ext4 on a loop device where one can be made (root), journal and metadata
included; else `write_bytes` of /proc/self/io, which leaves the journal out. The table says which.

The ring is measured twice: `engine` is the store without asyncio (what SQLite's column is, too); `ring` is the way the
gateway uses it, through the event loop and the writer thread.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, SeqSpan, Stamp, Stored, Stream
from edge.ring.ackset import ORDINAL_MASK
from edge.ring.engine import Engine
from edge.ring.fs import OsFileSystem
from edge.ring.lane import Lane
from edge.ring.store import Ring

FIELDS = tuple(Field(key, -1, unit, obis) for key, unit, obis in (
    ("voltage_l1", "V", "1-0:32.7.0"), ("voltage_l2", "V", "1-0:52.7.0"), ("voltage_l3", "V", "1-0:72.7.0"),
    ("current_l1", "A", "1-0:31.7.0"), ("current_l2", "A", "1-0:51.7.0"), ("current_l3", "A", "1-0:71.7.0"),
    ("frequency", "Hz", "1-0:14.7.0"), ("active_power", "W", "1-0:1.7.0"), ("active_energy", "Wh", "1-0:1.8.0")))
SCHEMA = Schema(Kind.READING, FIELDS, "generic-three-phase")
SETTINGS = RingSettings(size_mib=64, slot_mib=4, instant_commit_window_s=3600, ack_commit_s=3600)
CHUNK = 500
SELECT = "SELECT seq, row FROM r WHERE seq > ? ORDER BY seq LIMIT ?"
ROUNDS = ("warm-up", "warm-up", "measured")      # both are measured once their files have grown
CLOCK = SystemClock(trust_wall=True)


def values(n: int) -> tuple[int, ...]:
    return (2301 + n % 40, 2299 + n % 37, 2310 + n % 31, 512 + n % 900, 498 + n % 800, 505 + n % 700, 5000 + n % 7,
            353_212 + n % 9000, 123_456_789 + 97 * n)


def records(count: int) -> list[Record]:
    stamp = CLOCK.stamp()
    return [Record(SCHEMA, f"meter-{n % 20:03d}", stamp, values(n)) for n in range(count)]


class Meter:
    """Counts CPU time and device bytes of a stretch of work."""

    def __init__(self, device: str | None) -> None:
        self.device = device

    def _bytes(self) -> int:
        os.sync()
        if self.device:
            return int(Path(f"/sys/block/{self.device}/stat").read_text().split()[6]) * 512
        lines = Path("/proc/self/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])

    def start(self) -> None:
        gc.collect()
        self.bytes0 = self._bytes()
        self.cpu0, self.wall0 = time.process_time(), time.perf_counter()

    def stop(self, count: int) -> tuple[float, float, float]:
        cpu, wall = time.process_time() - self.cpu0, time.perf_counter() - self.wall0
        return cpu / count * 1e6, (self._bytes() - self.bytes0) / count, count / wall


def run_sqlite(place: Path, count: int, batch: int, meter: Meter) -> list[tuple[float, float, float]]:
    db = sqlite3.connect(place / "ring.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE r (seq INTEGER PRIMARY KEY AUTOINCREMENT, row BLOB)")
    pack, rows = msgpack.Packer().pack, records(count)
    meter.start()
    for _ in ROUNDS:
        meter.start()
        for start in range(0, count, batch):
            db.execute("BEGIN")
            db.executemany("INSERT INTO r (row) VALUES (?)", [
                (pack([0, one.device, one.stamp.boottime_ms, *one.values]),) for one in rows[start : start + batch]])
            db.execute("COMMIT")
        appended = meter.stop(count)
        meter.start()
        after = seen = 0
        while chunk := db.execute(SELECT, (after, CHUNK)).fetchall():
            found = [stored(seq, msgpack.unpackb(row)) for seq, row in chunk]
            after = chunk[-1][0]
            seen += len(found)
            db.execute("DELETE FROM r WHERE seq <= ?", (after,))
        drained = meter.stop(count)
        assert seen == count
    db.close()
    return [appended, drained]


def stored(seq: int, row: list) -> Stored:
    """The same object that the ring gives back."""
    schema, device, boottime_ms, *rest = row
    assert schema == 0
    stamp = Stamp(boottime_ms, boottime_ms + 7, "boot", True)
    return Stored(Stream.INSTANT, seq, Record(SCHEMA, device, stamp, tuple(rest)))


def run_engine(place: Path, count: int, batch: int, meter: Meter) -> list[tuple[float, float, float]]:
    engine = Engine(OsFileSystem(), place / "ring", SETTINGS, CLOCK.stamp, os.urandom)
    lane, rows = Lane(engine.logs[Stream.INSTANT], 1.0, 65536, CLOCK.boot_id), records(count)
    for _ in ROUNDS:
        meter.start()
        for start in range(0, count, batch):
            for record in rows[start : start + batch]:
                lane.put(record)
            lane.done(engine.commit(Stream.INSTANT, lane.take(len(lane.pending), state_due=False)).end)
        appended = meter.stop(count)
        meter.start()
        first, seen = 0, 0
        while chunk := engine.read(Stream.INSTANT, first, CHUNK, 1 << 20):
            seen += len(chunk)
            engine.logs[Stream.INSTANT].ack(chunk[0].seq & ORDINAL_MASK, chunk[-1].seq & ORDINAL_MASK)
            engine.commit(Stream.INSTANT, lane.take(0, state_due=True))
            lane.done(0)
            first = (chunk[-1].seq & ORDINAL_MASK) + 1
        drained = meter.stop(count)
        assert seen == count, f"{seen} of {count} read back"
    engine.close()
    return [appended, drained]


async def run_ring(place: Path, count: int, batch: int, meter: Meter) -> list[tuple[float, float, float]]:
    settings = RingSettings(size_mib=64, slot_mib=4, instant_commit_window_s=0.0, ack_commit_s=0.0)
    async with Ring.open(place / "ring", settings, CLOCK) as ring:
        rows, after = records(count), 0
        for _ in ROUNDS:
            meter.start()
            for start in range(0, count, batch):
                for record in rows[start : start + batch]:
                    ticket = ring.put(Stream.INSTANT, record)
                await ticket
            appended = meter.stop(count)
            meter.start()
            seen = 0
            while chunk := await ring.read(Stream.INSTANT, after=after, limit_records=CHUNK, limit_bytes=1 << 20):
                seen += len(chunk)
                after = chunk[-1].seq
                ring.ack(SeqSpan(Stream.INSTANT, chunk[0].seq, after))
            drained = meter.stop(count)
            assert seen == count, f"{seen} of {count} read back"
    return [appended, drained]


@contextlib.contextmanager
def private_ext4(base: Path) -> Iterator[tuple[Path, str | None]]:
    """A mounted ext4 of our own and its block device's name; the plain directory and None where that cannot be."""
    image, mounted, device = base / "disk.img", base / "mnt", ""
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    try:
        made = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True)
        device = made.stdout.strip()
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", device], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "noatime", device, mounted], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no loop device here ({error}): bytes are from /proc/self/io, without the journal")
        if device:
            subprocess.run(["losetup", "-d", device], check=False, capture_output=True)
        yield mounted, None
        return
    try:
        yield mounted, Path(device).name
    finally:
        subprocess.run(["umount", mounted], check=False)
        subprocess.run(["losetup", "-d", device], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000, help="for batches of 10 and 100; a tenth of it for 1")
    parser.add_argument("--dir", type=Path, help="where to work; default: the temporary directory")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="ring-benchmark-", dir=options.dir))
    try:
        with private_ext4(base) as (place, device):
            print("bytes: " + (f"block statistics of {device}, ext4" if device else "/proc/self/io write_bytes"))
            print(f"SQLite {sqlite3.sqlite_version}, msgpack {'.'.join(map(str, msgpack.version))}\n")
            print(f"{'':8}{'batch':>6}{'append':>10}{'drain':>9}{'append':>11}{'drain':>9}{'append':>12}   of SQLite's")
            print(f"{'':8}{'':>6}{'CPU us':>10}{'CPU us':>9}{'B/record':>11}{'B/rec.':>9}{'records/s':>12}   "
                  "CPU append, CPU drain, bytes")
            for batch in (1, 10, 100):
                table(place, options.records // 10 if batch == 1 else options.records, batch, device)
    finally:
        shutil.rmtree(base)


def table(place: Path, count: int, batch: int, device: str | None) -> None:
    reference: list[tuple[float, float, float]] = []
    for name in ("sqlite", "engine", "ring"):
        work = place / f"{name}-{batch}"
        work.mkdir()
        meter = Meter(device)
        if name == "sqlite":
            result = reference = run_sqlite(work, count, batch, meter)
        elif name == "engine":
            result = run_engine(work, count, batch, meter)
        else:
            result = asyncio.run(run_ring(work, count, batch, meter))
        (a_cpu, a_bytes, a_rate), (d_cpu, d_bytes, _) = result
        written = (a_bytes + d_bytes) / max(1, reference[0][1] + reference[1][1])
        ratios = [a_cpu / reference[0][0], d_cpu / reference[1][0], written]
        print(f"{name:8}{batch:>6}{a_cpu:>10.1f}{d_cpu:>9.1f}{a_bytes:>11.0f}{d_bytes:>9.0f}{a_rate:>12.0f}   "
              + "  ".join(f"{ratio:.2f}" for ratio in ratios), flush=True)
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

"""Power cuts on a real ext4: record what a store does to a disk, rebuild what a cut may leave of it, mount that, open the store.

    python tests/crash/rig.py [STORE ...] [--states N] [--commits N] [--generations N] [--seed N] [--torn-metadata] [--json]

The disk is a loop device on a recording file (fuse_disk.py), the file system and the kernel's page cache are the machine's. Needs
root, /dev/fuse and /dev/loop-control. All of it happens in a mount and a process namespace of its own that dies with
the caller: nothing stays mounted, no loop device, no file and no process, however it ends. Status 0: every store that ought to
keep its word did, and every other was caught; 1: not so; 3: this machine cannot, with the reason on one line.
"""

import argparse
import fcntl
import itertools
import json
import logging
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from crash_states import MODES, TORN_METADATA, CrashState, Recording, crash_states
from loop_mount import mount_image, unmount
from promises import Finding, Promises
from stores import KEEP_THEIR_WORD, STORES

HERE = Path(__file__).parent
IMAGE_BYTES = 16 << 20
AT_ONCE = 4                                         # mounting waits for the kernel more than it works
CANNOT = 3
_FIEMAP, _FIEMAP_HEAD, _FIEMAP_EXTENT = 0xC020660B, struct.Struct("<QQ4I"), struct.Struct("<3Q2QI3I")
_NO_PLACE = 0x1 | 0x2 | 0x4                         # extents not known, not allocated yet, or encoded
_EXTENTS = 64
_ZEROS = bytes(1 << 16)


@dataclass
class Report:
    """What came of one store."""

    store: str
    commits: int = 0
    writes: int = 0
    flushes: int = 0
    states: int = 0
    losing: int = 0                                 # states in which a promised record is missing
    broken: int = 0                                 # states that did not open, or gave what nobody put in, or in no order
    counting: int = 0                               # states in which the store announces a loss
    repaired: int = 0                               # states that ext4 itself mounted only after e2fsck
    seconds: float = 0.0
    worst: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.losing or self.broken)

    def take(self, state: CrashState, finding: Finding, *, repaired: bool) -> None:
        self.states += 1
        self.losing += bool(finding.missing)
        self.broken += bool(finding.failed or finding.invented or finding.disordered or finding.reused)
        self.counting += bool(finding.counted)
        self.repaired += repaired
        if not finding.good and len(self.worst) < 5:
            self.worst.append(f"cut behind event {state.cut} ({state.mode}): {finding}")


def what_is_missing() -> str:
    """Say in one line why the rig cannot run here; "" where it can."""
    if os.geteuid() != 0:
        return "crash states on a real ext4 need root"
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not Path(path).exists():
            return f"crash states on a real ext4 need {path}, which this machine does not have"
    for program in ("unshare", "setpriv", "mkfs.ext4", "e2fsck"):
        if find(program) is None:
            return f"crash states on a real ext4 need {program}: apt install util-linux e2fsprogs"
    return ""


def find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def in_a_world_of_its_own(arguments: list[str]) -> list[str]:
    """Return the command that runs a Python script in namespaces that die with whoever calls it."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
            sys.executable, *arguments]


def data_blocks(place: Path) -> set[int]:
    """Return the numbers of the device's blocks that hold files' data, by FIEMAP."""
    blocks: set[int] = set()
    for path in place.rglob("*"):
        if path.is_file() and "lost+found" not in path.parts:
            with path.open("rb") as file:
                asked = bytearray(_FIEMAP_HEAD.pack(0, 1 << 62, 0, 0, _EXTENTS, 0)) + bytes(_EXTENTS * _FIEMAP_EXTENT.size)
                fcntl.ioctl(file, _FIEMAP, asked)
            count = _FIEMAP_HEAD.unpack_from(asked)[3]
            for place_of in range(count):
                _, physical, length, _, _, flags, *_ = _FIEMAP_EXTENT.unpack_from(asked, _FIEMAP_HEAD.size + place_of * _FIEMAP_EXTENT.size)
                if not flags & _NO_PLACE:
                    blocks.update(range(physical // 4096, (physical + length) // 4096))
    return blocks


class Rig:
    """One disk, recorded and cut. Everything is below `base`, a tmpfs that nobody else sees."""

    def __init__(self, base: Path, rng: random.Random) -> None:
        self.base, self.rng = base, rng
        self.fuse, self.mnt = base / "fuse", base / "disk"
        self.cuts = [base / f"cut-{number}" for number in range(AT_ONCE)]
        for path in (self.fuse, self.mnt, *self.cuts):
            path.mkdir()

    def fresh(self) -> bytes:
        """Return an image with an empty ext4, as the product makes it."""
        image = self.base / "fresh.img"
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run([find("mkfs.ext4"), "-q", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image], check=True)
        return image.read_bytes()

    def record(self, image: bytes, store, commits: int, first: int) -> tuple[Recording, int]:
        """Run a store's workload on a recorded disk; return the recording, and the number of the next record."""
        start, log = self.base / "start.img", self.base / "log"
        start.write_bytes(image)
        server = subprocess.Popen([sys.executable, HERE / "fuse_disk.py", start, log, self.fuse], stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n", "the recording disk does not start"
        finished = threading.Event()
        watch = threading.Thread(target=end_with, args=(server, finished), daemon=True)
        watch.start()
        blocks, after = self._work(store, commits, first)
        finished.set()
        unmount(self.fuse)
        watch.join()
        recording = Recording.load(image, log)
        recording.data_blocks = blocks
        return recording, after

    def _work(self, store, commits: int, first: int) -> tuple[set[int], int]:
        blocks: set[int] = set()
        mount_image(self.fuse / "disk", self.mnt)
        with (self.fuse / "marks").open("wb", buffering=0) as marks:
            told = itertools.count(1)

            def mark(what: dict) -> None:
                marks.write(json.dumps(what).encode() + b"\n")
                if next(told) % 20 == 0:
                    blocks.update(data_blocks(self.mnt))

            after = store.work(self.mnt, mark, commits, self.rng, first)
            blocks |= data_blocks(self.mnt)
            unmount(self.mnt)
        return blocks, after

    def judge(self, state: CrashState, store, promises: Promises) -> tuple[Finding, bool]:
        """Mount what a cut left and let the store open it; returns what was found, and if ext4 needed e2fsck first."""
        where, repaired = self.cuts.pop(), False
        scratch = where.with_suffix(".img")
        write_sparse(scratch, state.image)
        try:
            mount_image(scratch, where)
        except OSError:
            # what the product does at boot
            repaired = True
            subprocess.run([find("e2fsck"), "-fy", scratch], check=False, capture_output=True)
            mount_image(scratch, where)
        finding = check(store, where, promises)
        unmount(where)
        self.cuts.append(where)
        return finding, repaired


def end_with(server: subprocess.Popen, finished: threading.Event) -> None:
    """End this process as well when the recording disk dies too early: a store would wait for it to come back."""
    server.communicate()
    if not finished.is_set():
        print("the recording disk has died", file=sys.stderr, flush=True)
        os._exit(1)


def write_sparse(path: Path, image: bytes | bytearray) -> None:
    """Write an image, leaving out what is zeros: most of a young ring is."""
    view = memoryview(image)
    with path.open("wb") as file:
        for at in range(0, len(image), len(_ZEROS)):
            if (chunk := view[at : at + len(_ZEROS)]) != _ZEROS:
                file.seek(at)
                file.write(chunk)
        file.truncate(len(image))


def check(store, where: Path, promises: Promises) -> Finding:
    """Open the store; any exception means that it does not."""
    try:
        return store.check(where, promises)
    except Exception as error:  # noqa: BLE001  whatever it is, the store did not open, and that is the finding
        return Finding(failed=f"does not open: {error!r}")


def run(base: Path, store, states: int, commits: int, generations: int, seed: int, modes: tuple[str, ...] = MODES) -> Report:
    """Cut one store so many times. From the second generation on it starts with what a cut of the first one left."""
    rng = random.Random(f"{seed} {store.name}")
    base.mkdir()
    rig, report, began = Rig(base, rng), Report(store.name), time.monotonic()
    image, promises, n = rig.fresh(), Promises(), 1
    pool, room = ThreadPoolExecutor(AT_ONCE), threading.BoundedSemaphore(AT_ONCE)

    def judge(state: CrashState, known: Promises) -> None:
        try:
            finding, repaired = rig.judge(state, store, known)
            report.take(state, finding, repaired=repaired)
        finally:
            room.release()

    for generation in range(generations):
        recording, n = rig.record(image, store, commits, n)
        marks = recording.marks()
        report.commits += commits
        writes, flushes = recording.counts()
        report.writes, report.flushes = report.writes + writes, report.flushes + flushes
        wanted = states * (generation + 1) // generations - states * generation // generations
        heir = rng.randrange(wanted)
        jobs, then = [], promises
        for number, state in enumerate(crash_states(recording, wanted, rng, modes)):
            room.acquire()
            known = promises.at(marks, state.marks)
            jobs.append(pool.submit(judge, state, known))
            if number == heir:
                image, then = state.image, known
        for job in jobs:
            job.result()
        promises = then
    pool.shutdown()
    report.seconds = time.monotonic() - began
    return report


def inside(options: argparse.Namespace) -> int:
    """The work, in a world of its own."""
    logging.disable()                               # a store that announces a loss is counted, and need not say so each time
    base = Path("/dev/shm")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", base], check=True)
    modes = (*MODES, TORN_METADATA) if options.torn_metadata else MODES
    wrong = 0
    for name in options.store or STORES:
        report = run(base / name, STORES[name], options.states, options.commits, options.generations, options.seed, modes)
        shutil.rmtree(base / name)
        wrong += report.good != (name in KEEP_THEIR_WORD)
        if options.json:
            print(json.dumps(asdict(report)), flush=True)
        else:
            print(f"{name:18} {report.commits:6} commits {report.writes:6} writes {report.flushes:6} flushes {report.states:5} states "
                  f"{report.losing:5} losing {report.broken:5} broken {report.counting:5} counting {report.repaired:3} e2fsck {report.seconds:6.0f} s", flush=True)
            for line in report.worst:
                print(f"{'':18} {line}", flush=True)
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", nargs="*", choices=[*STORES, []], help="default: all")
    parser.add_argument("--states", type=int, default=100)
    parser.add_argument("--commits", type=int, default=150)
    parser.add_argument("--generations", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--torn-metadata", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return inside(options)
    if reason := what_is_missing():
        print(reason, file=sys.stderr)
        return CANNOT
    return subprocess.run(in_a_world_of_its_own([__file__, "--inside", *sys.argv[1:]]), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

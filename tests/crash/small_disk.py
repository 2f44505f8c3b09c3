"""Faults of a real ext4 under the ring: full, gone read-only, a medium that answers EIO. One scenario per call.

    python tests/crash/small_disk.py full | read-only | eio-once | eio-for-a-while | eio-and-a-second-sync

Runs itself in a world of its own like the rig, prints one JSON object of what was seen, and leaves nothing behind.
"""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from loop_mount import mount_image, remount, unmount
from promises import Promises, compare
from rig import CANNOT, HERE, find, in_a_world_of_its_own, what_is_missing
from stores import CLOCK, SCHEMA, contents, everything

from edge.config import RingSettings
from edge.errors import RingError
from edge.model import Record, Stream
from edge.ring.fs import OsFileSystem
from edge.ring.store import Ring

BASE, S = Path("/dev/shm"), Stream.INSTANT
MNT, FUSE, IMAGE, LOG = BASE / "disk", BASE / "fuse", BASE / "disk.img", BASE / "log"
SETTINGS = RingSettings(size_mib=12, slot_mib=0.0625, instant_commit_window_s=0, alarm_commit_window_s=0, ack_commit_s=0.05)
DURABLE_WITHIN_S = 30.0


def disk(mib: int) -> None:
    with IMAGE.open("wb") as file:
        file.truncate(mib << 20)
    subprocess.run([find("mkfs.ext4"), "-q", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0", IMAGE], check=True)


def record(n: int) -> Record:
    return Record(SCHEMA, f"m{n % 5}", CLOCK.stamp(), contents(n))


def ring(fs: OsFileSystem | None = None):
    return Ring.open(MNT / "ring", SETTINGS, CLOCK, fs, retry_first_s=0.05)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DURABLE_WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


async def durable(tickets: dict[int, "asyncio.Future[int]"]) -> dict[tuple[str, int], int]:
    """Those of the records that the ring called durable: (stream, seq) -> n."""
    return {("INSTANT", ticket.result()): n for n, ticket in tickets.items() if ticket.done() and ticket.exception() is None}


async def _wait(ticket) -> int:
    return await ticket


async def read_back() -> list[tuple[int, int | None]]:
    async with ring() as opened:
        return await everything(opened, S)


def full() -> dict:
    """A disk with room for a third of the ring: it stays small, the oldest go, and every one of them is counted."""
    disk(9)
    mount_image(IMAGE, MNT)

    async def run() -> dict:
        async with ring() as opened:
            for n in range(1, 2_001):
                await opened.append(S, record(n))
            status = opened.status().streams["instant"]
            found = await everything(opened, S)
            return {"healthy": opened.status().healthy, "bytes": status.size_bytes, "quota_bytes": status.quota_bytes, "lost": status.lost,
                    "readable": len(found), "newest": found[-1][1], "in_order": found == sorted(found), "invented": any(n is None for _, n in found)}

    seen = asyncio.run(run())
    again = asyncio.run(read_back())
    unmount(MNT)
    return {**seen, "readable_again": len(again)}


def read_only() -> dict:
    """The file system gives up (as on `errors=remount-ro`): reading goes on, memory takes over, nothing is called durable."""
    disk(16)
    mount_image(IMAGE, MNT)

    async def run() -> dict:
        async with ring() as opened:
            kept = {("INSTANT", await opened.append(S, record(n))): n for n in range(1, 41)}
            remount(MNT, "abort")
            tickets = {n: asyncio.ensure_future(_wait(opened.put(S, record(n)))) for n in range(41, 61)}
            await until(lambda: not opened.status().healthy)
            problem = opened.status().problem
            found = await everything(opened, S)
            seen = {"problem": problem, "readable": [n for _, n in found], "durable_meanwhile": len(await durable(tickets))}
        await asyncio.gather(*tickets.values(), return_exceptions=True)
        return {**seen, "refused_at_the_end": sum(isinstance(one.exception(), RingError) for one in tickets.values()), "kept": kept}

    seen = asyncio.run(run())
    promises = Promises(kept=seen.pop("kept"))
    unmount(MNT)
    mount_image(IMAGE, MNT)
    after = asyncio.run(read_back())
    unmount(MNT)
    return {**seen, "after_a_new_mount": str(compare(promises, {"INSTANT": after}))}


class Retrying(OsFileSystem):
    """Takes the second sync's word for it, which every page that the first one lost is clean for: what must never be done."""

    def sync(self, path: Path) -> None:
        """Sync again after an error."""
        try:
            super().sync(path)
        except OSError:
            super().sync(path)


def eio(writes: int, fs: Callable[[], OsFileSystem] = OsFileSystem) -> dict:
    """The medium answers EIO to so many writes. What was called durable is on it when it is mounted anew."""
    disk(16)
    server = subprocess.Popen([sys.executable, HERE / "fuse_disk.py", IMAGE, LOG, FUSE], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    mount_image(FUSE / "disk", MNT)

    async def run() -> dict:
        tickets: dict[int, asyncio.Future[int]] = {}

        async def some(opened: Ring, first: int) -> None:
            for n in range(first, first + 20):
                tickets[n] = asyncio.ensure_future(_wait(opened.put(S, record(n))))
                await asyncio.wait([tickets[n]], timeout=0.2)

        async with ring(fs()) as opened:
            await some(opened, 1)
            await until(lambda: all(ticket.done() for ticket in tickets.values()))
            (FUSE / "fault").write_bytes(str(writes).encode())
            await some(opened, 101)
            errors = opened.status().streams["instant"].io_errors
            (FUSE / "fault").write_bytes(b"0")
            await some(opened, 201)
            state = {"io_errors": errors, "quarantined": opened.status().streams["instant"].slots_quarantined}
        await asyncio.gather(*tickets.values(), return_exceptions=True)
        return {**state, "kept": await durable(tickets)}

    seen = asyncio.run(run())
    promises = Promises(kept=seen.pop("kept"))
    unmount(MNT)
    try:
        mount_image(FUSE / "disk", MNT)
    except OSError:
        subprocess.run([find("e2fsck"), "-fy", FUSE / "disk"], check=False, capture_output=True)
        mount_image(FUSE / "disk", MNT)
    after = asyncio.run(read_back())
    unmount(MNT)
    unmount(FUSE)
    server.communicate()
    return {**seen, "durable": len(promises.kept), "after_a_new_mount": str(compare(promises, {"INSTANT": after}))}


SCENARIOS: dict[str, Callable[[], dict]] = {
    "full": full, "read-only": read_only, "eio-once": lambda: eio(1), "eio-for-a-while": lambda: eio(1_000),
    "eio-and-a-second-sync": lambda: eio(1, Retrying)}


def main() -> int:
    if sys.argv[1] == "--inside":
        logging.disable()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", BASE], check=True)
        MNT.mkdir()
        FUSE.mkdir()
        print(json.dumps(SCENARIOS[sys.argv[2]]()))
        return 0
    if reason := what_is_missing():
        print(reason, file=sys.stderr)
        return CANNOT
    return subprocess.run(in_a_world_of_its_own([__file__, "--inside", sys.argv[1]]), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

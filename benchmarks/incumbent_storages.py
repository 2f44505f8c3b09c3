"""The storages of the ThingsBoard IoT Gateway, as they are, and the ring, behind the same calls.

Nothing of the package is imported before one of its storages is opened, which happens in processes of their own only.
"""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "crash"))

from promises import Finding, Promises, compare
from stores import SCHEMA, contents

from edge.config import RingSettings
from edge.model import Record, SeqSpan, Stamp, Stream
from edge.ring.store import Ring

BATCH = 100
SETTLE_S = 0.5
IDLE_S = 1.5                        # a storage with a thread of its own may need so long to have the next pack ready
Accepted = Callable[[list[int]], None]           # told which records the store has said yes to


def event(n: int) -> str:
    """One reading as that gateway stores it: nine values by name, 250 bytes of JSON."""
    values = {"n": n, "voltage_l1": 230.1, "voltage_l2": 229.9, "voltage_l3": 231.0, "current_l1": 5.12,
              "current_l2": 4.98, "active_energy": 123_456_789 + n}
    return json.dumps({"deviceName": f"meter-{n % 20:03d}", "deviceType": "default", "attributes": [],
                       "telemetry": [{"ts": 1_780_000_000_000 + n, "values": values}]})


class Quiet(logging.Logger):
    """The logger that those storages ask for: one with `trace`."""

    def trace(self, *_arguments: object, **_named: object) -> None:
        """Say nothing."""


class Incumbent:
    """One of its storages, in one process at a time."""

    def __init__(self, kind: str, package: Path) -> None:
        self.name, self._kind, self._package = f"tb-{kind}", kind, package

    def _open(self, place: Path):
        sys.path.insert(0, str(self._package))
        shipped = json.loads((self._package / "thingsboard_gateway/config/tb_gateway.json").read_text())["storage"]
        (place / "data").mkdir(exist_ok=True)
        where = f"{place}/data/"
        config = {**shipped, "type": self._kind, "data_folder_path": where, "data_file_path": where}
        if self._kind == "file":
            from thingsboard_gateway.storage.file.file_event_storage import FileEventStorage as Storage
        else:
            from thingsboard_gateway.storage.sqlite.sqlite_event_storage import SQLiteEventStorage as Storage
        return Storage(config, Quiet("storage", logging.CRITICAL), Event())

    def put(self, place: Path, numbers: Iterator[int], accepted: Accepted) -> None:
        """Put records; what it says yes to is `accepted`. Waits at the end for what its thread has in hand."""
        storage = self._open(place)
        for n in numbers:
            if storage.put(event(n)):
                accepted([n])
        time.sleep(SETTLE_S)
        storage.stop()

    def drain(self, place: Path) -> list[int]:
        """Take packs and say that they are done with, until none comes any more."""
        storage, found, empty_since = self._open(place), [], None
        while empty_since is None or time.monotonic() - empty_since < IDLE_S:
            pack = storage.get_event_pack()
            for text in pack:
                try:
                    found.append(json.loads(text)["telemetry"][0]["values"]["n"])
                except (ValueError, LookupError, TypeError):
                    found.append(-2)               # handed upstream, and not what anybody put in
            storage.event_pack_processing_done()
            empty_since = None if pack else empty_since or time.monotonic()
            if not pack:
                time.sleep(0.02)
        storage.stop()
        return found

    def set_clock(self, wall_ms: Callable[[], int]) -> None:
        """Let it see another wall clock, as modules look at `time.time`."""
        time.time = lambda: wall_ms() / 1000

    # ---- for the rig of tests/crash

    def work(self, place: Path, mark: Callable[[dict], None], commits: int, _rng: object, first: int) -> int:
        self.put(place, iter(range(first, first + commits)),
                 lambda numbers: mark({"put": [["INSTANT", n, n] for n in numbers]}))
        return first + commits

    def check(self, place: Path, promises: Promises) -> Finding:
        command = [sys.executable, __file__, self._kind, self._package, place]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            return Finding(failed=(done.stderr.strip().splitlines() or ["it did not open"])[-1])
        found = json.loads(done.stdout.splitlines()[-1])
        return compare(promises, {"INSTANT": [(n, n if n > 0 else None) for n in sorted(set(found))]})


class Wall:
    """The ring's clock, with a wall that can be set."""

    def __init__(self) -> None:
        self.wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def monotonic(self) -> float:
        return time.monotonic()

    def synchronised(self) -> bool:
        return True

    def stamp(self) -> Stamp:
        return Stamp(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000, self.wall_ms(), self.boot_id, True)


class OurRing:
    """The ring with settings that give it the room of its rivals."""

    name = "ring"
    settings = RingSettings(size_mib=128, instant_commit_window_s=0.0, ack_commit_s=0.1)

    def __init__(self) -> None:
        self._clock = Wall()

    def put(self, place: Path, numbers: Iterator[int], accepted: Accepted) -> None:
        """Put records in batches; a batch is accepted when its last ticket has resolved."""
        async def work() -> None:
            async with Ring.open(place / "ring", self.settings, self._clock) as ring:
                batch: list[int] = []
                for n in numbers:
                    record = Record(SCHEMA, f"meter-{n % 20:03d}", self._clock.stamp(), contents(n))
                    ticket = ring.put(Stream.INSTANT, record)
                    batch.append(n)
                    if len(batch) == BATCH:
                        await ticket
                        accepted(batch)
                        batch = []

        asyncio.run(work())

    def drain(self, place: Path) -> list[int]:
        """Read and acknowledge until nothing is left."""
        async def work() -> list[int]:
            found: list[int] = []
            async with Ring.open(place / "ring", self.settings, self._clock) as ring:
                while chunk := await ring.read(Stream.INSTANT):
                    found += [stored.record.values[0] for stored in chunk]
                    ring.ack(SeqSpan(Stream.INSTANT, chunk[0].seq, chunk[-1].seq))
            return found

        return asyncio.run(work())

    def set_clock(self, wall_ms: Callable[[], int]) -> None:
        """Let it see another wall clock."""
        self._clock.wall_ms = wall_ms


if __name__ == "__main__":
    # a process that drains one of its storages, for `check`
    print(json.dumps(Incumbent(sys.argv[1], Path(sys.argv[2])).drain(Path(sys.argv[3]))))

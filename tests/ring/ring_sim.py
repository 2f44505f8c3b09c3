"""A file system that forgets: what stands behind the ring's port in the crash tests.

Writes that were not synced are kept aside, in order. A crash cuts them into sectors of 512 bytes and keeps a legal
part of them: none, all, the first ones, any subset, or torn with garbage. It can crash at any call, also while the
ring is being opened again.
"""

import errno
import random
from pathlib import Path

SECTOR = 512


class PowerCut(Exception):
    """The board lost power in the middle of this call."""


class SimulatedFs:
    def __init__(self) -> None:
        self.durable: dict[Path, bytearray] = {}
        self.cached: dict[Path, bytearray] = {}
        self.unsynced: list[tuple[Path, int, bytes]] = []
        self.calls_left: int | None = None
        self.dead = False
        self.faults: dict[str, list[OSError]] = {}      # call name -> errors to raise, one per call
        self.capacity: int | None = None
        self.read_only = False
        self.unreadable: set[tuple[Path, int]] = set()      # (slot, page) that cannot be read for now
        self.was_being_written: set[tuple[Path, int]] = set()     # when the power failed last
        self.making: set[Path] = set()      # files that a step was written of
        self.syncs = 0

    # ---- the port

    def _call(self, name: str, path: Path) -> None:
        if self.dead:
            raise PowerCut
        if self.calls_left is not None:
            if self.calls_left == 0:
                self.dead = True
                raise PowerCut
            self.calls_left -= 1
        waiting = self.faults.get(name)
        if waiting:
            error = waiting.pop(0)
            if error is not None:
                error.filename = str(path)
                raise error
        if self.read_only and name in ("create", "remove", "pwrite", "sync"):
            raise OSError(errno.EROFS, "Read-only file system", str(path))

    def list(self, directory: Path) -> list[tuple[str, int]]:
        self._call("list", directory)
        return sorted((path.name, len(data)) for path, data in self.cached.items() if path.parent == directory)

    def create(self, path: Path, size: int, step_bytes: int | None = None) -> bool:
        """With `step_bytes` it takes two calls, whatever the size."""
        self._call("create", path)
        if step_bytes is not None and path not in self.making:
            self.making.add(path)
            return False
        self.making.discard(path)
        if self.capacity is not None and sum(map(len, self.cached.values())) + size > self.capacity:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        assert path not in self.cached, "a slot was created over another one"
        self.durable[path] = bytearray(size)
        self.cached[path] = bytearray(size)
        return True

    def remove(self, path: Path) -> None:
        self._call("remove", path)
        del self.durable[path], self.cached[path]
        self.unsynced = [write for write in self.unsynced if write[0] != path]

    def pwrite(self, path: Path, offset: int, data: bytes) -> None:
        if self.calls_left == 0 and not self.dead:
            # the cut comes while the data is on its way
            self.unsynced.append((path, offset, data))
        self._call("pwrite", path)
        assert offset + len(data) <= len(self.cached[path]), "a slot never grows"
        assert offset % 4096 == 0, "pages only"
        self.cached[path][offset : offset + len(data)] = data
        self.unsynced.append((path, offset, data))

    def sync(self, path: Path) -> None:
        self._call("sync", path)
        self.syncs += 1
        rest = []
        for write in self.unsynced:
            if write[0] == path:
                self.durable[path][write[1] : write[1] + len(write[2])] = write[2]
            else:
                rest.append(write)
        self.unsynced = rest

    def pread(self, path: Path, offset: int, length: int) -> bytes:
        self._call("pread", path)
        if self.unreadable and any((path, page) in self.unreadable
                                   for page in range(offset // 4096, (offset + length + 4095) // 4096)):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return bytes(self.cached[path][offset : offset + length])

    def drop_cached(self, path: Path) -> None:
        self._call("drop_cached", path)

    def close(self, path: Path) -> None:
        if self.dead:
            raise PowerCut

    # ---- what happens to it

    def rot(self, path: Path, offset: int, data: bytes) -> None:
        """Change bytes at rest."""
        for image in (self.durable, self.cached):
            image[path][offset : offset + len(data)] = data

    def crash(self, choice: str, rng: random.Random) -> None:
        """Lose power: keep some of what was never synced, as `choice` says, and start afresh with that."""
        sectors = []
        for path, offset, data in self.unsynced:
            sectors += [(path, offset + at, data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)]
        self.was_being_written = {(path, at // 4096) for path, at, _ in sectors}
        if choice == "none":
            sectors = []
        elif choice == "destroyed":
            # no powersafe overwrite: what was being written is garbage, whatever it held before
            sectors = [(path, at, rng.randbytes(len(data))) for path, at, data in sectors]
        elif choice == "prefix":
            sectors = sectors[: rng.randrange(len(sectors) + 1)]
        elif choice == "subset":
            sectors = [sector for sector in sectors if rng.random() < 0.5]
        elif choice == "last":
            sectors = sectors[-1:]
        elif choice == "pages":
            pages = {(path, at // 4096): rng.random() < 0.5 for path, at, _ in sectors}
            sectors = [sector for sector in sectors if pages[sector[0], sector[1] // 4096]]
        elif choice == "shorn":
            sectors = [(path, at, data if rng.random() < 0.7 else rng.randbytes(len(data))) for path, at, data in sectors]
        for path, at, data in sectors:
            self.durable[path][at : at + len(data)] = data
        self.cached = {path: bytearray(data) for path, data in self.durable.items()}
        self.unsynced, self.calls_left, self.dead = [], None, False
        self.making.clear()


CRASHES = ("none", "all", "prefix", "subset", "last", "pages", "shorn", "destroyed")


class FakeClock:
    """A clock that the test moves."""

    def __init__(self, boot_id: str = "11111111-1111-4111-8111-111111111111", *, synchronised: bool = True) -> None:
        self.boot_id, self.sync = boot_id, synchronised
        self.boottime_ms, self.wall_ms = 1_000, 1_700_000_000_000

    def monotonic(self) -> float:
        return self.boottime_ms / 1000

    def stamp(self):
        from edge.model import Stamp

        return Stamp(self.boottime_ms, self.wall_ms, self.boot_id, self.sync)

    def synchronised(self) -> bool:
        return self.sync

    def forward(self, ms: int) -> None:
        self.boottime_ms += ms
        self.wall_ms += ms

    def reboot(self, boot_id: str, *, wall_ms: int | None = None, synchronised: bool = True) -> None:
        self.boot_id, self.sync, self.boottime_ms = boot_id, synchronised, 500
        if wall_ms is not None:
            self.wall_ms = wall_ms

"""A package on its way to flash, and what became of it (I/O edge): `<state_dir>/ota/`.

    fw.json, sw.json           the offer, the phase, why it failed; written only when the phase changes
    fw.package, sw.package     its octets so far

How far a download has come is the length of the file: every SYNC_BYTES it is synced, so after a power cut all but the
last SYNC_BYTES are right, and those are fetched again. Nothing is written per chunk but the chunk.
"""

import os
from pathlib import Path
from typing import Literal

import msgspec

from edge.durable import make_directory, sync_directory, write_file
from edge.ota.checksum import digest
from edge.ota.offer import Offer, What

SYNC_BYTES = 262_144
SLICE_BYTES = 65_536
KEEP_FREE_BYTES = 16 << 20      # of the file system: registry and settings want to be written too

Phase = Literal["downloading", "installing", "installed", "updated", "failed"]


class Kept(msgspec.Struct, frozen=True):
    """What must survive a restart. `build` and `boot` are those that ran when the updater was called."""

    offer: Offer
    phase: Phase
    why: str = ""
    build: str = ""
    boot: str = ""
    tries: int = 0      # calls of the updater


class NoRoom(Exception):
    """The package does not fit. One line."""


class PackageStore:
    """The directory. Calls block: the daemon makes them in a thread."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is made before the first offer."""
        self.directory = state_dir / "ota"

    def package(self, what: What) -> Path:
        """Return the file of a package's octets."""
        return self.directory / f"{what}.package"

    def load(self, what: What) -> Kept | None:
        """Return what is kept; None where nothing is, or where it is damaged, which begins anew."""
        try:
            return msgspec.json.decode((self.directory / f"{what}.json").read_bytes(), type=Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def keep(self, kept: Kept) -> None:
        """Write the phase, durably. Raises OSError."""
        make_directory(self.directory)
        write_file(self.directory / f"{kept.offer.what}.json", msgspec.json.encode(kept), replace=True)

    def begin(self, offer: Offer, limit_bytes: int) -> int:
        """Return from which octet on the package is to be fetched. Raises NoRoom, OSError.

        What there is of another package is deleted first.
        """
        if offer.size_bytes > limit_bytes:
            raise NoRoom(f"{offer.size_bytes} bytes are more than ota.size_max_mib allows")
        before = self.load(offer.what)
        if before is None or before.offer != offer:
            self.drop(offer.what)
        path = self.package(offer.what)
        size = path.stat().st_size if path.exists() else 0
        there = size if size == offer.size_bytes else max(0, min(size, offer.size_bytes) - SYNC_BYTES)
        make_directory(self.directory)
        space = os.statvfs(self.directory)
        free = space.f_bavail * space.f_frsize
        missing = offer.size_bytes - size + KEEP_FREE_BYTES
        if free < missing:
            raise NoRoom(f"{offer.size_bytes} bytes do not fit: {free >> 20} MiB free, {missing >> 20} MiB needed")
        return there

    def write(self, what: What, offset: int, data: bytes) -> int:
        """Write octets at their place; return how far the package goes now. Raises OSError.

        Whatever lies beyond is cut off: it was not fetched in one piece with these.
        """
        end = offset + len(data)
        handle = os.open(self.package(what), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size > end:
                os.ftruncate(handle, offset)
            left, at = memoryview(data), offset
            while left:
                written = os.pwrite(handle, left, at)
                left, at = left[written:], at + written
            if offset == 0:
                sync_directory(self.directory)
            if offset == 0 or end // SYNC_BYTES != offset // SYNC_BYTES:
                os.fsync(handle)
                # what lies in the page cache counts as this process's memory, and nobody reads it soon
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
        return end

    def verify(self, offer: Offer) -> str:
        """Read the whole package; return "" where size and checksum are the offer's, else one line. Raises OSError."""
        found, size = digest(offer.algorithm), 0
        with self.package(offer.what).open("rb") as file:
            os.fsync(file.fileno())
            while data := file.read(SLICE_BYTES):
                found.update(data)
                size += len(data)
                os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_DONTNEED)
        if size != offer.size_bytes:
            return f"the package has {size} bytes, {offer.size_bytes} were offered"
        if found.hexdigest() != offer.checksum:
            return f"the package's {offer.algorithm} is {found.hexdigest()}, {offer.checksum} was offered"
        return ""

    def forget(self, what: What) -> None:
        """Delete what is known of an offer, so that it counts as a new one. Raises OSError."""
        (self.directory / f"{what}.json").unlink(missing_ok=True)

    def drop(self, what: What) -> None:
        """Delete a package's octets; what became of it stays. Raises OSError."""
        self.package(what).unlink(missing_ok=True)

"""The file system as the ring sees it: eight calls (I/O edge), so that a simulated one can stand in its place."""

import contextlib
import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import Protocol

from edge.durable import make_directory, sync_directory
from edge.errors import RingBusy

log = logging.getLogger(__name__)

SLOT_SUFFIX = ".slot"
_UNFINISHED = ".tmp"
MEDIUM_ERRORS = frozenset((errno.EIO, errno.ENXIO, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EBADMSG, errno.EUCLEAN))
MAX_OPEN = 12
_ZEROS = bytes(1 << 17)
_HEAD_BYTES = 1 << 13       # both copies of the header


class FileSystem(Protocol):
    """All that the ring asks of storage. Every call may raise OSError, and may block for seconds on an SD card."""

    def list(self, directory: Path) -> list[tuple[str, int]]:
        """Return (name, size in bytes) of each `*.slot` file, sorted by name; [] when there is no such directory."""

    def create(self, path: Path, size: int, step_bytes: int | None = None) -> bool:
        """Make a file of zeros that is there whole after a power cut, or not at all; True once it is there.

        With `step_bytes` a call writes no more than so much of it, and the next call for the file goes on from there.
        """

    def remove(self, path: Path) -> None:
        """Delete a file; after a power cut in the middle it is there whole, or not at all."""

    def pwrite(self, path: Path, offset: int, data: bytes) -> None:
        """Overwrite bytes of an existing file; durable only after `sync`."""

    def sync(self, path: Path) -> None:
        """Make all bytes written to the file durable. After an error nothing written since the last one is certain."""

    def pread(self, path: Path, offset: int, length: int) -> bytes:
        """Return up to `length` bytes; fewer only at the end of the file."""

    def drop_cached(self, path: Path) -> None:
        """Let the next `pread` come from the medium, where that can be had; nothing written is lost."""

    def close(self, path: Path) -> None:
        """Let go of the file; it may be used again."""


class OsFileSystem:
    """The machine's. Files are opened at first use; the last few stay open until `close`."""

    def __init__(self, *, read_only: bool = False) -> None:
        """Open files without the right to write when `read_only`."""
        self._flags = os.O_CLOEXEC | (os.O_RDONLY if read_only else os.O_RDWR)
        self._open: dict[Path, int] = {}
        self._last: Path | None = None
        self._making: dict[Path, int] = {}      # bytes written so far of files that are made in steps

    def _file(self, path: Path) -> int:
        if path is self._last:
            return self._open[path]
        file = self._open.pop(path, None)
        if file is None:
            while len(self._open) >= MAX_OPEN:
                self.close(next(iter(self._open)))
            file = os.open(path, self._flags)
        self._open[path] = file      # the one used last stands last
        self._last = path
        return file

    def list(self, directory: Path) -> list[tuple[str, int]]:
        """See the port."""
        try:
            with os.scandir(directory) as entries:
                slots = [entry for entry in entries if entry.name.endswith(SLOT_SUFFIX) and entry.is_file()]
                found = sorted((slot.name, slot.stat().st_size) for slot in slots)
        except (FileNotFoundError, NotADirectoryError):
            return []
        for name, _ in found:
            _announce(directory / name)
        return found

    def create(self, path: Path, size: int, step_bytes: int | None = None) -> bool:
        """See the port. Zeros are written, not only reserved: a commit into written blocks changes no metadata."""
        if not path.parent.is_dir():
            make_directory(path.parent)
        temporary = path.with_name(path.name + _UNFINISHED)
        done = self._making.pop(path, 0)
        end = size if step_bytes is None else min(size, done + step_bytes)
        begin = 0 if done else os.O_TRUNC
        file = os.open(temporary, os.O_CLOEXEC | os.O_WRONLY | os.O_CREAT | os.O_APPEND | begin, 0o600)
        try:
            if os.fstat(file).st_size != done:      # somebody took the first steps away
                os.ftruncate(file, 0)
                done = 0
            while done < end:
                done += os.write(file, _ZEROS[: end - done])
            os.fsync(file)
        except OSError:
            # a full disk must not stay full of our own half-made file
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(file)
        if done < size:
            self._making[path] = done
            return False
        temporary.rename(path)
        sync_directory(path.parent)
        return True

    def remove(self, path: Path) -> None:
        """See the port."""
        self.close(path)
        path.unlink()
        sync_directory(path.parent)

    def pwrite(self, path: Path, offset: int, data: bytes) -> None:
        """See the port."""
        file = self._file(path)
        view = memoryview(data)
        while view:
            try:
                done = os.pwrite(file, view, offset)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
                # `pread` could open it for reading only
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path)) from None
            view, offset = view[done:], offset + done

    def sync(self, path: Path) -> None:
        """See the port."""
        os.fdatasync(self._file(path))

    def pread(self, path: Path, offset: int, length: int) -> bytes:
        """See the port."""
        try:
            file = self._file(path)
        except OSError:
            # on a file system gone read-only the data is still to be drained
            file = self._open[path] = os.open(path, os.O_CLOEXEC | os.O_RDONLY)
        return os.pread(file, length, offset)

    def drop_cached(self, path: Path) -> None:
        """See the port. Pages that wait to be written stay."""
        os.posix_fadvise(self._file(path), 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self, path: Path) -> None:
        """See the port."""
        file = self._open.pop(path, None)
        if file is not None:
            if path == self._last:
                self._last = None
            os.close(file)


def _announce(path: Path) -> None:
    """Tell the kernel that a slot's head is read next. It asks the storage for all of them together then."""
    with contextlib.suppress(OSError):      # advice; who reads it will hear what is wrong
        file = os.open(path, os.O_CLOEXEC | os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, _HEAD_BYTES, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)


def remove_unfinished(directory: Path) -> int:
    """Delete slots that a power cut left half made; they have no name yet. Return how many. Raises OSError.

    Only for who holds the ring's lock: another one may be making a slot right now.
    """
    unfinished = sorted(directory.glob(f"*{SLOT_SUFFIX}{_UNFINISHED}"))
    for path in unfinished:
        path.unlink()
    return len(unfinished)


def lock_directory(directory: Path) -> int | None:
    """Make sure that no other process writes this ring. Returns a descriptor to close; None on a dead disk.

    Raises RingBusy when another process holds the lock.
    """
    try:
        make_directory(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        log.warning("ring: %s cannot be locked: %s", directory, error)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RingBusy(f"ring {directory} is open in another process; stop it first") from error
    return descriptor

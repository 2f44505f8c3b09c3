"""Small files that survive a power cut (I/O edge): whole in their new form, or as they were before, at every moment."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

UNFINISHED = ".new"
"""How the name of a file ends while it is being written. What a power cut leaves of one may be deleted."""


def write_file(path: Path, data: bytes, *, mode: int = 0o600, replace: bool = False) -> None:
    """Write a file beside its place, sync it, put it there, sync the directory. Durable when this returns.

    Raises FileExistsError where there is one already and `replace` is not set, and OSError as the storage says; there
    is then what was there before. Nobody but the owner may read the file before it has its mode.
    """
    try:
        _write_file(path, data, mode, replace=replace)
    except OSError as error:
        error.filename, error.filename2 = str(path), None      # not the passing name, which helps nobody
        raise


def _write_file(path: Path, data: bytes, mode: int, *, replace: bool) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f"{path.name}.", suffix=UNFINISHED, dir=path.parent)      # mode 0600
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)
        if replace:
            os.rename(temporary, path)      # noqa: PTH104 - beside os.link, which pathlib names the other way round
        else:
            os.link(temporary, path)
    finally:
        with suppress(OSError):      # renamed already; or storage that fails, which has been said by then
            os.unlink(temporary)      # noqa: PTH108 - same
    sync_directory(path.parent)


def make_directory(path: Path, *, mode: int = 0o700) -> bool:
    """Make a directory with its parents, durably. Returns False where it is there already. Raises OSError."""
    if path.is_dir():
        return False
    make_directory(path.parent, mode=mode)
    path.mkdir(mode=mode, exist_ok=True)
    sync_directory(path.parent)
    return True


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

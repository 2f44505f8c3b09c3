"""Steps of a build that are not repeated while their inputs stay the same.

A step's stamp holds a digest of what went in; it is written after the step, so a step that was cut runs again.
"""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def digest(*inputs: object) -> str:
    """Return one digest of texts, numbers, files and whole folders (names, modes, contents)."""
    total = hashlib.sha256()
    for item in inputs:
        if isinstance(item, Path):
            for path in _files(item):
                mode = "link" if path.is_symlink() else f"{path.stat().st_mode & 0o777:o}"
                total.update(f"{path.relative_to(item.parent)} {mode}\0".encode())
                total.update(str(path.readlink()).encode() if path.is_symlink() else _contents(path))
        else:
            total.update(f"{type(item).__name__}:{item}\0".encode())
    return total.hexdigest()


def _files(path: Path) -> Iterable[Path]:
    return sorted(item for item in path.rglob("*") if item.is_symlink() or item.is_file()) if path.is_dir() else [path]


def _contents(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def step(name: str, target: Path, inputs: str, make: Callable[[Path], None]) -> bool:
    """Let `make` write `target` (a file or a folder), unless it was made of the same `inputs`. Tell whether it ran.

    `make` gets a path beside the target, which takes the target's place at the end.
    """
    stamp = target.with_name(f".{target.name}.stamp")
    if target.exists() and stamp.exists() and stamp.read_text() == inputs:
        return False
    started = time.monotonic()
    fresh = target.with_name(f".{target.name}.new")
    stamp.unlink(missing_ok=True)
    for old in (fresh, target):
        remove(old)
    target.parent.mkdir(parents=True, exist_ok=True)
    make(fresh)
    fresh.rename(target)
    stamp.write_text(inputs)
    print(
        f"image: {name}: {time.monotonic() - started:.1f} s, {size_bytes(target) / 1e6:.1f} MB",
        file=sys.stderr,
        flush=True,
    )
    return True


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_bytes(path: Path) -> int:
    """Return the bytes of a file or of all files below a folder."""
    return sum(item.lstat().st_size for item in ([path] if not path.is_dir() else path.rglob("*")))

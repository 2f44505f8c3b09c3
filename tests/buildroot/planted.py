"""A copy of the external tree in which a test plants a fault, laid out as in the repository."""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools/buildroot"))
asked, check, external, fragments = map(import_module, ("asked", "check", "external", "fragments"))

BUILDROOT_DIR = os.environ.get("BUILDROOT_DIR")
KERNEL_DIR = os.environ.get("KERNEL_DIR")
EXTERNAL = ROOT / "buildroot"


def copy(folder: Path) -> Path:
    """Return a copy of buildroot/ below `folder`, with what lies beside it linked."""
    external = folder / "buildroot"
    shutil.copytree(EXTERNAL, external)
    for name in ("rootfs", "edge", "LICENSE", "THIRD_PARTY.md"):
        (folder / name).symlink_to(ROOT / name)
    return external


def change(path: Path, old: str, new: str) -> None:
    """Replace the first `old`. Raises AssertionError when it is not there: a plant that plants nothing proves nothing."""
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1))

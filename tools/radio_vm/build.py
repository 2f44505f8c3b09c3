"""Builds the disk that gives the rehearsal's board four simulated radios: `python3 tools/radio_vm/build.py`.

Debian's Python of the board's own release; `guest/`: the medium between the radios, the stations, what looks at the
gateway; and `halow`, whose readers are tried there without the gateway around them. The board's image is the
rehearsal's, unchanged: none of this is in it. No step is repeated without need.
"""

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "image"))

import debian
from machine import MACHINES
from root import squash
from steps import digest, step

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
MACHINE = MACHINES["amd64"]
VERSION = "3.13"
PARTS = (f"python{VERSION}", f"libpython{VERSION}", "libexpat1", "libffi8", "libssl3", "zlib1g")
"""Of what apt fetches for Python these are unpacked; the C library is the board's."""


def python(folder: Path, target: Path) -> None:
    """Unpack Debian's Python into `target`, byte-compiled: the disk is read-only, and an emulated compiler slow."""
    fetched = debian.Apt(folder / "apt", MACHINE.name).fetch([f"python{VERSION}"])
    debian.unpack([file for file in fetched if file.name.startswith(PARTS)], target)
    shutil.rmtree(target / "usr/share", ignore_errors=True)
    compile_all(folder, target, target / "usr/lib" / f"python{VERSION}")


def compile_all(folder: Path, tree: Path, what: Path) -> None:
    """Run the board's Python here, with the board's libraries, to compile `what`."""
    loader, option, libraries = MACHINE.runs(str(folder / "base"))
    subprocess.run(
        [loader, option, f"{libraries}:{tree}/usr/lib/x86_64-linux-gnu", tree / f"usr/bin/python{VERSION}",
         "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", what],
        check=True, env={"PYTHONHOME": str(tree / "usr")}, stdout=subprocess.DEVNULL)


def main() -> int:
    """Build the disk beside the board's image."""
    folder = PROJECT / "build/image" / MACHINE.name
    interpreter = folder / "radio-python"
    target = folder / "radio.squashfs"
    try:
        inputs = digest(debian.SUITE, *PARTS, Path(__file__))
        step("radio: Python", interpreter, inputs, lambda fresh: python(folder, fresh))

        def make(fresh: Path) -> None:
            tree = folder / "radio-tree"
            shutil.rmtree(tree, ignore_errors=True)
            subprocess.run(["cp", "-a", "--reflink=auto", interpreter, tree], check=True)
            shutil.copytree(HERE / "guest", tree / "guest", ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copytree(PROJECT / "halow", tree / "halow", ignore=shutil.ignore_patterns("__pycache__"))
            compile_all(folder, tree, tree / "halow")
            compile_all(folder, tree, tree / "guest")
            squash(tree, fresh)
            shutil.rmtree(tree)

        package = sorted(path for path in (PROJECT / "halow").rglob("*") if path.suffix in (".py", ".toml"))
        step("radio: disk", target, digest(inputs, HERE / "guest", *package), make)
    except debian.ImageError as error:
        print(f"radio: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

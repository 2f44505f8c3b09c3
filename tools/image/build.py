"""Builds the rehearsal image of one architecture: `python3 tools/image/build.py amd64`. No root needed.

packages -> base -> root -> squashfs -> disk        each step only when its inputs changed (steps.py)
"""

import argparse
import subprocess
import sys
from pathlib import Path

import debian
import disk
import kernel
import root
from machine import MACHINES, Machine
from steps import digest, step

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
BINARIES = {"amd64": PROJECT / "build/binary/halow-gateway", "arm64": PROJECT / "build/binary/aarch64/halow-gateway"}


class Image:
    """The parts of one architecture's image below `build/image/<name>`, made when they are asked for."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        """Name the parts; nothing is made yet."""
        self.machine = machine
        self.folder = folder
        self.base = folder / "base"
        self.kernel = folder / "Image"
        self.first_root = folder / "initrd"
        self.disk = folder / "disk.img"
        self.key, self.certificate = disk.signing_key(folder.parent / "keys", "update")

    def make_base(self) -> str:
        """Fetch and unpack Debian's packages; return what identifies them."""
        wanted = [*debian.PACKAGES, self.machine.kernel_package]
        inputs = digest(debian.SUITE, *wanted, HERE / "debian.py", HERE / "kernel.py")

        def make(target: Path) -> None:
            packages = debian.Apt(self.folder / "apt", self.machine.name).fetch(wanted)
            root.base(packages, target, debian.unpack)

        step(f"{self.machine.name} packages", self.base, inputs, make)
        step(f"{self.machine.name} kernel", self.kernel, inputs, lambda target: kernel.image(self.base, target))
        step(
            f"{self.machine.name} first root",
            self.first_root,
            inputs,
            lambda target: kernel.first_root(self.base, target),
        )
        return inputs

    def make_root(self, version: str, *, binary: Path | None = None) -> tuple[Path, str]:
        """Make the root of one version as a squashfs file; return it and what identifies it."""
        base = self.make_base()
        binary = binary or BINARIES[self.machine.name]
        overlays = [PROJECT / "rootfs", HERE / "rehearsal"]
        inputs = digest(base, version, binary, *overlays, HERE / "root.py", self.certificate)
        target = self.folder / f"rootfs-{version}.squashfs"

        def make(fresh: Path) -> None:
            tree = self.folder / f"tree-{version}"
            subprocess.run(["rm", "-rf", tree], check=True)
            root.compose(
                self.machine,
                tree,
                debian=self.base,
                overlays=overlays,
                binary=binary,
                version=version,
                keyring=self.certificate,
            )
            root.squash(tree, fresh)
            subprocess.run(["rm", "-rf", tree], check=True)

        step(f"{self.machine.name} root {version}", target, inputs, make)
        return target, inputs

    def make_disk(self, boot: dict[str, Path], version: str = "1.0.0") -> Path:
        """Make the disk with this version in both slots and these files on its boot partition."""
        squashfs, identity = self.make_root(version)
        inputs = digest(identity, *sorted(boot), *boot.values(), HERE / "disk.py")
        step(
            f"{self.machine.name} disk",
            self.disk,
            inputs,
            lambda target: disk.disk(target, boot=boot, kernel=self.kernel, first_root=self.first_root, root=squashfs),
        )
        return self.disk


def main() -> int:
    """Build one architecture's disk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture", choices=sorted(MACHINES))
    parser.add_argument("--output", type=Path, default=PROJECT / "build/image")
    asked = parser.parse_args()
    try:
        made = Image(MACHINES[asked.architecture], asked.output / asked.architecture).make_disk({})
    except debian.ImageError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
BOOT_SCRIPT = PROJECT / "buildroot/board/common/boot.cmd"
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
        overlays = [PROJECT / "rootfs", PROJECT / "buildroot/board/common/rootfs", HERE / "rehearsal"]
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

    def make_disk(self, version: str = "1.0.0") -> Path:
        """Make the disk with this version in both slots, and the product's boot script where a loader reads one."""
        squashfs, identity = self.make_root(version)
        boot = (
            {"boot.scr": self.make_boot_script(), "boot.env": self.boot_settings()}
            if self.machine.boots_by_loader
            else {}
        )
        inputs = digest(identity, *boot.values(), HERE / "disk.py")

        def make(target: Path) -> None:
            disk.disk(target, boot=boot, kernel=self.kernel, first_root=self.first_root, root=squashfs)

        step(f"{self.machine.name} disk", self.disk, inputs, make)
        return self.disk

    def make_boot_script(self) -> Path:
        """Pack the boot script that the boards have, for the same loader here."""
        target = self.folder / "boot.scr"
        step(
            f"{self.machine.name} boot script",
            target,
            digest(BOOT_SCRIPT),
            lambda to: disk.boot_script(BOOT_SCRIPT, to),
        )
        return target

    def boot_settings(self) -> Path:
        """Write what the boot script adds to the kernel's command line."""
        target = self.folder / "boot.env"
        target.write_text(f"extra_args=console={self.machine.console} quiet loglevel=4 systemd.show_status=1\n")
        return target

    def make_updates(self) -> Path:
        """Make a file system with update bundles: a good one, one whose gateway cannot start, two that are not ours."""
        squashfs, good = self.make_root("1.1.0")
        broken_binary = self.folder / "halow-gateway-broken"
        broken_binary.write_bytes(BINARIES[self.machine.name].read_bytes()[:1_000_000])  # as a download that was cut
        broken_binary.chmod(0o755)
        broken, bad = self.make_root("1.2.0", binary=broken_binary)
        target = self.folder / "updates.ext4"

        def make(fresh: Path) -> None:
            strange_key, strange_certificate = disk.signing_key(self.folder.parent / "keys", "stranger")
            kernel_image = self.folder / "kernel.vfat"
            ours, theirs = (self.key, self.certificate), (strange_key, strange_certificate)
            for name, root_image, version, (key, certificate) in (
                ("good", squashfs, "1.1.0", ours),
                ("broken", broken, "1.2.0", ours),
                ("stranger", squashfs, "1.1.0", theirs),
            ):
                disk.bundle(
                    self.folder / f"bundles/{name}.raucb",
                    root=root_image,
                    kernel=kernel_image,
                    version=version,
                    key=key,
                    certificate=certificate,
                )
            disk.tamper(self.folder / "bundles/good.raucb", self.folder / "bundles/tampered.raucb")
            disk.unsigned(squashfs, self.folder / "bundles/unsigned.raucb")
            disk.ext4(fresh, self.folder / "bundles")

        step(f"{self.machine.name} updates", target, digest(good, bad, self.make_boot_script(), HERE / "disk.py"), make)
        return target


def main() -> int:
    """Build what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture", nargs="+", choices=sorted(MACHINES))
    parser.add_argument("--output", type=Path, default=PROJECT / "build/image")
    asked = parser.parse_args()
    try:
        for name in asked.architecture:
            image = Image(MACHINES[name], asked.output / name)
            image.make_disk()
            if image.machine.boots_by_loader:
                image.make_updates()
    except debian.ImageError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

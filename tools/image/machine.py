"""The machines that the image is rehearsed on: what differs between them, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """One architecture: Debian's names for it, how its programs run here, and which QEMU starts it."""

    name: str
    kernel_package: str
    loader: tuple[str, ...]
    qemu: tuple[str, ...]
    console: str
    boots_by_loader: bool  # U-Boot and its script, as a board does; else QEMU starts the kernel

    def runs(self, root: str) -> list[str]:
        """Return the words to put before a program of `root`, so that it runs here with that root's libraries."""
        return [word.format(root=root) for word in self.loader]


MACHINES = {
    "amd64": Machine(
        name="amd64",
        kernel_package="linux-image-amd64",
        loader=(
            "{root}/usr/lib64/ld-linux-x86-64.so.2",
            "--library-path",
            "{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu/systemd",
        ),
        # not q35: there the reset of QEMU 7.2's i6300esb does nothing
        qemu=("qemu-system-x86_64", "-machine", "pc", "-cpu", "max"),
        console="ttyS0",
        boots_by_loader=False,
    ),
    "arm64": Machine(
        name="arm64",
        kernel_package="linux-image-arm64",
        loader=("qemu-aarch64-static", "-L", "{root}"),
        qemu=("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"),
        console="ttyAMA0",
        boots_by_loader=True,
    ),
}

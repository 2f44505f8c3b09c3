"""Debian's kernel for the rehearsal: only the modules in use, and a first root in memory that finds the real one.

On a board the kernel of the Buildroot tree has what it needs built in and starts the root by itself.
"""

import gzip
import shutil
import subprocess
from pathlib import Path

from debian import ImageError

_TO_BOOT = ("virtio_pci", "virtio_blk", "squashfs")
_TO_RUN = (
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "ext4",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_iso8859-1",
    "overlay",
    "loop",
    "dm_mod",
    "dm_verity",
    "i6300esb",
    "af_packet",
    "dummy",
    "mac80211_hwsim",
    "nf_tables",
    "nft_ct",
    "nft_limit",
    "nft_log",
    "nft_counter",
    "nft_reject_inet",
    "nft_reject",
    "nft_meta",
    "nft_socket",
    "nf_log_syslog",
    "nf_conntrack",
    "nft_fib_inet",
    "nft_limit",
    "ccm",
    "cmac",
    "gcm",
    "ctr",
)

_INIT = """#!/bin/sh
# Waits for the partition that root=PARTLABEL= names, and goes there.
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" || echo "first root: $module does not load"; done
label=; for word in $(cat /proc/cmdline); do case $word in root=PARTLABEL=*) label=${word#root=PARTLABEL=};; esac; done
find_root() {
    for entry in /sys/class/block/*/uevent; do
        grep -qx "PARTNAME=$label" "$entry" && { sed -n 's/^DEVNAME=//p' "$entry"; return; }
    done
}
for attempt in $(seq 200); do device=$(find_root); [ -n "$device" ] && break; sleep 0.1; done
[ -n "$device" ] || { echo "first root: no partition is named '$label'"; reboot -f; }
mount -t squashfs -o ro "/dev/$device" /root || { echo "first root: $label is no squashfs"; sleep 1; reboot -f; }
mount --move /dev /root/dev; mount --move /proc /root/proc; mount --move /sys /root/sys
exec switch_root /root /sbin/init
"""


def version(root: Path) -> str:
    """Return the version of the one kernel in a root. Raises ImageError."""
    found = sorted(path.name for path in (root / "usr/lib/modules").iterdir())
    if len(found) != 1:
        raise ImageError(f"one kernel is expected in {root}, found: {', '.join(found) or 'none'}")
    return found[0]


def _files_of(root: Path, kernel: str, modules: tuple[str, ...]) -> list[Path]:
    """Return the module files, in the order in which they load. What is built in has none."""
    files: list[Path] = []
    for module in modules:
        shown = subprocess.run(
            ["/sbin/modprobe", "-d", root, "-S", kernel, "--show-depends", module],
            check=False,
            capture_output=True,
            text=True,
        )
        for line in shown.stdout.splitlines():
            if line.startswith("insmod "):
                path = Path(line.split()[1])
                if path not in files:
                    files.append(path)
    return files


def prune(root: Path) -> None:
    """Leave only the modules that the rehearsal uses, and what they need."""
    kernel = version(root)
    folder = root / "usr/lib/modules" / kernel
    subprocess.run(["/sbin/depmod", "-b", root, kernel], check=True)
    kept = {path.resolve() for path in _files_of(root, kernel, _TO_BOOT + _TO_RUN)}
    for path in (folder / "kernel").rglob("*.ko*"):
        if path.resolve() not in kept:
            path.unlink()
    subprocess.run(["/sbin/depmod", "-b", root, kernel], check=True)


def image(root: Path, target: Path) -> None:
    """Write the kernel as the boot loader takes it: unpacked where it is gzip around an arm64 Image."""
    data = (root / "boot" / f"vmlinuz-{version(root)}").read_bytes()
    target.write_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def first_root(root: Path, target: Path) -> None:
    """Write the initramfs: a static busybox, the modules that reach the root, and `_INIT`."""
    tree = target.with_name("first-root")
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "dev", "proc", "sys", "modules", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", tree / "bin/busybox")
    for applet in ("sh", "mount", "insmod", "cat", "grep", "sed", "seq", "sleep", "reboot", "switch_root", "echo"):
        (tree / "bin" / applet).symlink_to("busybox")
    for number, path in enumerate(_files_of(root, version(root), _TO_BOOT)):
        unpacked = tree / "modules" / f"{number:02}-{path.name.removesuffix('.xz')}"
        unpacked.write_bytes(
            subprocess.run(["xz", "-dc", path], check=True, capture_output=True).stdout
            if path.suffix == ".xz"
            else path.read_bytes()
        )
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    names = "\n".join(sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))) + "\n"
    with target.open("wb") as file:
        packed = subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"],
            check=True,
            input=names.encode(),
            capture_output=True,
            cwd=tree,
        )
        file.write(gzip.compress(packed.stdout, 6, mtime=0))
    shutil.rmtree(tree)

"""The rehearsal's root: Debian's packages, the product's overlay, its single binary; one read-only squashfs.

What follows the overlay here is what Buildroot does for the product's own image: users, presets, device database.
"""

import shutil
import subprocess
from pathlib import Path

import kernel
from debian import ImageError
from machine import Machine

# Mount points and folders of a root that cannot be written to.
_FOLDERS = ("data", "dev", "proc", "sys", "run", "tmp", "var", "boot", "root", "etc/halow-gateway", "etc/rauc", "srv")
_MASKED = (
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "serial-getty@ttyAMA0.service",
    "e2scrub_reap.service",
    "ldconfig.service",
)


def base(packages: list[Path], target: Path, unpack: object) -> None:
    """Unpack Debian's packages, with the kernel's modules pruned."""
    assert callable(unpack)
    unpack(packages, target)
    kernel.prune(target)


def compose(
    machine: Machine, tree: Path, *, debian: Path, overlays: list[Path], binary: Path, version: str, keyring: Path
) -> None:
    """Make the whole root in `tree`. Raises ImageError, CalledProcessError."""
    subprocess.run(["cp", "-a", "--reflink=auto", debian, tree], check=True)
    shutil.rmtree(tree / "boot")
    shutil.rmtree(tree / "var")
    for name in _FOLDERS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    for overlay in overlays:
        subprocess.run(["cp", "-a", "--no-preserve=ownership", f"{overlay}/.", tree], check=True)
    shutil.copy(binary, tree / "usr/bin/halow-gateway")
    (tree / "usr/bin/halow-gateway").chmod(0o755)
    updates = tree / "etc/rauc/system.conf"
    updates.write_text(updates.read_text().replace("@BOARD@", "rehearsal"))
    shutil.copy(keyring, tree / "etc/rauc/keyring.pem")
    _identity(tree, version)
    _users(machine, tree)
    _tools(tree)
    _regulation(tree)
    _units(machine, tree)


def _identity(tree: Path, version: str) -> None:
    """Write who the image is: its version, and nothing that two boards may not share."""
    release = tree / "usr/lib/os-release"
    kept = [
        line for line in release.read_text().splitlines() if not line.startswith(("VERSION_ID=", "BUILD_ID=", "IMAGE_"))
    ]
    release.write_text(
        "\n".join(
            [
                *kept,
                f"VERSION_ID={version}",
                "IMAGE_ID=halow-gateway",
                f"IMAGE_VERSION={version}",
                f"BUILD_ID={version}",
            ]
        )
        + "\n"
    )
    (tree / "etc/machine-id").write_text("")  # empty: a new one for each boot, in memory
    (tree / "etc/hostname").write_text("halow-gateway\n")
    (tree / "etc/fstab").write_text("# root: by the kernel command line; everything else: mount units\n")
    resolver = tree / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.symlink_to("/run/systemd/resolve/resolv.conf")


def _users(machine: Machine, tree: Path) -> None:
    """Make the users that packages and overlay declare. Nobody has a password."""
    for name in ("passwd", "group"):
        shutil.copy(tree / f"usr/share/base-passwd/{name}.master", tree / f"etc/{name}")
    accounts = [line.split(":")[0] for line in (tree / "etc/passwd").read_text().splitlines()]
    (tree / "etc/shadow").write_text("".join(f"{name}:!*:20000:0:99999:7:::\n" for name in accounts))
    (tree / "etc/passwd").write_text((tree / "etc/passwd").read_text().replace(":*:", ":x:"))
    (tree / "etc/group").write_text((tree / "etc/group").read_text().replace(":*:", ":x:"))
    (tree / "etc/gshadow").touch()
    _run(machine, tree, "usr/bin/systemd-sysusers", f"--root={tree}")


def _tools(tree: Path) -> None:
    """Give busybox's name to every tool that no package brought, as Buildroot does."""
    listed = subprocess.run(["busybox", "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    for name in listed:
        path = tree / "usr/bin" / Path(name).name
        if not any(
            (tree / folder / path.name).is_symlink() or (tree / folder / path.name).exists()
            for folder in ("usr/bin", "usr/sbin")
        ):
            path.symlink_to("busybox")


def _regulation(tree: Path) -> None:
    """Give the regulatory data the name that the kernel looks for: in Debian a script of the package chooses it."""
    for name in ("regulatory.db", "regulatory.db.p7s"):
        (tree / "usr/lib/firmware" / name).symlink_to(f"{name}-debian")


def _units(machine: Machine, tree: Path) -> None:
    """Enable what the presets enable; nothing asks for a login."""
    for path in (tree / "etc/systemd/system").glob("*.wants/*"):
        path.unlink()
    _run(machine, tree, "usr/bin/systemctl", f"--root={tree}", "preset-all")
    for name in _MASKED:
        link = tree / "etc/systemd/system" / name
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _run(machine: Machine, tree: Path, program: str, *words: str) -> None:
    done = subprocess.run(
        [*machine.runs(str(tree)), tree / program, *words], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ImageError(f"{program}: {(done.stderr.strip().splitlines() or [done.returncode])[-1]}")


def squash(tree: Path, target: Path) -> None:
    """Write the tree as a squashfs file; everything in it belongs to root."""
    subprocess.run(
        [
            "mksquashfs",
            tree,
            target,
            "-comp",
            "zstd",
            "-Xcompression-level",
            "6",
            "-b",
            "256K",
            "-all-root",
            "-noappend",
            "-no-progress",
            "-quiet",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )

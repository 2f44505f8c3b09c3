"""The rehearsal's disk: the partitions of the product, by genimage; and its update bundles, by RAUC.

boot  bootstate  kernel-A  rootfs-A  kernel-B  rootfs-B  data        (GPT; labels as in buildroot/)
"""

import os
import shutil
import subprocess
from pathlib import Path

from debian import ImageError

DATA_TYPE = "128ba226-d758-4e34-b6b1-7d6cfea85801"  # rootfs/usr/lib/repart.d/50-data.conf finds /data by it
ENVIRONMENT_BYTES = 4096  # /etc/fw_env.config and the boot script agree on it
_ENVIRONMENT = "BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n"

_LAYOUT = """
image disk.img {{
  hdimage {{ partition-table-type = "gpt" align = 1M }}
  partition boot {{ partition-type-uuid = "U" image = "boot.vfat" }}
  partition bootstate {{ partition-type-uuid = "L" image = "bootstate.img" size = 1M }}
  partition kernel-A {{ partition-type-uuid = "L" image = "kernel.vfat" size = {kernel_mib}M }}
  partition rootfs-A {{ partition-type-uuid = "L" image = "rootfs.squashfs" size = {root_mib}M }}
  partition kernel-B {{ partition-type-uuid = "L" image = "kernel.vfat" size = {kernel_mib}M }}
  partition rootfs-B {{ partition-type-uuid = "L" image = "rootfs.squashfs" size = {root_mib}M }}
  partition data {{ partition-type-uuid = "{data_type}" image = "data.ext4" }}
}}
"""


def vfat(target: Path, mib: int, files: dict[str, Path]) -> None:
    """Write a FAT file system with these files; names with folders make the folders. No mount, no root."""
    target.unlink(missing_ok=True)
    with target.open("wb") as file:
        file.truncate(mib << 20)
    _tool("mkfs.vfat", "-n", target.stem[:11].upper(), target)
    for folder in sorted({str(Path(name).parent) for name in files} - {"."}):
        _tool("mmd", "-i", target, f"::{folder}")
    for name, source in files.items():
        _tool("mcopy", "-i", target, source, f"::{name}")


def disk(
    target: Path, *, boot: dict[str, Path], kernel: Path, first_root: Path, root: Path, spare_mib: int = 448
) -> None:
    """Write a disk that has both slots filled and an almost empty /data, with room behind it to grow into."""
    work = target.with_name("disk.work")
    shutil.rmtree(work, ignore_errors=True)
    for name in ("in", "empty", "tmp", "out"):
        (work / name).mkdir(parents=True)
    inside = work / "in"
    kernel_mib, root_mib = (
        8 + (kernel.stat().st_size + first_root.stat().st_size >> 20),
        8 + (root.stat().st_size >> 20),
    )
    vfat(inside / "boot.vfat", 32, boot)
    vfat(inside / "kernel.vfat", kernel_mib, {"Image": kernel, "initrd": first_root})
    shutil.copy(inside / "kernel.vfat", target.with_name("kernel.vfat"))
    environment(inside / "bootstate.img")
    (inside / "rootfs.squashfs").symlink_to(root)
    with (inside / "data.ext4").open("wb") as file:
        file.truncate(64 << 20)
    # A board's /data grows from 64 MiB to some GiB: the journal and room for growing must be laid out for that.
    _tool(
        "mkfs.ext4",
        "-q",
        "-L",
        "data",
        "-m",
        "1",
        "-J",
        "size=16",
        "-E",
        "resize=4g,lazy_itable_init=0",
        inside / "data.ext4",
    )
    layout = _LAYOUT.format(kernel_mib=kernel_mib, root_mib=root_mib, data_type=DATA_TYPE)
    (work / "genimage.cfg").write_text(layout)
    _tool(
        "genimage",
        "--rootpath",
        work / "empty",
        "--tmppath",
        work / "tmp",
        "--inputpath",
        inside,
        "--outputpath",
        work / "out",
        "--config",
        work / "genimage.cfg",
    )
    with (work / "out/disk.img").open("r+b") as file:
        file.seek(0, 2)
        file.truncate(file.tell() + (spare_mib << 20))
    (work / "out/disk.img").rename(target)
    shutil.rmtree(work)


def environment(target: Path) -> None:
    """Write the boot loader's first environment: the primary copy, and the backup 16 KiB behind it."""
    text = target.with_suffix(".txt")
    text.write_text(_ENVIRONMENT)
    _tool("mkenvimage", "-s", str(ENVIRONMENT_BYTES), "-o", target, text)
    blob = target.read_bytes()
    target.write_bytes(blob.ljust(16384, b"\0") + blob.ljust(16384, b"\0"))
    text.unlink()


def signing_key(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a throw-away key and its certificate, made now if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    if not (key.exists() and certificate.exists()):
        _tool(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            f"/CN=rehearsal {name}",
            "-keyout",
            key,
            "-out",
            certificate,
        )
    return key, certificate


def bundle(target: Path, *, root: Path, kernel: Path, version: str, key: Path, certificate: Path) -> None:
    """Write an update bundle (verity format) for both partitions of a slot."""
    target.parent.mkdir(exist_ok=True)
    work = target.with_name(f"{target.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    shutil.copy(root, work / "rootfs.img")
    shutil.copy(kernel, work / "kernel.img")
    (work / "manifest.raucm").write_text(
        f"[update]\ncompatible=halow-gateway-rehearsal\nversion={version}\n[bundle]\nformat=verity\n"
        "[image.rootfs]\nfilename=rootfs.img\n[image.kernel]\nfilename=kernel.img\n",
    )
    target.unlink(missing_ok=True)
    _tool("rauc", "bundle", f"--cert={certificate}", f"--key={key}", work, target)
    shutil.rmtree(work)


def tamper(source: Path, target: Path) -> None:
    """Copy a bundle with some bytes in its middle turned round: the signature is right, what it signs is not."""
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xFF for byte in data[middle : middle + 64])
    target.write_bytes(data)


def unsigned(root: Path, target: Path) -> None:
    """Write a bundle's squashfs with no signature behind it."""
    work = target.with_name("unsigned.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    shutil.copy(root, work / "rootfs.img")
    (work / "manifest.raucm").write_text(
        "[update]\ncompatible=halow-gateway-rehearsal\nversion=9\n[image.rootfs]\nfilename=rootfs.img\n"
    )
    _tool("mksquashfs", work, target, "-noappend", "-quiet", "-no-progress")
    shutil.rmtree(work)


def ext4(target: Path, folder: Path) -> None:
    """Write a read-only file system with a folder's files."""
    total_mib = sum(path.stat().st_size for path in folder.iterdir()) >> 20
    _tool("mkfs.ext4", "-q", "-O", "^has_journal", "-d", folder, target, f"{total_mib * 11 // 10 + 16}M")


def boot_script(source: Path, target: Path) -> None:
    """Pack a U-Boot script."""
    _tool("mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-n", "halow-gateway", "-d", source, target)


def _tool(program: str, *words: object) -> None:
    # mkfs is where the path of who is not root may not lead.
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run([program, *map(str, words)], check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise ImageError(
            f"{program}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or done.returncode}"
        )

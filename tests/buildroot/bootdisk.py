"""A card as buildroot/board/common/genimage.cfg lays it out, and real U-Boot to start it: what the tests of the boot script use.

The kernel on it is some 40 instructions that print their own arguments as <...> and switch the machine off.
"""

import binascii
import os
import struct
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COMMON = ROOT / "buildroot/board/common"
# Debian's; HALOW_UBOOT names another one for QEMU's virt machine, such as that of a build.
UBOOT = Path(os.environ.get("HALOW_UBOOT", "/usr/lib/u-boot/qemu_arm64/u-boot.bin"))
ENVIRONMENT_BYTES = 4096
SECOND_COPY_AT = 16384

# arm64: a branch over the Image header; find "rauc" in the device tree at x0, go back to the NUL before it, write the string to
# the PL011 of QEMU's virt machine at 9000000; PSCI SYSTEM_OFF.
_KERNEL = bytes.fromhex("""
10000014 00000000 00000000 00000000 00000100 00000000 0a000000 00000000 00000000 00000000 00000000 00000000
00000000 00000000 41524d64 00000000 0120a1d2 020440b9 4208c05a 0200028b 452e8c52 a56eac72 040040b9 9f00056b
a0000054 00040091 1f0002eb 63ffff54 0d000014 04fc5f38 e4ffff35 84078052 24000039 041c4038 64000034 24000039
fdffff17 c4078052 24000039 44018052 24000039 00018052 0080b072 020000d4 fdffff17""").ljust(512, b"\0")


def environment(**values: str) -> bytes:
    """Return U-Boot's environment of 4 KiB with its CRC-32."""
    body = b"".join(f"{name}={value}".encode() + b"\0" for name, value in values.items()).ljust(ENVIRONMENT_BYTES - 4, b"\0")
    return struct.pack("<I", binascii.crc32(body)) + body


def read_environment(blob: bytes) -> dict[str, str] | None:
    """Return what an environment holds, or None when its CRC is wrong."""
    crc, body = struct.unpack("<I", blob[:4])[0], blob[4:ENVIRONMENT_BYTES]
    if crc != binascii.crc32(body):
        return None
    pairs = (item.decode().partition("=") for item in body.split(b"\0\0")[0].split(b"\0") if item)
    return {name: value for name, _, value in pairs}


def partitions(image: Path) -> dict[str, tuple[int, int]]:
    """Return label -> (first byte, size) from a disk's GPT. Raises AssertionError when there is none."""
    with image.open("rb") as file:
        file.seek(512)
        header = file.read(512)
        assert header[:8] == b"EFI PART", f"{image} has no GPT"
        first, count, size = struct.unpack("<QII", header[72:88])
        file.seek(first * 512)
        table = file.read(count * size)
    found = {}
    for at in range(0, len(table), size):
        start, end = struct.unpack("<QQ", table[at + 32:at + 48])
        label = table[at + 56:at + 128].decode("utf-16-le").rstrip("\0")
        if label:
            found[label] = (start * 512, (end - start + 1) * 512)
    return found


class Card:
    """One card in `folder`; start() runs it until the kernel or the script says how it ended."""

    def __init__(self, folder: Path, *, slot_args: str = "slot_args=quiet\n", config: Path = COMMON / "genimage.cfg") -> None:
        """Make the card with genimage, as post-image.sh does, and an empty bootstate."""
        for name in ("root", "in/slot", "tmp", "out"):
            (folder / name).mkdir(parents=True)
        (folder / "in/Image").write_bytes(_KERNEL)
        (folder / "in/slot/boot.env").write_text(slot_args)
        (folder / "in/rootfs.squashfs").write_bytes(b"hsqs" + bytes(4092))
        (folder / "in/bootstate.img").write_bytes(bytes(SECOND_COPY_AT * 2))
        _tool("mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-n", "slots", "-d", COMMON / "boot.cmd", folder / "root/boot.scr")
        _tool("genimage", "--rootpath", folder / "root", "--tmppath", folder / "tmp", "--inputpath", folder / "in",
              "--outputpath", folder / "out", "--config", config)
        self.image = folder / "out/halow-gateway.img"
        self.at = partitions(self.image)

    def write(self, label: str, offset: int, data: bytes) -> None:
        """Overwrite bytes of a partition."""
        with self.image.open("r+b") as file:
            file.seek(self.at[label][0] + offset)
            file.write(data)

    def state(self, copy: int = 0) -> dict[str, str] | None:
        """Return the first (0) or second (1) copy of the state, None when it is damaged."""
        with self.image.open("rb") as file:
            file.seek(self.at["bootstate"][0] + copy * SECOND_COPY_AT)
            return read_environment(file.read(ENVIRONMENT_BYTES))

    def start(self, *, tree: Path | None = None, seconds: float = 90) -> tuple[str | None, str]:
        """Run U-Boot once. Return the arguments the kernel was given, or None when it was not started; and the console.

        `tree` is the device tree that the firmware would hand over; without it QEMU's own.
        """
        command = ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-m", "512", "-nographic", "-nodefaults", "-no-reboot",
                   "-serial", "stdio", "-bios", str(UBOOT), "-drive", f"file={self.image},format=raw,if=none,id=card",
                   "-device", "virtio-blk-pci,drive=card", *(["-dtb", str(tree)] if tree else [])]
        done = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds)
        console = done.stdout.decode(errors="replace")
        _, started, rest = console.partition("Starting kernel ...")
        return (rest.partition("<")[2].partition(">")[0] if started else None), console


def _tool(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{words[0]}: {done.stderr or done.stdout}"

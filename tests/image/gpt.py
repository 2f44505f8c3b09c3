"""The partitions of a disk image by their labels (UEFI specification, clause 5.3)."""

import os
import struct
from pathlib import Path

SECTOR = 512


def partitions(image: Path) -> dict[str, tuple[int, int]]:
    """Return label -> (first byte, byte behind the last). Raises ValueError without a GPT."""
    file = os.open(image, os.O_RDONLY)
    try:
        header = os.pread(file, SECTOR, SECTOR)
        if header[:8] != b"EFI PART":
            raise ValueError(f"{image} has no GPT")
        first, count, size = struct.unpack("<QII", header[72:88])
        entries = [os.pread(file, size, first * SECTOR + number * size) for number in range(count)]
    finally:
        os.close(file)
    found = {}
    for entry in entries:
        if any(entry[:16]):
            start, end = struct.unpack("<QQ", entry[32:48])
            found[entry[56:128].decode("utf-16-le").rstrip("\0")] = (start * SECTOR, (end + 1) * SECTOR)
    return found

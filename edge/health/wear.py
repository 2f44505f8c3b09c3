"""How worn the flash under a directory is, and how long it will last (I/O edge: /sys, /proc).

An eMMC tells by itself (JESD84-B51, EXT_CSD 267 to 269; Linux: `life_time` and `pre_eol_info` beside the block
device, as they were at boot); an SD card does not. The forecast is arithmetic: what the device bears, less what it says
is used, over what is written to it a day since the boot. What is not known is None, never zero.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from edge.model import Field, Scalar

DAY_S = 86_400
KNOWN_AFTER_S = 3_600      # what was written in less time says nothing about a day
SECTOR_BYTES = 512         # of /sys/block/*/stat and size, whatever the device's are
WRITTEN_SECTORS = 6        # column of /sys/block/*/stat (Documentation/block/stat.rst)
FORECAST_MAX_DAYS = 36_500
PRE_EOL = {1: "normal", 2: "warning", 3: "urgent"}

FIELDS = (
    Field("storage_life_used_pct", unit="%"),
    Field("storage_pre_eol"),
    Field("storage_written_bytes_per_day", unit="B"),
    Field("storage_forecast_days", unit="d"),
)


@dataclass(frozen=True, slots=True)
class StorageWear:
    """One look. `life_used_pct` is the upper end of the tenth that the eMMC names; 110 says that it is beyond."""

    device: str | None = None
    capacity_bytes: int | None = None
    life_used_pct: int | None = None
    pre_eol: str | None = None
    written_bytes_per_day: int | None = None
    forecast_days: int | None = None

    def figures(self) -> dict[str, Scalar]:
        """Return the columns of FIELDS."""
        values = (self.life_used_pct, self.pre_eol, self.written_bytes_per_day, self.forecast_days)
        return dict(zip((field.key for field in FIELDS), values, strict=True))


def look(path: Path, overwrites: float, root: Path = Path("/")) -> StorageWear:
    """Look at the device under `path`, which bears being written full so many times.

    `root` is where /proc and /sys hang. Never raises for a figure that is not to be had.
    """
    disk = _disk(path, root)
    if disk is None:
        return StorageWear()
    life, size = parse_life_time(_text(disk / "device/life_time")), _text(disk / "size").strip()
    capacity = int(size) * SECTOR_BYTES if size.isdigit() else None
    a_day = per_day(parse_written_bytes(_text(disk / "stat")), parse_uptime_s(_text(root / "proc/uptime")))
    return StorageWear(disk.name, capacity, life, parse_pre_eol(_text(disk / "device/pre_eol_info")), a_day,
                       forecast_days(capacity, overwrites, life, a_day))


def per_day(count_bytes: int | None, within_s: float | None) -> int | None:
    """Return bytes per day, None while it is too early to tell."""
    if count_bytes is None or within_s is None or within_s < KNOWN_AFTER_S:
        return None
    return int(count_bytes * DAY_S / within_s)


def forecast_days(capacity_bytes: int | None, overwrites: float, life_used_pct: int | None,
                  bytes_per_day: int | None) -> int | None:
    """Return how many days the device lasts if it goes on like this; a hundred years at most."""
    if capacity_bytes is None or not bytes_per_day:
        return None
    left = max(0.0, 1 - (life_used_pct or 0) / 100)
    return min(FORECAST_MAX_DAYS, int(capacity_bytes * overwrites * left / bytes_per_day))


def parse_life_time(text: str) -> int | None:
    """Take the worse of `0x01 0x02`, in per cent used: n means up to 10 n %, 0x0b beyond it, 0 not told."""
    try:
        tenths = max(int(word, 16) for word in text.split())
    except ValueError:
        return None
    return tenths * 10 if 0 < tenths <= 11 else None


def parse_pre_eol(text: str) -> str | None:
    """Take `0x01`: how far the spare blocks are used up."""
    try:
        return PRE_EOL.get(int(text.strip(), 16))
    except ValueError:
        return None


def parse_written_bytes(stat: str) -> int | None:
    """Take what was written since the boot out of a block device's `stat`."""
    words = stat.split()
    known = len(words) > WRITTEN_SECTORS and words[WRITTEN_SECTORS].isdigit()
    return int(words[WRITTEN_SECTORS]) * SECTOR_BYTES if known else None


def parse_uptime_s(text: str) -> float | None:
    """Take the seconds since the boot out of /proc/uptime."""
    try:
        return float(text.split(maxsplit=1)[0])
    except (IndexError, ValueError):
        return None


def _disk(path: Path, root: Path) -> Path | None:
    """Return the sysfs directory of the whole disk under a path; below a mapped device its first carrier."""
    try:
        number = path.stat().st_dev
        place = (root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve(strict=True)
        carriers = sorted((place / "slaves").iterdir()) if (place / "slaves").is_dir() else []
        place = carriers[0].resolve(strict=True) if carriers else place
    except OSError:
        return None
    return place.parent if (place / "partition").exists() else place


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

"""The gateway process and its machine in figures, for its own telemetry (I/O edge: /proc, /sys, statvfs).

A figure that the machine does not offer is None, never zero. FIELDS and `values()` give them as record columns.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from edge.model import Field, Scalar

FIELDS = (
    Field("uptime_s", unit="s"),
    Field("cpu_time_s", scaler=-3, unit="s"),
    Field("rss_bytes", unit="B"),
    Field("open_fds"),
    Field("disk_free_bytes", unit="B"),
    Field("load_1min", scaler=-2),
    Field("soc_temperature_c", scaler=-1, unit="°C"),
)
"""Columns of the gateway's record; the order belongs to `values`."""


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One look at the process. Exact integers, units in the names."""

    uptime_s: int
    cpu_time_ms: int
    rss_bytes: int | None
    open_fds: int | None
    disk_free_bytes: int | None
    load_1min_centi: int | None
    soc_temperature_decicelsius: int | None

    def values(self) -> tuple[Scalar, ...]:
        """Return the figures in the order of FIELDS."""
        return (
            self.uptime_s, self.cpu_time_ms, self.rss_bytes, self.open_fds, self.disk_free_bytes,
            self.load_1min_centi, self.soc_temperature_decicelsius,
        )


def look(state_dir: Path, started_at: float, now: float, root: Path = Path("/")) -> ProcessFigures:
    """Read the figures of this process; `started_at` and `now` are the caller's monotonic seconds.

    `state_dir` is the directory whose file system must not fill up. `root` is where /proc and /sys hang. Blocks for
    well under a millisecond on a local file system; never raises for a figure that is not to be had.
    """
    return ProcessFigures(
        uptime_s=int(now - started_at),
        cpu_time_ms=time.process_time_ns() // 1_000_000,
        rss_bytes=parse_rss_bytes(_text(root / "proc/self/status")),
        open_fds=_open_fds(root / "proc/self/fd"),
        disk_free_bytes=_disk_free_bytes(state_dir),
        load_1min_centi=parse_load_centi(_text(root / "proc/loadavg")),
        soc_temperature_decicelsius=_soc_temperature(root / "sys/class/thermal"),
    )


def parse_rss_bytes(status: str) -> int | None:
    """Take VmRSS out of /proc/<pid>/status (proc_pid_status(5); its kB are 1024 bytes)."""
    for line in status.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "VmRSS" and len(words) == 2 and words[0].isdigit() and words[1] == "kB":
            return int(words[0]) * 1024
    return None


def parse_load_centi(loadavg: str) -> int | None:
    """Take the one-minute load out of /proc/loadavg, in hundredths (it is written with two decimals)."""
    first = loadavg.split(maxsplit=1)[0] if loadavg.split() else ""
    whole, dot, part = first.partition(".")
    if dot and whole.isdigit() and part.isdigit() and len(part) == 2:
        return int(whole) * 100 + int(part)
    return None


def parse_millicelsius(text: str) -> int | None:
    """Take a thermal zone's `temp` (millidegrees, may be negative) into tenths of a degree, rounded to the nearest."""
    digits = text.strip()
    if not digits.removeprefix("-").isdigit():
        return None
    return (int(digits) + 50) // 100


def _soc_temperature(zones: Path) -> int | None:
    """Take the hottest zone whose type speaks of the CPU or SoC, e.g. "cpu-thermal" on a Raspberry Pi."""
    temperatures = [
        temperature
        for zone in sorted(zones.glob("thermal_zone*"))
        if any(word in _text(zone / "type").lower() for word in ("cpu", "soc", "x86_pkg"))
        and (temperature := parse_millicelsius(_text(zone / "temp"))) is not None
    ]
    return max(temperatures, default=None)


def under_voltage(root: Path = Path("/")) -> int | None:
    """Return 1 while a Raspberry Pi's supply is too low, 0 while it is not, None on a board that does not tell.

    Documentation/hwmon/raspberrypi-hwmon.rst: the firmware's under-voltage bit, as the hwmon device "rpi_volt".
    """
    for device in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _text(device / "name").strip() == "rpi_volt":
            return {"0": 0, "1": 1}.get(_text(device / "in0_lcrit_alarm").strip())
    return None


def _open_fds(directory: Path) -> int | None:
    try:
        return len(os.listdir(directory)) - 1  # noqa: PTH208 - names only; one of them is the listing itself
    except OSError:
        return None


def _disk_free_bytes(directory: Path) -> int | None:
    """Return what an unprivileged process may still write there (f_bavail)."""
    try:
        stat = os.statvfs(directory)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

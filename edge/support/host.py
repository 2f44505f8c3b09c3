"""What the board says of itself, for a support archive (I/O edge): each function returns text, or raises OSError.

Nothing of a process's environment or command line is read: secrets may stand there.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec

from edge.clock import BOOT_ID, TIMESYNC, SystemClock
from edge.config import Settings
from edge.errors import EdgeError
from edge.rights import as_started

JOURNAL_LINES = 2_000
JOURNAL_TIMEOUT_S = 10.0
UNIT = "halow-gateway.service"

_BOARD = ("/proc/device-tree/model", "/etc/os-release", "/proc/version", "/proc/uptime", "/proc/loadavg",
          "/proc/meminfo", "/proc/sys/kernel/tainted", "/sys/class/thermal/thermal_zone0/temp",
          "/sys/class/watchdog/watchdog0/bootstatus")
_NETWORK = ("/proc/net/dev", "/proc/net/wireless", "/proc/net/arp", "/proc/net/route")


def board() -> str:
    """Return model, system, kernel, memory, load, temperature."""
    return _files(_BOARD)


def network() -> str:
    """Return interfaces and their counters, neighbours, routes."""
    return _files(_NETWORK)


def _files(paths: tuple[str, ...]) -> str:
    parts = []
    for path in paths:
        try:
            text = Path(path).read_text(errors="replace").strip("\0\n")
        except OSError as error:
            text = f"({error.strerror})"
        parts.append(f"--- {path}\n{text}\n")
    return "\n".join(parts)


def disks(settings: Settings) -> dict[str, Any]:
    """Return free space where the gateway writes, and the names, sizes, modes of its state directory; no contents."""
    state_dir = Path(settings.gateway.state_dir)
    places: dict[str, dict[str, Any]] = {}
    for place in ("/", str(state_dir), settings.gateway.runtime_dir):
        try:
            space = os.statvfs(place)
        except OSError as error:
            places[place] = {"problem": error.strerror}
            continue
        places[place] = {"size_bytes": space.f_blocks * space.f_frsize, "free_bytes": space.f_bavail * space.f_frsize,
                         "inodes_free": space.f_favail}
    files = []
    for path in sorted(state_dir.rglob("*"))[:1_000]:
        status = path.lstat()
        files.append({"path": str(path.relative_to(state_dir)), "size_bytes": status.st_size,
                      "on_disk_bytes": status.st_blocks * 512, "mode": f"{status.st_mode & 0o7777:04o}",
                      "owner": status.st_uid, "changed_s": int(status.st_mtime)})
    return {"places": places, "state_dir": files}


def clock(settings: Settings) -> dict[str, Any]:
    """Return what time it is by each clock, and whether the wall's is believed, and why."""
    ours = SystemClock(trust_wall=settings.clock.trust_wall)
    return {"wall_s": time.time(), "boottime_s": time.clock_gettime(time.CLOCK_BOOTTIME),
            "timezone": time.strftime("%z"), "boot_id": BOOT_ID.read_text().strip(),
            "synchronised": ours.synchronised(), "trust_wall": settings.clock.trust_wall,
            "timesyncd_synchronised": TIMESYNC.exists()}


def journal() -> str:
    """Return the newest lines of the gateway's unit in the journal. EdgeError where it may not be read, or is none."""
    program = shutil.which("journalctl")
    if program is None:
        raise EdgeError("journalctl: not on this machine")
    try:
        with as_started():
            done = subprocess.run(      # noqa: S603 - no shell, no word of anybody else's
                [program, "--unit", UNIT, "--lines", str(JOURNAL_LINES), "--no-pager", "--quiet", "--output",
                 "short-iso"], stdin=subprocess.DEVNULL, capture_output=True, timeout=JOURNAL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise EdgeError(f"journalctl: no answer within {JOURNAL_TIMEOUT_S:g} s") from late
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if not line.startswith("-- ")]
    if not lines:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise EdgeError(f"journalctl: {told[-1] if told else f'nothing of {UNIT}, or this user may not read it'}")
    return "\n".join(lines) + "\n"


def as_json(value: object) -> bytes:
    """Return plain data as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def line(value: object) -> bytes:
    """Return plain data as one line of JSON."""
    return msgspec.json.encode(value) + b"\n"

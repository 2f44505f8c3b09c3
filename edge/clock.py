"""The clock port: wall, boot and monotonic time, and whether the wall may be believed (I/O edge).

The board has no battery clock. Order and age come from CLOCK_BOOTTIME (counts suspend, never steps); the wall clock is
only recorded, together with a judgement of it.
"""

import ctypes
import time
from pathlib import Path
from typing import Protocol

from edge.model import Stamp

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIMESYNC = Path("/run/systemd/timesync/synchronized")
STA_UNSYNC = 0x0040      # include/uapi/linux/timex.h
TIME_ERROR = 5           # adjtimex(2): clock not synchronised


class Clock(Protocol):
    """What the rooms ask of time. Tests bring their own."""

    def monotonic(self) -> float:
        """Seconds that never step; the same base as the event loop's time."""

    def stamp(self) -> Stamp:
        """Return now, on every base at once; no two stamps of a clock share a millisecond.

        ThingsBoard keeps one value per device, key and millisecond, so two records must differ in it.
        """

    def synchronised(self) -> bool:
        """Tell whether wall time is disciplined by a trusted source."""


class SystemClock:
    """The machine's clock.

    `trust_wall` is for machines whose wall clock is known to be right although no daemon says so (laptops, containers).
    """

    def __init__(self, *, trust_wall: bool = False) -> None:
        """Read the boot id once; it does not change while this process lives."""
        self.trust_wall = trust_wall
        self.boot_id = BOOT_ID.read_text().strip()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._checked_at = float("-inf")
        self._stamped_ms = 0
        self._synchronised = False

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def stamp(self) -> Stamp:
        """Return boot time, wall time and the judgement of it; a busy millisecond runs into the next."""
        boottime_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        wall_ms = time.time_ns() // 1_000_000
        self._stamped_ms = max(boottime_ms, self._stamped_ms + 1)
        return Stamp(
            boottime_ms=self._stamped_ms,
            wall_ms=wall_ms + self._stamped_ms - boottime_ms,
            boot_id=self.boot_id,
            synchronised=self.synchronised(),
        )

    def synchronised(self) -> bool:
        """Ask the kernel (adjtimex) and systemd-timesyncd, at most once a second."""
        if self.trust_wall:
            return True
        now = time.monotonic()
        if now - self._checked_at > 1.0:
            self._checked_at = now
            self._synchronised = TIMESYNC.exists() or self._kernel_says_so()
        return self._synchronised

    def _kernel_says_so(self) -> bool:
        # struct timex: `modes` (int) comes first and 0 means read-only; `status` is the int after four longs.
        words = ctypes.create_string_buffer(512)
        state = self._libc.adjtimex(words)
        long_size = ctypes.sizeof(ctypes.c_long)
        status = ctypes.c_int.from_buffer(words, long_size * 5).value
        return state not in (-1, TIME_ERROR) and not status & STA_UNSYNC

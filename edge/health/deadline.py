"""The end has a deadline: what hangs in a system call must not keep the process from ending (I/O edge).

A thread that waits for a dead SD card cannot be cancelled, and Python waits for its threads at the end. So a stop that
was asked for winds up a clock; when it runs out, the log names what is still at work, and the process is ended as it
is. What was durable before stays so.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

END_WITHIN_S = 9.0        # people and systemd are promised ten
CUT_SHORT = 1
LEAVE_WITHIN_S = 1.0      # once everything is closed, nothing is worth waiting for


class Deadline:
    """Ends the process `within_s` seconds after `start`, unless it has ended by itself before."""

    def __init__(self, within_s: float = END_WITHIN_S, exit_now: Callable[[int], object] = os._exit) -> None:
        """`exit_now` is for tests."""
        self._within_s = within_s
        self._exit_now = exit_now
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """Wind the clock up; only the first call counts. Use in the loop's thread."""
        if self._timer is None:
            self._wind_up(self._within_s, self._cut_short)

    def closed(self, status: int) -> None:
        """Note that everything is closed: whatever still hangs (a resolver, mostly) is left without a complaint."""
        self.cancel()
        self._wind_up(LEAVE_WITHIN_S, lambda: self._exit_now(status))

    def cancel(self) -> None:
        """Stop the clock: the process goes on, or ends elsewhere."""
        if self._timer is not None:
            self._timer.cancel()

    def _wind_up(self, within_s: float, then: Callable[[], object]) -> None:
        self._timer = threading.Timer(within_s, then)
        self._timer.daemon = True
        self._timer.start()

    def _cut_short(self) -> None:
        log.critical("the end took longer than %g s and is cut short; still at work: %s", self._within_s,
                     "; ".join(_at_work()))
        self._exit_now(CUT_SHORT)


def _at_work() -> list[str]:
    """Return each thread that Python would wait for, with the line it is in."""
    frames = sys._current_frames()      # noqa: SLF001 - documented in the library reference, for just this use
    found = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and not thread.daemon:
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            found.append(f"{thread.name} in {frame.f_code.co_name} ({place})")
    return sorted(found)

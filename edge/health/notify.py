"""systemd's notification protocol and watchdog (I/O edge; the only importer of sdnotify).

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5). Without NOTIFY_SOCKET everything here does nothing.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping

import sdnotify

from edge.health.promise import Promises, Pulse

log = logging.getLogger(__name__)

STATUS_LIMIT = 200            # characters; `systemctl status` shows one line
DEFAULT_PERIOD_S = 10.0       # how often promises are looked at when systemd asks for no watchdog


def watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the interval within which systemd wants to be fed, or None when it does not ask this process.

    sd_watchdog_enabled(3): WATCHDOG_USEC is microseconds; a WATCHDOG_PID that is not ours means somebody else is
    asked. Values that are no positive number count as not asked, with a warning.
    """
    text = environ.get("WATCHDOG_USEC", "")
    if not text or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        log.warning("WATCHDOG_USEC=%r is no positive number of microseconds: the watchdog is not fed", text)
        return None
    return int(text) / 1e6


class Notifier:
    """Messages to systemd. Sending never blocks and never raises: a failed one is logged, the first as a warning."""

    def __init__(self) -> None:
        """Read NOTIFY_SOCKET (a path, or @name in the abstract namespace) and the watchdog's wish."""
        self._wanted = bool(os.environ.get("NOTIFY_SOCKET"))
        self._systemd: sdnotify.SystemdNotifier | None = None
        self._failing = False
        self.watchdog_s = watchdog_interval_s(os.environ, os.getpid()) if self._wanted else None

    def ready(self) -> None:
        """Say that everything is built and running (READY=1)."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())[:STATUS_LIMIT]}")

    def watchdog(self) -> None:
        """Feed the watchdog (WATCHDOG=1)."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end is under way (STOPPING=1)."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Close the socket; harmless when there is none, and a later message opens it again."""
        if self._systemd is not None and self._systemd.socket is not None:
            self._systemd.socket.close()
        self._systemd = None

    def _send(self, message: str) -> None:
        if not self._wanted:
            return
        try:
            if self._systemd is None:
                self._systemd = sdnotify.SystemdNotifier(debug=True)
                self._systemd.socket.setblocking(False)
            # sdnotify encodes as Latin-1, systemd wants UTF-8: hand it the UTF-8 bytes as Latin-1 text.
            self._systemd.notify(message.encode().decode("latin-1"))
        except OSError as error:
            log.log(logging.DEBUG if self._failing else logging.WARNING, "systemd cannot be told %s: %s",
                    message.partition("=")[0], error)
            self._failing = True
            self.close()
        else:
            self._failing = False


class Watchdog:
    """The worker that feeds systemd, as long as every promise is kept.

    When one is broken the feed is withheld and STATUS= names who is stuck; systemd then ends the service in its own
    time (WatchdogSec=). If the stuck worker reports after all, feeding goes on.
    """

    def __init__(
        self,
        notifier: Notifier,
        promises: Promises,
        *,
        status: Callable[[], str] = lambda: "running",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`status()` gives the line to show while all is well; it is sent when it changes."""
        self._notifier = notifier
        self._promises = promises
        self._status = status
        self._monotonic = monotonic
        self._shown = ""
        self._withheld = False
        asked_s = notifier.watchdog_s
        self.period_s = DEFAULT_PERIOD_S if asked_s is None else asked_s / 3.0

    async def run(self, pulse: Pulse) -> None:
        """Look at the promises three times per watchdog interval, until cancelled."""
        while True:
            pulse(self.period_s * 3.0)
            self.check()
            await asyncio.sleep(self.period_s)

    def check(self) -> bool:
        """Feed systemd, or withhold and say why; return whether it was fed."""
        broken = self._promises.broken(self._monotonic())
        if not broken:
            if self._withheld:
                log.info("every worker reports again")
            self._withheld = False
            self._show(self._status())
            self._notifier.watchdog()
            return True
        names = ", ".join(f"{late.name} ({late.late_s:.0f} s overdue)" for late in broken)
        log.log(logging.DEBUG if self._withheld else logging.ERROR, "watchdog withheld, stuck: %s", names)
        self._withheld = True
        self._show(f"stuck: {names}")
        return False

    def _show(self, text: str) -> None:
        if text != self._shown:
            self._notifier.status(text)
            self._shown = text

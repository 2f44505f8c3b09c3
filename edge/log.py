"""Logging to stderr: one line per event, with the priority that journald reads, and repeats counted instead of written.

    logger.warning("poll failed meter=%s reason=%s", ...) ->
        <4>edge.poll.poller: poll failed meter=m1 reason=no_answer

Under systemd (JOURNAL_STREAM names our stderr) a line begins with `<N>`, sd-daemon(3), and journald adds time and
unit; elsewhere it begins with the time (UTC) and the level. `key=value` pairs follow the text. Configured once, by the
command that runs; libraries only call `logging.getLogger(__name__)`. Secrets are never handed to a logger: nothing here
would take them out again.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

REPEATS_PER_MINUTE = 10
WINDOW_S = 60.0
TEMPLATES_LIMIT = 512      # distinct messages counted at once; the oldest window makes room

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))      # syslog(3)
# Third parties that say at "info" or "warning" what the uplink already says better, or every packet at "debug".
# (dlms_cosem is silenced for good by edge.dlms: its texts hold passwords, so no level of ours may wake it.)
_QUIET = ("gmqtt", "asyncio", "pyroute2", "uvicorn")


def configure(level: str, *, stream: TextIO | None = None) -> None:
    """Send everything to `stream` (stderr) from now on, replacing what was configured before."""
    handler = LineHandler(stream)
    handler.setFormatter(JournalFormatter() if _is_journal(handler.stream) else PlainFormatter())
    handler.addFilter(RepeatFilter(handler))
    release()
    logging.getLogger().addHandler(handler)
    set_level(level)


def release() -> None:
    """Send nothing any more; first say what was only counted. For the end of a command: others may log differently."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, LineHandler)]:
        root.removeHandler(handler)
        handler.close()


def set_level(level: str) -> None:
    """Change the level at run time: "debug", "info", "warning" or "error". Raises ValueError for another word."""
    number = LEVELS.get(level)
    if number is None:
        raise ValueError(f"log level {level!r}: must be {', '.join(LEVELS)}")
    logging.getLogger().setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


class LineHandler(logging.Handler):
    """Writes to a stream, or to whatever `sys.stderr` is at that moment."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """None follows `sys.stderr`."""
        super().__init__()
        self._stream = stream

    @property
    def stream(self) -> TextIO:
        """Where the lines go."""
        return self._stream or sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a stream that fails never stops the program."""
        try:
            self.stream.write(self.format(record) + "\n")
            self.stream.flush()
        except Exception:      # noqa: BLE001 - logging's own contract: report through handleError, never raise
            self.handleError(record)

    def close(self) -> None:
        """At the program's end: write what is counted and not told yet."""
        for each in self.filters:
            if isinstance(each, RepeatFilter):
                each.tell()
        super().close()


class PlainFormatter(logging.Formatter):
    """`2026-01-31T12:00:00Z WARNING edge.poll.poller: text key=value`; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        """Set the one form."""
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:      # noqa: N802 - the name that logging calls
        """Return the time in UTC."""
        return time.strftime(datefmt or "%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def formatMessage(self, record: logging.LogRecord) -> str:      # noqa: N802 - the name that logging calls
        """Keep the message on one line, so that nothing a peer sent can pass for a line of ours."""
        record.message = one_line(record.message)
        return super().formatMessage(record)


class JournalFormatter(logging.Formatter):
    """`<4>edge.poll.poller: text key=value`; every further line (a traceback) carries the priority too."""

    def __init__(self) -> None:
        """Set the one form."""
        super().__init__("%(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:      # noqa: N802 - the name that logging calls
        """Keep the message on one line."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Put the priority in front of each line."""
        prefix = f"<{priority(record.levelno)}>"
        return prefix + super().format(record).replace("\n", f"\n{prefix}")


class RepeatFilter(logging.Filter):
    """Let the same message (logger, level, template) through `limit` times a minute, then only count it.

    Debug messages pass: who turned them on wants them. A message with a traceback counts as another one. The count
    comes out with the first message after the minute or at the program's end, so nothing runs in the background.
    """

    def __init__(
        self, handler: logging.Handler, *,
        limit: int = REPEATS_PER_MINUTE, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`handler` receives the counted lines."""
        super().__init__()
        self._handler = handler
        self._limit = limit
        self._monotonic = monotonic
        self._windows: dict[tuple[str, int, str, bool], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether this record is written; first write the counts of windows that have ended."""
        self._handler.acquire()      # several threads log
        try:
            return self._passes(record, self._monotonic())
        finally:
            self._handler.release()

    def tell(self) -> None:
        """Write all counts now."""
        self._handler.acquire()
        try:
            while self._windows:
                self._report(next(iter(self._windows)))
        finally:
            self._handler.release()

    def _passes(self, record: logging.LogRecord, now: float) -> bool:
        self._end_windows(now)
        if record.levelno <= logging.DEBUG:
            return True
        key = (record.name, record.levelno, str(record.msg), record.exc_info is not None)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= TEMPLATES_LIMIT:
                self._report(next(iter(self._windows)))
            window = self._windows[key] = _Window(now + WINDOW_S)
        window.seen += 1
        if window.seen <= self._limit:
            return True
        window.last = record
        window.first_s = window.first_s or record.created
        return False

    def _end_windows(self, now: float) -> None:
        while self._windows:
            key, window = next(iter(self._windows.items()))      # oldest first: insertion order is time order
            if window.ends_at > now:
                return
            self._report(key)

    def _report(self, key: tuple[str, int, str, bool]) -> None:
        name, level, _, _ = key
        window = self._windows.pop(key)
        if window.last is not None:
            # when they came: the minute may have ended long before this line
            first, last = (time.strftime("%H:%M:%SZ", time.gmtime(at)) for at in (window.first_s, window.last.created))
            text = "%d more like this from %s to %s, the last: %s"
            args = (window.seen - self._limit, first, last, _text(window.last))
            self._handler.emit(logging.LogRecord(name, level, "", 0, text, args, None))


class _Window:
    __slots__ = ("ends_at", "first_s", "last", "seen")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.seen = 0
        self.first_s = 0.0                               # wall time of the first one that was held back
        self.last: logging.LogRecord | None = None       # the last one that was held back


def priority(level: int) -> int:
    """Return the syslog priority of a level: 2 critical, 3 error, 4 warning, 6 info, 7 debug."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


def one_line(text: str) -> str:
    """Escape what would start a new line, or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):      # its arguments do not fit; a filter must not raise
        return str(record.msg)


def _is_journal(stream: TextIO) -> bool:
    """Tell whether `stream` is the very socket that JOURNAL_STREAM names, systemd.exec(5); a shell may redirect it."""
    try:
        device, inode = (int(part) for part in os.environ.get("JOURNAL_STREAM", "").split(":"))
        status = os.fstat(stream.fileno())
    except (ValueError, OSError, AttributeError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)

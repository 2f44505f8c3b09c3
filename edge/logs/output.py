"""Logging to stderr or the journal: one line per event, with its priority, and repeats counted instead of written.

    logger.warning("meter %s: no reading: %s", ...) ->
        <4>edge.poll.outcomes: meter m1: no reading: no_answer

Under systemd (JOURNAL_STREAM names our stderr) a line goes to the journal with its fields (edge/logs/journal.py), or
where that has no socket begins with `<N>`, sd-daemon(3); journald adds time and unit. Elsewhere it begins with the
time (UTC) and the level. `key=value` pairs follow the text. Configured once, by the command that runs; libraries only
call `logging.getLogger(__name__)`. Secrets are never handed to a logger: nothing here would take them out again.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from edge.logs.journal import SOCKET, JournalHandler
from edge.logs.repeats import RepeatFilter

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))      # syslog(3)
# Third parties that say at "info" or "warning" what the uplink already says better, or every packet at "debug".
# (dlms_cosem is silenced for good by edge.dlms: its texts hold passwords, so no level of ours may wake it.)
_QUIET = ("gmqtt", "asyncio", "pyroute2", "uvicorn")


def configure(level: str, *, stream: TextIO | None = None, journal: Path = SOCKET) -> None:
    """Send everything to `stream` (stderr) from now on, replacing what was configured before.

    Where that is the journal's, to `journal` instead.
    """
    lines = LineHandler(stream)
    handler: logging.Handler = lines
    lines.setFormatter(PlainFormatter())
    if _is_journal(lines.stream):
        lines.setFormatter(JournalFormatter())
        if journal.exists():
            handler = JournalHandler(lines, priority, journal)
            handler.setFormatter(MessageFormatter())
    handler.addFilter(RepeatFilter(handler))
    release()
    logging.getLogger().addHandler(handler)
    set_level(level)


def release() -> None:
    """Send nothing any more; first say what was only counted. For the end of a command: others may log differently."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, LineHandler | JournalHandler)]:
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


def current() -> str:
    """Return the level in force as a word; "info" for one that is none of ours."""
    number = logging.getLogger().level
    return next((word for word, each in LEVELS.items() if each == number), "info")


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
        RepeatFilter.tell_all(self)
        super().close()


class PlainFormatter(logging.Formatter):
    """`2026-01-31T12:00:00Z WARNING edge.poll.outcomes: text key=value`; a traceback follows on lines of its own."""

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


class MessageFormatter(logging.Formatter):
    """`edge.poll.outcomes: text key=value`; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        """Set the one form."""
        super().__init__("%(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:      # noqa: N802 - the name that logging calls
        """Keep the message on one line."""
        record.message = one_line(record.message)
        return super().formatMessage(record)


class JournalFormatter(MessageFormatter):
    """The same for a stream that leads to the journal: each line, those of a traceback too, carries the priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Put the priority in front of each line."""
        prefix = f"<{priority(record.levelno)}>"
        return prefix + super().format(record).replace("\n", f"\n{prefix}")


def priority(level: int) -> int:
    """Return the syslog priority of a level: 2 critical, 3 error, 4 warning, 6 info, 7 debug."""
    return next((number for least, number in _PRIORITIES if level >= least), 7)


def one_line(text: str) -> str:
    """Escape what would start a new line, or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _is_journal(stream: TextIO) -> bool:
    """Tell whether `stream` is the very socket that JOURNAL_STREAM names, systemd.exec(5); a shell may redirect it."""
    try:
        device, inode = (int(part) for part in os.environ.get("JOURNAL_STREAM", "").split(":"))
        status = os.fstat(stream.fileno())
    except (ValueError, OSError, AttributeError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)

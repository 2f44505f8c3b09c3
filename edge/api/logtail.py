"""The newest log lines, in memory: what a person at the box looks at first when something does not work."""

import logging
from collections import deque

from edge.api.wire import LogLine
from edge.log import one_line

KEPT = 500
LINE_LIMIT = 500

_LEVELS = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"),
           (logging.INFO, "info"))
NUMBERS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogTail(logging.Handler):
    """Keeps them. Threads log as well; a deque's append is one step."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._lines: deque[tuple[int, LogLine]] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; of a traceback its last line."""
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += f" [{type(record.exc_info[1]).__name__}]"
            level = next((word for least, word in _LEVELS if record.levelno >= least), "debug")
            self._lines.append((record.levelno, LogLine(
                int(record.created * 1000), level, record.name, one_line(text)[:LINE_LIMIT])))      # type: ignore[arg-type]
        except Exception:      # noqa: BLE001 - logging's own contract: report through handleError, never raise
            self.handleError(record)

    def lines(self, level: str, most: int) -> tuple[LogLine, ...]:
        """Return the newest lines of at least this level, oldest first."""
        least = NUMBERS[level]
        return tuple([line for number, line in self._lines if number >= least][-most:])

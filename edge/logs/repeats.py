"""Holds back what is said over and over, and counts it: a log that says the same a thousand times hides the rest."""

import logging
import time
from collections.abc import Callable

from edge.logs.fields import fields_of

REPEATS_PER_MINUTE = 10
WINDOW_S = 60.0
TEMPLATES_LIMIT = 512      # distinct messages counted at once; the oldest window makes room


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

    @classmethod
    def tell_all(cls, handler: logging.Handler) -> None:
        """Write what a handler's filters have counted: its end has come."""
        for each in handler.filters:
            if isinstance(each, cls):
                each.tell()

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
            told = logging.LogRecord(name, level, "", 0, text, args, None)
            told.fields = fields_of(window.last)
            self._handler.emit(told)


class _Window:
    __slots__ = ("ends_at", "first_s", "last", "seen")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.seen = 0
        self.first_s = 0.0                               # wall time of the first one that was held back
        self.last: logging.LogRecord | None = None       # the last one that was held back


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):      # its arguments do not fit; a filter must not raise
        return str(record.msg)

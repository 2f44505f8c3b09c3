"""The newest log lines, in memory: what a person at the box looks at first when something does not work.

Read by `halow-gateway logs` through the control socket and by the local page. Following is asking again: `after` the
last number, waiting for a newer line. A number counts from 1 in each run of the gateway, which `run` tells apart.
"""

import asyncio
import logging
import secrets
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.errors import ConfigError
from edge.logs.fields import fields_of
from edge.logs.output import LEVELS, one_line
from edge.logs.repeats import RepeatFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = 1_000
LINE_LIMIT = 500
MOST = 500
WAIT_MOST_S = 10.0

LevelName = Literal["debug", "info", "warning", "error"]
_WORDS = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"),
          (logging.INFO, "info"))


class LogLine(msgspec.Struct, frozen=True):
    """One line of the log. `fields`: the meter, peer, path that it is about."""

    at_ms: int
    level: Literal["debug", "info", "warning", "error", "critical"]
    source: str
    text: str
    fields: dict[str, str] = {}
    no: int = 0


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The control request `logs`: which lines. With `wait_s`, the answer comes when there is one, at most so late."""

    request: str = ""
    level: LevelName = "debug"
    meter: Annotated[str, Meta(max_length=64)] = ""
    since_ms: int = 0
    run: str = ""
    after: Annotated[int, Meta(ge=0)] = 0
    most: Annotated[int, Meta(ge=1, le=MOST)] = MOST
    wait_s: Annotated[float, Meta(ge=0, le=WAIT_MOST_S)] = 0.0


@contextmanager
def kept() -> "Iterator[LogTail]":
    """Keep the lines that are logged while the block runs."""
    tail, root = LogTail(), logging.getLogger()
    root.addHandler(tail)
    try:
        yield tail
    finally:
        root.removeHandler(tail)


class LogTail(logging.Handler):
    """Keeps them. Threads log as well: `logging.Handler` lets one in at a time."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self.run = secrets.token_hex(4)
        self.last_no = 0
        self._lines: deque[tuple[int, LogLine]] = deque(maxlen=KEPT)
        self._news: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.addFilter(RepeatFilter(self))      # a talker must not push out what others said

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; of a traceback its last line."""
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += f" [{type(record.exc_info[1]).__name__}]"
            level = next((word for least, word in _WORDS if record.levelno >= least), "debug")
            self.last_no += 1
            self._lines.append((record.levelno, LogLine(
                int(record.created * 1000), level, record.name, one_line(text)[:LINE_LIMIT],      # type: ignore[arg-type]  # a Literal
                {name: one_line(value) for name, value in fields_of(record).items()}, self.last_no)))
            if self._news and self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake)
        except Exception:      # noqa: BLE001 - logging's own contract: report through handleError, never raise
            self.handleError(record)

    def lines(self, level: str, most: int, *, meter: str = "", since_ms: int = 0, after: int = 0
              ) -> tuple[LogLine, ...]:
        """Return the newest lines of at least this level, oldest first; with `after` the oldest beyond that number."""
        least = LEVELS[level]
        found = [line for number, line in list(self._lines)
                 if number >= least and line.no > after and line.at_ms >= since_ms
                 and (not meter or line.fields.get("meter") == meter)]
        return tuple(found[:most] if after else found[-most:])

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `logs`. `missed` lines had gone before anybody asked. ConfigError: refused."""
        try:
            asked = msgspec.convert(request, Asked)
        except msgspec.ValidationError as wrong:
            raise ConfigError(f"no such request: {wrong}") from wrong
        after = asked.after if asked.run == self.run else 0
        found = self._asked(asked, after)
        try:
            async with asyncio.timeout(asked.wait_s):
                while not found:
                    await self._newer()
                    found = self._asked(asked, after)
        except TimeoutError:
            pass
        missed = max(0, self.last_no - len(self._lines) - after) if after else 0
        # what was looked through and does not match need not be looked at again
        last_no = found[-1].no if len(found) == asked.most else self.last_no
        return {"run": self.run, "last_no": last_no, "missed": missed, "lines": msgspec.to_builtins(found)}

    def _asked(self, asked: Asked, after: int) -> tuple[LogLine, ...]:
        return self.lines(asked.level, asked.most, meter=asked.meter, since_ms=asked.since_ms, after=after)

    async def _newer(self) -> None:
        self._loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = self._loop.create_future()
        self._news.add(news)
        try:
            await news
        finally:
            self._news.discard(news)

    def _wake(self) -> None:
        for news in self._news:
            if not news.done():
                news.set_result(None)

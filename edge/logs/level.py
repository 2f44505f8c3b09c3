"""The log's level at run time: changed in one place, whoever asks, told with who it was, and back by itself.

All of it, or one part that is looked into while the rest stays as it is: `debug` of everything would push the line that
matters out of a log in memory, and so would one that nobody takes back. A level for a while returns to what is usual:
that of the settings for all, that of all for a part.
"""

import asyncio
import logging
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edge.errors import ConfigError
from edge.logs.output import LEVELS, set_level
from edge.logs.parts import DEFAULT, FOR_MOST_S, PARTS, WHOLE, Part, Wanted
from edge.logs.tail import LevelName

SHORTEST_S = 1.0

log = logging.getLogger(__name__)


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The control request `log_level`. Without `level` it only asks; `for_s` 0: until the gateway is started anew."""

    request: str = ""
    level: Wanted | None = None
    part: Part = WHOLE
    for_s: Annotated[float, Meta(ge=0, le=FOR_MOST_S)] = 0.0
    by: Annotated[str, Meta(max_length=64)] = "somebody"


class PartLevel(msgspec.Struct, frozen=True):
    """A part with a level of its own, and in how many seconds it has none any more; null: not by itself."""

    part: Part
    level: LevelName
    left_s: float | None


class LevelDesk:
    """Changes it. Belongs to one event loop."""

    def __init__(self, settled: str) -> None:
        """`settled` is the level of the settings, which is in force."""
        self.level = self._settled = settled
        self._own: dict[str, str] = {}                            # part -> level, where that is not what is usual
        self._timers: dict[str, asyncio.TimerHandle] = {}         # WHOLE or part -> its return

    def change(self, level: str, by: str, for_s: float = 0.0, part: str = WHOLE) -> str:
        """Change the level, for `for_s` seconds or until the next start; return one line on it.

        DEFAULT is the way back, at once.
        """
        self._cancel(part)
        if level == DEFAULT:
            return self._return(part, by)
        back = for_s > 0 and (part != WHOLE or level != self._settled)
        until = f"for {for_s:g} s, then {self._usual(part)} again" if back else "until the gateway is started anew"
        told = f"{_name(part)} {level}, {until}"
        self._set(part, level, f"{told}: {by}")
        if back:
            # uvloop gives a handle without a time for what is due at once
            self._timers[part] = asyncio.get_running_loop().call_later(
                max(for_s, SHORTEST_S), self._return, part, "the time is over")
        return told

    def settle(self, level: str) -> None:
        """Take another level from changed settings: at once, or where one is in force for a while, behind that."""
        self._settled = level
        if WHOLE not in self._timers:
            self._set(WHOLE, level, f"log level {level}, by the settings")

    def left_s(self, part: str = WHOLE) -> float | None:
        """Return how long until what is usual returns; None where it does not."""
        timer = self._timers.get(part)
        return None if timer is None else max(0.0, timer.when() - asyncio.get_running_loop().time())

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `log_level`. ConfigError: refused."""
        try:
            asked = msgspec.convert(request, Asked)
        except msgspec.ValidationError as wrong:
            raise ConfigError(f"no such request: {wrong}") from wrong
        if asked.level is not None:
            self.change(asked.level, asked.by, asked.for_s, asked.part)
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return what is in force; `parts` are those that have a level of their own."""
        return {"level": self.level, "settled": self._settled, "left_s": self.left_s(), "parts": [
            {"part": part, "level": level, "left_s": self.left_s(part)} for part, level in sorted(self._own.items())]}

    def _return(self, part: str, why: str) -> str:
        self._timers.pop(part, None)
        told = f"{_name(part)} {self._usual(part)} again"
        self._set(part, self._settled if part == WHOLE else DEFAULT, f"{told}: {why}")
        return told

    def _usual(self, part: str) -> str:
        return self._settled if part == WHOLE else "as the rest"

    def _set(self, part: str, level: str, why: str) -> None:
        if part != WHOLE:
            for name in PARTS[part]:
                logging.getLogger(name).setLevel(LEVELS.get(level, logging.NOTSET))
            self._own.pop(part, None)
            if level != DEFAULT:
                self._own[part] = level
            log.warning("%s", why)
            return
        # told at whichever of the two levels lets it be seen
        if LEVELS[level] > LEVELS[self.level]:
            log.warning("%s", why)
            set_level(level)
        else:
            set_level(level)
            log.warning("%s", why)
        self.level = level

    def _cancel(self, part: str) -> None:
        if (timer := self._timers.pop(part, None)) is not None:
            timer.cancel()


def _name(part: str) -> str:
    return "log level" if part == WHOLE else f"log level of {part}"

"""The log's level at run time: changed in one place, whoever asks, told with who it was, and back by itself.

A level for a while returns to that of the settings. `debug` that nobody takes back would push everything else out of
a log in memory.
"""

import asyncio
import logging
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edge.errors import ConfigError
from edge.log import LEVELS, set_level
from edge.logs.tail import LevelName

FOR_MOST_S = 86_400.0
SHORTEST_S = 1.0

log = logging.getLogger(__name__)


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The control request `log_level`. Without `level` it only asks; `for_s` 0: until the gateway is started anew."""

    request: str = ""
    level: LevelName | None = None
    for_s: Annotated[float, Meta(ge=0, le=FOR_MOST_S)] = 0.0
    by: Annotated[str, Meta(max_length=64)] = "somebody"


class LevelDesk:
    """Changes it. Belongs to one event loop."""

    def __init__(self, settled: str) -> None:
        """`settled` is the level of the settings, which is in force."""
        self.level = self._settled = settled
        self._timer: asyncio.TimerHandle | None = None

    def change(self, level: str, by: str, for_s: float = 0.0) -> str:
        """Change the level, for `for_s` seconds or until the next start; return one line on it."""
        self._cancel()
        back = for_s > 0 and level != self._settled
        until = f"for {for_s:g} s, then {self._settled} again" if back else "until the gateway is started anew"
        told = f"log level {level}, {until}"
        self._set(level, f"{told}: {by}")
        if back:
            # uvloop gives a handle without a time for what is due at once
            self._timer = asyncio.get_running_loop().call_later(max(for_s, SHORTEST_S), self._return)
        return told

    def settle(self, level: str) -> None:
        """Take another level from changed settings: at once, or where one is in force for a while, behind that."""
        self._settled = level
        if self._timer is None:
            self._set(level, f"log level {level}, by the settings")

    def left_s(self) -> float | None:
        """Return how long until the level of the settings returns; None where it does not."""
        return None if self._timer is None else max(0.0, self._timer.when() - asyncio.get_running_loop().time())

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control request `log_level`. ConfigError: refused."""
        try:
            asked = msgspec.convert(request, Asked)
        except msgspec.ValidationError as wrong:
            raise ConfigError(f"no such request: {wrong}") from wrong
        if asked.level is not None:
            self.change(asked.level, asked.by, asked.for_s)
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return what is in force."""
        return {"level": self.level, "settled": self._settled, "left_s": self.left_s()}

    def _return(self) -> None:
        self._timer = None
        self._set(self._settled, f"log level {self._settled} again: the time is over")

    def _set(self, level: str, why: str) -> None:
        # told at whichever of the two levels lets it be seen
        if LEVELS[level] > LEVELS[self.level]:
            log.warning("%s", why)
            set_level(level)
        else:
            set_level(level)
            log.warning("%s", why)
        self.level = level

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

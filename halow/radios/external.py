"""A radio in another box: a bridge between Ethernet and HaLow tells its stations by a command or a file (I/O edge).

The operator names a command that prints them (an ssh or curl that asks the box), or a file that another program keeps.
Forms and limits: `radios/external_words.py`, docs/halow.md.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from halow import child
from halow.child import NotRun
from halow.errors import AbsentReason, RadioAbsent
from halow.extras import BadWords
from halow.model import LinkEvent, RadioSample
from halow.radios.external_words import LIMIT_BYTES, sample


@dataclass(frozen=True, slots=True)
class External:
    """Where the box's stations are told: `command` or `file`. Older than `stale_s` they count as no answer."""

    command: Sequence[str] = ()
    file: str = ""
    timeout_s: float = 10.0
    stale_s: float = 60.0


class ExternalRadio:
    """A `halow.base.Radio` of a box. It can always be asked; what it cannot tell is an absence with its reason."""

    def __init__(self, external: External, *, width_mhz: int = 2, wall: Callable[[], float] = time.time) -> None:
        """`width_mhz` where the box does not tell its own; `wall` is held against the file's time."""
        self._external = external
        self._width_mhz = width_mhz
        self._wall = wall

    async def open(self) -> None:
        """Nothing to get ready. See `Radio.open`."""

    async def close(self) -> None:
        """Nothing to give back. See `Radio.close`."""

    async def sample(self) -> RadioSample:
        """Ask once; cancelling ends the command. See `Radio.sample`."""
        where = self._external.file or self._external.command[0]
        age_s = 0.0
        try:
            if self._external.file:
                text, age_s = await asyncio.to_thread(self._read)
            else:
                text = await self._output()
            found, told_age_s = sample(text, self._width_mhz)
        except (NotRun, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else ""
            raise RadioAbsent(AbsentReason.NO_ANSWER, f"{where}: {why}" if why else str(error)) from error
        except BadWords as error:
            raise RadioAbsent(AbsentReason.FAULT, f"{where}: {error}") from error
        if (age_s := age_s + told_age_s) > self._external.stale_s:
            raise RadioAbsent(AbsentReason.NO_ANSWER, f"{where}: {age_s:.0f} s old, more than the "
                              f"{self._external.stale_s:g} s of radio.external_stale_s")
        return found

    async def wait_event(self) -> LinkEvent:
        """Wait for ever: a box tells no events. See `Radio.wait_event`."""
        never: asyncio.Future[LinkEvent] = asyncio.get_running_loop().create_future()
        return await never

    def _read(self) -> tuple[bytes, float]:
        """Return the file and its age in seconds. A clock that was set back makes it new, not younger than new."""
        path = Path(self._external.file)
        with path.open("rb") as file:
            text = file.read(LIMIT_BYTES + 1)
        return text, max(0.0, self._wall() - path.stat().st_mtime)

    async def _output(self) -> bytes:
        done = await child.run(self._external.command, self._external.timeout_s, output_bytes=LIMIT_BYTES + 1)
        if done.status != 0:
            raise NotRun(f"{self._external.command[0]}: exit status {done.status}"
                         + (f": {done.complaint[:160]}" if done.complaint else ""))
        return done.output

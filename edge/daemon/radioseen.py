"""Whether this board ever had a radio (I/O edge): one that does not come up with it is missing then, and an alarm.

A board without one is no fault, and is told as such; one whose module died with the power looks the same.
"""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from edge.clock import Clock
from edge.durable import write_file
from halow.model import RadioState

log = logging.getLogger(__name__)

FILE_NAME = "radio.seen"
LATE_S = 180.0        # drivers, and the firmware that they load, come up after the gateway


class RadioSeen:
    """Remembers it by an empty file in the state directory."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        """Look whether the file is there."""
        self.ever = False
        with suppress(OSError):      # then it is seen anew
            self.ever = (state_dir / FILE_NAME).exists()
        self._path = state_dir / FILE_NAME
        self._clock = clock

    def missing(self, radio: RadioState) -> bool:
        """Tell whether a radio should be there by now."""
        return self.ever and not radio.present and self._clock.monotonic() - radio.since >= LATE_S

    async def note(self, radio: RadioState | None) -> None:
        """Remember one that is there, once. Where that cannot be kept, only the next start does not know of it."""
        if self.ever or radio is None or not radio.present:
            return
        self.ever = True
        try:
            await asyncio.to_thread(write_file, self._path, b"", replace=True)
        except OSError as error:
            log.debug("%s: that there is a radio is not kept: %s", error.filename, error.strerror)

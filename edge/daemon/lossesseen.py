"""Up to which loss of the ring's the alarms have been judged, over restarts (I/O edge).

Losses that are found while the ring opens are there at the first look: only what was there at the last look of the run
before tells them from those of last year.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from edge.durable import write_file

log = logging.getLogger(__name__)

FILE_NAME = "ring.losses"
SIZE_LIMIT_BYTES = 32


class LossesSeen:
    """A number in a file of the state directory: records that the ring had lost since it was made."""

    def __init__(self, state_dir: Path, lost: Callable[[], int]) -> None:
        """`lost` tells how many it are now."""
        self.now = lost
        self._path = state_dir / FILE_NAME
        self._kept = self._read()

    def before(self) -> int:
        """Return how many had been judged when the gateway stopped; with a ring made anew since, none.

        Where that is not known, as after an update from a version that kept no such file, all are judged already.
        """
        lost = self.now()
        if self._kept is None:
            return lost
        return self._kept if self._kept <= lost else 0

    async def keep(self, judged: int) -> None:
        """Note that so many are judged. Where that cannot be kept, the next start judges some of them again."""
        if judged == self._kept:
            return
        try:
            await asyncio.to_thread(write_file, self._path, b"%d\n" % judged, replace=True)
        except OSError as error:
            log.debug("%s: %s", error.filename, error.strerror)
        else:
            self._kept = judged

    def _read(self) -> int | None:
        try:
            with self._path.open("rb") as opened:
                text = opened.read(SIZE_LIMIT_BYTES).strip()
        except OSError:
            return None
        return int(text) if text.isdigit() else None

"""Sparkplug's number of births and deaths, kept over restarts (I/O edge).

A host tells by it whether a death that arrives late is that of the session it knows (Sparkplug 3.0.0,
tck-id-payloads-ndeath-bdseq), so it is raised before each CONNECT, and is durable before that is sent.
"""

import asyncio
import logging
from pathlib import Path

from edge.durable import write_file

log = logging.getLogger(__name__)

NAME = "sparkplug.bdseq"
NUMBERS = 256


class BdSeq:
    """The number, in a file of the state directory."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is read before the first `next`."""
        self._path = state_dir / NAME
        self._last: int | None = None

    async def next(self) -> int:
        """Return the next number, kept on flash; one that cannot be kept is told, and used all the same."""
        self._last = ((await asyncio.to_thread(self._read) if self._last is None else self._last) + 1) % NUMBERS
        try:
            await asyncio.to_thread(write_file, self._path, b"%d\n" % self._last, replace=True)
        except OSError as error:
            log.warning("%s: Sparkplug's bdSeq cannot be kept: %s; after a restart a host may take an old death for "
                        "a new one", self._path, error.strerror)
        return self._last

    def _read(self) -> int:
        """Return the number of the last session (blocks); before the first one, or of a damaged file, -1."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return -1
        except OSError as error:
            log.warning("%s: Sparkplug's last bdSeq cannot be read: %s", self._path, error.strerror)
            return -1
        number = int(text) if text.strip().isdigit() and len(text) <= 4 else -1
        return number if number < NUMBERS else -1

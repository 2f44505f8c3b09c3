"""What was done by calls that change something: on flash before it is done, so that none is done twice (I/O edge).

An entry without an answer was begun, and a restart came in between: whether it was done is not known, and it is not
done again. An entry that the server has the answer of is forgotten at once: it does not deliver that call any more, and
ThingsBoard numbers anew after a restart of its own, so that the same number is another call then. All others are kept
for KEEP_S by a clock that is right: a board without one starts in 1970, or where it went down, and a call that is
delivered again in its first second would find its entry years old.
"""

import logging
import threading
from pathlib import Path
from typing import Any

import msgspec

from edge.durable import write_file

log = logging.getLogger(__name__)

FILE_NAME = "remote.json"
MOST_KEPT = 64
KEEP_S = 86_400.0


class _Entry(msgspec.Struct):
    key: str
    at_ms: int | None                      # Unix milliseconds, None while nobody knows the time
    answer: dict[str, Any] | None = None


class Journal:
    """The entries, newest last. Every call that writes blocks, and raises OSError."""

    def __init__(self, state_dir: Path) -> None:
        """Read what is there; a damaged file is as good as none, and is told."""
        self._path = state_dir / FILE_NAME
        self._writing = threading.Lock()
        self._entries: list[_Entry] = []
        try:
            self._entries = msgspec.json.decode(self._path.read_bytes(), type=list[_Entry])
        except FileNotFoundError:
            log.debug("no remote call has changed anything yet")
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s: cannot be read, a remote call that ThingsBoard repeats may be done twice: %s",
                        self._path, error)

    def known(self, key: str, now_ms: int | None) -> tuple[bool, dict[str, Any] | None]:
        """Tell whether a call was begun, and what it was answered. `now_ms` None: the time is not known."""
        if now_ms is not None:
            for each in self._entries:
                each.at_ms = now_ms if each.at_ms is None else each.at_ms
            self._entries = [each for each in self._entries if abs(now_ms - (each.at_ms or 0)) < 1000 * KEEP_S]
        entry = self._find(key)
        return entry is not None, None if entry is None else entry.answer

    def begin(self, key: str, now_ms: int | None) -> None:
        """Keep that it is done now."""
        self._entries = [*self._entries[1 - MOST_KEPT:], _Entry(key, now_ms)]
        self._write()

    def done(self, key: str, answer: dict[str, Any]) -> None:
        """Keep what it was answered."""
        if (entry := self._find(key)) is not None:
            entry.answer = answer
            self._write()

    def taken(self, key: str) -> None:
        """The server has the answer: the call is forgotten, on flash with `save`. Neither blocks nor raises."""
        self._entries = [entry for entry in self._entries if entry.key != key]

    def save(self) -> None:
        """Put on flash what was forgotten."""
        self._write()

    def _find(self, key: str) -> _Entry | None:
        return next((entry for entry in reversed(self._entries) if entry.key == key), None)

    def _write(self) -> None:
        with self._writing:      # calls are served side by side, each in a thread
            write_file(self._path, msgspec.json.encode(self._entries), replace=True)

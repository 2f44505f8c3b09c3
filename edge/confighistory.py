"""What became of the settings, when, and by whom: the newest changes, on flash (I/O edge).

One file that is replaced whole, so a power cut leaves it with the newest change or without it. Changes are rare, and
what they write is little beside the ring. What a damaged file held is gone: it is begun anew.
"""

from pathlib import Path
from typing import Any

import msgspec

from edge.durable import write_file
from edge.errors import ConfigError

FILE_NAME = "config-history.json"
LIMIT = 100
CHANGES_LIMIT = 50           # of one entry; what is more is counted
LIMIT_BYTES = 1_048_576


class Entry(msgspec.Struct, frozen=True):
    """One change, or a refused one. `changes` and `needs_restart` hold {key, before, after} as they may be shown."""

    at_ms: int
    by: str
    outcome: str                 # applied, trial, refused, rolled_back
    changes: tuple[dict[str, Any], ...] = ()
    needs_restart: tuple[dict[str, Any], ...] = ()
    detail: str = ""
    synchronised: bool = True    # whether the clock was known to be right

    def words(self) -> str:
        """Return what was changed on one line."""
        parts = [f"{each['key']} {_text(each['before'])} -> {_text(each['after'])}" for each in self.changes]
        parts += [f"{each['key']} waits for a restart" for each in self.needs_restart]
        return ", ".join([*parts, *([self.detail] if self.detail else [])]) or "nothing"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def read(state_dir: Path) -> tuple[Entry, ...]:
    """Return what is kept, oldest first. ConfigError where the file cannot be read or is none."""
    path = state_dir / FILE_NAME
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(LIMIT_BYTES), type=tuple[Entry, ...])
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: is damaged: {error}; the next change begins it anew") from error


def add(state_dir: Path, entry: Entry) -> None:
    """Keep one more, durably. Raises OSError."""
    try:
        before = read(state_dir)
    except ConfigError:
        before = ()
    surplus = len(entry.changes) - CHANGES_LIMIT
    if surplus > 0:
        entry = msgspec.structs.replace(entry, changes=entry.changes[:CHANGES_LIMIT],
                                        detail=f"{entry.detail} and {surplus} more keys".strip())
    write_file(state_dir / FILE_NAME, msgspec.json.encode((*before[-LIMIT + 1:], entry)), replace=True)

"""Copies of the registry's file: taken while others write, and made ready to take its place (I/O edge).

A copy is older than what it replaces, and invocation counters must never go back: a number used twice under one key
gives both messages away (AES-GCM; NIST SP 800-38D, 8). So a copy that is put in place has them raised, see `raised`.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from edge.durable import write_file
from edge.errors import RegistryError
from edge.store import secrets
from edge.store.counters import COUNTER_END, HEARD
from edge.store.database import damaged, open_database, translated

NEAR = 1 << 16
"""Ahead of what the file in use has given out: a command may set some aside between the look and the swap."""

FAR = 1 << 24
"""Ahead of a copy where nothing is known of later: 194 days of a request a second, and 1/256 of all numbers."""

PER_S = 4.0
"""And so many more for each second since the copy was made, by the clocks; a poll is one request."""


def snapshot(path: Path, *, with_secrets: bool) -> bytes:
    """Return the file as it is between two changes, by SQLite's backup; nobody waits for it longer than a moment.

    Without secrets they are not even in unused pages. Raises RegistryError, also where there is no file.
    """
    if not path.exists():
        raise RegistryError(f"{path}: there is no registry yet")
    with translated(path), closing(open_database(path)) as source, closing(sqlite3.connect(":memory:")) as copy:
        source.backup(copy)
        if not with_secrets:
            with copy:
                copy.execute("DELETE FROM secrets")
            copy.execute("VACUUM")
        return copy.serialize()


def make_ready(image: bytes, at: Path, current: Path, *, age_s: float) -> int:
    """Write a copy to `at`, checked, brought to the present version, its counters raised; return its number of meters.

    `current` is what it will replace, which may not be there or be damaged. `age_s` is how old the copy is. Raises
    RegistryError for what is no registry; `at` is then of no use.
    """
    ours, kept = _known(current)
    write_file(at, image, replace=True)
    with translated(at), closing(open_database(at)) as connection:
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise damaged(at, str(verdict))
        before = dict(connection.execute("SELECT scope, next FROM counters").fetchall())
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO counters (scope, next) VALUES (?, ?)",
                               raised(before, ours, age_s).items())
        if not connection.execute("SELECT count(*) FROM secrets").fetchone()[0]:      # a copy made without them
            connection.executemany(
                "INSERT INTO secrets (meter, kind, value) SELECT name, ?, ? FROM meters WHERE name = ?",
                [(kind, value, meter) for meter, kind, value in kept])
        connection.execute("COMMIT")
        return int(connection.execute("SELECT count(*) FROM meters").fetchone()[0])


def raised(copy: Mapping[str, int], current: Mapping[str, int], age_s: float) -> dict[str, int]:
    """Return where each scope goes on (pure): never at a number that may have been used.

    What the file in use has is the truth, where it has come as far as the copy. A scope that it does not have, or has
    less of, may have been used since the copy was made, by a file that is lost: then far ahead. Beyond the last number
    nothing can be set aside any more, which the meter's poll says. A mark of pushes heard only takes the higher one: a
    meter counts for itself.
    """
    marks = {}
    for scope in {*copy, *current}:
        had, has = copy.get(scope, 0), current.get(scope, 0)
        if scope.startswith(HEARD):
            marks[scope] = max(had, has)
        elif has >= had:
            marks[scope] = min(has + NEAR, COUNTER_END)
        else:
            marks[scope] = min(had + FAR + int(PER_S * max(age_s, 0.0)), COUNTER_END)
    return marks


def _known(path: Path) -> tuple[dict[str, int], list[tuple[str, str, bytes]]]:
    """Return counters and secrets of the file in use, nothing where it cannot be read."""
    if not path.exists():
        return {}, []
    try:
        with translated(path), closing(open_database(path)) as connection:
            counters = dict(connection.execute("SELECT scope, next FROM counters").fetchall())
            meters = [name for (name,) in connection.execute("SELECT name FROM meters").fetchall()]
            return counters, [(meter, kind, value) for meter in meters for kind in (
                secrets.PASSWORD, secrets.ENCRYPTION_KEY, secrets.AUTHENTICATION_KEY)
                if (value := secrets.get(connection, meter, kind))]
    except RegistryError:      # damaged: that is why it is replaced
        return {}, []

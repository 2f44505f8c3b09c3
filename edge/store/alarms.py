"""What the registry's file keeps of alarms: those that stand, and the last ones that came, went or were acknowledged.

Each is one line of JSON of the caller's, because what an alarm consists of may grow.
"""

import sqlite3
from collections.abc import Iterable, Sequence

KEPT = 500
"""So many changes are kept; the ring has told all of them upstream."""


def keep(connection: sqlite3.Connection, standing: Sequence[str], changes: Sequence[str]) -> None:
    """Replace what stands and add changes, inside the caller's transaction."""
    connection.execute("DELETE FROM alarms_standing")
    connection.executemany("INSERT INTO alarms_standing (data) VALUES (?)", [(line,) for line in standing])
    connection.executemany("INSERT INTO alarm_changes (data) VALUES (?)", [(line,) for line in changes])
    connection.execute("DELETE FROM alarm_changes WHERE number <= (SELECT max(number) FROM alarm_changes) - ?", (KEPT,))


def standing(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return what stands, as it was kept."""
    return _texts(connection.execute("SELECT CAST(data AS BLOB) FROM alarms_standing").fetchall())


def changes(connection: sqlite3.Connection, limit: int) -> tuple[str, ...]:
    """Return the newest changes, newest first."""
    return _texts(connection.execute("SELECT CAST(data AS BLOB) FROM alarm_changes ORDER BY number DESC LIMIT ?",
                                     (limit,)).fetchall())


def _texts(rows: Iterable[tuple[bytes]]) -> tuple[str, ...]:
    """Return each row's text. One that is damaged must not hide the others, so it is not SQLite that decodes."""
    return tuple(row[0].decode(errors="replace") for row in rows)

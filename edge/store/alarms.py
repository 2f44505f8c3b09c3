"""What the registry's file keeps of alarms: those that stand, and the last ones that came, went or were acknowledged.

Each is one line of JSON of the caller's, because what an alarm consists of may grow.
"""

import sqlite3
from collections.abc import Sequence

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
    return tuple(str(row[0]) for row in connection.execute("SELECT data FROM alarms_standing").fetchall())


def changes(connection: sqlite3.Connection, limit: int) -> tuple[str, ...]:
    """Return the newest changes, newest first."""
    rows = connection.execute("SELECT data FROM alarm_changes ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
    return tuple(str(row[0]) for row in rows)

"""Meters' invocation counters as heard in their pushes: the table `counters`, in rows of its own.

A row of ours, as one of the client's counters, holds the lowest number that is still good.
"""

import sqlite3
from collections.abc import Mapping

PREFIX = "heard:"


def heard(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the highest counter of each scope."""
    rows = connection.execute("SELECT scope, next FROM counters WHERE scope GLOB ?", (f"{PREFIX}*",)).fetchall()
    return {str(scope).removeprefix(PREFIX): int(following) - 1 for scope, following in rows}


def keep(connection: sqlite3.Connection, marks: Mapping[str, int]) -> None:
    """Raise the counters of these scopes; none is ever lowered."""
    connection.executemany(
        "INSERT INTO counters (scope, next) VALUES (?, ?)"
        " ON CONFLICT (scope) DO UPDATE SET next = max(next, excluded.next)",
        [(PREFIX + scope, counter + 1) for scope, counter in marks.items()])

"""Invocation counters, both ways: the table `counters`, a row per scope with the lowest number that is still good.

Ours are set aside before a frame is ciphered with them, so that none is ever used twice (NIST SP 800-38D, 8: with
AES-GCM that would give both messages away). Meters' own, as heard in their pushes, stand in rows that begin with HEARD.
"""

import sqlite3
from collections.abc import Mapping

from edge.errors import RegistryError

COUNTER_END = 1 << 32
"""An invocation counter is an unsigned 32-bit number (IEC 62056-5-3, security header)."""

HEARD = "heard:"


def reserve(connection: sqlite3.Connection, scope: str, count: int, at_least: int) -> int:
    """Set aside `count` counters from `at_least` on or higher, inside the caller's transaction; return the first.

    Raises RegistryError where 32 bits are used up.
    """
    row = connection.execute("SELECT next FROM counters WHERE scope = ?", (scope,)).fetchone()
    first = max(row[0] if row is not None else 0, at_least)
    if count < 1 or first + count > COUNTER_END:
        raise RegistryError(f"the invocation counters of this key are used up ({first} of {COUNTER_END}); "
                            "give the meter another key")
    connection.execute("INSERT OR REPLACE INTO counters (scope, next) VALUES (?, ?)", (scope, first + count))
    return int(first)


def heard(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the highest counter that was heard, by scope."""
    rows = connection.execute("SELECT scope, next FROM counters WHERE scope GLOB ?", (f"{HEARD}*",)).fetchall()
    return {str(scope).removeprefix(HEARD): int(following) - 1 for scope, following in rows}


def keep_heard(connection: sqlite3.Connection, marks: Mapping[str, int]) -> None:
    """Raise the counters that were heard, by scope, inside the caller's transaction; none is ever lowered."""
    connection.executemany(
        "INSERT INTO counters (scope, next) VALUES (?, ?)"
        " ON CONFLICT (scope) DO UPDATE SET next = max(next, excluded.next)",
        [(HEARD + scope, counter + 1) for scope, counter in marks.items()])

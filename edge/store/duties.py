"""What the registry keeps for the duties on a meter: what is permitted on it, and how far each duty has come.

Both belong to the meter of a name for as long as it is registered. How far a duty has come belongs to one meter's
identity: another one at the same address begins anew.
"""

import sqlite3
from collections.abc import Mapping

RELAY = "relay"
PERMISSIONS = (RELAY,)
"""What may be permitted on a meter: `relay`, switching its supply."""


def permit(connection: sqlite3.Connection, meter: str, what: str, *, allowed: bool) -> bool:
    """Give or take back a permission inside the caller's transaction; return False when it was so already."""
    if allowed:
        done = connection.execute("INSERT OR IGNORE INTO permissions (meter, what) VALUES (?, ?)", (meter, what))
    else:
        done = connection.execute("DELETE FROM permissions WHERE meter = ? AND what = ?", (meter, what))
    return done.rowcount > 0


def permissions(connection: sqlite3.Connection) -> Mapping[str, frozenset[str]]:
    """Return what is permitted: meter -> some of PERMISSIONS."""
    rows = connection.execute("SELECT meter, what FROM permissions").fetchall()
    return {meter: frozenset(what for name, what in rows if name == meter) for meter, _what in rows}


def progress(connection: sqlite3.Connection, meter: str, duty: str, identity: str) -> str:
    """Return what `keep` kept for this meter, "" where nothing is, or where it was another meter's."""
    row = connection.execute("SELECT identity, data FROM progress WHERE meter = ? AND duty = ?",
                             (meter, duty)).fetchone()
    return str(row[1]) if row is not None and row[0] == identity else ""


def keep(connection: sqlite3.Connection, meter: str, duty: str, identity: str, data: str) -> None:
    """Keep how far a duty has come, inside the caller's transaction; "" forgets it."""
    if data:
        connection.execute("INSERT OR REPLACE INTO progress (meter, duty, identity, data) VALUES (?, ?, ?, ?)",
                           (meter, duty, identity, data))
    else:
        connection.execute("DELETE FROM progress WHERE meter = ? AND duty = ?", (meter, duty))


def forget(connection: sqlite3.Connection, meter: str) -> None:
    """Forget all of a meter that is removed, inside the caller's transaction."""
    connection.execute("DELETE FROM permissions WHERE meter = ?", (meter,))
    connection.execute("DELETE FROM progress WHERE meter = ?", (meter,))

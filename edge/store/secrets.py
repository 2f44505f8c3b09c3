"""Meter secrets: one table apart from everything that is listed, shown or exported.

A secret goes in through `put` and comes out through `get`, for the association alone. Nothing here logs, and no error
text holds a value.
"""

import sqlite3

from edge.errors import RegistryError
from edge.store.validate import PASSWORD_LIMIT_BYTES

PASSWORD = "password"      # noqa: S105 - the kind of a secret, not one


def check(value: bytes) -> None:
    """Raise RegistryError when this cannot be a meter's password. The text tells the size, never the value."""
    if len(value) > PASSWORD_LIMIT_BYTES:
        raise RegistryError(f"password: has {len(value)} bytes; a meter's password has at most {PASSWORD_LIMIT_BYTES}")


def put(connection: sqlite3.Connection, meter: str, kind: str, value: bytes) -> None:
    """Set a meter's secret inside the caller's transaction; an empty value removes it."""
    check(value)
    if value:
        connection.execute("INSERT OR REPLACE INTO secrets (meter, kind, value) VALUES (?, ?, ?)", (meter, kind, value))
    else:
        connection.execute("DELETE FROM secrets WHERE meter = ? AND kind = ?", (meter, kind))


def get(connection: sqlite3.Connection, meter: str, kind: str) -> bytes:
    """Return a meter's secret, or b"" where none is kept."""
    row = connection.execute("SELECT value FROM secrets WHERE meter = ? AND kind = ?", (meter, kind)).fetchone()
    if row is None:
        return b""
    if not isinstance(row[0], bytes):
        raise RegistryError(f"the {kind} kept for {meter} is damaged; `halow-gateway meter set-password` sets it")
    return row[0]

"""Meter secrets: one table apart from everything that is listed, shown or exported.

A secret goes in through `put` and comes out through `get`, for the association alone. Nothing here logs, and no error
text holds a value.
"""

import sqlite3

from edge.errors import RegistryError
from edge.store.validate import PASSWORD_LIMIT_BYTES

PASSWORD = "password"      # noqa: S105 - the kind of a secret, not one
ENCRYPTION_KEY, AUTHENTICATION_KEY = "encryption_key", "authentication_key"
KEY_BYTES = (16, 32)
"""AES-128 of suites 0 and 1, AES-256 of suite 2."""

_SETS = {PASSWORD: "set-password", ENCRYPTION_KEY: "set-key", AUTHENTICATION_KEY: "set-key"}


def check(kind: str, value: bytes) -> None:
    """Raise RegistryError when this cannot be a secret of that kind. The text tells the size, never the value."""
    if kind != PASSWORD and len(value) not in (0, *KEY_BYTES):
        raise RegistryError(f"{kind}: has {len(value)} bytes; a key has 16, or 32 for security suite 2")
    if len(value) > PASSWORD_LIMIT_BYTES:
        raise RegistryError(f"password: has {len(value)} bytes; a meter's password has at most {PASSWORD_LIMIT_BYTES}")


def put(connection: sqlite3.Connection, meter: str, kind: str, value: bytes) -> None:
    """Set a meter's secret inside the caller's transaction; an empty value removes it."""
    check(kind, value)
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
        raise RegistryError(f"the {kind} kept for {meter} is damaged; `halow-gateway meter {_SETS[kind]}` sets it")
    return row[0]

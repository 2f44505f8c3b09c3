"""The meters themselves: the table `meters`, one column per field of `Meter`.

Everything here works on the caller's connection, and inside its transaction where it writes.
"""

import dataclasses
import difflib
import sqlite3
from pathlib import Path

import msgspec

from edge.endpoint import normal_host
from edge.errors import RegistryError
from edge.model import Meter
from edge.store import validate
from edge.store.database import damaged

# A change to any of these may mean another meter, or other registers: what was learned no longer holds.
ENDPOINT = ("host", "port", "profile", "framing", "client_sap", "server_logical", "server_physical", "address_bytes",
            "device_address")

Row = tuple[object, ...]
"""A meter as it lies in the table, in the order of COLUMNS."""

COLUMNS = tuple(field.name for field in dataclasses.fields(Meter))
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM meters"      # noqa: S608 - names of our own dataclass
_INSERT = f"INSERT INTO meters ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"      # noqa: S608 - same
_UPDATE = f"UPDATE meters SET {', '.join(f'{column} = ?' for column in COLUMNS)} WHERE name = ?"      # noqa: S608 - same


def checked(meter: Meter) -> Meter:
    """Normalise and validate. Raises RegistryError with every problem."""
    meter = dataclasses.replace(
        meter, host=normal_host(meter.host), mac=validate.normal_mac(meter.mac),
        client_title=meter.client_title.lower(), meter_title=meter.meter_title.lower())
    if wrong := list(validate.problems(meter)):
        raise RegistryError("\n".join(wrong))
    return meter


def from_row(row: Row, path: Path) -> Meter:
    """Return the meter of a row of the registry at `path`. Raises RegistryError where the row holds none: damage."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["paused"] = bool(values["paused"])
    try:
        meter = msgspec.convert(values, Meter)
    except msgspec.ValidationError as error:
        raise damaged(path, f"a meter's row: {error}") from error
    if wrong := next(validate.problems(meter), None):
        raise damaged(path, f"a meter's row: {wrong}")
    return meter


def rows(connection: sqlite3.Connection) -> list[Row]:
    """Return all rows, by name."""
    return connection.execute(f"{_SELECT} ORDER BY name").fetchall()


def names(connection: sqlite3.Connection) -> list[str]:
    """Return all names, in order."""
    return [name for (name,) in connection.execute("SELECT name FROM meters ORDER BY name")]


def stored(connection: sqlite3.Connection, name: str) -> Row:
    """Return a meter's row as it is. Raises RegistryError with the nearest name where there is none."""
    if validate.valid_name(name):      # others, such as undecodable bytes of a command line, are not even asked for
        row: Row | None = connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        if row is not None:
            return row
    close = difflib.get_close_matches(name, names(connection), n=1)
    hint = f"did you mean {close[0]}?" if close else "`halow-gateway meter list` shows the registered ones"
    raise RegistryError(f"no meter is named {name[:64]!r}; {hint}")


def at_host(connection: sqlite3.Connection, name: str, host: str) -> Row | None:
    """Return the row of the meter of this name, if it is registered at this host."""
    row: Row | None = connection.execute(f"{_SELECT} WHERE name = ? AND host = ?", (name, host)).fetchone()
    return row


def insert(connection: sqlite3.Connection, meter: Meter) -> None:
    """Add a row. Raises RegistryError where the name is taken."""
    if connection.execute("SELECT 1 FROM meters WHERE name = ?", (meter.name,)).fetchone() is not None:
        raise RegistryError(f"the meter {meter.name} is registered already; `meter edit` changes it")
    connection.execute(_INSERT, _row(meter))


def replace(connection: sqlite3.Connection, meter: Meter) -> None:
    """Replace the row of this name, and forget what was learned where it may be another meter now."""
    row = stored(connection, meter.name)
    if row == _row(meter):
        return
    before = dict(zip(COLUMNS, row, strict=True))
    connection.execute(_UPDATE, (*_row(meter), meter.name))
    if any(before[column] != getattr(meter, column) for column in ENDPOINT):
        connection.execute("DELETE FROM learned WHERE meter = ?", (meter.name,))


def _row(meter: Meter) -> Row:
    return tuple(getattr(meter, column) for column in COLUMNS)

"""What was learned about meters by asking them: the table `learned`, JSON of `Learned` by meter.

Kept to save the air, never relied on: what cannot be read is learned again.
"""

import logging
import sqlite3

import msgspec

from edge.model import Learned

log = logging.getLogger(__name__)


def get(connection: sqlite3.Connection, meter: str) -> Learned:
    """Return what is kept; nothing learned where nothing, or nothing readable, is."""
    data = _kept(connection, meter)
    if data is None:
        return Learned()
    try:
        return msgspec.json.decode(data, type=Learned)
    except (msgspec.DecodeError, TypeError):
        log.warning("what was learned about a meter is unreadable and will be learned again meter=%s", meter)
        return Learned()


def in_json(learned: Learned) -> str:
    """Return the text that `put` keeps; the same facts give the same text."""
    return msgspec.json.encode(learned, order="deterministic").decode()


def keeps(connection: sqlite3.Connection, meter: str, data: str) -> bool:
    """Tell whether just this is kept already."""
    return _kept(connection, meter) == data


def put(connection: sqlite3.Connection, meter: str, data: str) -> None:
    """Keep it, inside the caller's transaction; nothing where no such meter is registered."""
    connection.execute("INSERT OR REPLACE INTO learned (meter, data) SELECT name, ? FROM meters WHERE name = ?",
                       (data, meter))


def _kept(connection: sqlite3.Connection, meter: str) -> str | None:
    row = connection.execute("SELECT data FROM learned WHERE meter = ?", (meter,)).fetchone()
    return None if row is None else row[0]

"""The meter registry: which meters there are, their secrets, and what was learned about them (I/O edge).

    operator ── commands ──► Registry ◄── daemon        two processes, one SQLite file, one writer at a time

Synchronous and thread-safe: every call is one short transaction under one lock; the daemon calls it off its loop. A
call that returns has its change on flash. Every failure is a RegistryError of one line (one per problem for an import).
"""

import dataclasses
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from edge.errors import RegistryError
from edge.model import Keys, Learned, Meter
from edge.store import alarms, counters, csvio, duties, learned, meters, secrets
from edge.store.database import damaged, file_at, open_database, translated

FILE_NAME = "registry.db"
"""The registry's file in the state directory."""

TITLE_HEAD, TITLE_TAIL_BYTES = b"HGW", 5
"""A system title begins with the maker's three letters; the rest tells one gateway from another."""

_KEY_KINDS = (secrets.ENCRYPTION_KEY, secrets.AUTHENTICATION_KEY)


class Imported(NamedTuple):
    """What an import did: names in the order of the file."""

    added: tuple[str, ...]
    updated: tuple[str, ...]


class Registry:
    """All registered meters. Open one with `Registry.open`; usable as a context manager."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Take over an open connection; use `open`."""
        self.path = path
        self._connection = connection
        self.file = file_at(path)      # device and inode: another one there later is another registry
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the registry file (mode 0600). Raises RegistryError; a damaged file is never changed."""
        return cls(open_database(path), path)

    def in_place(self) -> bool:
        """Tell whether what was opened is what lies at the path still. RegistryError: nothing lies there any more.

        One that was moved away must not be written: its journal would lie beside the new one, which SQLite would
        take for that one's own and roll back into it (https://sqlite.org/howtocorrupt.html, 1.4 and 2.5).
        """
        there = file_at(self.path)
        if there is None:
            raise RegistryError(f"{self.path}: is gone; put it back, or import the meters again")
        return there == self.file

    def close(self) -> None:
        """Close the file. Safe to call twice; waits for a call in another thread."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def list(self) -> tuple[Meter, ...]:
        """Return all meters, by name."""
        with self._reading() as connection:
            rows = meters.rows(connection)
        return tuple(meters.from_row(row, self.path) for row in rows)

    def get(self, name: str) -> Meter:
        """Return one meter. Raises RegistryError with the nearest names when there is none."""
        with self._reading() as connection:
            row = meters.stored(connection, name)
        return meters.from_row(row, self.path)

    def add(self, meter: Meter, password: bytes = b"", keys: Keys = Keys()) -> None:  # noqa: B008 - frozen
        """Register a meter with its secrets. Raises RegistryError when the name is taken or a setting wrong."""
        meter = meters.checked(meter)
        with self._writing() as connection:
            meters.insert(connection, meter)
            for kind, value in ((secrets.PASSWORD, password), (secrets.ENCRYPTION_KEY, keys.encryption),
                                (secrets.AUTHENTICATION_KEY, keys.authentication)):
                if value:
                    secrets.put(connection, meter.name, kind, value)

    def update(self, meter: Meter) -> None:
        """Replace the settings of the meter of this name; its password stays.

        What was learned about it is forgotten when the change may mean another meter or other registers.
        """
        meter = meters.checked(meter)
        with self._writing() as connection:
            meters.replace(connection, meter)

    def remove(self, name: str) -> None:
        """Remove a meter with its secrets and all that was learned."""
        with self._writing() as connection:
            meters.stored(connection, name)
            connection.execute("DELETE FROM meters WHERE name = ?", (name,))
            duties.forget(connection, name)

    def move(self, name: str, host: str, was: str) -> bool:
        """Let a meter that was found by its identity be reached at `host`; what was learned about it stays.

        Returns False, and changes nothing, where it is registered at another host than `was` by now, or no more.
        """
        with self._writing() as connection:
            row = meters.at_host(connection, name, was)
            if row is None:
                return False
            meters.checked(dataclasses.replace(meters.from_row(row, self.path), host=host))
            connection.execute("UPDATE meters SET host = ? WHERE name = ?", (host, name))
            return True

    def set_paused(self, name: str, paused: bool) -> bool:      # noqa: FBT001 - the verb names it: set_paused(name, True)
        """Stop or resume polling a meter. Returns False when it was so already."""
        with self._writing() as connection:
            if meters.from_row(meters.stored(connection, name), self.path).paused == paused:
                return False
            connection.execute("UPDATE meters SET paused = ? WHERE name = ?", (int(paused), name))
            return True

    def password(self, name: str) -> bytes:
        """Return a meter's password for its association, b"" where none is set."""
        with self._reading() as connection:
            return secrets.get(connection, name, secrets.PASSWORD)

    def with_password(self) -> frozenset[str]:
        """Return the names of the meters that have a password."""
        with self._reading() as connection:
            rows = connection.execute("SELECT meter FROM secrets WHERE kind = ?", (secrets.PASSWORD,)).fetchall()
        return frozenset(name for (name,) in rows)

    def set_password(self, name: str, password: bytes) -> None:
        """Set a meter's password; b"" removes it. Raises RegistryError for an unknown meter or a password too long."""
        with self._writing() as connection:
            meters.stored(connection, name)
            secrets.put(connection, name, secrets.PASSWORD, password)

    def keys(self, name: str) -> Keys:
        """Return a meter's keys for its association, b"" for those that are not set."""
        with self._reading() as connection:
            return Keys(*(secrets.get(connection, name, kind) for kind in _KEY_KINDS))

    def with_keys(self) -> Mapping[str, frozenset[str]]:
        """Return which keys the meters have: meter -> some of "encryption_key", "authentication_key"."""
        with self._reading() as connection:
            rows = connection.execute("SELECT meter, kind FROM secrets WHERE kind != ?", (secrets.PASSWORD,)).fetchall()
        return {meter: frozenset(kind for name, kind in rows if name == meter) for meter, _kind in rows}

    def set_keys(self, name: str, *, encryption: bytes | None = None, authentication: bytes | None = None) -> None:
        """Set a meter's keys; None leaves one as it is, b"" removes it. Raises RegistryError as `set_password`."""
        with self._writing() as connection:
            meters.stored(connection, name)
            for kind, key in zip(_KEY_KINDS, (encryption, authentication), strict=True):
                if key is not None:
                    secrets.put(connection, name, kind, key)

    def client_title(self) -> bytes:
        """Return this gateway's own system title: eight octets, drawn at random when the registry was made."""
        with self._reading() as connection:
            row = connection.execute("SELECT title FROM gateway").fetchone()
        if row is None or not isinstance(row[0], bytes) or len(row[0]) != TITLE_TAIL_BYTES:
            raise damaged(self.path, "its system title is gone")
        return TITLE_HEAD + row[0]

    def reserve_counters(self, scope: str, count: int, at_least: int = 0) -> int:
        """Set aside `count` invocation counters of a scope, from `at_least` on or higher; return the first.

        When this returns they are on flash as used, so that whatever happens to the process or the power, none of them
        is given out again. Raises RegistryError, also where 32 bits are used up.
        """
        with self._writing() as connection:
            return counters.reserve(connection, scope, count, at_least)

    def heard(self) -> Mapping[str, int]:
        """Return the highest invocation counter that meters have used in pushes, by scope."""
        with self._reading() as connection:
            return counters.heard(connection)

    def keep_heard(self, marks: Mapping[str, int]) -> None:
        """Raise these counters, all in one transaction; on flash when it returns."""
        with self._writing() as connection:
            counters.keep_heard(connection, marks)

    def learned(self, name: str) -> Learned:
        """Return what was learned about a meter; nothing learned where nothing, or nothing readable, is kept."""
        with self._reading() as connection:
            return learned.get(connection, name)

    def keep_learned(self, name: str, facts: Learned) -> None:
        """Keep what was learned. A meter removed meanwhile is no error, and the same facts again cost no write."""
        data = learned.in_json(facts)
        with self._reading() as connection:
            if learned.keeps(connection, name, data):
                return
        with self._writing() as connection:
            learned.put(connection, name, data)

    def permitted(self) -> Mapping[str, frozenset[str]]:
        """Return what may be done on the meters besides reading them: meter -> some of `duties.PERMISSIONS`."""
        with self._reading() as connection:
            return duties.permissions(connection)

    def permit(self, name: str, what: str, *, allowed: bool) -> bool:
        """Give or take back one of `duties.PERMISSIONS`. Returns False when it was so already."""
        with self._writing() as connection:
            meters.stored(connection, name)
            return duties.permit(connection, name, what, allowed=allowed)

    def progress(self, name: str, duty: str) -> str:
        """Return how far a duty has come with the meter of this name and its present identity, "" = nothing known."""
        identity = self.learned(name).identity
        with self._reading() as connection:
            return duties.progress(connection, name, duty, identity)

    def keep_progress(self, name: str, duty: str, data: str) -> None:
        """Keep how far a duty has come; "" forgets it. A meter removed meanwhile is no error."""
        self.keep_all_progress(duty, {name: data})

    def keep_all_progress(self, duty: str, data: Mapping[str, str]) -> None:
        """Keep how far a duty has come with many meters, by name, in one write."""
        identities = {name: self.learned(name).identity for name in data}
        with self._writing() as connection:
            known = set(meters.names(connection))
            for name in known & data.keys():
                duties.keep(connection, name, duty, identities[name], data[name])

    def keep_alarms(self, standing: Sequence[str], changes: Sequence[str]) -> None:
        """Keep which alarms stand, and add what has changed. See `edge.store.alarms`."""
        with self._writing() as connection:
            alarms.keep(connection, standing, changes)

    def alarms(self, limit: int = alarms.KEPT) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the alarms that stand, and the newest changes, newest first."""
        with self._reading() as connection:
            return alarms.standing(connection), alarms.changes(connection, limit)

    def data_version(self) -> int:
        """Return a number that grows with every change of a meter or secret, by any process; learning is no change."""
        with self._reading() as connection:
            row = connection.execute("SELECT version FROM change").fetchone()
        if row is None or not isinstance(row[0], int):
            raise damaged(self.path, "its change counter is gone")
        return row[0]

    def import_csv(self, text: str, *, update: bool = False, profiles: Collection[str] | None = None) -> Imported:
        """Take meters from CSV, all or none. `update` lets lines replace registered meters of the same name.

        `profiles` are the meter types that exist, None to take any. Raises RegistryError with every problem of the
        file, one line each, headed by its line number.
        """
        rows = csvio.parse(text, profiles)
        added: list[str] = []
        updated: list[str] = []
        with self._writing() as connection:
            known = set(meters.names(connection))
            if not update and (taken := [row for row in rows if row.meter.name in known]):
                raise RegistryError("\n".join(
                    f"line {row.line}: {row.meter.name} is registered already; --update replaces it" for row in taken))
            for row in rows:
                if row.meter.name in known:
                    meters.replace(connection, row.meter)
                else:
                    meters.insert(connection, row.meter)
                (updated if row.meter.name in known else added).append(row.meter.name)
                if row.password is not None:
                    secrets.put(connection, row.meter.name, secrets.PASSWORD, row.password)
        return Imported(tuple(added), tuple(updated))

    def export_csv(self) -> str:
        """Return all meters as CSV, without any secret; `import_csv` takes it back."""
        return csvio.render(self.list())

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self.path):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: the write lock first, so that it never has to be upgraded; undone when the block raises."""
        with self._lock, translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

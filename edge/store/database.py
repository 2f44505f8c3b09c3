"""The registry's SQLite file: created and opened so that a power cut, a second process or damage cannot surprise.

Rollback journal, not WAL: docs/decisions/0007-registry-rollback-journal.md.
"""

import logging
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge.errors import RegistryError
from edge.store.schema import APPLICATION_ID, MIGRATIONS, migrate

BUSY_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the registry's file, creating or migrating it where needed, and check it whole.

    Returns a connection in autocommit mode that any thread may use, one at a time. Raises RegistryError; a damaged file
    is left exactly as it is.
    """
    with translated(path):
        if not path.exists():
            _create(path)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RegistryError(f"{path}: is not a file; the registry is one SQLite file")
        if status.st_size == 0:
            raise damaged(path, "the file is empty")
        connection = _connect(path)
        try:
            _prepare(connection, path)
            _narrow(path, status.st_mode)
        except BaseException:
            connection.close()
            raise
        return connection


def file_at(path: Path) -> tuple[int, int] | None:
    """Return which file lies there, None where none does. RegistryError where that cannot be told."""
    with translated(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say into one line that tells the operator what to do."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise RegistryError(f"{path}: is closed already") from error
    except sqlite3.IntegrityError as error:
        raise RegistryError(f"{path}: refuses the change: {_plain(str(error))}") from error
    except sqlite3.OperationalError as error:
        raise RegistryError(f"{path}: {_advice(error)}") from error
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror}; check the directory, its owner and the space left") from error


def _advice(error: sqlite3.OperationalError) -> str:
    text = _plain(str(error))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program has held it for more than {BUSY_TIMEOUT_S:g} s; try again"
    if code == sqlite3.SQLITE_FULL:
        return "the disk is full; free some space, nothing was changed"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return f"cannot be written ({text}); run as the gateway's user, or check owner and mode"
    if code == sqlite3.SQLITE_IOERR:
        return f"the storage failed ({text}); nothing was changed"
    return f"cannot be used ({text}); restore it, or move it away and import the meters again"


def damaged(path: Path, why: str) -> RegistryError:
    """Make the one line for a file that is there but not usable."""
    return RegistryError(
        f"{path}: is not a usable registry ({_plain(why)}); restore it, or move it away and import the meters again")


def _plain(text: str) -> str:
    """Bring what SQLite says to a short piece of one line."""
    text = " ".join(text.removeprefix("*** in database main ***").split())
    if text.startswith("Could not decode to UTF-8"):      # the rest is the content, whatever that may be
        return "text in it is not UTF-8"
    return "".join(char if char.isprintable() else "?" for char in text)[:120]


def _create(path: Path) -> None:
    """Make the file in full beside its place and link it in, so that an empty file there always means damage.

    Two processes may do this at once: the first link wins, the other opens what it finds.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)      # mode 0600
    os.close(handle)
    try:
        with closing(_connect(Path(temporary))) as connection:
            connection.execute("BEGIN IMMEDIATE")
            migrate(connection)
            connection.execute("COMMIT")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        log.info("registry created path=%s", path)
    finally:
        Path(temporary).unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _narrow(path: Path, mode: int) -> None:
    """Narrow the file to its owner: it holds passwords. The directory may be shared, so it is only spoken of."""
    if mode & 0o077:
        try:
            path.chmod(0o600)
        except PermissionError as error:
            raise RegistryError(f"{path}: other users may read it; as its owner, run chmod 600 on it") from error
        log.warning("registry was open to other users, now mode 0600 path=%s mode=%04o", path, stat.S_IMODE(mode))
    if path.parent.stat().st_mode & 0o022:
        log.warning("state directory can be written by other users, chmod 700 it path=%s", path.parent)


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a file that vanished meanwhile is an error, not a new and empty registry
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True,
        timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "trusted_schema = OFF", "cell_size_check = ON", "foreign_keys = ON", "secure_delete = ON",
            # EXTRA also syncs the directory after the journal is gone: a change that was confirmed stays
            "synchronous = EXTRA", "journal_mode = DELETE",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise damaged(path, "an SQLite file of another program")
    if not 0 < version <= len(MIGRATIONS):
        raise RegistryError(
            f"{path}: written by a newer version (schema {version}, known is {len(MIGRATIONS)}); update the gateway")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise damaged(path, str(verdict))
    if version < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            migrate(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        log.info("registry migrated path=%s from=%d to=%d", path, version, len(MIGRATIONS))

"""New credentials beside those in use, until the server took them (I/O edge): `uplink.token.next` and its like.

    put ──► tried by edge.daemon.credentials ──► accepted: keep, which puts it in the place of the old one
                                            └──► refused:  the old one goes on; drop, or another put

Each step is one rename or one deletion, so a power cut leaves the old one, or the new one, and never none: what is
beside is tried again at the next start. Calls block for the time of a sync.
"""

from pathlib import Path

from edge.config import Credentials, Settings
from edge.credentials import NEXT, Login, credential_path, limit_bytes, login_of, read_login
from edge.durable import sync_directory, write_file
from edge.errors import ConfigError


def beside(settings: Settings, kind: Credentials | None = None) -> Path:
    """Return where the candidate lies."""
    path = credential_path(settings, kind)
    return path.with_name(path.name + NEXT)


def put(settings: Settings, raw: bytes, kind: Credentials | None = None) -> Login:
    """Lay a token, password or certificate beside the one in use, durably, and return it as a login.

    Raises ConfigError for what is none, before anything is written, and OSError.
    """
    kind, path = kind or settings.uplink.credentials, beside(settings, kind)
    if len(raw) > limit_bytes(kind):
        raise ConfigError(f"longer than {limit_bytes(kind)} bytes; this is no credential")
    login = login_of(settings, raw, path, kind)
    write_file(path, raw, replace=True)
    return login


def waiting(settings: Settings) -> Login | None:
    """Return the candidate; None where none lies there. ConfigError for a damaged one, or where that cannot be seen."""
    path = beside(settings)
    try:
        there = path.exists()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be looked at: {error.strerror}") from error
    return read_login(settings, at=path) if there else None


def keep(settings: Settings, kind: Credentials | None = None) -> Path:
    """Put the candidate in the place of what was in use, durably, and return that place. Raises OSError."""
    path = credential_path(settings, kind)
    beside(settings, kind).replace(path)
    sync_directory(path.parent)
    return path


def drop(settings: Settings) -> bool:
    """Delete the candidate; False where there is none. Raises OSError."""
    path = beside(settings)
    if not path.exists():      # nor need its directory be there yet
        return False
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True

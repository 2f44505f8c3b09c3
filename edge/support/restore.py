"""Putting a backup in place: all of it or nothing, whenever the power fails (I/O edge).

    <state_dir>/restoring/      everything is written there and checked; nothing else is touched
    restoring/commit.json       from here on it is restored: who starts next moves what has not been moved
    each file to its place      the registry without the journal of the old one; last what lies elsewhere: the settings
    restoring/ is deleted

The gateway must not run: the ring's lock is held meanwhile. What is here and not in the backup stays.

The state directory is the gateway's, and whoever has got hold of the gateway may have laid links there. So root works
in it as its owner, and with its own rights only writes what lies elsewhere, and only what the backup itself holds.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge.config import Settings
from edge.durable import make_directory, sync_directory, write_file
from edge.errors import EdgeError, RingBusy
from edge.identity import ID_FILE
from edge.meters.library import own_directory
from edge.rights import as_owner
from edge.ring.fs import lock_directory
from edge.store.copying import make_ready
from edge.store.registry import FILE_NAME
from edge.support.backup import PROFILES, SETTINGS_FILE
from edge.support.known import RING_KEY_FILE

STAGING = "restoring"
COMMIT = "commit.json"


class Move(msgspec.Struct, frozen=True):
    """One file: its name in the staging directory, and where it goes."""

    name: str
    to: str
    mode: int = 0o600


class Restored(NamedTuple):
    """What was done. `kept`: what is here and was not replaced, and why; `left`: what this user may not write."""

    meters: int
    files: tuple[str, ...]
    kept: tuple[str, ...]
    left: tuple[str, ...]


def restore(files: dict[str, bytes], settings: Settings, settings_file: Path | None, *, age_s: float) -> Restored:
    """Put a backup's files in place for `settings`, which are those that will be in force. Durable when it returns.

    Without `settings_file` the settings stay as they are. Raises RingBusy while the gateway runs, RegistryError for a
    registry that is none, OSError as the storage says: before the commit nothing was changed.
    """
    state_dir = Path(settings.gateway.state_dir).absolute()
    make_directory(state_dir)
    with _alone(state_dir):
        with as_owner(state_dir):
            _finish(state_dir)      # one that was cut before comes first
            staging = state_dir / STAGING
            _clear(staging)
            make_directory(staging)
            meters = make_ready(files[FILE_NAME], staging / FILE_NAME, state_dir / FILE_NAME, age_s=age_s)
            moves, kept = _plan(files, settings, settings_file)
            for move in moves:
                write_file(staging / move.name, files[_member(move)])
            moves.insert(0, Move(FILE_NAME, str(state_dir / FILE_NAME)))
            write_file(staging / COMMIT, msgspec.json.encode(moves))
            left = _finish(state_dir)
        left = [(move, why) for move, why in left if not _put_elsewhere(move, files[_member(move)], state_dir)]
        with as_owner(state_dir):
            if not left:
                _clear(staging)
    return Restored(meters, tuple(files), tuple(kept), tuple(why for _, why in left))


def finish(state_dir: Path) -> tuple[str, ...] | None:
    """Move what a restore that was cut has left, before anything is opened. None where there is none, or one at work.

    Returns what this user may not move, one line each: it stays for a restore by root. Never raises.
    """
    state_dir = state_dir.absolute()
    if not (state_dir / STAGING / COMMIT).exists():
        return None
    try:
        with _alone(state_dir), as_owner(state_dir):
            return tuple(why for _, why in _finish(state_dir))
    except RingBusy:
        return None
    except EdgeError as error:
        return (str(error),)
    except OSError as error:
        return (f"{error.filename or state_dir}: {error.strerror}",)


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    with as_owner(state_dir):
        lock = lock_directory(state_dir / "ring")
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _plan(files: dict[str, bytes], settings: Settings, settings_file: Path | None) -> tuple[list[Move], list[str]]:
    """Return where each file but the registry goes, what lies elsewhere last; and what is not replaced, and why."""
    state_dir = Path(settings.gateway.state_dir).absolute()
    inside: list[Move] = []
    outside: list[Move] = []
    kept: list[str] = []
    for name, data in files.items():
        if name in (FILE_NAME, SETTINGS_FILE):
            continue
        to = state_dir / name
        if name.startswith(f"{PROFILES}/"):
            to = own_directory(settings.gateway).absolute() / name.removeprefix(f"{PROFILES}/")
        elif name == RING_KEY_FILE and to.exists() and to.read_bytes() != data:
            kept.append(f"{to}: the ring here may be encrypted with it")
            continue
        mode = 0o644 if name == ID_FILE or name.startswith(f"{PROFILES}/") else 0o600
        (inside if state_dir in to.parents else outside).append(Move(name.replace("/", "--"), str(to), mode))
    if settings_file is not None and SETTINGS_FILE in files:
        mode = settings_file.stat().st_mode & 0o777 if settings_file.exists() else 0o644
        outside.append(Move(SETTINGS_FILE, str(settings_file.absolute()), mode))
    return inside + outside, kept


def _member(move: Move) -> str:
    """Return a file's name in the backup."""
    return move.name.replace("--", "/", 1) if move.name.startswith(f"{PROFILES}--") else move.name


def _finish(state_dir: Path) -> list[tuple[Move, str]]:
    """Move what is committed and still there; each step may be done twice. Returns what could not be, and why."""
    staging = state_dir / STAGING
    try:
        moves = msgspec.json.decode((staging / COMMIT).read_bytes(), type=list[Move])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise EdgeError(f"{staging / COMMIT}: is damaged; delete {staging} and restore again") from error
    left = []
    for move in moves:
        source, to = staging / move.name, Path(move.to)
        if not source.exists():
            continue
        try:
            _put(source, to, move.mode, state_dir)
        except OSError as error:
            left.append((move, f"{to}: {error.strerror}"))
    if not left:
        _clear(staging)
    return left


def _put(source: Path, to: Path, mode: int, state_dir: Path) -> None:
    if to.name == FILE_NAME:      # SQLite would roll the old file's journal back into the new one
        to.with_name(f"{FILE_NAME}-journal").unlink(missing_ok=True)
        sync_directory(to.parent)
    if to.parent == state_dir:
        source.chmod(mode)
        source.replace(to)
        sync_directory(to.parent)
    else:                          # perhaps another file system
        make_directory(to.parent)
        write_file(to, source.read_bytes(), mode=mode, replace=True)
        source.unlink()
    sync_directory(source.parent)


def _put_elsewhere(move: Move, data: bytes, state_dir: Path) -> bool:
    """Write what lies outside the state directory with the rights of who restores; whose it was it stays."""
    to = Path(move.to)
    if os.geteuid() != 0 or state_dir in to.parents:
        return False
    owner = to.stat() if to.exists() else None
    make_directory(to.parent, mode=0o755)
    write_file(to, data, mode=move.mode, replace=True)
    if owner is not None:
        os.chown(to, owner.st_uid, owner.st_gid)
    return True


def _clear(staging: Path) -> None:
    """Delete the staging directory, the commit first: what is left of it then is of no worth."""
    if not staging.exists():
        return
    (staging / COMMIT).unlink(missing_ok=True)
    sync_directory(staging)
    for path in staging.iterdir():
        path.unlink()
    staging.rmdir()
    sync_directory(staging.parent)

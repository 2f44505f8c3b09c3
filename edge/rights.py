"""Root's rights, left aside where another user could turn them against the machine (I/O edge).

An operator runs commands as root; the state directory is the gateway's. Whoever has got hold of the gateway may have
laid links there, by which root would read or overwrite any file. So a command that root runs works as the owner of the
directory, and takes its own rights back only for what the operator has named and for what is no file of the gateway's.
What it writes there then is the gateway's, too.

Only a process that root has started changes anything here; a real user id of 0 is what it comes back by (seteuid(2)).
The ids are the process's: no other thread may be at work on anything else meanwhile.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import EdgeError

SERIAL_GROUP = "dialout"
"""Serial lines are open to it; the gateway's unit gives it to the service (serial.conf), not to the user."""


@contextmanager
def as_owner(path: Path) -> Iterator[None]:
    """Let root have the rights of whoever may change where `path` leads, and no more. Nobody else changes.

    That is the owner of the first name on the way that is not root's: what comes behind it may be a link of his. What
    is not there yet is nobody's. Raises OSError as the storage says, EdgeError where this root may not change its user.
    """
    if os.getuid() != 0:
        yield
        return
    with as_started():
        owner = _first_stranger(path)
    with _as(*(owner or (0, os.getgid()))):
        yield


@contextmanager
def as_started() -> Iterator[None]:
    """Let root have its own rights again, within `as_owner`: for files that the operator names, or the system's own."""
    if os.getuid() != 0:
        yield
        return
    with _as(0, os.getgid()):
        yield


def _first_stranger(path: Path) -> tuple[int, int] | None:
    """Return user and group of the first name on the way to `path` that is not root's."""
    absolute = path.absolute()
    for each in (*reversed(absolute.parents), absolute):
        try:
            found = each.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if found.st_uid != 0:
            return found.st_uid, found.st_gid
    return None


@contextmanager
def _as(user: int, group: int) -> Iterator[None]:
    before = os.geteuid(), os.getegid(), os.getgroups()
    if before[:2] == (user, group):
        yield
        return
    try:
        _become(user, group, _groups_of(user, group))
    except PermissionError as error:      # a container's root, say, without CAP_SETUID
        raise EdgeError(f"root may not take the rights of user {user} here; run this as that user") from error
    try:
        yield
    finally:
        _become(*before)


def _become(user: int, group: int, groups: list[int]) -> None:
    os.seteuid(0)      # only root may choose the others
    os.setgroups(groups)
    os.setegid(group)
    os.seteuid(user)


def _groups_of(user: int, group: int) -> list[int]:
    if user == 0:      # nothing is closed to it
        return []
    groups = [group]
    with suppress(KeyError):      # a user without an entry, as in a container
        groups = os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    with suppress(KeyError):
        groups.append(grp.getgrnam(SERIAL_GROUP).gr_gid)
    return groups

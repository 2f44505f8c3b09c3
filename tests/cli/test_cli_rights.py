"""Root's commands in a directory that is another user's: no link of his is followed, and what is written there is his."""

import asyncio
import builtins
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_site import Site

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.model import Field, Kind, Record, Schema, Stream
from edge.rights import as_owner, as_started
from edge.ring.store import Ring

GATEWAY, GROUP = 12_345, 12_346
PHRASE = "a phrase, long enough"
SECRET = "only root reads this, and it is long enough to be found"

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root is in danger here")


def _with_roots_rights(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **more: Any) -> Any:
        with as_started():
            return function(*arguments, **more)

    return called


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that all may look into; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def theirs(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A gateway with a meter and a ring, all of it another user's; the way there is open to all.

    What is not: an interpreter in root's home, as a developer may have one. Modules are loaded with root's rights.
    """
    monkeypatch.setattr(builtins, "__import__", _with_roots_rights(builtins.__import__))
    monkeypatch.setattr(importlib, "import_module", _with_roots_rights(importlib.import_module))
    site.good("init")
    site.good("meter", "add", "m1", "10.30.0.1", "--profile", "microstar")
    asyncio.run(_keep_a_record(site.state_dir / "ring"))
    for path in (site.state_dir, *site.state_dir.rglob("*")):
        os.chown(path, GATEWAY, GROUP)
    return site


async def _keep_a_record(directory: Path, *, encrypt: bool = False) -> None:
    clock = SystemClock()
    async with Ring.open(directory, RingSettings(size_mib=24, encrypt=encrypt), clock) as ring:
        await ring.append(Stream.ALARM, Record(Schema(Kind.EVENT, (Field("x"),)), "m1", clock.stamp(), (1,)))


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file that root alone may read, in a folder that is root's."""
    folder = tmp_path / "precious"
    folder.mkdir(mode=0o700)
    (folder / "shadow").write_text(SECRET)
    (folder / "shadow").chmod(0o600)
    return folder / "shadow"


def strangers(site: Site) -> list[Path]:
    return [path for path in (site.state_dir, *site.state_dir.rglob("*")) if (path.lstat().st_uid, path.lstat().st_gid) != (GATEWAY, GROUP)]


def plant(link: Path, target: Path) -> None:
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    os.chown(link, GATEWAY, GROUP, follow_symlinks=False)


@root_only
def test_what_roots_commands_write_is_the_gateways(theirs: Site) -> None:
    (theirs.base / "token").write_text("x" * 20)
    (theirs.base / "token").chmod(0o600)
    theirs.good("meter", "add", "m2", "10.30.0.2", "--profile", "microstar")
    theirs.good("meter", "set-password", "m2", "--password-file", "-", stdin="12345678")
    theirs.good("credentials", "rotate", "--from", str(theirs.base / "token"))
    theirs.good("init")
    assert (theirs.state_dir / "uplink.token.next").read_text() == "x" * 20
    assert strangers(theirs) == []
    assert os.geteuid() == 0, "a command ends with the rights that it began with"


TOUCHES = {"open", "sqlite3.connect", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.truncate"}
"""What Python tells an audit hook before it does it (sys.addaudithook), where its first argument is a path."""

_watched: list[tuple[Path, list[str]]] = []


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if _watched and event in TOUCHES and isinstance(arguments[0], (str, bytes, os.PathLike)) and os.geteuid() == 0:
        directory, seen = _watched[-1]
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))      # noqa: PTH100 - no link is to be followed
        if directory in path.parents:
            seen.append(f"{event} {path}")


@pytest.fixture
def touched_by_root(theirs: Site) -> Iterator[list[str]]:
    """Everything in the gateway's directory that is touched with root's rights while the test runs."""
    if not _hooked:
        sys.addaudithook(_look)      # for good: there is no way to take one away
        _hooked.append(True)
    seen: list[str] = []
    _watched.append((theirs.state_dir, seen))
    yield seen
    _watched.pop()


_hooked: list[bool] = []


COMMANDS = (
    "meter list", "meter show m1", "meter edit m1 --host 127.0.0.1", "meter export", "meter set-password m1 --password-file -",
    "config show", "config get poll.interval_s", "config history", "check", "csr", "init", "bundle OUT", "backup COPY --passphrase-file -", "ring status",
    "ring dump", "ring salvage RING", "credentials rotate --from -", "credentials rotate --drop",
    "read m1", "meter get m1 1-0:1.8.0", "link plan --meters 3", "status", "claim", "page code", "meter remove m1 --yes", "restore COPY --passphrase-file - --yes")


@root_only
def test_no_command_touches_the_gateways_directory_with_roots_rights(theirs: Site, touched_by_root: list[str]) -> None:
    names = {"OUT": theirs.base / "out", "COPY": theirs.base / "copy", "RING": theirs.state_dir / "ring"}
    for words in COMMANDS:
        done = theirs(*(str(names.get(word, word)) for word in words.split()), stdin=PHRASE)
        assert done.exit_code in (0, 1), (words, done.output)
        assert "internal error" not in done.output, words
        assert touched_by_root == [], words
        assert strangers(theirs) == [], words
    assert "m1" in theirs.good("meter", "list"), "restored"


@root_only
def test_root_reads_nothing_by_a_link(theirs: Site, precious: Path) -> None:
    for name in ("uplink.token", "remote-config.json", "config-history.json", "device.id", "device.key", "ring/instant/00000.slot"):
        plant(theirs.state_dir / name, precious)
    out = theirs.base / "out"
    for words in (("check",), ("csr",), ("config", "show"), ("config", "history"), ("bundle", str(out)), ("ring", "ls"),
                  ("ring", "salvage", str(theirs.state_dir / "ring")), ("backup", str(out), "--passphrase-file", "-")):
        assert SECRET not in theirs(*words, stdin=PHRASE).output
    assert "Permission denied" in theirs("backup", str(theirs.base / "b"), "--passphrase-file", "-", stdin=PHRASE).stderr


@root_only
def test_root_writes_nothing_by_a_link(theirs: Site, precious: Path) -> None:
    """SQLite opens its files by name: the registry itself, and beside it the journal of a change."""
    for name in ("registry.db", "registry.db-journal"):
        plant(theirs.state_dir / name, precious)
        theirs("meter", "add", "m2", "10.30.0.2", "--profile", "microstar")
        theirs("init")
    plant(theirs.state_dir / "images", precious.parent)
    assert precious.read_text() == SECRET
    assert [path.name for path in precious.parent.iterdir()] == ["shadow"]


@root_only
def test_a_ring_is_salvaged_from_where_only_root_reads_to_where_the_gateway_writes(theirs: Site, precious: Path) -> None:
    """A card's image, say, into the state directory: each side with its own rights, and no link is followed there."""
    shutil.copytree(theirs.state_dir / "ring", precious.parent / "copy")
    into = theirs.state_dir / "again"
    plant(theirs.state_dir / "again.salvaged", precious.parent)
    theirs("ring", "salvage", str(precious.parent / "copy"), "--into", str(into))
    assert precious.read_text() == SECRET
    (theirs.state_dir / "again.salvaged").unlink(missing_ok=True)
    told = theirs("ring", "salvage", str(precious.parent / "copy"), "--into", str(into))
    assert "As <state_dir>/ring of a gateway it is delivered" in told.stdout, told.output
    assert strangers(theirs) == []


@root_only
def test_a_key_that_only_root_may_read_opens_what_is_written_with_the_gateways_rights(theirs: Site, precious: Path) -> None:
    asyncio.run(_keep_a_record(precious.parent / "ring", encrypt=True))
    theirs.configure("encrypt = true\n")
    told = theirs("ring", "salvage", str(precious.parent / "ring"), "--key-file", str(precious.parent / "ring.key"), "--into",
                  str(theirs.state_dir / "again"))
    assert "As <state_dir>/ring of a gateway it is delivered" in told.stdout, told.output
    assert strangers(theirs) == []


@root_only
def test_an_archive_and_a_backup_are_written_where_root_says(theirs: Site, precious: Path) -> None:
    plant(theirs.state_dir / "uplink.token", precious)
    told = json.loads(theirs.good("bundle", "--json", str(precious.parent / "bundle.tar.gz")))
    assert told["path"] == str(precious.parent / "bundle.tar.gz")
    assert (precious.parent / "bundle.tar.gz").stat().st_uid == 0
    (theirs.state_dir / "uplink.token").unlink()
    theirs.good("backup", str(precious.parent / "b"), "--without-secrets")
    assert (precious.parent / "b").stat().st_uid == 0


@root_only
def test_the_first_name_that_is_not_roots_decides(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, GATEWAY, GROUP)
    plant(folder / "way", tmp_path)      # root's folder, but by a link of theirs
    for path, user in ((tmp_path, 0), (folder, GATEWAY), (folder / "way", GATEWAY), (folder / "way/file", GATEWAY), (tmp_path / "new/file", 0)):
        with as_owner(path):
            assert os.geteuid() == user, path
            with as_started():
                assert os.geteuid() == 0
            with as_owner(tmp_path):
                assert os.geteuid() == 0
            assert os.geteuid() == user
    assert (os.geteuid(), os.getegid()) == (0, os.getgid())


def test_nobody_else_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1_000)
    for name in ("seteuid", "setegid", "setgroups"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("an ordinary user may not"))
    with as_owner(tmp_path), as_started():
        assert (tmp_path / "file").write_text("x")

"""The registry: what goes in comes out, across processes, threads, power cuts and damage; secrets stay inside."""

import dataclasses
import logging
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import RegistryError
from edge.model import Learned, Meter
from edge.store.registry import Registry

M1 = Meter("m1", "10.0.0.1", 3333)
FULL = Meter("Medición 1 (Süd)", "fe80::1%wlan0", 4059, "microstar", "hdlc", 16, 1, 17, 2, "lls", 0.5, True, "02:00:5e:10:00:01")
SECRET = b"s3cr3t-99"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "registry.db"


@pytest.fixture
def registry(path: Path) -> Iterator[Registry]:
    with Registry.open(path) as opened:
        yield opened


def test_a_new_registry_is_private_and_leaves_nothing_else(path: Path) -> None:
    old = os.umask(0)
    try:
        with Registry.open(path) as registry:
            registry.add(M1, SECRET)
            assert registry.list() == (M1,)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["registry.db"]


def test_everything_comes_back_after_reopening(path: Path) -> None:
    with Registry.open(path) as registry:
        registry.add(FULL, SECRET)
        registry.add(M1)
        registry.keep_learned("m1", Learned("4711", 9, {"1-0:1.7.0.255 2": (-1, 27)}))
    with Registry.open(path) as registry:
        assert registry.list() == (FULL, M1)
        assert registry.get(FULL.name) == FULL
        assert (registry.password(FULL.name), registry.password("m1")) == (SECRET, b"")
        assert registry.with_password() == {FULL.name}
        assert registry.learned("m1") == Learned("4711", 9, {"1-0:1.7.0.255 2": (-1, 27)})
        assert registry.learned(FULL.name) == Learned()


def test_every_field_of_a_meter_has_a_column(registry: Registry) -> None:
    columns = [row[1] for row in registry._connection.execute("PRAGMA table_info(meters)")]
    assert columns == [field.name for field in dataclasses.fields(Meter)]


def test_editing_keeps_the_password_and_forgets_what_may_belong_to_another_meter(registry: Registry) -> None:
    registry.add(M1, SECRET)
    registry.keep_learned("m1", Learned("4711"))
    registry.update(dataclasses.replace(M1, interval_s=5.0, paused=True))
    assert registry.learned("m1") == Learned("4711")
    registry.update(dataclasses.replace(M1, host="10.0.0.2"))
    assert registry.learned("m1") == Learned()
    assert registry.password("m1") == SECRET


def test_a_meter_that_was_found_elsewhere_keeps_what_was_learned(registry: Registry) -> None:
    registry.add(M1, SECRET)
    registry.keep_learned("m1", Learned("4711", 9))
    version = registry.data_version()
    assert registry.move("m1", "10.0.0.9", was="10.0.0.1")
    assert registry.get("m1") == dataclasses.replace(M1, host="10.0.0.9")
    assert registry.learned("m1") == Learned("4711", 9)
    assert registry.data_version() > version, "the pollers follow"
    version = registry.data_version()
    assert not registry.move("m1", "10.0.0.7", was="10.0.0.1"), "it was moved meanwhile"
    assert not registry.move("zz", "10.0.0.7", was="10.0.0.1")
    assert registry.data_version() == version
    with pytest.raises(RegistryError, match="must be an IP address"):
        registry.move("m1", "not an address", was="10.0.0.9")


def test_removing_takes_everything_along(registry: Registry) -> None:
    registry.add(M1, SECRET)
    registry.keep_learned("m1", Learned("4711"))
    registry.remove("m1")
    assert registry.list() == ()
    registry.add(M1)
    assert (registry.password("m1"), registry.learned("m1")) == (b"", Learned())


def test_a_removed_password_is_no_longer_in_the_file(registry: Registry, path: Path) -> None:
    registry.add(M1, SECRET)
    assert SECRET in path.read_bytes()
    registry.set_password("m1", b"")
    assert SECRET not in path.read_bytes()


def test_pausing_tells_whether_it_changed_anything(registry: Registry) -> None:
    registry.add(M1)
    assert registry.set_paused("m1", True) is True
    assert registry.set_paused("m1", True) is False
    assert registry.get("m1").paused is True
    assert registry.set_paused("m1", False) is True


def test_the_version_moves_with_every_change_by_the_operator_and_with_nothing_else(registry: Registry, path: Path) -> None:
    seen = [registry.data_version()]

    def moved() -> bool:
        seen.append(registry.data_version())
        return seen[-1] > seen[-2]

    with Registry.open(path) as other:
        other.add(M1)
        assert moved()
        other.set_password("m1", SECRET)
        assert moved()
    registry.set_paused("m1", True)
    assert moved()
    registry.keep_learned("m1", Learned("4711"))
    registry.set_paused("m1", True)
    registry.update(registry.get("m1"))
    registry.password("m1")
    assert not moved()
    registry.remove("m1")
    assert moved()


def test_learning_the_same_again_writes_nothing(registry: Registry, path: Path) -> None:
    registry.add(M1)
    registry.keep_learned("m1", Learned("4711", None, {"a": (1, 2), "b": (3, 4)}))
    before = path.read_bytes()
    registry.keep_learned("m1", Learned("4711", None, {"b": (3, 4), "a": (1, 2)}))
    assert path.read_bytes() == before
    registry.keep_learned("gone", Learned("1"))
    assert registry.learned("gone") == Learned()


@pytest.mark.parametrize("call", [
    lambda registry: registry.get("m11"),
    lambda registry: registry.update(dataclasses.replace(M1, name="m11")),
    lambda registry: registry.remove("m11"),
    lambda registry: registry.set_paused("m11", True),
    lambda registry: registry.set_password("m11", b"x"),
])
def test_an_unknown_meter_is_named_with_the_nearest_one(registry: Registry, call: object) -> None:
    registry.add(M1)
    with pytest.raises(RegistryError, match=r"^no meter is named 'm11'; did you mean m1\?$"):
        call(registry)
    assert registry.list() == (M1,)


def test_bytes_that_are_no_text_in_a_name_are_an_unknown_meter(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no meter is named"):
        registry.get(os.fsdecode(b"m\xff"))


def test_a_name_is_taken_once(registry: Registry) -> None:
    registry.add(M1)
    with pytest.raises(RegistryError, match="m1 is registered already"):
        registry.add(dataclasses.replace(M1, host="10.0.0.2"), SECRET)
    assert registry.list() == (M1,)
    assert registry.password("m1") == b""


def test_a_password_too_long_is_refused_without_being_repeated(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="has 65 bytes") as caught:
        registry.add(M1, b"Q" * 65)
    assert "QQ" not in str(caught.value)
    assert registry.list() == (), "the meter was not added without its password"


def test_all_wrong_settings_are_told_at_once(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.add(Meter("-x", "10.0.0.256", 0, interval_s=float("nan"), mac="12"))
    assert [line.split(" = ")[0] for line in str(caught.value).split("\n")] == ["name", "host", "port", "interval_s", "mac"]


def test_the_tables_refuse_what_slipped_past_the_checks(registry: Registry) -> None:
    for column, value in (("port", 0), ("port", "x"), ("framing", "serial"), ("interval_s", -1), ("paused", 2), ("mac", "x")):
        values = {"name": "n", "host": "h", "port": 1, "profile": "p", "paused": 0, "mac": ""} | {column: value}
        with pytest.raises(sqlite3.IntegrityError):
            registry._connection.execute(
                f"INSERT INTO meters ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))


def test_wider_modes_are_narrowed_and_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Registry.open(path).close()
    path.chmod(0o644)
    path.parent.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        Registry.open(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "was open to other users" in caplog.text
    assert "can be written by other users" in caplog.text


def test_it_is_a_rollback_journal_that_syncs_its_directory(registry: Registry) -> None:
    def pragma(name: str) -> object:
        return registry._connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert (pragma("journal_mode"), pragma("synchronous"), pragma("foreign_keys"), pragma("secure_delete")) == ("delete", 3, 1, 1)


def _add_many(path: Path, prefix: str, count: int) -> None:
    with Registry.open(path) as registry:
        for number in range(count):
            registry.add(Meter(f"{prefix}{number}", "10.0.0.1", 3333), b"pw")
            registry.list()


def test_two_processes_create_and_write_at_once_and_nothing_is_lost(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_many, args=(path, prefix, 15)) for prefix in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    with Registry.open(path) as registry:
        assert {meter.name for meter in registry.list()} == {f"{prefix}{n}" for prefix in "ab" for n in range(15)}
    assert [file.name for file in path.parent.iterdir()] == ["registry.db"]


def test_threads_share_one_registry(registry: Registry) -> None:
    def work(prefix: str) -> None:
        for number in range(10):
            registry.add(Meter(f"{prefix}{number}", "10.0.0.1", 3333))
            registry.keep_learned(f"{prefix}{number}", Learned(prefix))

    threads = [threading.Thread(target=work, args=(prefix,)) for prefix in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.list()) == 30


def test_a_lock_that_is_never_given_up_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.store.database.BUSY_TIMEOUT_S", 0.05)
    with Registry.open(path) as registry, Registry.open(path) as holder:
        holder._connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistryError, match=r"another program has held it for more than 0\.05 s; try again"):
            registry.add(M1)
        assert registry.list() == ()
        holder._connection.execute("ROLLBACK")
        registry.add(M1)


def test_kill_9_in_the_middle_of_a_change_leaves_the_old_state(path: Path) -> None:
    with Registry.open(path) as registry:
        registry.add(M1, SECRET)
    program = (
        "import os, signal, sys; from pathlib import Path; from edge.store.registry import Registry\n"
        "r = Registry.open(Path(sys.argv[1])); c = r._connection\n"
        "c.execute('PRAGMA cache_spill = 1'); c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN IMMEDIATE')\n"
        "c.execute(\"UPDATE meters SET host = 'half'\"); c.execute('CREATE TABLE filler (x)')\n"
        "c.executemany('INSERT INTO filler VALUES (randomblob(4000))', [()] * 50); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == -9
    assert path.with_name("registry.db-journal").exists(), "the change had reached the file"
    with Registry.open(path) as registry:
        assert registry.list() == (M1,)
        assert registry.password("m1") == SECRET


def test_a_full_disk_is_one_line_and_changes_nothing(registry: Registry) -> None:
    registry.add(M1)
    pages = registry._connection.execute("PRAGMA page_count").fetchone()[0]
    registry._connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(500):
            registry.add(Meter(f"filler{number}", "a" * 60 + ".example", 1))

    with pytest.raises(RegistryError, match="the disk is full"):
        fill()
    assert registry.get("m1") == M1


def test_used_after_closing_is_one_line(registry: Registry) -> None:
    registry.close()
    registry.close()
    with pytest.raises(RegistryError, match="is closed already"):
        registry.list()


def test_an_older_file_is_brought_up_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.store import database, schema

    def now_known(*more: str) -> None:
        for module in (schema, database):
            monkeypatch.setattr(module, "MIGRATIONS", (*first, *more))

    first = schema.MIGRATIONS
    with Registry.open(path) as registry:
        registry.add(M1, SECRET)
    broken = "CREATE TABLE alarms (id INTEGER PRIMARY KEY);\nCREATE TABLE meters (again);\n"
    now_known(broken)
    with pytest.raises(RegistryError, match="table meters already exists"):
        Registry.open(path)
    now_known("CREATE TABLE alarms (id INTEGER PRIMARY KEY);\n", "ALTER TABLE alarms ADD COLUMN text TEXT;\n")
    with Registry.open(path) as registry:
        assert registry._connection.execute("PRAGMA user_version").fetchone()[0] == len(first) + 2
        assert registry._connection.execute("SELECT id, text FROM alarms").fetchall() == []
        assert (registry.list(), registry.password("m1")) == ((M1,), SECRET)


# -- permissions and progress

def test_permissions_are_given_one_by_one_and_end_with_the_meter(registry: Registry) -> None:
    registry.add(M1)
    version = registry.data_version()
    assert registry.permitted() == {}
    assert registry.permit("m1", "relay", allowed=True) is True
    assert registry.permit("m1", "relay", allowed=True) is False
    assert registry.permitted() == {"m1": {"relay"}}
    assert registry.data_version() == version, "nobody's polling changes by it"
    with pytest.raises(RegistryError, match="no meter is named"):
        registry.permit("m2", "relay", allowed=True)
    registry.remove("m1")
    registry.add(M1)
    assert registry.permitted() == {}, "a meter that is registered anew has none"
    assert registry.permit("m1", "relay", allowed=False) is False


def test_progress_belongs_to_the_meter_that_made_it(registry: Registry, path: Path) -> None:
    registry.add(M1)
    assert registry.progress("m1", "events") == ""
    registry.keep_learned("m1", Learned("4711"))
    registry.keep_progress("m1", "events", "so far")
    registry.keep_progress("m1", "image", "{}")
    with Registry.open(path) as again:
        assert again.progress("m1", "events") == "so far"
    registry.keep_learned("m1", Learned("0815"))
    assert registry.progress("m1", "events") == "", "another meter stands there"
    registry.keep_learned("m1", Learned("4711"))
    assert registry.progress("m1", "events") == "so far", "and back again: nothing was thrown away"
    registry.keep_progress("m1", "events", "")
    assert registry.progress("m1", "events") == ""
    assert registry.progress("m1", "image") == "{}"
    registry.remove("m1")
    registry.keep_progress("m1", "image", "too late")
    registry.add(M1)
    registry.keep_learned("m1", Learned("4711"))
    assert registry.progress("m1", "image") == ""

"""A damaged registry file: one line that says what to do, and the file stays as it was."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import RegistryError
from edge.model import Learned, Meter
from edge.store.database import MIGRATIONS
from edge.store.registry import Registry

SECRET = b"s3cr3t-99"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "registry.db"
    with Registry.open(path) as registry:
        for number in range(40):
            registry.add(Meter(f"meter-{number}", "10.0.0.1", 3333), SECRET)
            registry.keep_learned(f"meter-{number}", Learned("x" * 50))
    return path


def refused(path: Path) -> str:
    before = path.read_bytes()
    with pytest.raises(RegistryError) as caught:
        Registry.open(path)
    assert path.read_bytes() == before
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    return text


@pytest.mark.parametrize("raw", [b"", b"\n", b"SQLite format 3\0", b"name,host,port\n" * 500, bytes(8192), b"\xff" * 5000])
def test_other_bytes_are_refused_with_what_to_do(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(raw)
    assert "restore it, or move it away and import the meters again" in refused(path)


def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meters (name)")
    connection.close()
    assert "an SQLite file of another program" in refused(path)


def test_a_newer_version_s_file_is_refused(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "registry.db"
    shutil.copy(good, path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    assert "written by a newer version" in refused(path)


def test_a_directory_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.db").mkdir()
    with pytest.raises(RegistryError, match="is not a file"):
        Registry.open(tmp_path / "registry.db")


def test_a_file_that_vanished_is_not_silently_made_anew(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "registry.db"
    shutil.copy(good, path)
    path.chmod(0o600)
    with Registry.open(path) as registry:
        path.unlink()
        with pytest.raises(RegistryError):
            registry.add(Meter("m", "h", 1))
    assert not path.exists()


def test_rows_that_no_meter_may_have_are_refused_without_a_traceback(tmp_path: Path, good: Path) -> None:
    for column, value in (("host", "a b"), ("profile", "P P"), ("port", 3.5), ("mac", "x" * 17)):
        path = tmp_path / f"{column}.db"
        shutil.copy(good, path)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE meters SET {column} = ? WHERE name = 'meter-3'", (value,))
        connection.commit()
        connection.close()
        with pytest.raises(RegistryError, match="restore it"), Registry.open(path) as registry:
            registry.list()


def test_unreadable_learned_facts_are_learned_again(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "registry.db"
    shutil.copy(good, path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE learned SET data = '{\"scalers\": 3' WHERE meter = 'meter-3'")
    connection.commit()
    connection.close()
    with Registry.open(path) as registry:
        assert registry.learned("meter-3") == Learned()
        assert registry.learned("meter-4") == Learned("x" * 50)


damage = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
    st.tuples(st.just("overwrite"), st.floats(0, 1), st.binary(min_size=1, max_size=64)),
    st.tuples(st.just("page"), st.floats(0, 1), st.integers().map(lambda seed: random.Random(seed).randbytes(4096))),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(damage)
def test_any_damage_is_one_line_or_harmless(tmp_path: Path, good: Path, done: tuple[str, float, bytes]) -> None:
    kind, where, new = done
    raw = good.read_bytes()
    at = int(where * len(raw))
    if kind == "page":
        at -= at % 4096
    raw = raw[:at] if kind == "cut" else (raw[:at] + new + raw[at + len(new):])[:len(raw)]
    path = tmp_path / "registry.db"
    path.with_name("registry.db-journal").unlink(missing_ok=True)
    path.write_bytes(raw)
    path.chmod(0o600)
    told = ""
    try:
        with Registry.open(path) as registry:
            for meter in registry.list():
                registry.password(meter.name)
                registry.learned(meter.name)
                registry.set_paused(meter.name, True)
            registry.data_version()
            registry.add(Meter("new", "10.0.0.1", 1), b"pw")
            registry.remove("new")
    except RegistryError as error:
        told = str(error)
    assert told.isprintable()
    assert SECRET.decode() not in told

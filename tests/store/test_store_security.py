"""Keys go in and never come out but to the association; counters never come twice; older files open."""

import dataclasses
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import RegistryError
from edge.model import Keys, Learned, Meter
from edge.store import database, schema
from edge.store.counters import COUNTER_END
from edge.store.registry import Registry

EK, AK = b"KEYKEYKEYKEYKEY1", b"KEYKEYKEYKEYKEY2"
M = Meter("m", "10.0.0.1", 4059, authentication="hls-gmac", security="both", security_suite=0, ciphering="glo",
          client_title="4847570000000001", meter_title="4752580000000001", counter_obis="0-0:43.1.3.255")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


# -- keys -----------------------------------------------------------------------------------------------------------------

def test_keys_are_kept_beside_the_meter_and_shown_nowhere(path: Path) -> None:
    with Registry.open(path) as registry:
        registry.add(M, b"secret-of-hls", Keys(EK, AK))
        registry.add(dataclasses.replace(M, name="n"))
    with Registry.open(path) as registry:
        assert registry.list() == (M, dataclasses.replace(M, name="n"))
        assert registry.keys("m") == Keys(EK, AK)
        assert registry.keys("n") == Keys()
        assert registry.with_keys() == {"m": {"encryption_key", "authentication_key"}}
        for shown in (repr(registry.list()), repr(registry.keys("m")), str(registry.keys("m")), registry.export_csv()):
            assert "KEYKEY" not in shown
            assert EK.hex() not in shown
        registry.set_keys("m", encryption=b"k" * 32)
        assert registry.keys("m") == Keys(b"k" * 32, AK)
        registry.set_keys("m", authentication=b"")
        assert registry.with_keys() == {"m": {"encryption_key"}}
        registry.remove("m")
        assert registry.with_keys() == {}
        assert registry._connection.execute("SELECT * FROM secrets").fetchall() == []


def test_a_change_of_keys_is_a_change_that_the_gateway_sees(path: Path) -> None:
    with Registry.open(path) as registry:
        registry.add(M)
        before = registry.data_version()
        registry.set_keys("m", encryption=EK)
        assert registry.data_version() == before + 1
        registry.reserve_counters("s", 5)
        assert registry.data_version() == before + 1, "counting is no change"


@pytest.mark.parametrize("length", [1, 15, 17, 24, 31, 33, 64])
def test_what_has_no_keys_length_is_refused_without_showing_it(path: Path, length: int) -> None:
    with Registry.open(path) as registry:
        registry.add(M)
        with pytest.raises(RegistryError, match=f"encryption_key: has {length} bytes; a key has 16, or 32") as caught:
            registry.set_keys("m", encryption=b"K" * length)
        assert "KKK" not in str(caught.value).replace("HKK", "")
        with pytest.raises(RegistryError, match="no meter is named"):
            registry.set_keys("other", encryption=EK)


@pytest.mark.parametrize("column", ["encryption_key", "authentication_key", "key", "guek", "gak", "hls_secret", "dedicated_key"])
def test_csv_takes_no_keys(path: Path, column: str) -> None:
    with Registry.open(path) as registry:
        with pytest.raises(RegistryError, match="CSV takes no keys") as caught:
            registry.import_csv(f"name,host,port,{column}\nm,h,1,00112233445566778899aabbccddeeff\n")
        assert "0011" not in str(caught.value)
        assert registry.list() == ()


def test_security_settings_travel_by_csv_and_back(path: Path) -> None:
    with Registry.open(path) as registry:
        registry.add(M, keys=Keys(EK, AK))
        text = registry.export_csv()
        registry.remove("m")
        registry.import_csv(text.replace("4752580000000001", "475258000000000A"))
        assert registry.get("m") == dataclasses.replace(M, meter_title="475258000000000a")
        assert registry.keys("m") == Keys()


@pytest.mark.parametrize(("changes", "text"), [
    ({"client_title": "HGW00001"}, "client_title = 'hgw00001': must be 16 hexadecimal digits"),
    ({"meter_title": "47"}, "meter_title = '47': must be 16 hexadecimal digits"),
    ({"meter_title": "4847570000000001"}, "each side needs another"),
    ({"counter_obis": "43.1.0"}, "counter_obis = '43.1.0': must be an OBIS code"),
])
def test_settings_that_cannot_be_are_refused(path: Path, changes: dict[str, str], text: str) -> None:
    with Registry.open(path) as registry, pytest.raises(RegistryError, match=text):
        registry.add(dataclasses.replace(M, **changes))


def test_every_registry_has_a_system_title_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    titles = []
    for name in ("a.db", "b.db"):
        with Registry.open(tmp_path / name) as registry:
            titles.append(registry.client_title())
        with Registry.open(tmp_path / name) as registry:
            assert registry.client_title() == titles[-1]
    assert titles[0] != titles[1]
    assert all(title[:3] == b"HGW" and len(title) == 8 for title in titles)


# -- counters -----------------------------------------------------------------------------------------------------------------

@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 2_000), st.integers(0, 10_000)), max_size=20))
def test_blocks_never_overlap(requests: list[tuple[str, int, int]]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        registry = Registry(connection, Path("registry.db"))
        given_out: dict[str, list[range]] = {"a": [], "b": []}
        for scope, count, at_least in requests:
            first = registry.reserve_counters(scope, count, at_least)
            assert first >= at_least
            assert not given_out[scope] or first >= given_out[scope][-1].stop
            given_out[scope].append(range(first, first + count))


def test_the_end_of_32_bits_is_an_error_and_not_the_beginning(path: Path) -> None:
    with Registry.open(path) as registry:
        assert registry.reserve_counters("s", 10, COUNTER_END - 10) == COUNTER_END - 10
        for count in (1, 0, -5):
            with pytest.raises(RegistryError, match="used up"):
                registry.reserve_counters("s", count)
        with pytest.raises(RegistryError, match="give the meter another key"):
            registry.reserve_counters("other", 10, COUNTER_END - 5)
        assert registry.reserve_counters("other", 10) == 0


def test_a_meter_that_is_registered_again_goes_on_counting(path: Path) -> None:
    with Registry.open(path) as registry:
        registry.add(M)
        assert registry.reserve_counters("digest of its key", 100) == 0
        registry.remove("m")
        registry.add(M)
        assert registry.reserve_counters("digest of its key", 100) == 100


def test_two_processes_and_many_threads_never_get_the_same_block(path: Path) -> None:
    with Registry.open(path) as one, Registry.open(path) as two:
        firsts: list[int] = []

        def take(registry: Registry) -> None:
            firsts.extend(registry.reserve_counters("s", 10) for _ in range(15))

        threads = [threading.Thread(target=take, args=(registry,)) for registry in (one, two, one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(firsts) == list(range(0, 600, 10))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_no_counter_is_used_twice_however_often_the_program_is_killed(path: Path, size: int) -> None:
    """kill -9 at any moment: between the reservation and its use, in the middle of a commit, in the middle of a block."""
    rng = random.Random(size)
    used: list[int] = []
    with Registry.open(path):
        pass
    victim = Path(__file__).with_name("counter_victim.py")
    for _ in range(12):
        process = subprocess.Popen([sys.executable, str(victim), str(path), str(size)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        # After the first line it works; from there on any moment will do.
        seen = [process.stdout.readline() for _ in range(1 + rng.randrange(4 * size + 8))]
        process.send_signal(signal.SIGKILL)
        rest, _nothing = process.communicate()
        lines = [*seen, *rest.splitlines(keepends=True)]
        used += [int(line) for line in lines if line.endswith("\n")]
    assert len(used) > 12
    assert used == sorted(set(used))
    with Registry.open(path) as registry:
        assert registry.reserve_counters("scope", 1) > used[-1]


# -- older files ----------------------------------------------------------------------------------------------------------------

def test_a_registry_of_the_first_schema_opens_with_everything_in_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (schema, database):
        monkeypatch.setattr(module, "MIGRATIONS", schema.MIGRATIONS[:1])
    old = Meter("Zähler 1", "10.0.0.1", 3333, "microstar", "hdlc", 16, 1, 17, 4, "lls", 5.0, True, "02:00:5e:10:00:01")
    database._create(path)
    with closing(database._connect(path)) as connection:
        names = [field.name for field in dataclasses.fields(Meter)][:13]
        connection.execute(f"INSERT INTO meters ({', '.join(names)}) VALUES ({', '.join('?' * 13)})",
                           [getattr(old, name) for name in names])
        connection.execute("INSERT INTO secrets VALUES ('Zähler 1', 'password', x'3132')")
        connection.execute("INSERT INTO learned VALUES ('Zähler 1', '{\"identity\":\"4711\",\"list_limit\":9,\"scalers\":{}}')")
        version = connection.execute("SELECT version FROM change").fetchone()[0]
    monkeypatch.undo()
    with Registry.open(path) as registry:
        assert registry.list() == (old,)
        assert registry.password(old.name) == b"12"
        assert registry.learned(old.name) == Learned("4711", 9, {})
        assert registry.data_version() == version
        assert registry._connection.execute("PRAGMA foreign_key_check").fetchall() == []
        registry.update(dataclasses.replace(old, authentication="hls-gmac", security="both"))
        registry.set_keys(old.name, encryption=EK, authentication=AK)
        assert registry.data_version() == version + 3
        registry.remove(old.name)                      # still takes its secrets along
        assert registry._connection.execute("SELECT count(*) FROM secrets").fetchone() == (0,)
        assert registry._connection.execute("SELECT count(*) FROM learned").fetchone() == (0,)
    with closing(sqlite3.connect(path)) as migrated, closing(sqlite3.connect(":memory:")) as fresh:
        schema.migrate(fresh)
        query = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
        assert migrated.execute(query).fetchall() == fresh.execute(query).fetchall()

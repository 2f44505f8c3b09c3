"""Backups: one file, sealed, taken beside writers; and back, whole or not at all, wherever the power fails."""

import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_site import Site
from foreign_site import WireMeter, desk_of, served, session

from edge.config import PollSettings
from edge.configfile import load
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.settings import Security
from edge.errors import ConfigError, RegistryError
from edge.meters.profile import load_profiles
from edge.model import Keys, Meter
from edge.poll.addressing import association_settings
from edge.ring.fs import lock_directory
from edge.store.copying import FAR, NEAR, make_ready, raised, snapshot
from edge.store.counters import COUNTER_END
from edge.store.registry import Registry
from edge.support import restore as restoring
from edge.support.backup import packed, unpacked
from edge.support.sealing import Header, header_of, seal, unseal

PHRASE = "correct horse battery"
SECRETS = (b"m1-password", bytes(range(0xA0, 0xB0)), b"tok3n-of-the-gateway")
SCOPE = "ab" * 32
LEFT = {"restoring", "registry.db-journal"}      # what a cut may leave: of no worth, deleted by the next restore


@pytest.fixture
def site(site: Site) -> Iterator[Site]:
    """In memory, where there is room: that syncs hold is tests/crash's to prove."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as base:
        yield Site(Path(base))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edge.support.sealing.N", 2**10)      # the cost is measured elsewhere
    (tmp_path / "phrase").write_text(f"{PHRASE}\n")


def furnish(site: Site, meters: int = 2) -> None:
    site.configure("slot_mib = 1\n[uplink]\nenabled = false\n")
    site.good("init")
    (site.state_dir / "uplink.token").write_bytes(SECRETS[2])
    (site.state_dir / "profiles").mkdir(exist_ok=True)
    (site.state_dir / "profiles/own.toml").write_text("# one's own\n")
    with site.registry() as registry:
        for number in range(1, meters + 1):
            registry.add(Meter(f"m{number}", f"10.0.0.{number}", 4059), SECRETS[0], Keys(SECRETS[1]))
        registry.reserve_counters(SCOPE, 1_000)
        registry.keep_heard({"push": 77})


def backup(site: Site, name: str = "b") -> Path:
    site.good("backup", name, "--passphrase-file", "phrase")
    return Path(name)


def counters(site: Site) -> dict[str, int]:
    with sqlite3.connect(site.state_dir / "registry.db") as connection:
        return dict(connection.execute("SELECT scope, next FROM counters").fetchall())


def names(site: Site) -> set[str]:
    with site.registry() as registry:
        return {meter.name for meter in registry.list()}


def test_there_and_back_with_every_secret_and_none_in_the_clear(site: Site, tmp_path: Path) -> None:
    furnish(site)
    path = backup(site)
    raw = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [secret for secret in SECRETS if secret in raw or secret.hex().encode() in raw]
    assert header_of(raw).meters == 2
    before = (site.state_dir / "device.key").read_bytes()
    site.good("meter", "remove", "m1", "--yes")
    (site.state_dir / "uplink.token").unlink()
    (site.state_dir / "device.key").write_text("other")
    (site.state_dir / "profiles/own.toml").write_text("# another\n")
    site.config.write_text(site.config.read_text() + "[poll]\ninterval_s = 5.0\n")
    told = site.good("restore", "b", "--passphrase-file", "phrase", "--yes")
    assert "Restored halow-gateway-" in told
    assert names(site) == {"m1", "m2"}
    with site.registry() as registry:
        assert (registry.password("m1"), registry.keys("m1").encryption) == SECRETS[:2]
    assert (site.state_dir / "uplink.token").read_bytes() == SECRETS[2]
    assert (site.state_dir / "device.key").read_bytes() == before
    assert (site.state_dir / "profiles/own.toml").read_text() == "# one's own\n"
    assert "interval_s" not in site.config.read_text()
    assert not (site.state_dir / "restoring").exists()
    assert {stat.S_IMODE((site.state_dir / name).stat().st_mode) for name in ("registry.db", "uplink.token", "device.key")} == {0o600}


def test_without_secrets_there_are_none_not_even_deleted_ones_and_those_here_stay(site: Site) -> None:
    furnish(site)
    told = site.good("backup", "plain", "--without-secrets")
    assert "without secrets, not encrypted" in told
    files = unpacked(unseal(Path("plain").read_bytes(), ""))
    assert not [name for name, data in files.items() for secret in SECRETS if secret in data]
    assert "uplink.token" not in files
    site.good("restore", "plain", "--yes")
    with site.registry() as registry:
        assert registry.password("m1") == SECRETS[0], "kept: the meter is the same"


def test_secrets_are_never_written_in_the_clear(site: Site) -> None:
    furnish(site)
    assert "give --passphrase-file FILE, or --without-secrets" in site.misused("backup", "b")
    Path("short").write_text("hunter2\n")
    assert "a passphrase has at least 10 characters" in site.refused("backup", "b", "--passphrase-file", "short")[0]
    with pytest.raises(ConfigError, match="not written in the clear"):
        seal(Header(gateway="g", id="i", version="1", made_ms=0, meters=0, secrets=True), b"x", "")
    assert not Path("b").exists()


def test_what_is_altered_cut_off_or_opened_with_another_phrase_changes_nothing(site: Site) -> None:
    furnish(site)
    raw = backup(site).read_bytes()
    site.good("meter", "remove", "m1", "--yes")
    Path("other").write_text("another passphrase\n")
    assert "another passphrase, or the file is damaged" in site.refused("restore", "b", "--passphrase-file", "other", "--yes")[0]
    head = raw.index(b"\n", raw.index(b"\n") + 1)
    for place in (0, 12, 40, head + 1, head + 20, len(raw) - 1):
        Path("bad").write_bytes(raw[:place] + bytes((raw[place] ^ 1,)) + raw[place + 1:])
        site.refused("restore", "bad", "--passphrase-file", "phrase", "--yes")
    for end in (0, 10, 60, head, len(raw) // 2, len(raw) - 1):
        Path("bad").write_bytes(raw[:end])
        site.refused("restore", "bad", "--passphrase-file", "phrase", "--yes")
    assert names(site) == {"m2"}
    with pytest.raises(ConfigError, match="belongs into no backup"):
        unpacked(packed({"registry.db": b"", "../../etc/passwd": b"x"}))
    linked = io.BytesIO()
    with tarfile.open(fileobj=linked, mode="w:gz") as tar:
        entry = tarfile.TarInfo("device.key")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(entry)
    with pytest.raises(ConfigError, match="belongs into no backup"):
        unpacked(linked.getvalue())


def test_another_gateways_is_refused_unless_adopted(site: Site, tmp_path: Path) -> None:
    furnish(site)
    backup(site)
    (tmp_path / "spare").mkdir()
    spare = Site(tmp_path / "spare")
    spare.configure("slot_mib = 1\n[uplink]\nenabled = false\n")
    spare.good("init")
    args = ("restore", str(tmp_path / "b"), "--passphrase-file", "phrase", "--yes", "--keep-settings")
    mine = (spare.state_dir / "device.id").read_text()
    assert "it is the backup of another gateway (halow-gateway-" in spare.refused(*args)[-1]
    assert (spare.state_dir / "device.id").read_text() == mine
    spare.good(*args, "--adopt")
    assert (spare.state_dir / "device.id").read_text() == (site.state_dir / "device.id").read_text()
    assert names(spare) == {"m1", "m2"}


def test_a_running_gateway_is_not_restored_over(site: Site) -> None:
    furnish(site)
    backup(site)
    lock = lock_directory(site.state_dir / "ring")
    assert lock is not None
    try:
        assert "the gateway runs: ring" in site.refused("restore", "b", "--passphrase-file", "phrase", "--yes")[0]
        assert not (site.state_dir / "restoring").exists()
    finally:
        os.close(lock)


def test_a_copy_is_whole_while_others_write(site: Site) -> None:
    furnish(site)
    done = threading.Event()

    def write() -> None:
        with site.registry() as registry:
            number = 0
            while not done.wait(0.002):
                number += 1
                registry.keep_all_progress("backfill", {"m1": f"{number}", "m2": f"{number}"})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            with sqlite3.connect(":memory:") as copy:
                copy.deserialize(snapshot(site.state_dir / "registry.db", with_secrets=True))
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert len(set(copy.execute("SELECT data FROM progress").fetchall())) <= 1, "half of a change"
    finally:
        done.set()
        thread.join()


# -- invocation counters ------------------------------------------------------------------------------------------------

def test_counters_go_on_ahead_of_everything_that_may_have_been_used(site: Site) -> None:
    furnish(site)
    backup(site)
    with site.registry() as registry:
        used = registry.reserve_counters(SCOPE, 1_000) + 1_000
        registry.keep_heard({"push": 99})
    site.good("restore", "b", "--passphrase-file", "phrase", "--yes")
    assert counters(site)[SCOPE] == used + NEAR, "the registry here knew how far it was"
    assert counters(site)["heard:push"] == 100
    (site.state_dir / "registry.db").unlink()      # a new card: nobody knows how many were used since
    site.good("restore", "b", "--passphrase-file", "phrase", "--yes")
    assert counters(site)[SCOPE] >= 1_000 + FAR
    assert counters(site)["heard:push"] == 78


def test_the_rule_for_counters() -> None:
    assert raised({"a": 5}, {"a": 9}, 0) == {"a": 9 + NEAR}
    assert raised({"a": 9}, {"a": 5}, 0) == {"a": 9 + FAR}, "a registry that was made anew since knows nothing"
    assert raised({"a": 9}, {}, 86_400) == {"a": 9 + FAR + 345_600}
    assert raised({"a": 9}, {}, -1e9) == {"a": 9 + FAR}, "a clock of 1970 takes nothing back"
    assert raised({}, {"b": 3}, 0) == {"b": 3 + NEAR}
    assert raised({"a": COUNTER_END - 5}, {}, 0) == {"a": COUNTER_END}


def test_used_up_means_another_key_and_never_a_number_twice(site: Site) -> None:
    furnish(site)
    with site.registry() as registry:
        registry.reserve_counters(SCOPE, 1, COUNTER_END - 10)
    backup(site)
    (site.state_dir / "registry.db").unlink()
    site.good("restore", "b", "--passphrase-file", "phrase", "--yes")
    with site.registry() as registry, pytest.raises(RegistryError, match="give the meter another key"):
        registry.reserve_counters(SCOPE, 1)


async def test_a_ciphered_meter_never_sees_a_number_twice(site: Site) -> None:
    """Over a backup, work after it, the loss of the card, and the restore."""
    settings = association_settings(
        Meter("m", "127.0.0.1", 1, framing="wrapper", client_sap=3, server_logical=1, authentication="hls-gmac", security="both",
              client_title=b"HGWclnt1".hex()), load_profiles()["generic-three-phase"], b"", PollSettings(),
        Keys(bytes(range(16)), bytes(range(0xD0, 0xE0))))
    meter, path = WireMeter(), site.state_dir / "registry.db"

    async def read(port: int) -> None:
        with Registry.open(path) as registry:
            async with session(port, settings, desk_of(settings, registry)) as link:
                await link.get([Attribute(3, Obis.parse("1-0:32.7.0"), 2)])

    async with served(meter) as port:
        await read(port)
        copy = snapshot(path, with_secrets=True)
        await read(port)
        path.unlink()
        make_ready(copy, path, path, age_s=3_600)
        before = list(meter.heard_counters)
        await read(port)
    after = meter.heard_counters[len(before):]
    assert len(set(meter.heard_counters)) == len(meter.heard_counters) > 6
    assert min(after) > max(before) + FAR - 10_000


# -- power cuts ------------------------------------------------------------------------------------------------------------

class Cut(BaseException):
    """The power has failed: nothing that the process would still do reaches the medium."""


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Fail the nth call that changes the medium, and every one after it."""
    meter = {"left": 1 << 30, "calls": 0}

    def guard(name: str) -> None:
        original = getattr(os, name)

        def call(*args: object, **more: object) -> object:
            meter["calls"] += 1
            meter["left"] -= 1
            if meter["left"] < 0:
                raise Cut
            return original(*args, **more)

        monkeypatch.setattr(os, name, call)

    monkeypatch.setattr(os, "fsync", lambda _handle: None)      # what is written is there: here it is about the order
    for name in ("rename", "replace", "link", "unlink", "mkdir", "rmdir", "fsync", "write", "chmod", "fchmod"):
        guard(name)
    yield meter
    meter["left"] = 1 << 30


def facts(site: Site) -> tuple[object, ...]:
    return (frozenset(names(site)), (site.state_dir / "uplink.token").read_bytes(), (site.state_dir / "profiles/own.toml").read_text(),
            site.config.read_text(), sorted(path.name for path in site.state_dir.iterdir() if ".new" not in path.name and path.name not in LEFT))


def test_a_power_cut_at_any_step_leaves_the_old_or_the_new(site: Site, power: dict[str, int]) -> None:
    furnish(site)
    files = unpacked(unseal(backup(site).read_bytes(), PHRASE))
    new = facts(site)
    with site.registry() as registry:
        registry.remove("m1")
    (site.state_dir / "uplink.token").write_text("old")
    (site.state_dir / "profiles/own.toml").write_text("# old\n")
    site.config.write_text(site.config.read_text() + "# old\n")
    old = facts(site)
    settings = load(site.config)
    keep = {path: path.read_bytes() for path in (site.config, *(
        site.state_dir / name for name in ("registry.db", "uplink.token", "profiles/own.toml")))}
    seen = set()
    for calls in range(1, 500):
        for path, data in keep.items():
            path.write_bytes(data)
        (site.state_dir / "registry.db-journal").write_bytes(b"of the old file")
        power["left"] = calls
        try:
            restoring.restore(files, settings, site.config, age_s=0)
            cut = False
        except Cut:
            cut = True
        power["left"] = 1 << 30
        restoring.finish(site.state_dir)
        now = facts(site)
        assert now in (old, new), f"half, after {calls} calls"
        seen.add("new" if now == new else "old")
        if not cut:
            break
    assert not cut
    assert seen == {"old", "new"}
    assert calls > 30
    assert not (site.state_dir / "restoring").exists()


def test_the_next_start_ends_what_was_cut_before_anything_is_opened(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(site)
    backup(site)
    site.good("meter", "remove", "m1", "--yes")

    def cut(*_: object) -> None:
        raise Cut

    monkeypatch.setattr("edge.support.restore._put", cut)
    with pytest.raises(Cut):
        site("restore", "b", "--passphrase-file", "phrase", "--yes")
    monkeypatch.undo()
    monkeypatch.chdir(site.base)
    assert (site.state_dir / "restoring/commit.json").exists()
    assert "BAD   gateway.state_dir: a restore was cut; `halow-gateway restore` it again" in site("check").stdout
    told = json.loads(site.good("init", "--json"))
    assert [part["text"] for part in told["parts"] if part["name"] == "registry"] == ["registry.db, 2 meters"]
    assert not (site.state_dir / "restoring").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_restores_is_the_gateways(site: Site) -> None:
    furnish(site)
    (site.state_dir / "ring.key").write_text("ab" * 32)
    backup(site)
    shutil.rmtree(site.state_dir)
    site.state_dir.mkdir(mode=0o700)
    os.chown(site.state_dir, 12_345, 12_346)
    site.config.chmod(0o640)
    os.chown(site.config, 0, 12_346)
    site.base.chmod(0o755)
    site.good("restore", "b", "--passphrase-file", "phrase", "--yes")
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in site.state_dir.rglob("*")}
    assert owners == {(12_345, 12_346)}
    assert (site.config.stat().st_uid, site.config.stat().st_gid, stat.S_IMODE(site.config.stat().st_mode)) == (0, 12_346, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is in danger here")
def test_root_follows_no_link_that_the_gateway_has_laid(site: Site, tmp_path: Path) -> None:
    """Whoever has got hold of the gateway owns its directory, and must not get the machine by root's help."""
    furnish(site)
    backup(site)
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o700)
    (precious / "shadow").write_text("root")
    (precious / "shadow").chmod(0o600)
    site.base.chmod(0o755)
    shutil.rmtree(site.state_dir)
    site.state_dir.mkdir(mode=0o700)
    (site.state_dir / "restoring").symlink_to(precious)
    os.chown(site.state_dir, 12_345, 12_346)
    site("restore", "b", "--passphrase-file", "phrase", "--yes")
    assert (precious / "shadow").read_text() == "root"
    assert [path.name for path in precious.iterdir()] == ["shadow"]
    (site.state_dir / "restoring").unlink()
    (site.state_dir / "restoring").mkdir()
    (site.state_dir / "restoring/x").symlink_to(precious / "shadow")
    (site.state_dir / "restoring/y").write_text("mine")
    (site.state_dir / "restoring/commit.json").write_text(json.dumps([
        {"name": "x", "to": str(site.state_dir / "stolen"), "mode": 0o666}, {"name": "x", "to": str(site.state_dir / "profiles/stolen"), "mode": 0o666},
        {"name": "y", "to": str(precious / "shadow"), "mode": 0o666}]))
    for path in (site.state_dir / "restoring", site.state_dir / "restoring/y", site.state_dir / "restoring/commit.json"):
        os.chown(path, 12_345, 12_346)
    site("init")
    assert (precious / "shadow").read_text() == "root"
    assert stat.S_IMODE((precious / "shadow").stat().st_mode) == 0o600
    assert not [path for path in site.state_dir.rglob("stolen") if path.is_file()]


def test_the_rings_key_here_is_not_replaced(site: Site) -> None:
    furnish(site)
    (site.state_dir / "ring.key").write_text("ab" * 32)
    backup(site)
    (site.state_dir / "ring.key").write_text("cd" * 32)
    assert "ring.key: the ring here may be encrypted with it" in site.good("restore", "b", "--passphrase-file", "phrase", "--yes")
    assert (site.state_dir / "ring.key").read_text() == "cd" * 32
    (site.state_dir / "ring.key").unlink()
    site.good("restore", "b", "--passphrase-file", "phrase", "--yes")
    assert (site.state_dir / "ring.key").read_text() == "ab" * 32


def test_settings_that_this_version_does_not_take_are_told_and_can_stay(site: Site) -> None:
    furnish(site)
    files = unpacked(unseal(backup(site).read_bytes(), PHRASE))
    files["gateway.toml"] = b"[poll]\nwarp = 9\n"
    header = header_of(Path("b").read_bytes())
    Path("new").write_bytes(seal(header, packed(files), PHRASE))
    lines = site.refused("restore", "new", "--passphrase-file", "phrase", "--yes")
    assert "poll.warp" in lines[0]
    assert lines[-1] == "these are the backup's settings; --keep-settings leaves yours"
    site.good("restore", "new", "--passphrase-file", "phrase", "--yes", "--keep-settings")


def test_the_scope_of_counters_is_key_and_title() -> None:
    """What makes it right to keep the title in a backup: with another one every scope would begin anew at the meter."""
    assert Security(b"HGW00001", SECRETS[1], SECRETS[1]).counter_scope != Security(b"HGW00002", SECRETS[1], SECRETS[1]).counter_scope


def test_a_registry_of_another_program_is_refused_before_anything_is_touched(site: Site) -> None:
    furnish(site)
    files = unpacked(unseal(backup(site).read_bytes(), PHRASE))
    files["registry.db"] = b"SQLite format 3\0" + bytes(100)
    Path("bad").write_bytes(seal(header_of(Path("b").read_bytes()), packed(files), PHRASE))
    site.refused("restore", "bad", "--passphrase-file", "phrase", "--yes")
    assert names(site) == {"m1", "m2"}

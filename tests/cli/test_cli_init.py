"""`halow-gateway init`: once, again, cut in the middle, on a disk that is full, beside a running gateway."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_site import Site

from edge import identity
from edge.api import cardcode, passwords
from edge.config import RingSettings
from edge.ring import reserve
from edge.ring.fs import OsFileSystem, lock_directory
from edge.ring.layout import quotas, slot_size

METERS = "name,host,port,password\nm1,10.0.0.1,4059,hunter2\nm2,10.0.0.2,4059,\n"


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The board's serial number, as the boot loader leaves it; none until a test writes one."""
    path = tmp_path / "serial-number"
    monkeypatch.setattr(identity, "BOARD_SERIAL", path)
    return path


@pytest.fixture
def small(site: Site) -> Site:
    site.config.write_text(site.config.read_text().replace("size_mib = 24", "size_mib = 1\nslot_mib = 0.03125\nrecord_limit_bytes = 4096"))
    return site


def parts(site: Site, *args: str, status: int = 0) -> dict[str, tuple[str, str]]:
    result = site("init", "--json", *args)
    assert result.exit_code == status, result.output
    return {part["name"]: (part["state"], part["text"]) for part in json.loads(result.stdout)["parts"]}


def whole(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time of change and content; a registry's or a key's bytes differ from run to run, never its own."""
    return {str(path.relative_to(directory)): (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(directory.rglob("*")) if path.is_file()}


def test_the_first_time_makes_everything_and_the_second_nothing(small: Site, board: Path) -> None:
    board.write_bytes(b"10000000ABCDEF01\0")
    text = small.good("init")
    assert text.splitlines()[0] == "made   identity: 10000000abcdef01, the board's serial number (device.id)"
    assert text.splitlines()[-1] == "This gateway is halow-gateway-10000000abcdef01."
    assert "made   ring: 32 slots, 1.0 MiB\n" in text
    before = whole(small.state_dir)
    assert {"device.id", "device.key", "registry.db", "ring/alarm/00000.slot", "ring/billing/00001.slot"} <= set(before)
    found = parts(small)
    assert {state for name, (state, _) in found.items() if name != "access token"} == {"found"}
    assert whole(small.state_dir) == before
    assert small.state_dir.stat().st_mode & 0o777 == 0o700


def test_the_key_is_p256_for_its_owner_alone_and_never_shown(small: Site) -> None:
    shown = small.good("init") + small.good("init", "--json")
    key = small.state_dir / "device.key"
    assert key.stat().st_mode & 0o777 == 0o600
    told = subprocess.run(["openssl", "pkey", "-in", str(key), "-noout", "-text"], check=True, capture_output=True, text=True).stdout
    assert "prime256v1" in told
    assert not any(line in shown for line in key.read_text().splitlines())
    key.chmod(0o644)
    assert parts(small)["device key"] == ("found", "device.key, P-256, other users could read it and cannot now")
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n", b"\xff" * 241])
def test_a_key_that_is_none_is_kept_and_named(small: Site, content: bytes) -> None:
    small.good("init")
    key = small.state_dir / "device.key"
    rest = content or key.read_bytes()[:-40]
    key.write_bytes(rest)
    state, text = parts(small, status=1)["device key"]
    assert (state, text) == ("failed", f"{key}: holds no P-256 key in PEM (PKCS #8); restore it, or move it away for a new one")
    assert key.read_bytes() == rest


@pytest.mark.parametrize("serial", [b"", b"0000000000000000\0", b"ffff", b"a b", b"\xff\xfe\x00", b"-abc-", b"x" * 300])
def test_a_board_without_a_usable_serial_number_gets_a_random_identity_and_keeps_it(small: Site, board: Path, serial: bytes) -> None:
    board.write_bytes(serial)
    small.good("init")
    word = (small.state_dir / "device.id").read_text()
    assert len(word) == 17
    assert parts(small)["identity"] == ("found", f"{word.strip()} (device.id)")


def test_storage_that_moved_to_another_board_keeps_its_identity_and_says_so(small: Site, board: Path) -> None:
    board.write_bytes(b"board-one\0")
    small.good("init")
    board.write_bytes(b"board-two\0")
    assert parts(small)["identity"] == ("found", "board-one, this board's serial number is board-two (device.id)")


def test_a_damaged_identity_is_mended_from_the_serial_number_or_told(small: Site, board: Path) -> None:
    small.good("init")
    (small.state_dir / "device.id").write_bytes(b"\0\xff" * 9)
    state, text = parts(small, status=1)["identity"]
    assert state == "failed"
    assert "holds no identity" in text
    assert identity.identify(small.state_dir) != identity.identify(small.state_dir), "for one run alone; the gateway starts all the same"
    board.write_bytes(b"board-one\0")
    assert parts(small)["identity"] == ("made", "board-one, the board's serial number (device.id)")


def test_meters_are_taken_once_so_that_later_changes_stay(small: Site) -> None:
    file = small.base / "meters.csv"
    file.write_text(METERS)
    assert parts(small, "--meters", str(file))["meters"][1].startswith(f"2 added, 0 as {file} says.")
    small.good("meter", "edit", "m1", "--host", "10.9.9.9")
    small.good("meter", "remove", "m2", "--yes")
    assert parts(small, "--meters", str(file))["meters"] == ("found", f"{file} was taken before")
    with small.registry() as registry:
        assert [(meter.name, meter.host) for meter in registry.list()] == [("m1", "10.9.9.9")]
        assert registry.password("m1") == b"hunter2"
    file.write_text(METERS.replace("10.0.0.1", "10.0.0.7"))
    assert parts(small, "--meters", str(file))["meters"][0] == "made"
    (small.state_dir / "registry.db").unlink()      # as the advice for a damaged one says
    assert parts(small, "--meters", str(file))["meters"][1].startswith("2 added")


def test_meters_with_a_wrong_line_are_all_refused_and_the_rest_is_made(small: Site) -> None:
    file = small.base / "meters.csv"
    file.write_text(METERS + "m3,10.0.0.3,0,\n")
    found = parts(small, "--meters", str(file), status=1)
    assert found["meters"] == ("failed", f"{file}: line 4: port = 0: must be from 1 to 65535")
    assert found["ring"][0] == "made"
    with small.registry() as registry:
        assert registry.list() == ()
    assert parts(small, "--meters", "/none.csv", status=1)["meters"] == ("failed", "/none.csv: cannot be read: No such file or directory")


def test_a_token_is_taken_once_and_never_shown(small: Site) -> None:
    file, token = small.base / "token", small.state_dir / "uplink.token"
    file.write_bytes(b"\xef\xbb\xbfA1_TEST_TOKEN\r\n")
    shown = small("init", "--token", str(file)).output + small("init", "--token", str(file), "--json").output
    assert "A1_TEST" not in shown
    assert (token.read_text(), token.stat().st_mode & 0o777) == ("A1_TEST_TOKEN\n", 0o600)
    token.write_text("B2_BY_HAND\n")
    assert parts(small, "--token", str(file))["access token"] == ("found", str(token))
    assert token.read_text() == "B2_BY_HAND\n"
    file.write_text("C3_NEW\n")
    assert parts(small, "--token", str(file))["access token"][0] == "made"
    assert token.read_text() == "C3_NEW\n"
    file.write_text("two words")
    assert parts(small, "--token", str(file), status=1)["access token"] == ("failed", f"{file}: holds no access token; it must be one word")
    assert token.read_text() == "C3_NEW\n"


def test_every_kind_of_credentials_is_taken_and_a_used_provision_secret_does_not_come_back(small: Site) -> None:
    files = {"password": b"a pass word\r\n", "certificate": b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n", "provision-secret": b"s\n"}
    words = []
    for option, raw in files.items():
        (small.base / option).write_bytes(raw)
        words += [f"--{option}", str(small.base / option)]
    found = parts(small, *words)
    assert {found[name][0] for name in ("password", "certificate", "provision secret")} == {"made"}
    assert (small.state_dir / "uplink.password").read_bytes() == b"a pass word\n"
    assert (small.state_dir / "device.pem").read_bytes() == files["certificate"]
    secret = small.state_dir / "provision.secret"
    assert (secret.read_bytes(), secret.stat().st_mode & 0o777) == (b"s\n", 0o600)
    secret.unlink()
    assert parts(small, *words)["provision secret"][0] == "made", "lost before it was of use"
    (small.state_dir / "uplink.token").write_text("A1\n")      # what it was for
    secret.unlink()
    assert "provision secret" not in parts(small, *words)
    assert not secret.exists()
    (small.base / "password").write_text("long" * 500)
    assert parts(small, *words, status=1)["password"] == ("failed", f"{small.base / 'password'}: longer than 1024 bytes; this is no password")
    (small.base / "password").write_text("two\nlines\n")
    assert parts(small, *words, status=1)["password"] == ("failed", f"{small.base / 'password'}: holds no password or secret; it must be one line")


def test_a_code_of_the_card_is_taken_once_as_a_hash(small: Site) -> None:
    file, kept = small.base / "page.code", small.state_dir / "page.code"
    code = small.good("page", "card-code").strip()
    file.write_bytes(b"\xef\xbb\xbf" + code.lower().encode() + b"\r\n")
    shown = small("init", "--page-code", str(file)).output
    assert f"made   page code: {kept}, from {file}" in shown
    assert kept.stat().st_mode & 0o777 == 0o600
    for text in (shown, kept.read_text(), (small.state_dir / "provisioned.json").read_text()):
        assert code.replace("-", "") not in text.upper().replace("-", "")
    hashed = cardcode.load(small.state_dir)
    assert hashed is not None
    assert passwords.matches(passwords.plain_code(code), hashed)
    kept.unlink()      # used
    assert parts(small, "--page-code", str(file))["page code"] == ("found", f"{file} was taken before")
    assert not kept.exists()
    file.write_text("1234567890")
    state, text = parts(small, "--page-code", str(file), status=1)["page code"]
    assert (state, text.partition(":")[0]) == ("failed", str(file))
    assert "1234567890" not in text


def test_a_certificate_for_the_page_comes_with_its_key_or_not_at_all(small: Site) -> None:
    file, kept = small.base / "page.pem", small.state_dir / "page.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=site-7", "-days", "1",
                    "-keyout", str(small.base / "key"), "-out", str(small.base / "certificate")], check=True, capture_output=True)
    certificate, key = ((small.base / name).read_text() for name in ("certificate", "key"))
    file.write_text(certificate)
    assert parts(small, "--page-certificate", str(file), status=1)["page certificate"] == (
        "failed", f"{file}: must hold a private key without a passphrase and its certificate, both in PEM")
    assert not kept.exists()
    file.write_text(certificate + key)
    assert parts(small, "--page-certificate", str(file))["page certificate"] == ("made", f"{kept}, from {file}")
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (certificate + key, 0o600)
    assert parts(small)["page certificate"] == ("found", str(kept))


def test_beside_a_running_gateway_the_ring_is_left_to_it(small: Site) -> None:
    lock = lock_directory(small.state_dir / "ring")
    half = small.state_dir / "device.key.abcdefgh.new"
    half.touch()
    try:
        found = parts(small)
    finally:
        os.close(lock)
    assert found["ring"] == ("left", "the running gateway has it open and makes what it needs itself")
    assert found["device key"][0] == "made"
    assert half.exists(), "the gateway may be writing it right now"
    assert parts(small)["ring"][0] == "made"
    assert not half.exists()


def test_slots_of_another_ring_and_what_is_too_short_are_left_alone(small: Site) -> None:
    small.good("init")
    slot = small.state_dir / "ring" / "instant" / "00003.slot"
    slot.write_bytes(b"short")
    state, text = parts(small)["ring"]
    assert state == "found"
    assert text.endswith("1 of another ring or not readable, left alone")
    assert slot.read_bytes() == b"short"


def test_a_smaller_quota_is_told_and_a_larger_one_is_made(small: Site) -> None:
    small.good("init")
    config = small.config.read_text()
    small.config.write_text(config.replace("size_mib = 1\n", "size_mib = 2\n"))
    assert parts(small)["ring"] == ("made", "64 slots, 2.0 MiB, 32 of them new")
    small.config.write_text(config)
    assert parts(small)["ring"] == ("found", "64 slots, 2.0 MiB, 1.0 MiB beyond ring.size_mib go at the gateway's next start")


def test_a_disk_that_is_too_small_carries_a_small_ring_of_all_streams(small: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    room = [9]
    create = OsFileSystem.create

    def limited(self: OsFileSystem, path: Path, size: int, step_bytes: int | None = None) -> bool:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        room[0] -= 1
        return create(self, path, size, step_bytes)

    monkeypatch.setattr(OsFileSystem, "create", limited)
    state, text = parts(small, status=1)["ring"]
    assert (state, text) == ("failed", "9 slots, 288 KiB, and no room for 23 more; free some, or make ring.size_mib smaller")
    counts = {stream: len(list((small.state_dir / "ring" / stream).glob("*.slot"))) for stream in ("alarm", "billing", "instant")}
    assert min(counts.values()) >= 2
    room[0] = 100
    assert parts(small)["ring"][0] == "made"


def test_the_last_of_the_disk_is_kept_for_the_registry(small: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Space:
        f_frsize, f_bavail = 1, reserve.SPARE_BYTES + 32_767

    monkeypatch.setattr(reserve.os, "statvfs", lambda _: Space)
    assert "no room for 32 more" in parts(small, status=1)["ring"][1]


@pytest.mark.parametrize("place", ["/proc/none/state", "/dev/null/state"])
def test_where_nothing_can_be_written_each_part_is_one_line(small: Site, place: str) -> None:
    small.config.write_text(small.config.read_text().replace(str(small.state_dir), place))
    result = small("init")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"BAD    {name}" for name in ("identity", "device key", "registry")] + ["left   access token", "BAD    ring"] \
        or [line.split(":")[0] for line in lines] == [f"BAD    {name}" for name in ("identity", "device key", "registry", "access token", "ring")]
    assert "Traceback" not in result.output
    assert "internal error" not in result.output


class Cut(BaseException):
    """The power fails in the middle of this call, and nothing of the program runs any more."""


CALLS = ("write", "fsync", "rename", "link", "unlink", "mkdir", "fchmod", "open")


def cut_at(patch: pytest.MonkeyPatch, number: int) -> Callable[[], bool]:
    """Let the power fail at call `number` of those that change the disk; return a question: has it?"""
    left = [number]

    def stand_in(name: str) -> object:
        real = getattr(os, name)

        def call(*args: object, **more: object) -> object:
            if name == "open" and not (len(args) > 1 and isinstance(args[1], int) and args[1] & os.O_CREAT):
                return real(*args, **more)
            left[0] -= 1
            if left[0] < 0:
                if left[0] == -1 and name == "write":
                    real(args[0], bytes(args[1])[:3])      # torn
                raise Cut
            return real(*args, **more)

        return call

    for name in CALLS:
        patch.setattr(os, name, stand_in(name))
    return lambda: left[0] < 0


@pytest.fixture
def provisioned(small: Site) -> tuple[str, ...]:
    """The command with everything to do; eight slots are enough."""
    small.config.write_text(small.config.read_text().replace("slot_mib = 0.03125", "slot_mib = 0.125"))
    (small.base / "meters.csv").write_text(METERS)
    (small.base / "token").write_text("A1_TEST_TOKEN\n")
    return ("init", "--meters", str(small.base / "meters.csv"), "--token", str(small.base / "token"))


def cut_short(site: Site, args: tuple[str, ...], number: int, kept: dict[str, bytes]) -> bool:
    """Run until the power fails at call `number`; what came into being stays. Return False when it came to its end."""
    with pytest.MonkeyPatch.context() as patch:
        was_cut = cut_at(patch, number)
        with contextlib.suppress(Cut):
            assert site(*args).exit_code == 0
    for name in ("device.id", "device.key", "uplink.token"):
        path = site.state_dir / name
        if path.exists():
            assert kept.setdefault(name, path.read_bytes()) == path.read_bytes(), f"{name} has changed"
            assert len(path.read_bytes()) >= 14, f"{name} is half written"
    return was_cut()


def test_cut_at_any_write_the_next_start_makes_it_whole(small: Site, provisioned: tuple[str, ...]) -> None:
    cuts, kept = 0, dict[str, bytes]()
    while cut_short(small, provisioned, cuts, kept):
        small.good(*provisioned)
        check_whole(small, kept)
        shutil.rmtree(small.state_dir)
        kept.clear()
        cuts += 1
    assert cuts > 50


def test_cut_again_and_again_it_comes_to_an_end_as_if_nothing_had_been(small: Site, provisioned: tuple[str, ...]) -> None:
    cuts, kept = 0, dict[str, bytes]()
    while cut_short(small, provisioned, cuts % 11, kept):
        cuts += 1
        assert cuts < 1_000
    assert cuts > 10
    check_whole(small, kept)


def check_whole(site: Site, kept: dict[str, bytes]) -> None:
    for name, content in kept.items():
        assert (site.state_dir / name).read_bytes() == content
    files = [str(path.relative_to(site.state_dir)) for path in site.state_dir.rglob("*") if path.is_file()]
    assert sorted(name for name in files if "ring/" not in name) == ["device.id", "device.key", "provisioned.json", "registry.db", "uplink.token"]
    slots = [name for name in files if "ring/" in name]
    assert all(name.endswith(".slot") for name in slots), "half-made slots stay"
    size = slot_size(131_072, 1 << 20)
    assert len(slots) == sum(quotas(1 << 20, size, RingSettings().alarm_share, RingSettings().billing_share).values()) // size
    assert all((site.state_dir / name).read_bytes() == bytes(size) for name in slots)
    with site.registry() as registry:
        assert [meter.name for meter in registry.list()] == ["m1", "m2"]


def test_no_name_stands_for_bytes_that_are_not_on_flash(small: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a rename or a link the file was synced after its last write; after it, the directory is."""
    dirty: set[str] = set()
    owed: set[str] = set()
    named: list[str] = []
    real = {name: getattr(os, name) for name in ("write", "fsync", "rename", "link", "mkdir")}

    def path_of(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def write(descriptor: int, data: bytes) -> int:
        dirty.add(path_of(descriptor))
        return int(real["write"](descriptor, data))

    def fsync(descriptor: int) -> None:
        real["fsync"](descriptor)
        dirty.discard(path_of(descriptor))
        owed.discard(path_of(descriptor))

    def name(kind: str) -> Callable[..., None]:
        def call(source: str, target: str, **more: object) -> None:
            assert str(source) not in dirty, f"{target} may be empty after a power cut"
            real[kind](source, target, **more)
            named.append(str(target))
            owed.add(str(Path(target).parent))

        return call

    def mkdir(path: str, *args: object, **more: object) -> None:
        real["mkdir"](path, *args, **more)
        named.append(str(path))
        owed.add(str(Path(path).parent))

    small.base.joinpath("token").write_text("A1_TEST_TOKEN")
    with monkeypatch.context() as patch:
        for call, stand_in in (("write", write), ("fsync", fsync), ("rename", name("rename")), ("link", name("link")), ("mkdir", mkdir)):
            patch.setattr(os, call, stand_in)
        result = small("init", "--token", str(small.base / "token"))
    assert result.exit_code == 0, result.output
    assert {Path(path).name for path in named} >= {"state", "ring", "alarm", "device.id", "device.key", "registry.db", "uplink.token", "00000.slot"}
    assert owed == set()


def test_a_signing_request_names_the_gateway_and_shows_no_key(site):
    assert "no key; `halow-gateway init` makes it" in site.refused("csr")[0]
    site.good("init")
    request = site.good("csr")
    told = subprocess.run(["openssl", "req", "-noout", "-verify", "-subject", "-text"], input=request, check=True,
                          capture_output=True, text=True)
    assert "CN = halow-gateway-" in told.stdout
    assert "prime256v1" in told.stdout
    assert "PRIVATE" not in request

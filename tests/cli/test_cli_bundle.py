"""The support archive: everything that helps, no secret in any form, also of a gateway that is dead or half broken."""

import base64
import json
import stat
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_site import Site

from edge.config import Settings
from edge.model import Keys, Meter
from edge.redaction import COMMANDS, HIDDEN, Scrubber, redacted, redacted_settings
from edge.support.archive import PIECE_LIMIT_BYTES, make
from edge.support.pieces import Piece

TOKEN, NEXT_TOKEN, PROVISION, MQTT_PASSWORD = "tok3n-of-the-gateway", "n3xt-tok3n-of-it", "provision s3cret", "mqtt pässword"
PROVISION_KEY, USERNAME, ARGUMENT, RPC_VALUE = "provisionk3yofprofile", "us3r-of-mqtt", "sup3rsecretargument", "rpc-s3cret-value"
METER_PASSWORD, DIGITS = b"m3ter-password", b"48151623"
ENCRYPTION, AUTHENTICATION, RING = bytes(range(0xA0, 0xB0)), bytes(range(0x50, 0x60)), "ab54" * 16


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plant(site: Site) -> tuple[bytes, ...]:
    """Put a secret wherever secrets live; return them all."""
    site.configure(
        f'slot_mib = 1\nkey_command = "/bin/echo {ARGUMENT}"\n[uplink]\nenabled = false\nusername = "{USERNAME}"\nprovision_key = "{PROVISION_KEY}"\n'
        f'[radio]\nkind = "none"\nvendor_tool = "/usr/bin/sudo {ARGUMENT}"\n[recovery]\nreboot = "/sbin/reboot {ARGUMENT}"\n'
        f'[ota]\nfirmware_command = "/usr/bin/rauc {ARGUMENT}"\n')
    site.good("init")
    state = site.state_dir
    for name, text in {"uplink.token": TOKEN, "uplink.token.next": NEXT_TOKEN, "uplink.password": MQTT_PASSWORD,
                       "provision.secret": PROVISION, "ring.key": RING}.items():
        (state / name).write_text(f"{text}\n")
    (state / "page.access").write_text(json.dumps({"admin": {"salt": "c2FsdHNhbHRzYWx0c2FsdA", "hash": "hashOfThePagesPassword1"},
                                                   "tokens": [{"digest": "digestOfAToken1234567"}]}))
    (state / "remote.json").write_text(json.dumps([{"key": f"m1/1/relay/{RPC_VALUE}", "at_ms": 1, "answer": {"value": RPC_VALUE}}]))
    with site.registry() as registry:
        registry.add(Meter("m1", "10.0.0.1", 4059), METER_PASSWORD, Keys(ENCRYPTION, AUTHENTICATION))
        registry.add(Meter("m2", "10.0.0.2", 4059), DIGITS)
    key = (state / "device.key").read_bytes()
    return (*(text.encode() for text in (TOKEN, NEXT_TOKEN, MQTT_PASSWORD, PROVISION, RING, PROVISION_KEY, USERNAME, ARGUMENT, RPC_VALUE)),
            METER_PASSWORD, DIGITS, ENCRYPTION, AUTHENTICATION, bytes.fromhex(RING), b"hashOfThePagesPassword1", b"digestOfAToken1234567",
            key.splitlines()[1])


def unpacked(path: Path) -> dict[str, bytes]:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        return {Path(member.name).name: tar.extractfile(member).read() for member in tar}


def forms(secret: bytes) -> Iterator[bytes]:
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret).rstrip(b"="),
                base64.urlsafe_b64encode(secret).rstrip(b"="))


def test_no_secret_is_in_it_in_any_form_and_all_else_is(site: Site, tmp_path: Path) -> None:
    secrets = plant(site)
    chatty = {"gateway": {"name": "gate-7"}, "leak": [TOKEN, METER_PASSWORD.decode(), ENCRYPTION.hex(), base64.b64encode(AUTHENTICATION).decode()]}
    with site.daemon(chatty, alarms={"standing": []}, backfill={"meters": []}, ota={}, logs={"lines": []}):
        told = site.good("bundle", str(tmp_path / "out.tar.gz"))
    files = unpacked(tmp_path / "out.tar.gz")
    for name, content in files.items():
        for secret in secrets:
            for form in forms(secret):
                assert form not in content, f"{form!r} is in {name}"
    assert {"README.txt", "version.json", "settings.toml", "check.txt", "status.json", "alarms.json", "logs.json", "registry.json", "ring.json", "events.jsonl",
            "radio.json", "clock.json", "board.txt", "disks.json", "network.txt", "changes.json", "remote-config.json"} <= set(files)
    assert json.loads(files["status.json"])["gateway"]["name"] == "gate-7"
    assert b"Pieces in which a secret was found and taken out: 1." in files["README.txt"]
    settings = tomllib.loads(files["settings.toml"].decode())
    assert (settings["uplink"]["username"], settings["ring"]["key_command"]) == (HIDDEN, f"/bin/echo {HIDDEN}")
    meters = {meter["name"]: meter for meter in json.loads(files["registry.json"])["meters"]}
    assert meters["m1"]["password_set"]
    assert meters["m1"]["keys_set"] == ["authentication_key", "encryption_key"]
    assert f"{tmp_path / 'out.tar.gz'}: " in told


def test_a_dead_gateway_and_a_broken_settings_file_cost_their_pieces_only(site: Site, tmp_path: Path) -> None:
    site.good("bundle", "dead.tar.gz")
    dead = unpacked(tmp_path / "dead.tar.gz")
    assert b"status.json: " in dead["README.txt"]
    assert b"no gateway is running here" in dead["README.txt"]
    assert b"registry.json: " in dead["README.txt"]
    assert b"no registry yet" in dead["README.txt"]
    assert not (site.state_dir / "registry.db").exists(), "looking makes nothing"
    site.config.write_text("[poll]\nat_once = 0\n")
    told = json.loads(site.good("bundle", "broken.tar.gz", "--json"))
    broken = unpacked(tmp_path / "broken.tar.gz")
    assert broken["settings.toml"].startswith(f"# from {site.config}, NOT USED: {site.config}: poll.at_once = 0: must be".encode())
    assert told["size_bytes"] == (tmp_path / "broken.tar.gz").stat().st_size


def test_a_registry_that_is_damaged_is_told_and_left_alone(site: Site, tmp_path: Path) -> None:
    site.good("meter", "add", "m1", "10.0.0.1")
    (site.state_dir / "registry.db").write_bytes(b"no database")
    site.good("bundle", "out.tar.gz")
    assert b"registry.json: " in unpacked(tmp_path / "out.tar.gz")["README.txt"]
    assert (site.state_dir / "registry.db").read_bytes() == b"no database"


def test_it_replaces_nothing_and_says_where_it_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "there.tar.gz").write_text("precious")
    assert "is there already" in site.refused("bundle", "there.tar.gz")[0]
    assert (tmp_path / "there.tar.gz").read_text() == "precious"
    assert "cannot be written: No such file" in site.refused("bundle", str(tmp_path / "no/dir.tar.gz"))[0]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".new")] == []


def test_pieces_are_bounded_and_a_bug_in_one_is_told_without_its_text(tmp_path: Path) -> None:
    def broken() -> str:
        raise ZeroDivisionError(TOKEN)

    made = make(tmp_path / "out.tar.gz", "g", [Piece("long.txt", lambda: "x" * PIECE_LIMIT_BYTES + "the end"), Piece("bug.txt", broken)], [])
    files = unpacked(made.path)
    assert files["long.txt"].startswith(b"(7 bytes before this are left out)\n")
    assert files["long.txt"].endswith(b"the end")
    assert made.missing == ("bug.txt: internal error: ZeroDivisionError",)
    assert TOKEN.encode() not in files["README.txt"]


def test_every_command_line_among_the_settings_is_hidden_but_its_program() -> None:
    assert {"ring.key_command", "radio.vendor_tool", "radio.external_command", "recovery.reboot", "ota.firmware_command"} <= COMMANDS
    assert redacted("recovery.reboot", "/sbin/reboot now") == f"/sbin/reboot {HIDDEN}"
    assert redacted("recovery.reboot", "/sbin/reboot") == "/sbin/reboot"
    assert redacted_settings(Settings()) == Settings(), "nothing to hide"


def test_a_password_of_digits_is_none_within_a_number() -> None:
    scrubber = Scrubber([b"00000000", b"abc"])
    assert scrubber.clean(b"0.100000000001 and 1000000000, abc") == b"0.100000000001 and 1000000000, abc"
    assert scrubber.found == 0
    assert scrubber.clean(b'"password": "00000000"') == f'"password": "{HIDDEN}"'.encode()

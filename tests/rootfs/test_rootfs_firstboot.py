"""The first boot's script against the real gateway, in a root of its own; what asks for a kernel (mount, chown) is a stand-in."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge.api.access import Access
from edge.clock import SystemClock

ROOTFS = Path(__file__).resolve().parents[2] / "rootfs"
SCRIPT = ROOTFS / "usr/lib/halow-gateway/firstboot"
METERS = "name,host,port\nmeter-1,10.0.0.7,4059\n"
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
RADIO = "VENDOR=morse\nROLE=sta\nCOUNTRY=AU\nSSID=meters\nSECURITY=sae\nPASSPHRASE=correct horse\n"


class Card:
    """A board's root with a boot partition; `boot()` is one start of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.provision = root / "run/halow-gateway-card/provision"
        self.config = root / "etc/halow-gateway/gateway.toml"
        self.state = root / "var/lib/halow-gateway"
        for folder in (self.provision, self.config.parent, self.state, root / "dev/disk/by-partlabel", root / "proc/sys/kernel", root / "bin",
                       root / "usr/share/halow-gateway"):
            folder.mkdir(parents=True)
        self.state.chmod(0o700)
        (root / "dev/disk/by-partlabel/boot").touch()
        (root / "usr/share/halow-gateway/gateway.toml").write_text(self.settings("shipped"))
        (root / "usr/share/halow-gateway/radio").symlink_to(ROOTFS / "usr/share/halow-gateway/radio")
        self.stand_in("mount", "exit 0")
        self.stand_in("umount", "exit 0")
        self.stand_in("chown", "exit 0")
        self.stand_in("sync", "exit 0")
        self.stand_in("setpriv", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        self.stand_in("halow-gateway", f'HALOW_GATEWAY_CONFIG={self.config} exec {sys.executable} -m edge "$@"')

    def settings(self, name: str) -> str:
        return (f'[gateway]\nname = "{name}"\nstate_dir = "{self.state}"\nruntime_dir = "{self.root}/run/gw"\n'
                "[ring]\nsize_mib = 2\nslot_mib = 0.125\n[uplink]\nenabled = false\n")

    def stand_in(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def lay(self, **files: str) -> None:
        self.provision.mkdir(exist_ok=True)
        for name, text in files.items():
            (self.provision / name.replace("_", ".")).write_text(text)

    def boot(self) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOTFS.parent)}
        return subprocess.run([str(SCRIPT), str(self.root)], check=False, capture_output=True, text=True, timeout=60, env=environment)

    def token(self) -> str:
        return (self.state / "uplink.token").read_text().strip()


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path)


def test_what_lies_on_the_card_is_taken_over_and_the_folder_is_emptied(card: Card) -> None:
    card.lay(gateway_toml=card.settings("site-7"), uplink_token="secret-1\n", meters_csv=METERS, ca_pem=CA)
    done = card.boot()
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'name = "site-7"' in card.config.read_text()
    assert card.token() == "secret-1"
    assert stat.S_IMODE((card.state / "uplink.token").stat().st_mode) == 0o600
    assert "registry.db, 1 meter" in card.boot().stdout
    assert list(card.provision.iterdir()) == []
    assert (card.config.parent / "ca.pem").exists()
    assert "secret-1" not in done.stdout + done.stderr
    assert (card.root / "proc/sys/kernel/hostname").read_text().startswith("halow-gw-")


def test_every_kind_of_credentials_may_lie_on_the_card(card: Card) -> None:
    card.lay(uplink_password="secret-1\n", provision_secret="secret-2\n", device_pem=CA)
    done = card.boot()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (card.state / "uplink.password").read_text() == "secret-1\n"
    assert (card.state / "provision.secret").read_text() == "secret-2\n"
    assert (card.state / "device.pem").read_text() == CA
    assert list(card.provision.iterdir()) == []
    assert "secret-" not in done.stdout + done.stderr


async def test_a_code_on_the_card_sets_the_password_of_the_page_and_nothing_of_it_stays_there(card: Card) -> None:
    sectors = card.root / "sectors"
    card.stand_in("rm", f'for f in "$@"; do case "$f" in */provision/*) cat "$f" >> {sectors};; esac; done; exec /bin/rm "$@"')
    card.lay(page_code="7KQ3M-9ZT4W\n")
    done = card.boot()
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(card.provision.iterdir()) == []
    assert sectors.read_bytes() == bytes(len("7KQ3M-9ZT4W\n"))
    assert not any(b"9ZT4W" in path.read_bytes() for path in card.state.rglob("page.*"))
    assert "9ZT4W" not in done.stdout + done.stderr
    access = Access(card.state, SystemClock())
    await access.open()
    assert access.setup_required
    await access.claim("7kq3m9zt4w", "correct horse battery", "10.0.0.1")
    access.close()
    card.lay(page_code="7KQ3M-9ZT4W\n")      # whoever finds it in the card's flash and lays it there again
    assert card.boot().returncode == 0
    assert not (card.state / "page.code").exists()


def test_half_a_certificate_of_the_page_holds_the_folder_back(card: Card) -> None:
    card.lay(page_pem=CA, page_code="7KQ3M-9ZT4W\n")
    assert "provision/page.pem is not taken over" in card.boot().stderr, "there is no key in it"
    assert [path.name for path in card.provision.iterdir()] == ["page.pem"]
    card.lay(page_pem=CA[:40])
    assert "page.pem holds no whole certificate" in card.boot().stderr


def test_settings_that_are_wrong_stay_on_the_card_and_the_old_ones_in_force(card: Card) -> None:
    card.lay(gateway_toml=card.settings("good"))
    assert card.boot().returncode == 0
    card.lay(gateway_toml="[gateway]\nnmae = 1\n", uplink_token="secret-2")
    done = card.boot()
    assert done.returncode == 1
    assert "nmae" in done.stdout + done.stderr
    assert 'name = "good"' in card.config.read_text()
    assert (card.provision / "gateway.toml").exists()
    assert not (card.state / "uplink.token").exists(), "nothing of a folder that is wrong"


def test_a_folder_that_cannot_be_emptied_does_not_undo_what_changed_later(card: Card) -> None:
    card.lay(uplink_token="secret-1", meters_csv=METERS)
    card.stand_in("mount", 'case "$*" in *remount*) exit 1;; esac')
    first = card.boot()
    assert first.returncode == 1
    assert "empty it by hand" in first.stderr
    (card.state / "uplink.token").write_text("changed-by-hand\n")
    card.boot()
    assert card.token() == "changed-by-hand"


def test_without_a_card_the_shipped_settings_are_made_and_never_again(card: Card) -> None:
    (card.root / "dev/disk/by-partlabel/boot").unlink()
    assert card.boot().returncode == 0
    assert 'name = "shipped"' in card.config.read_text()
    card.config.write_text(card.settings("mine"))
    assert card.boot().returncode == 0
    assert 'name = "mine"' in card.config.read_text()


@pytest.mark.parametrize("failing", ["mount", "sync"])
def test_a_failing_step_is_said_and_the_board_still_gets_its_slots(card: Card, failing: str) -> None:
    card.lay(gateway_toml=card.settings("site-7"))
    card.config.write_text(card.settings("old"))
    card.stand_in(failing, "exit 1")
    done = card.boot()
    assert done.returncode == 1
    assert "boot partition" in done.stderr
    assert 'name = "old"' in card.config.read_text()
    assert "ring" in done.stdout
    assert list((card.state / "ring").iterdir())


def test_a_wrong_radio_conf_or_ca_does_not_replace_the_right_one(card: Card) -> None:
    card.lay(radio_conf=RADIO, ca_pem=CA)
    assert card.boot().returncode == 0
    for files in ({"radio_conf": RADIO.replace("AU", "Atlantis")}, {"ca_pem": "<html>login</html>\n"}, {"ca_pem": CA[:40]}, {"radio_conf": ""}):
        card.lay(**files, uplink_token="secret-1")
        done = card.boot()
        assert done.returncode == 1
        assert "is left as it is" in done.stderr
        assert (card.config.parent / "radio.conf").read_text() == RADIO
        assert (card.config.parent / "ca.pem").read_text() == CA
        for path in card.provision.iterdir():
            path.unlink()


def test_what_has_a_name_that_is_not_known_is_named_and_not_deleted(card: Card) -> None:
    card.lay(uplink_token="secret-1")
    (card.provision / "gateway.toml.txt").write_text(card.settings("hidden by Windows"))
    (card.provision / ".DS_Store").write_text("x")
    done = card.boot()
    assert done.returncode == 0
    assert "provision/gateway.toml.txt has no name that is taken over" in done.stdout
    assert sorted(path.name for path in card.provision.iterdir()) == [".DS_Store", "gateway.toml.txt"]


def test_a_folder_where_a_file_is_expected_is_said_and_left(card: Card) -> None:
    (card.provision / "gateway.toml").mkdir()
    done = card.boot()
    assert done.returncode == 1
    assert "provision/gateway.toml is no file" in done.stderr
    assert (card.provision / "gateway.toml").is_dir()


def test_settings_of_a_card_that_cannot_be_emptied_do_not_undo_what_an_operator_changed(card: Card) -> None:
    card.lay(gateway_toml=card.settings("from-the-card"), radio_conf=RADIO)
    card.stand_in("mount", 'case "$*" in *remount*) exit 1;; esac')
    card.boot()
    assert 'name = "from-the-card"' in card.config.read_text()
    card.config.write_text(card.settings("by-the-operator"))
    assert card.boot().returncode == 1
    assert 'name = "by-the-operator"' in card.config.read_text()
    card.lay(gateway_toml=card.settings("newer-card"))
    card.stand_in("mount", "exit 0")
    assert card.boot().returncode == 0
    assert 'name = "newer-card"' in card.config.read_text()
    # Emptied now: the same file laid there anew is meant anew.
    card.lay(gateway_toml=card.settings("from-the-card"))
    card.boot()
    assert 'name = "from-the-card"' in card.config.read_text()


def test_a_secret_is_overwritten_before_it_is_deleted(card: Card) -> None:
    card.lay(uplink_token="secret-1\n", radio_conf=RADIO)
    kept = card.root / "sectors"
    card.stand_in("rm", f'for f in "$@"; do case "$f" in */provision/*) cat "$f" >> {kept};; esac; done; exec /bin/rm "$@"')
    assert card.boot().returncode == 0
    assert kept.read_bytes() == bytes(len("secret-1\n") + len(RADIO))


def test_a_power_cut_between_overwriting_and_deleting_leaves_nothing_to_mend(card: Card) -> None:
    card.lay(gateway_toml=card.settings("site-7"), uplink_token="secret-1\n", meters_csv=METERS)
    card.stand_in("rm", 'case "$*" in */provision/*) exit 1;; esac; exec /bin/rm "$@"')
    assert card.boot().returncode == 1
    assert set((card.provision / "uplink.token").read_bytes()) == {0}
    (card.root / "bin/rm").unlink()
    done = card.boot()
    assert done.returncode == 0, done.stderr
    assert list(card.provision.iterdir()) == []
    assert card.token() == "secret-1"


def test_a_full_disk_keeps_the_old_settings_and_no_half_file(card: Card) -> None:
    card.config.write_text(card.settings("old"))
    card.lay(gateway_toml=card.settings("new"))
    card.stand_in("cp", 'for last in "$@"; do :; done; echo half > "$last"; exit 1')
    done = card.boot()
    assert done.returncode == 1
    assert "is /data full or read-only?" in done.stderr
    assert 'name = "old"' in card.config.read_text()
    assert not (card.config.parent / "gateway.toml.new").exists()
    assert (card.provision / "gateway.toml").exists()


@pytest.mark.parametrize("planted", ["uplink.token", "uplink.token.new"])
def test_a_link_in_the_gateways_folder_does_not_lead_root_elsewhere(card: Card, planted: str) -> None:
    victim = card.root / "victim"
    victim.write_text("untouched")
    (card.state / planted).symlink_to(victim)
    card.lay(uplink_token="secret-1")
    card.boot()
    assert victim.read_text() == "untouched"


def test_an_identity_without_letters_makes_no_host_name(card: Card) -> None:
    card.boot()
    (card.root / "proc/sys/kernel/hostname").write_text("before")
    (card.state / "device.id").write_text("\n")
    card.boot()
    assert (card.root / "proc/sys/kernel/hostname").read_text() == "before"


def test_files_of_a_windows_editor_are_taken(card: Card) -> None:
    for name, text in {"gateway.toml": card.settings("site-7"), "uplink.token": "\ufeffsecret-1\n", "meters.csv": METERS, "radio.conf": RADIO, "ca.pem": CA}.items():
        (card.provision / name).write_bytes(text.replace("\n", "\r\n").encode())
    done = card.boot()
    assert done.returncode == 0, done.stderr
    assert card.token() == "secret-1"
    assert "registry.db, 1 meter" in done.stdout
    assert list(card.provision.iterdir()) == []


def test_slots_that_find_no_room_do_not_leave_the_token_on_the_card(card: Card) -> None:
    card.lay(uplink_token="secret-1", meters_csv=METERS)
    gateway = card.root / "bin/halow-gateway"
    gateway.write_text(gateway.read_text().replace("exec ", "") + "exit 1\n")      # as init ends when the ring has not all its slots
    assert card.boot().returncode == 1
    assert card.token() == "secret-1"
    assert list(card.provision.iterdir()) == []

"""tools/setup in a machine of stubs: what it asks apt for, what it can go without, and that it leaves nothing behind."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / "tools/setup"
NEEDED, WISHED = {"mosquitto", "strace", "openssl"}, {"hostapd": "hostapd", "wpa_supplicant": "wpasupplicant", "nft": "nftables"}
EVERYTHING = {*NEEDED, *WISHED}


class Machine:
    """A clone with tools/setup in it, on a machine that has exactly these programs. Its apt, id and sudo only note their calls."""

    def __init__(self, path: Path, programs: Iterable[str], *, apt: str = "exit 0", user: int = 0) -> None:
        self.path = path
        for folder in ("clone/tools", "clone/.venv/bin", "bin", "sbin"):
            (path / folder).mkdir(parents=True)
        shutil.copy(SETUP, path / "clone/tools/setup")
        self._stub("clone/.venv/bin/python", "exit 0")
        for name in ("dirname", "env", "rm", "chmod", "sh"):
            (path / "bin" / name).symlink_to(str(shutil.which(name)))
        (path / "bin/python3").symlink_to(sys.executable)
        self._stub("bin/id", f"echo {user}")
        self._stub("bin/apt-get", f'echo "apt-get $*" >> {path}/calls; [ -e {path}/sbin/policy-rc.d ] && echo held >> {path}/calls; {apt}')
        for name in programs:
            self._stub(f"sbin/{name}", "exit 0")

    def _stub(self, name: str, body: str) -> None:
        (self.path / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.path / name).chmod(0o755)

    def set_up(self, extra: str = "test") -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.path / "clone/tools/setup", extra], env={"PATH": str(self.path / "bin"), "HALOW_SETUP_SBIN": str(self.path / "sbin")},
                              capture_output=True, text=True, check=False, timeout=60)

    def installed(self) -> list[set[str]]:
        """What each `apt-get install` was asked for."""
        log = self.path / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [{word for word in line.split() if word[0] != "-"} - {"apt-get", "install"} for line in lines if " install " in line]


def test_a_machine_that_has_everything_is_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path, EVERYTHING)
    assert machine.set_up().returncode == 0
    assert machine.installed() == []


def test_what_is_missing_is_installed_and_no_service_is_started_by_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, set())
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.installed() == [NEEDED, set(WISHED.values())]
    assert (tmp_path / "calls").read_text().splitlines()[-1] == "held", "policy-rc.d is there while packages are unpacked"
    assert not (tmp_path / "sbin/policy-rc.d").exists(), "and nobody else's services are held back afterwards"


@pytest.mark.parametrize("missing", [{"hostapd"}, {"nft", "wpa_supplicant"}, set(WISHED)])
def test_without_the_parsers_of_the_images_settings_it_goes_on_and_says_so(tmp_path: Path, missing: set[str]) -> None:
    machine = Machine(tmp_path, EVERYTHING - missing, apt="exit 100")
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == " ".join(["Going on without:", *(package for name, package in WISHED.items() if name in missing)])


def test_without_what_tests_need_it_stops(tmp_path: Path) -> None:
    assert Machine(tmp_path, EVERYTHING - {"mosquitto"}, apt="exit 100").set_up().returncode != 0


def test_a_user_who_may_not_install_is_told_what_to_type(tmp_path: Path) -> None:
    done = Machine(tmp_path, NEEDED, user=1000).set_up()
    assert done.returncode == 0, "they are only wished for"
    assert "Not root and no sudo: please run as root: env DEBIAN_FRONTEND=noninteractive apt-get" in done.stderr
    assert done.stderr.splitlines()[-1] == "Going on without: hostapd wpasupplicant nftables"


def test_it_is_plain_shell() -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([checker, SETUP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

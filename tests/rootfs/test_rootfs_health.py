"""Which image is proven, which is given up: the script that decides, with stand-ins for RAUC and systemctl."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "rootfs/usr/lib/halow-gateway/health"


class Board:
    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("proc", "etc", "run", "data/rauc", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "proc/cmdline").write_text("root=PARTLABEL=rootfs-B rauc.slot=B quiet\n")
        (root / "etc/os-release").write_text('ID=x\nBUILD_ID="1.2.0-abc"\n')
        (root / "proc/uptime").write_text("100.25 190.00\n")
        self.stand_in("rauc")
        self.stand_in("fw_printenv")
        self.systemd()

    def stand_in(self, name: str, status: int = 0, says: str = ":") -> None:
        path = self.root / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.root}/calls\n{says}\nexit {status}\n')
        path.chmod(0o755)

    def systemd(self, *, filter_status: int = 0, failed: bool = True, main_status: int = 1) -> None:
        """systemctl's answers: is the filter loaded, has the gateway been given up, with what did it end."""
        self.stand_in("systemctl", says=f'case "$*" in *"is-active nftables"*) exit {filter_status};; *is-failed*) exit {int(not failed)};; '
                                        f'*ExecMainStatus*) echo {main_status};; esac')

    def reboot(self) -> None:
        """What is in memory is gone."""
        for path in (self.root / "run").iterdir():
            path.unlink()

    def prove(self) -> None:
        assert self.ask("good").returncode == 0
        self.reboot()

    def ask(self, verb: str) -> subprocess.CompletedProcess[str]:
        (self.root / "calls").write_text("")
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return subprocess.run([str(SCRIPT), verb, str(self.root)], check=False, capture_output=True, text=True, env={**os.environ, "PATH": path})

    @property
    def calls(self) -> str:
        return (self.root / "calls").read_text()


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_a_ready_gateway_proves_its_build_and_each_boot_is_marked_good_once(board: Board) -> None:
    for _ in range(2):
        assert board.ask("good").returncode == 0
        assert "rauc status mark-good" in board.calls
        assert board.ask("good").returncode == 0
        assert "mark-good" not in board.calls, "each writes the boot loader's state"
        board.reboot()
    assert (board.root / "data/rauc/proven-B").read_text() == "1.2.0-abc\n"


def test_an_unproven_build_that_is_not_ready_is_given_up(board: Board) -> None:
    done = board.ask("verdict")
    assert "systemctl reboot" in board.calls
    assert "mark-good" not in board.calls
    assert "1.2.0-abc" in done.stdout


def test_a_proven_build_that_is_not_ready_stays(board: Board) -> None:
    board.prove()
    assert board.ask("verdict").returncode == 0
    assert "reboot" not in board.calls
    assert "mark-good" in board.calls


def test_an_update_to_the_slot_must_prove_itself_again(board: Board) -> None:
    board.prove()
    (board.root / "etc/os-release").write_text("BUILD_ID=1.3.0-def\n")
    board.ask("verdict")
    assert "systemctl reboot" in board.calls


def test_a_gateway_that_was_ready_gets_no_verdict_whatever_it_does_at_that_moment(board: Board) -> None:
    board.ask("good")
    (board.root / "data/rauc/proven-B").unlink()      # /data read-only: it could not be written
    assert board.ask("verdict").returncode == 0
    assert board.calls == ""


def test_what_rauc_did_not_take_is_no_proof_and_an_image_that_cannot_be_updated_is_given_up(board: Board) -> None:
    board.stand_in("rauc", 1)
    assert board.ask("good").returncode == 1
    assert not (board.root / "data/rauc/proven-B").exists()
    board.ask("verdict")
    assert "systemctl reboot" in board.calls


def test_a_read_only_data_costs_the_proof_and_not_the_slot(board: Board) -> None:
    board.stand_in("mv", 1)
    done = board.ask("good")
    assert done.returncode == 1
    assert "mark-good" in board.calls
    assert "is /data read-only" in done.stderr
    board.ask("verdict")
    assert "reboot" not in board.calls


@pytest.mark.parametrize(("left", "stays"), [("8", True), ("3", True), ("2", False), ("0", False), ("", False)])
def test_with_data_lost_the_attempts_left_tell_a_proven_slot_from_one_on_trial(board: Board, left: str, stays: bool) -> None:
    board.prove()
    (board.root / "data/rauc/proven-B").unlink()
    (board.root / "data/rauc").rmdir()
    board.stand_in("fw_printenv", says=f"echo {left}")
    board.ask("verdict")
    assert "fw_printenv -n BOOT_B_LEFT" in board.calls
    assert ("systemctl reboot" not in board.calls) == stays


def test_with_data_lost_and_rauc_with_it_a_proven_slot_keeps_its_attempts(board: Board) -> None:
    (board.root / "data/rauc").rmdir()
    board.stand_in("rauc", 1)
    board.stand_in("fw_printenv", says="echo 4")
    board.stand_in("fw_setenv")
    assert board.ask("verdict").returncode == 0
    attempts = re.search(r"^boot-attempts=(\d+)$", (SCRIPT.parents[4] / "buildroot/board/common/rootfs/etc/rauc/system.conf").read_text(), re.MULTILINE)
    assert attempts
    assert f"fw_setenv BOOT_B_LEFT {attempts[1]}" in board.calls


def test_an_image_without_its_packet_filter_is_never_good(board: Board) -> None:
    board.systemd(filter_status=3)
    assert board.ask("good").returncode == 1
    assert "mark-good" not in board.calls
    board.systemd()
    board.prove()
    board.systemd(filter_status=3)
    board.ask("verdict")
    assert "systemctl reboot" in board.calls, "the network is down, so nothing else can mend it"
    assert "mark-good" not in board.calls


def test_an_unproven_gateway_that_is_given_up_reboots_at_once(board: Board) -> None:
    assert board.ask("failed").returncode == 0
    assert "systemctl reboot" in board.calls


@pytest.mark.parametrize("rauc", [0, 1])
def test_a_proven_gateway_that_is_given_up_reboots_once_an_hour_and_is_tried_again_until_then(board: Board, rauc: int) -> None:
    board.prove()
    board.stand_in("rauc", rauc)
    assert board.ask("failed").returncode == 0
    assert "reboot" not in board.calls
    assert "mark-good" in board.calls, "or the boot attempts of a good image run down"
    assert "systemctl --no-block restart halow-gateway-retry.timer" in board.calls
    (board.root / "proc/uptime").write_text("3600.01 7000.00\n")
    assert board.ask("failed").returncode == 0
    assert "systemctl reboot" in board.calls


@pytest.mark.parametrize("case", ["settings", "recovered"])
def test_wrong_settings_and_a_gateway_that_is_back_reboot_nothing(board: Board, case: str) -> None:
    board.systemd(failed=case == "settings", main_status=78 if case == "settings" else 1)
    assert board.ask("failed").returncode == 0
    assert "reboot" not in board.calls
    assert "retry" not in board.calls


@pytest.mark.parametrize(("file", "text"), [("proc/cmdline", "quiet\n"), ("etc/os-release", "ID=x\n")])
def test_a_board_that_does_not_say_what_it_runs_is_not_judged(board: Board, file: str, text: str) -> None:
    (board.root / file).write_text(text)
    done = board.ask("verdict")
    assert done.returncode == 1
    assert "health:" in done.stderr
    assert board.calls == ""

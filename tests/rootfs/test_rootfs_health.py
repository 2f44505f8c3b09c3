"""Which image is proven, which is given up: the script that decides, with stand-ins for RAUC and systemctl."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "rootfs/usr/lib/halow-gateway/health"


class Board:
    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("proc", "etc", "data/rauc", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "proc/cmdline").write_text("root=PARTLABEL=rootfs-B rauc.slot=B quiet\n")
        (root / "etc/os-release").write_text('ID=x\nBUILD_ID="1.2.0-abc"\n')
        self.stand_in("rauc", 0)
        self.stand_in("systemctl", 0)

    def stand_in(self, name: str, active: int) -> None:
        path = self.root / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.root}/calls\ncase "$*" in *is-active*|*mark-good*) exit {active};; esac\n')
        path.chmod(0o755)

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


def test_a_ready_gateway_proves_its_build_once(board: Board) -> None:
    for _ in range(2):
        assert board.ask("good").returncode == 0
        assert "rauc status mark-good" in board.calls
    assert (board.root / "data/rauc/proven-B").read_text() == "1.2.0-abc\n"


def test_an_unproven_build_that_is_not_ready_is_given_up(board: Board) -> None:
    board.stand_in("systemctl", 3)
    done = board.ask("verdict")
    assert "systemctl reboot" in board.calls
    assert "mark-good" not in board.calls
    assert "1.2.0-abc" in done.stdout


def test_a_proven_build_that_is_not_ready_stays(board: Board) -> None:
    board.ask("good")
    board.stand_in("systemctl", 3)
    assert board.ask("verdict").returncode == 0
    assert "reboot" not in board.calls
    assert "mark-good" in board.calls


def test_an_update_to_the_slot_must_prove_itself_again(board: Board) -> None:
    board.ask("good")
    (board.root / "etc/os-release").write_text("BUILD_ID=1.3.0-def\n")
    board.stand_in("systemctl", 3)
    board.ask("verdict")
    assert "systemctl reboot" in board.calls


def test_a_ready_gateway_gets_no_verdict(board: Board) -> None:
    assert board.ask("verdict").returncode == 0
    assert "reboot" not in board.calls


def test_what_rauc_did_not_take_is_no_proof(board: Board) -> None:
    board.stand_in("rauc", 1)
    assert board.ask("good").returncode == 1
    assert not (board.root / "data/rauc/proven-B").exists()


@pytest.mark.parametrize(("file", "text"), [("proc/cmdline", "quiet\n"), ("etc/os-release", "ID=x\n")])
def test_a_board_that_does_not_say_what_it_runs_is_not_judged(board: Board, file: str, text: str) -> None:
    (board.root / file).write_text(text)
    done = board.ask("verdict")
    assert done.returncode == 1
    assert "health:" in done.stderr
    assert board.calls == ""

"""Fetched firmware is handed to RAUC by root: from one place, out of the gateway's reach, with the reason where it is refused."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from edge.ota.store import PackageStore

ROOTFS = Path(__file__).parents[2] / "rootfs"
PROGRAMS = ROOTFS / "usr/lib/halow-gateway"
UNITS = ROOTFS / "usr/lib/systemd/system"


class Board:
    """Another root, whose rauc notes what it is given."""

    def __init__(self, path: Path) -> None:
        self.path, self.asked, self.said = path, path / "run/halow-gateway", path / "run/halow-gateway-update"
        self.fetched, self.taken = path / "data/gateway/ota/fw.package", path / "data/rauc/update.raucb"
        for folder in (self.asked, self.said, path / "bin", self.fetched.parent, self.taken.parent, path / "proc"):
            folder.mkdir(parents=True)
        (path / "proc/uptime").write_text("4000.00 0.00\n")
        self.stub("rauc", f'cat "$2" > {path}/installed')
        self.stub("chown", "exit 0")

    def stub(self, name: str, body: str) -> None:
        file = self.path / "bin" / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    def run(self, program: str, *words: str, patience_s: int = 30) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.path}/bin:/usr/bin:/bin", "HALOW_STEP_ROOT": str(self.path), "HALOW_STEP_PATIENCE_S": str(patience_s),
                       "HALOW_STEP_PAUSE_S": "0"}
        return subprocess.run([PROGRAMS / program, *words], env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_the_package_is_installed_from_out_of_the_gateways_reach(board: Board) -> None:
    board.fetched.write_bytes(b"image")
    board.stub("sleep", f"exec {PROGRAMS}/update-step > /dev/null")      # what systemd does while the asker waits
    done = board.run("ask-update", str(board.fetched), "title", "1.1")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert (board.path / "installed").read_bytes() == b"image"
    assert not board.fetched.exists()
    assert list(board.taken.parent.iterdir()) == list(board.asked.iterdir()) == []


def test_a_refusal_is_told_with_its_reason(board: Board) -> None:
    board.fetched.write_bytes(b"image")
    (board.asked / "update.install").touch()
    board.stub("rauc", "echo installing; echo 'LastError: signature verification failed: no signature' >&2; echo 'Installing failed' >&2; exit 1")
    assert "LastError: signature verification failed" in board.run("update-step").stdout
    assert (board.said / "install").read_text().startswith("failed: LastError: signature verification failed")
    assert list(board.taken.parent.iterdir()) == []


def test_what_a_power_cut_left_is_installed_when_it_is_asked_for_again(board: Board) -> None:
    board.taken.write_bytes(b"image")
    (board.asked / "update.install").touch()
    board.run("update-step")
    assert (board.said / "install").read_text() == "done\n"
    assert (board.path / "installed").read_bytes() == b"image"


def test_nothing_is_done_unasked_without_a_package_or_by_a_link(board: Board) -> None:
    board.fetched.write_bytes(b"image")
    assert board.run("update-step").stdout == ""
    board.fetched.unlink()
    for link in (False, True):
        if link:
            board.fetched.symlink_to(board.path / "bin/rauc")
        (board.asked / "update.install").touch()
        board.run("update-step")
        assert (board.said / "install").read_text() == "failed: there is no package\n"
    assert not (board.path / "installed").exists()
    assert (board.path / "bin/rauc").exists()


def test_no_more_than_six_an_hour_and_what_was_fetched_stays(board: Board) -> None:
    for _ in range(6):
        (board.asked / "update.install").touch()
        assert board.run("update-step").stdout == "update-step: failed: there is no package\n"
    board.fetched.write_bytes(b"image")
    (board.asked / "update.install").touch()
    assert "failed: refused: taken 6 times within an hour; asked for again in 3600 s" in board.run("update-step").stdout
    assert board.fetched.exists()
    (board.path / "proc/uptime").write_text("7600.00 0.00\n")
    (board.asked / "update.install").touch()
    assert board.run("update-step").stdout == "update-step: done\n"


def test_what_is_asked_for_in_the_pause_behind_a_refusal_is_answered(board: Board) -> None:
    (board.path / "proc/uptime").write_text("100.00 0.00\n")
    (board.said / ".install").write_text("100 " * 6)
    board.fetched.write_bytes(b"image")
    (board.asked / "update.install").touch()
    board.stub("sleep", f"echo '7600.00 0.00' > {board.path}/proc/uptime; touch {board.asked}/update.install")
    refused, done = board.run("update-step").stdout.splitlines()
    assert refused.startswith("update-step: failed: refused: taken 6 times within an hour")
    assert done == "update-step: done"
    assert list(board.asked.iterdir()) == [], "the unit would take it away unanswered"


def test_a_request_that_nobody_takes_is_withdrawn(board: Board) -> None:
    done = board.run("ask-update", patience_s=0)
    assert (done.returncode, list(board.asked.iterdir())) == (1, [])
    assert done.stdout.startswith("nobody was done with it within 0 s")


def test_the_names_are_the_same_everywhere() -> None:
    path, service = ((UNITS / f"halow-gateway-update.{kind}").read_text() for kind in ("path", "service"))
    assert "PathExists=/run/halow-gateway/update.install\n" in path
    assert "/run/halow-gateway/update.install" in service
    assert str(PackageStore(Path("/data/gateway")).package("fw")) in (PROGRAMS / "update-step").read_text()
    shipped = tomllib.loads((ROOTFS / "usr/share/halow-gateway/gateway.toml").read_text())["ota"]
    assert (ROOTFS / shipped["firmware_command"].lstrip("/")).exists()
    assert "update" not in (UNITS / "halow-gateway.service").read_text().replace("updates", ""), "the gateway's own unit has no part in it"

"""The steps that need root: what may be asked for, what comes of it, and that nothing else is ever taken from the gateway."""

import re
import subprocess
from pathlib import Path

import pytest

ROOTFS = Path(__file__).parents[2] / "rootfs"
PROGRAMS = ROOTFS / "usr/lib/halow-gateway"
UNITS = ROOTFS / "usr/lib/systemd/system"
STEPS = {"restart_daemon", "reload_driver", "reboot"}


class Board:
    """Another root, whose systemctl and modprobe only note their calls."""

    def __init__(self, path: Path) -> None:
        self.path, self.asked, self.said = path, path / "run/halow-gateway", path / "run/halow-gateway-radio-step"
        for folder in (self.asked, self.said, path / "bin", path / "sys/module", path / "sys/class/net/halow0",
                       path / "proc"):
            folder.mkdir(parents=True)
        self.run_for(4_000)
        for name in ("systemctl", "modprobe"):
            self.stub(name, "exit 0")

    def stub(self, name: str, body: str) -> None:
        file = self.path / "bin" / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.path}/calls\n{body}\n')
        file.chmod(0o755)

    def run_for(self, uptime_s: int) -> None:
        (self.path / "proc/uptime").write_text(f"{uptime_s}.25 123.00\n")

    def run(self, program: str, *words: str, patience_s: int = 30) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.path}/bin:/usr/bin:/bin", "HALOW_STEP_ROOT": str(self.path), "HALOW_STEP_PATIENCE_S": str(patience_s),
                       "HALOW_STEP_PAUSE_S": "0"}
        return subprocess.run([PROGRAMS / program, *words], env=environment, capture_output=True, text=True, check=False, timeout=60)

    def calls(self) -> list[str]:
        log = self.path / "calls"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_each_step_does_its_own_and_is_answered(board: Board) -> None:
    (board.path / "sys/module/morse").mkdir()
    for step, calls in (("restart_daemon", ["systemctl restart halow-radio.service"]), ("reboot", ["systemctl --no-block reboot"]),
                        ("reload_driver", ["modprobe -r morse", "modprobe morse"])):
        (board.path / "calls").unlink(missing_ok=True)
        (board.asked / f"radio-step.{step}").touch()
        assert board.run("radio-step").stdout == f"radio-step: {step} done\n"
        assert board.calls() == calls
        assert list(board.asked.iterdir()) == []
        assert (board.said / step).read_text() == "done\n"


def test_a_driver_that_is_in_use_is_told_as_the_reason(board: Board) -> None:
    (board.path / "sys/module/nrc").mkdir()
    board.stub("modprobe", 'echo "modprobe: FATAL: Module nrc is in use." >&2; exit 1')
    (board.asked / "radio-step.reload_driver").touch()
    board.run("radio-step")
    assert (board.said / "reload_driver").read_text() == "failed: modprobe: FATAL: Module nrc is in use.\n"


def test_a_daemon_without_its_radio_is_told_at_once_and_not_waited_for(board: Board) -> None:
    (board.path / "sys/class/net/halow0").rmdir()
    (board.asked / "radio-step.restart_daemon").touch()
    board.run("radio-step")
    assert (board.said / "restart_daemon").read_text() == "failed: there is no halow0 that a daemon could serve\n"
    assert board.calls() == []


def test_a_step_that_is_ended_half_way_is_not_answered_by_the_one_before(board: Board) -> None:
    (board.said / "restart_daemon").write_text("done\n")
    board.stub("systemctl", 'kill -9 "$(cut -d" " -f4 /proc/$PPID/stat)" $PPID')      # as systemd ends a unit at its time-out: radio-step and its subshell
    board.stub("sleep", f"{PROGRAMS}/radio-step; rm -f {board.asked}/radio-step.restart_daemon")      # and the unit's ExecStopPost
    asked = board.run("ask-radio-step", "restart_daemon")
    assert (asked.returncode, asked.stdout) == (1, "failed: it left no word\n")


def test_nothing_else_is_done_and_nothing_is_read(board: Board) -> None:
    (board.asked / "radio-step.rm -rf").touch()
    (board.asked / "radio-step.reassociate").touch()
    assert board.run("radio-step").stdout == ""
    (board.asked / "radio-step.restart_daemon").symlink_to("/etc/shadow")
    board.run("radio-step")
    assert board.calls() == ["systemctl restart halow-radio.service"]
    assert Path("/etc/shadow").exists()
    assert board.run("ask-radio-step", "rm -rf").returncode == 2
    assert board.run("ask-radio-step").returncode == 2


def test_whoever_asks_waits_for_the_outcome(board: Board) -> None:
    request = board.asked / "radio-step.restart_daemon"
    board.stub("sleep", f"exec {PROGRAMS}/radio-step > /dev/null")      # what systemd does while the asker waits
    board.stub("systemctl", "exit 1")
    failed = board.run("ask-radio-step", "restart_daemon")
    assert (failed.returncode, failed.stdout) == (1, "failed\n")
    assert not request.exists()
    board.stub("systemctl", "exit 0")
    assert board.run("ask-radio-step", "restart_daemon").returncode == 0


def test_whoever_asks_too_often_is_refused_with_a_word_and_served_again_within_the_hour(board: Board) -> None:
    def ask(step: str) -> str:
        (board.asked / f"radio-step.{step}").touch()
        return board.run("radio-step").stdout

    for number in range(12):
        board.run_for(4_000 + 60 * number)
        assert ask("restart_daemon") == "radio-step: restart_daemon done\n"
    assert ask("restart_daemon") == ("radio-step: restart_daemon failed: refused: taken 12 times within an hour; "
                                     "asked for again in 2940 s it is taken\n")
    assert len(board.calls()) == 12
    assert list(board.asked.iterdir()) == [], "answered, not left to start the unit again"
    assert ask("reboot") == "radio-step: reboot done\n", "an update's reboot does not wait for the ladder's steps"
    board.run_for(4_000 + 2_940 + 660)
    assert ask("restart_daemon") == "radio-step: restart_daemon done\n"
    assert "refused" in ask("restart_daemon"), "the hour slides"


def test_what_cannot_be_counted_is_not_done(board: Board) -> None:
    (board.said / ".reboot.new").mkdir()
    (board.asked / "radio-step.reboot").touch()
    assert "cannot be written, and what is not counted is not done" in board.run("radio-step").stdout
    assert board.calls() == []


def test_a_folder_in_a_requests_place_is_no_request_and_keeps_no_other_from_being_taken(board: Board) -> None:
    (board.asked / "radio-step.restart_daemon").mkdir()
    assert board.run("radio-step").stdout == ""
    (board.asked / "radio-step.reboot").touch()
    assert board.run("radio-step").stdout == "radio-step: reboot done\n"
    assert board.calls() == ["systemctl --no-block reboot"]


def test_refusals_and_empty_starts_are_paced(board: Board) -> None:
    """Or a request made anew at once would start the unit as fast as systemd can, until its path unit fails."""
    board.stub("sleep", "exit 0")
    board.run("radio-step")
    assert board.calls() == ["sleep 0"]
    (board.asked / "radio-step.reboot").touch()
    board.run("radio-step")
    assert board.calls() == ["sleep 0", "systemctl --no-block reboot"], "a step that was taken costs enough by itself"


def test_a_request_that_nobody_takes_is_withdrawn(board: Board) -> None:
    done = board.run("ask-radio-step", "reboot", patience_s=0)
    assert done.returncode == 1
    assert done.stdout.startswith("nobody was done with it within 0 s; see: systemctl status")
    assert list(board.asked.iterdir()) == []


def test_what_is_asked_for_in_the_pause_behind_a_refusal_is_answered(board: Board) -> None:
    board.run_for(100)
    (board.said / ".restart_daemon").write_text("100 " * 12)
    (board.asked / "radio-step.restart_daemon").touch()
    board.stub("sleep", f"touch {board.asked}/radio-step.reboot")
    board.run("radio-step")
    assert (board.said / "restart_daemon").read_text().startswith("failed: refused: taken 12 times within an hour")
    assert (board.said / "reboot").read_text() == "done\n"
    assert board.calls()[1:] == ["systemctl --no-block reboot"]
    assert list(board.asked.iterdir()) == [], "the unit would take it away unanswered"


def test_the_allow_list_is_the_same_everywhere() -> None:
    path, service = ((UNITS / f"halow-gateway-radio-step.{kind}").read_text() for kind in ("path", "service"))
    assert set(re.findall(r"^PathExists=/run/halow-gateway/radio-step\.(\w+)$", path, re.MULTILINE)) == STEPS
    assert set(re.findall(r"radio-step\.(\w+)", service)) == STEPS
    assert re.search(r"^ +for step in (.*); do$", (PROGRAMS / "radio-step").read_text(), re.MULTILINE)[1].split() == [
        "restart_daemon", "reload_driver", "reboot"]
    assert "radio-step" not in (UNITS / "halow-gateway.service").read_text(), "the gateway's own unit has no part in it"

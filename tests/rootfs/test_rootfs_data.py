"""The folders on /data: made once, and enough when they are there, also on a card that has gone read-only."""

import os
import stat
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "rootfs/usr/lib/halow-gateway/data-folders"
MODES = {"config": 0o750, "gateway": 0o700, "timesync": 0o755, "rauc": 0o700}


def run(tmp_path: Path, *failing: str) -> subprocess.CompletedProcess[str]:
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for path in tools.iterdir():
        path.unlink()
    # The users are the image's, not this machine's.
    for name in ("chown", *failing):
        (tools / name).write_text(f"#!/bin/sh\nexit {int(name in failing)}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "data").mkdir(exist_ok=True)
    return subprocess.run([str(SCRIPT), str(tmp_path / "data")], check=False, capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})


def test_the_folders_are_made_with_their_modes(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 0
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()} == MODES


def test_folders_that_are_there_are_enough_on_a_card_that_has_gone_read_only(tmp_path: Path) -> None:
    run(tmp_path)
    done = run(tmp_path, "chmod", "chown", "mkdir")
    assert done.returncode == 0
    assert "read-only?" in done.stderr


def test_a_folder_that_cannot_be_made_is_said_and_the_others_are_made(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/config").write_text("a file where the folder belongs")
    done = run(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/data/config cannot be made" in done.stderr
    assert (tmp_path / "data/rauc").is_dir()

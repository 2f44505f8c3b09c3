"""page-port: which port of the local page the packet filter is to open, asked of the real program for settings of every form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "rootfs/usr/lib/halow-gateway/page-port"


def stand_ins(folder: Path) -> None:
    """Lay the gateway's program and a setpriv that changes no user into a folder that is then first in PATH."""
    for name, body in (("setpriv", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'),
                       ("halow-gateway", f'echo "$*" >> {folder}/asked; PYTHONPATH={ROOT} exec {sys.executable} -m edge "$@"')):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)


def port(folder: Path, settings: str | None) -> str:
    """What it prints; it must never fail, as the filter is loaded all the same."""
    stand_ins(folder)
    if settings is not None:
        (folder / "gateway.toml").write_text(settings)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run([PROGRAM, folder / "gateway.toml"], env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize(("settings", "expected"), [
    ('[api]\nenabled = true\nlisten = "::"\n', "8443"),
    ('api = {enabled = true, listen = "192.168.7.1", port = 9443}\n', "9443"),
    ('api.enabled = true\napi.listen = "0.0.0.0"\n', "8443"),
    ("[api]\nenabled = true\n", ""),
    ('[api]\nenabled = true\nlisten = "127.0.0.2"\nport = 9443\n', ""),
    ('[api]\nlisten = "::"\n', ""),
    ('[api]\nenabled = true\nlisten = "::"\nport = "8443; flush ruleset"\n', ""),
], ids=["on the network", "on one address", "dotted", "on loopback", "on another loopback", "switched off", "wrong"])
def test_the_port_is_told_where_the_page_is_on_the_network(tmp_path: Path, settings: str, expected: str) -> None:
    assert port(tmp_path, settings) == expected


@pytest.mark.parametrize("settings", [None, "", "# [api]\n[poll]\ninterval_s = 5\n"], ids=["no file", "empty", "a comment"])
def test_settings_that_name_no_page_cost_no_start_of_the_program(tmp_path: Path, settings: str | None) -> None:
    assert port(tmp_path, settings) == ""
    assert not (tmp_path / "asked").exists()

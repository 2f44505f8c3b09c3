"""What is in the binary and what is not, and that the same commit gives the same bytes."""

import hashlib
import json
import os
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edge
from edge.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]

HEAVY = {
    "test", "pip", "setuptools", "pkg_resources", "distutils", "ensurepip", "lib2to3", "idlelib", "tkinter", "turtle",
    "curses", "pydoc", "pydoc_data", "doctest", "pdb", "xmlrpc", "_testcapi", "venv",
    "gurux_dlms", "hypothesis", "pytest", "moat", "amqtt", "rich", "pygments", "paho", "psutil", "serial", "pycparser", "tzdata",
    "structlog", "numpy",
}
"""What a gateway has no use for. `unittest` is not in the list: pyroute2 0.9.7 imports `unittest.mock` at run time."""

LAPTOP = ("edge/demo/", "edge/commands/demo", "edge/commands/simulate")


def members(binary: Path) -> set[str]:
    with zipfile.ZipFile(binary) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def probe(binary: Path) -> dict[str, object]:
    done = subprocess.run([f"{binary}-probe"], check=False, capture_output=True, text=True, timeout=60, cwd="/", env={})
    return dict(json.loads(done.stdout))


def test_every_module_of_ours_imports_inside(binary: Path) -> None:
    seen = probe(binary)
    assert seen["failed"] == {}
    assert {"edge.app", "edge.uplink.mqtt", "halow.nl80211", "uvloop.loop", "msgspec._core", "msgpack._cmsgpack", "_ssl", "_sqlite3"} <= set(seen["loaded"])


def test_the_laptops_side_is_not_inside_and_all_our_data_is(binary: Path) -> None:
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files", "edge", "halow"], check=True, capture_output=True, text=True).stdout.split()
    data = {name for name in tracked if not name.endswith((".py", ".md")) and not name.startswith(LAPTOP)}
    inside = members(binary)
    assert data - inside == set()
    assert data
    assert {name for name in inside if name.startswith(LAPTOP)} == set()
    assert {f"edge/commands/{name}.pyc" for name in ("init", "run", "check", "status", "meter", "read", "ring", "link", "config")} <= inside


def test_nothing_heavy_is_inside(binary: Path) -> None:
    packages = {name.split("/")[0].removesuffix(".pyc") for name in members(binary)}
    assert packages & HEAVY == set()
    assert not [name for name in members(binary) if "/tests/" in name or name.endswith(".py")]


def test_size(binary: Path) -> None:
    assert binary.stat().st_size <= 25e6


def test_it_needs_the_c_library_and_nothing_else(binary: Path) -> None:
    dynamic = subprocess.run(["readelf", "--dynamic", str(binary)], check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)) == {"libc.so.6", "libm.so.6"}
    assert re.search(r"FLAGS_1.*NOW.*PIE", dynamic), "not placed at random, or relocations left writable"
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic


def test_what_is_pinned_here_is_what_the_project_asks_for() -> None:
    text = (ROOT / "tools" / "binary" / "requirements.txt").read_text()
    carried = {canonicalize_name(name): version for name, version in re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE)}
    asked = [Requirement(line) for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]]
    assert [str(one) for one in asked if not one.specifier.contains(carried.get(canonicalize_name(one.name), "0"))] == []


def test_version_names_the_build(binary: Path) -> None:
    said = subprocess.run([str(binary), "--version"], check=True, capture_output=True, text=True, env={}, cwd="/").stdout
    assert re.fullmatch(rf"halow-gateway, version {re.escape(edge.__version__)} \(build [0-9a-f]{{12}}(-changed)?\)\n", said)


def test_what_is_left_out_says_so(binary: Path) -> None:
    done = subprocess.run([str(binary), "demo"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "Error: demo: not part of this build; it runs from the source tree\n")


def test_help_names_only_what_is_inside(binary: Path) -> None:
    told = subprocess.run([str(binary), "--help"], check=True, capture_output=True, text=True).stdout
    named = {line.split()[0] for line in told.partition("Commands:")[2].splitlines() if line.startswith("  ") and line[2] != " "}
    assert named == set(COMMANDS) - {"demo", "simulate"}, "the laptop's side stays away"


def test_wrong_settings_end_with_78(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[poll]\nat_once = 0\n")
    done = subprocess.run([str(binary), "-c", str(tmp_path / "gateway.toml"), "run"], check=False, capture_output=True, text=True)
    assert done.returncode == 78
    assert done.stderr == f"halow-gateway: {tmp_path}/gateway.toml: poll.at_once = 0: must be a whole number at least 1 and at most 1024\n"


def test_python_variables_of_the_caller_change_nothing(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "edge.py").write_text("raise SystemExit(99)\n")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(98)\n")
    env = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONINSPECT": "1", "PYTHONVERBOSE": "1"}
    done = subprocess.run([str(binary), "--version"], check=False, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_two_builds_of_one_commit_are_the_same_bytes(binary: Path, tmp_path: Path) -> None:
    """In two folders, with two home directories, time zones, masks and languages; of the commit, not of what lies here."""
    builds = []
    for name, zone, mask in (("one", "Asia/Tokyo", "022"), ("a/much/longer/other", "America/Lima", "077")):
        clone, target = tmp_path / name, tmp_path / f"{name}-out" / "halow-gateway"
        subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
        env = {"PATH": os.environ["PATH"], "TZ": zone, "HOME": str(clone), "PYTHONHASHSEED": "0", "LANG": "C.UTF-8" if name == "one" else "C"}
        command = f"umask {mask}; exec /usr/bin/python3.11 -B tools/binary/build.py --wheels {ROOT}/build/binary/wheels {target}"
        builds.append((target, subprocess.Popen(["sh", "-c", command], cwd=clone, env=env, stdout=subprocess.PIPE, text=True)))
    said = [process.communicate(timeout=110)[0] for _, process in builds]
    assert all(process.returncode == 0 for _, process in builds), said
    digests = {hashlib.sha256(target.read_bytes()).hexdigest() for target, _ in builds}
    assert len(digests) == 1, said
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert f"build {head}," in said[0], "a clone of the commit is not changed"

"""Power cuts on the machine's own ext4 (rig.py). 400 crash states of the ring here, 5,000 by `make crash`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crash_states import MODES, Recording, chosen, crash_states
from promises import Promises, compare
from rig import CANNOT, what_is_missing

RIG = [sys.executable, str(Path(__file__).with_name("rig.py"))]
pytestmark = pytest.mark.slow


def cut(*arguments: str, timeout_s: float = 400) -> dict[str, dict]:
    """Run the rig; returns its reports by store."""
    if reason := what_is_missing():
        pytest.skip(reason)
    done = subprocess.run([*RIG, *arguments, "--json"], check=False, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode == CANNOT:
        pytest.skip(done.stderr.strip())
    assert done.stdout, done.stderr
    return {report["store"]: report for report in map(json.loads, done.stdout.splitlines())}


@pytest.mark.timeout(420)
def test_no_power_cut_takes_what_the_ring_has_promised() -> None:
    reports = cut("ring-grow", "ring-wrap", "ring-full", "--states", "134", "--commits", "120")
    for report in reports.values():
        assert report["losing"] == 0, report["worst"]
        assert report["broken"] == 0, report["worst"]
        assert report["repaired"] == 0, "ext4 itself did not come back; metadata is never torn here"
    assert sum(report["states"] for report in reports.values()) >= 400
    assert reports["ring-full"]["counting"] > 10, "the full ring never had to let go of anything"


@pytest.mark.timeout(420)
def test_the_same_cuts_find_what_does_not_sync() -> None:
    """A rig that finds nothing proves nothing: SQLite FULL passes it, SQLite NORMAL and the ring without its sync do not."""
    reports = cut("sqlite-full", "sqlite-normal", "ring-without-sync", "--states", "50", "--commits", "100")
    assert reports["sqlite-full"]["losing"] == reports["sqlite-full"]["broken"] == 0, reports["sqlite-full"]["worst"]
    assert reports["sqlite-normal"]["losing"] >= 5
    assert reports["ring-without-sync"]["losing"] >= 5


def traces() -> list[str]:
    """What of the rig is left on this machine: processes, mounts, loop devices."""
    found = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if "recorded-disk" in line]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue                                # it has just ended
        if "fuse_disk.py" in command or "rig.py" in command:
            found.append(command)
    return found


@pytest.mark.parametrize("victim", ["rig.py", "unshare", "--inside", "fuse_disk.py"])
def test_nothing_is_left_behind_by_a_rig_that_is_killed(victim: str) -> None:
    if reason := what_is_missing():
        pytest.skip(reason)
    before = set(traces())
    with subprocess.Popen([*RIG, "ring-grow", "--states", "50", "--commits", "100000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True) as rig:
        until(lambda: any("fuse_disk.py" in line for line in set(traces()) - before) and any(
            line.endswith("/fuse/disk") for line in traces()))
        chosen_pid = rig.pid if victim == "rig.py" else pid_of(rig.pid, victim)
        os.kill(chosen_pid, 9)
        rig.wait(90)
    until(lambda: set(traces()) <= before)


def until(condition, within_s: float = 60) -> None:
    """Wait for what has no event: the kernel takes things away when it comes to it."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, traces()
        time.sleep(0.05)


def pid_of(root: int, word: str) -> int:
    """Find the descendant of a process by a word of its command line."""
    children = [int(pid) for path in Path(f"/proc/{root}/task").glob("*/children") for pid in path.read_text().split()]
    for pid in children:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(part.decode().endswith(word) for part in (words[:1] if word == "unshare" else words[:3])):
            return pid
        if found := pid_of(pid, word):
            return found
    return 0


# ---- the rig's own parts ---------------------------------------------------------------------------------------------


def recording() -> Recording:
    """Block 0 is a file's, block 1 the file system's. Record 1 is durable after the first flush, 2 after the second."""
    mark = {"put": [["INSTANT", 7, 1]]}
    return Recording(bytes(8192), [("W", 0, b"a" * 4096), ("F",), ("M", mark), ("W", 0, b"b" * 4096), ("W", 4096, b"c" * 4096), ("F",)], {0})


def test_a_cut_keeps_what_was_flushed_and_any_part_of_the_rest(rng) -> None:
    states = [(state.marks, bytes(state.image)) for state in crash_states(recording(), 300, rng)]
    after = {(image[0:1], image[4096:4097]) for marks, image in states if marks}
    assert {(b"a", b"\0"), (b"b", b"\0"), (b"a", b"c"), (b"b", b"c")} <= after, "every order of the two blocks"
    assert any(set(image[:4096]) == {97, 98} for _, image in states), "a file's page came in part"
    assert all(len(set(image[4096:])) == 1 for _, image in states), "a block of the file system came in part"
    assert all(bytes(512) not in image[:4096] for marks, image in states if marks), "what was flushed is gone"


@pytest.mark.parametrize("mode", MODES)
def test_what_is_kept_was_written(rng, mode: str) -> None:
    writes = [(0, b"b" * 8192), (4096, b"c" * 4096)]
    for at, data in chosen(writes, mode, rng, {0}):
        assert at % 512 == 0
        assert mode == "garbage" or set(data) <= {98, 99}


def test_the_oracle_tells_loss_invention_disorder_and_announced_loss_apart() -> None:
    promises = Promises().at([{"put": [["INSTANT", 1, 10], ["INSTANT", 2, 11]]}, {"ack": [["INSTANT", 1]]}, {"put": [["INSTANT", 3, 12]]}], 2)
    assert compare(promises, {"INSTANT": [(2, 11)]}).good
    assert compare(promises, {"INSTANT": [(1, 10), (2, 11), (3, 12)]}).good, "acknowledged or not yet promised: may be there"
    assert compare(promises, {"INSTANT": [(1, 10)]}).missing == [("INSTANT", 2)]
    assert compare(promises, {"INSTANT": [(2, 99)]}).invented == [("INSTANT", 2)]
    assert compare(promises, {"INSTANT": [(2, 11), (4, None)]}).invented == [("INSTANT", 4)]
    assert compare(promises, {"INSTANT": [(3, 12), (2, 11)]}).disordered
    assert compare(promises, {"INSTANT": [(3, 12)]}, {"INSTANT": 1}).good, "the oldest of a full store, counted"
    assert compare(promises, {"INSTANT": []}, {"INSTANT": 1}).good, "and what came after it was acknowledged"
    assert compare(promises, {"INSTANT": [(3, 12)]}, {"INSTANT": 0}).missing == [("INSTANT", 2)]
    assert compare(promises, {"INSTANT": [(1, 10)]}, {"INSTANT": 1}).missing == [("INSTANT", 2)], "not the oldest"


@pytest.fixture
def rng():
    import random

    return random.Random(1)

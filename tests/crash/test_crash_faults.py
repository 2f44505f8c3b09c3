"""Storage that fails under the ring on a real ext4: full, read-only, EIO (small_disk.py)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rig import CANNOT

pytestmark = pytest.mark.timeout(240)


def seen(scenario: str) -> dict:
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("small_disk.py")), scenario], check=False, capture_output=True, text=True, timeout=200)
    if done.returncode == CANNOT:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_disk_smaller_than_the_ring_makes_a_small_ring_that_counts_what_it_drops() -> None:
    ring = seen("full")
    assert ring["bytes"] < ring["quota_bytes"]
    assert ring["readable"] + ring["lost"] == 2_000
    assert ring["readable"] == ring["readable_again"] > 400
    assert ring["newest"] == 2_000
    assert ring["in_order"]
    assert not ring["invented"]


def test_a_file_system_gone_read_only_is_read_and_nothing_more_is_promised() -> None:
    ring = seen("read-only")
    assert "Read-only" in ring["problem"]
    assert ring["readable"] == list(range(1, 61)), "40 off flash, 20 out of memory"
    assert ring["durable_meanwhile"] == 0
    assert ring["refused_at_the_end"] == 20
    assert ring["after_a_new_mount"] == "kept its word"


@pytest.mark.parametrize("scenario", ["eio-once", "eio-for-a-while"])
def test_what_is_called_durable_around_an_io_error_is_on_the_medium(scenario: str) -> None:
    ring = seen(scenario)
    assert ring["io_errors"] > 0
    assert ring["quarantined"] > 0
    assert ring["durable"] == 60
    assert ring["after_a_new_mount"] == "kept its word"


def test_a_sync_that_is_tried_again_loses_what_it_says_is_durable() -> None:
    """The kernel forgets after the first error: this is what `never retry fsync` is for, and that the rig sees it."""
    ring = seen("eio-and-a-second-sync")
    assert ring["io_errors"] == 0, "nobody was told"
    assert "durable records missing" in ring["after_a_new_mount"]

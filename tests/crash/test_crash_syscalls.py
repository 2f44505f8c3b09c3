"""A process that dies at the N-th system call of any kind, and system calls that fail: nothing promised is lost.

Process death only: what was written and not synced survives in the page cache. Power cuts are in test_crash_ext4.py.
"""

import os
import shutil
import signal
from pathlib import Path

import pytest
from killing import KillAt, Lives, strace
from stores import RingStore, SimulatedLie

NUMBERS = range(1, 61) if os.environ.get("HALOW_CRASH_LONG") else (1, 2, 3, 5, 8, 13, 21, 34)      # `make crash`: every one to 60
KILLED = signal.SIGKILL

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt install strace")


@pytest.mark.parametrize(("call", "how", "pressure"), [
    ("open", "before", "grow"), ("open", "behind", "grow"), ("write", "half", "grow"), ("rename", "before", "grow"),
    ("rename", "behind", "grow"), ("fsync", "behind", "grow"), ("close", "before", "wrap"), ("pwrite", "before", "wrap"),
    ("pwrite", "half", "wrap"), ("pwrite", "behind", "wrap"), ("fdatasync", "before", "wrap"), ("fdatasync", "behind", "wrap")])
@pytest.mark.timeout(600)
def test_a_death_at_the_nth_call_takes_nothing(tmp_path: Path, call: str, how: str, pressure: str) -> None:
    """Many lives on one directory, each some calls longer; the next finds all that those before it were promised."""
    lives, died = Lives(tmp_path / "state", RingStore("ring", pressure, evicts=True), seed=1), 0
    for number in NUMBERS:
        died += lives.live(60, lambda number=number: KillAt(call, number, how, lives.place)) == KILLED
        assert (finding := lives.find()).good, f"{call} {number} {how}: {finding}"
    assert died == len(NUMBERS) if call in ("pwrite", "fdatasync") else died >= 2
    assert lives.commits > 0 or call in ("open", "close")


@needs_strace
@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "openat"])
def test_a_death_that_the_kernel_deals_takes_nothing(tmp_path: Path, call: str) -> None:
    """The same from outside, by strace: the signal is there when the N-th call begins."""
    lives, died = Lives(tmp_path / "state", RingStore("ring", "wrap", evicts=True), seed=2), 0
    for number in NUMBERS:
        died += lives.live(60, trace=strace(f"{call}:signal=SIGKILL:when={number}")) == KILLED
        assert (finding := lives.find()).good, f"{call} {number}: {finding}"
    assert died == len(NUMBERS) if call != "openat" else died >= 2


@needs_strace
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [
    "fdatasync:error=EIO:when=7", "fdatasync:error=EIO:when=3..4", "pwrite64:error=EIO:when=9", "pwrite64:error=ENOSPC:when=5..8",
    "pwrite64:error=EROFS:when=5..8", "openat:error=EIO:when=9", "openat:error=EMFILE:when=6..9",
    "rename:error=EIO:when=4", "fsync:error=EIO:when=5", "fsync:error=ENOSPC:when=4..6"])
def test_a_call_that_fails_takes_nothing(tmp_path: Path, fault: str) -> None:
    """A life goes on behind the error, and what it says is durable is; the next finds it."""
    lives = Lives(tmp_path / "state", RingStore("ring", "grow"), seed=3)
    assert lives.live(60, trace=strace(fault)) == 0, "the ring did not outlive the error"
    assert lives.commits == 60
    assert (finding := lives.find()).good, finding


def test_deaths_show_what_a_store_without_its_order_does(tmp_path: Path) -> None:
    """A ring that says durable before it writes is caught: these deaths can fail."""

    class Early(RingStore):
        async def _commit(self, tickets) -> None:
            """Do not wait."""

    lives = Lives(tmp_path / "state", Early("early", "grow", SimulatedLie), seed=4)
    assert lives.live(40, lambda: KillAt("pwrite", 6, "before", lives.place)) == KILLED
    assert lives.find().missing

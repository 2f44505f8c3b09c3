"""The clock port against the machine it runs on."""

import re
import time

import pytest

from edge import clock
from edge.clock import SystemClock


def test_stamp_carries_every_base_at_once() -> None:
    before_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    stamp = SystemClock(trust_wall=True).stamp()
    after_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    assert before_ms <= stamp.boottime_ms <= after_ms
    assert abs(stamp.wall_ms - time.time() * 1000) < 1000
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", stamp.boot_id)
    assert stamp.synchronised is True


def test_systemd_timesync_is_believed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "synchronized"
    monkeypatch.setattr(clock, "TIMESYNC", flag)
    monkeypatch.setattr(SystemClock, "_kernel_says_so", lambda _self: False)
    assert SystemClock().synchronised() is False
    flag.touch()
    assert SystemClock().synchronised() is True


@pytest.mark.parametrize(("state", "status", "believed"), [
    (0, 0x0001, True),       # TIME_OK, STA_PLL
    (0, 0x0041, False),      # STA_UNSYNC set
    (5, 0x0001, False),      # TIME_ERROR
    (-1, 0x0000, False),     # the call failed
])
def test_kernel_judgement_is_read_from_adjtimex(monkeypatch: pytest.MonkeyPatch, state: int, status: int, believed: bool) -> None:
    """The offset of `status` in struct timex is checked against the kernel's own header layout on this architecture."""
    import ctypes

    class Timex(ctypes.Structure):
        _fields_ = [("modes", ctypes.c_int), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
                    ("esterror", ctypes.c_long), ("status", ctypes.c_int)]

    class Libc:
        def adjtimex(self, words) -> int:
            Timex.from_buffer(words).status = status
            return state

    system = SystemClock()
    monkeypatch.setattr(clock, "TIMESYNC", clock.Path("/nonexistent"))
    monkeypatch.setattr(system, "_libc", Libc())
    assert system.synchronised() is believed


def test_kernel_is_asked_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(clock, "TIMESYNC", clock.Path("/nonexistent"))
    monkeypatch.setattr(SystemClock, "_kernel_says_so", lambda _self: calls.append(1) or True)
    system = SystemClock()
    assert all(system.synchronised() for _ in range(100))
    assert len(calls) == 1


def test_no_two_stamps_share_a_millisecond() -> None:
    system = SystemClock(trust_wall=True)
    stamps = [system.stamp() for _ in range(500)]
    assert len({stamp.boottime_ms for stamp in stamps}) == 500
    # but for the few where the machine did something else between the two looks
    offsets = sorted(stamp.wall_ms - stamp.boottime_ms for stamp in stamps)[25:-25]
    assert offsets[-1] - offsets[0] <= 2, "wall and boot time move together"

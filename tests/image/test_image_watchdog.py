"""What hangs is brought back: the event loop by systemd, systemd and the kernel by the board's own watchdog."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from host_side import ORDINALS, HostSide, on, ready, status, status_until
from vm import Board

WATCHDOG_S, GRACE_S = 60.0, 5.0
HARDWARE_S = 14.0

# Makes the main thread of process $pid spin: while it waits in epoll, an endless jump is put where it will come back to, as a
# debugger does (x86-64: jmp $, both octets in one write). So the loop really spins, as it would in a bug of ours, and the other
# threads go on. A thread that is running at the moment tells no address: it is looked at again until it waits.
SPIN = (
    "until read -r call _ _ _ _ _ _ _ pc < /proc/$pid/syscall; case $call in 232|281|441) true;; *) false;; esac; do :; done; "
    "printf '\\353\\376' | dd of=/proc/$pid/mem bs=2 count=1 oflag=seek_bytes seek=$(($pc)) conv=notrunc status=none"
)
HANG = f"pid=$(systemctl show -P MainPID halow-gateway.service); {SPIN} && echo $pid"


@pytest.fixture
async def polling(host_side: HostSide, fresh_disk: Callable[[str], Path], board: Callable[..., Board]) -> Board:
    """A board that polls and drains; switched off with the board fixture."""
    disk = fresh_disk("amd64")
    host_side.card(disk)
    # Everything the kernel says: its first line after a reset is what tells when that was.
    box = board("amd64", disk, append="ignore_loglevel").start()
    await ready(box)
    await host_side.acked(20, timeout_s=300)
    return box


@pytest.mark.timeout(900)
async def test_a_hung_event_loop_is_restarted_and_the_ring_loses_nothing(host_side: HostSide, polling: Board) -> None:
    assert await on(polling, "systemctl show -P WatchdogUSec halow-gateway.service") == "1min"
    before = await status(polling)
    promised = before["ring"]["durable_seq"]["instant"] & ORDINALS
    hung = await on(polling, HANG)
    began = time.monotonic()
    # systemd tells when the next main process is there: the journal is followed, not asked again and again.
    await on(polling, "journalctl -f -n 0 -o cat _PID=1 + UNIT=halow-gateway.service | grep -m1 'Scheduled restart job\\|Starting halow-gateway'", timeout_s=120)
    restarted_s = time.monotonic() - began
    await on(polling, "systemctl start halow-gateway.service", timeout_s=180)
    ready_s = time.monotonic() - began
    assert await on(polling, "systemctl show -P MainPID halow-gateway.service") != hung
    log = await on(polling, "journalctl -b -o cat --no-pager UNIT=halow-gateway.service + _SYSTEMD_UNIT=halow-gateway.service")
    assert "Watchdog timeout (limit 1min)" in log
    print(f"\nhung loop: restarted after {restarted_s:.1f} s, READY after {ready_s:.1f} s (WatchdogSec {WATCHDOG_S:.0f})")
    assert restarted_s <= WATCHDOG_S + GRACE_S
    await host_side.acked(20, timeout_s=120)
    after = await status_until(polling, lambda found: found["ring"]["newest_seq"]["instant"] & ORDINALS > promised, timeout_s=60)
    assert not any(stream["lost"] for stream in after["ring"]["streams"].values()), after["ring"]
    dump = await on(polling, "halow-gateway ring dump --all --stream instant", timeout_s=300)
    assert set(range(1, promised + 1)) <= {json.loads(line)["seq"] & ORDINALS for line in dump.splitlines()}


STOPS = {
    "PID 1 crashes": "kill -SEGV 1",
    "PID 1 spins": f"pid=1; {SPIN}",
    # with the kernel's own reboot after a panic switched off
    "the kernel panics": "sysctl -qw kernel.panic=0 kernel.sysrq=255; echo c > /proc/sysrq-trigger",
}


@pytest.mark.timeout(1500)
async def test_a_stopped_system_is_reset_by_the_boards_watchdog(host_side: HostSide, polling: Board) -> None:
    assert await on(polling, "systemctl show -P RuntimeWatchdogUSec") == "14s"
    for what, command in STOPS.items():
        boot = await on(polling, "cat /proc/sys/kernel/random/boot_id")
        start = len(polling.lines)
        began = time.monotonic()
        polling.send(command)
        await asyncio.to_thread(polling.console, r"Linux version", timeout_s=120, start=start)
        reset_s = time.monotonic() - began
        await ready(polling)
        assert await on(polling, "cat /proc/sys/kernel/random/boot_id") != boot
        print(f"\n{what}: reset after {reset_s:.1f} s (RuntimeWatchdogSec {HARDWARE_S:.0f})")
        await host_side.acked(20, timeout_s=300)

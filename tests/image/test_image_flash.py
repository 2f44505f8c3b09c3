"""What the board writes while it polls: nothing to its root, and to /data no more than the ring says.

Ten minutes in `make rehearse`, an hour in `make rehearse-long` (HALOW_POLLING_S). Counted on this side of the disk's wire.
"""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host_side import HostSide, on, ready, status
from vm import Board

POLLING_S = float(os.environ.get("HALOW_POLLING_S", "600"))
# Beside the ring's own bytes: SQLite and the file system's journal, once in a while.
OTHERS_BYTES_PER_HOUR = 2 << 20


@pytest.mark.timeout(POLLING_S + 600)
async def test_the_root_is_never_written_and_data_takes_what_the_ring_says(
    host_side: HostSide, fresh_disk: Callable[[str], Path], nbd_disk: Callable[..., Any], board: Callable[..., Board],
) -> None:
    disk = fresh_disk("amd64")
    host_side.card(disk)
    flash = nbd_disk(disk)
    with board("amd64", flash.drive) as box:
        await ready(box)
        await host_side.acked(20, timeout_s=300)
        await on(box, "systemctl is-system-running --wait; sync", check=False, timeout_s=300)
        before, ring_before = json.loads(flash.stats()), (await status(box))["ring"]["written_bytes"]
        polls = len(host_side.judge.acked)
        await asyncio.sleep(POLLING_S)      # the time itself is what is measured
        ring = (await status(box))["ring"]["written_bytes"] - ring_before
        await on(box, "sync")
        after = json.loads(flash.stats())
        counters = await on(box, "grep -E 'vda[0-9]' /proc/diskstats")
    written = {name: after["written_bytes"][name] - before["written_bytes"][name] for name in after["written_bytes"]}
    polls = len(host_side.judge.acked) - polls
    print(f"\n{POLLING_S:.0f} s, {polls} polls: written to {written}; the ring says {ring} bytes, {ring / max(polls, 1):.0f} a poll\n{counters}")
    assert polls > POLLING_S / 2
    assert {name: count for name, count in written.items() if count and name != "data"} == {}, "only /data is written"
    assert written["data"] <= ring * 1.25 + OTHERS_BYTES_PER_HOUR * max(POLLING_S, 600) / 3600

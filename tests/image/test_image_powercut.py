"""Power cuts at random moments while polling with the uplink down: what was called durable arrives, counted on this side.

The disk drops what was not flushed (nbd_disk.py). 3 cuts in `make rehearse`, 20 in `make rehearse-long` (HALOW_CUTS).
"""

import asyncio
import functools
import json
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from host_side import ORDINALS, HostSide, on, ready, status, status_until
from vm import Board

CUTS = int(os.environ.get("HALOW_CUTS", "3"))


async def poll_until_cut(box: Board, at_least: int, cut: Callable[[], Awaitable[None]]) -> int:
    """Let it poll; ask for the newest durable number again and again until `cut` has cut the power; return the last answer."""
    found = await status_until(box, lambda said: said["ring"]["durable_seq"]["instant"] & ORDINALS >= at_least, timeout_s=300)
    durable = found["ring"]["durable_seq"]["instant"] & ORDINALS

    async def ask() -> None:
        nonlocal durable
        while True:
            durable = (await status(box))["ring"]["durable_seq"]["instant"] & ORDINALS

    asking = asyncio.create_task(ask())
    await cut()
    box.cut()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return durable


@pytest.mark.timeout(300 + 240 * CUTS)
async def test_no_durable_record_is_lost_over_power_cuts(
    host_side: HostSide, fresh_disk: Callable[[str], Path], nbd_disk: Callable[..., Any], board: Callable[..., Board],
) -> None:
    chance = random.Random(20261124)
    disk = fresh_disk("amd64")
    host_side.card(disk)
    flash = nbd_disk(disk, seed=7)
    host_side.tap.blackhole()
    promised = 0
    for cut in range(1, CUTS + 1):
        box = board("amd64", flash.drive).start()
        took = await ready(box)
        if cut % 2:      # in the middle of a commit
            how = f"at write {(number := chance.randint(1, 60))}"
            going = functools.partial(asyncio.to_thread, flash.cut_at_write, number)
        else:
            how = f"after {(moment_s := chance.uniform(1, 12)):.1f} s"
            going = functools.partial(asyncio.sleep, moment_s)      # the random moment itself
        promised = await poll_until_cut(box, promised + 40, going)
        print(f"\ncut {cut} {how}: READY after {took:.0f} s, {promised} polls called durable when the power went")
    host_side.tap.heal()
    box = board("amd64", flash.drive).start()
    await ready(box)
    await on(box, "halow-gateway meter list --json | sed -n 's/.*\"name\": *\"\\([^\"]*\\)\".*/\\1/p' | xargs halow-gateway meter pause")
    await status_until(box, lambda found: not any(found["ring"]["backlog"].values()), timeout_s=300)
    dump = [json.loads(line) for line in (await on(box, "halow-gateway ring dump --all --stream instant", timeout_s=300)).splitlines()]
    assert await on(box, "systemctl --failed --no-legend") == ""
    ordinals = {row["seq"] & ORDINALS for row in dump}
    missing = set(range(1, promised + 1)) - ordinals
    assert not missing, f"called durable before a cut, and not on flash after it: {sorted(missing)[:10]}"
    kept = {(row["device"], row["ts_ms"]) for row in dump if row["kind"] in ("reading", "failure")}
    unheard = kept - host_side.judge.acked
    assert not unheard, f"on flash and never received: {sorted(unheard)[:5]}"
    stats = json.loads(flash.stats())
    print(f"{CUTS} cuts: {promised} durable polls, 0 lost; {len(kept)} on flash, all received; {stats['waiting_sectors']} sectors "
          f"waited for a flush at the cuts, half of them dropped; {stats['flushes']} flushes")
    assert stats["cuts"] >= CUTS
    assert stats["waiting_sectors"] > 0, "a cut that hits no unflushed write proves nothing"

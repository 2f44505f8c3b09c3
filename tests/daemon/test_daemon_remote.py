"""Calls that reach a meter: through the order desk, with its interlocks, and answered with what the meter said."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
from orders_post import ALLOWING, Post, post

from edge.config import ClockSyncSettings, RemoteSettings
from edge.daemon.remote import Parts, RemoteDesk
from edge.remote.calls import METHODS
from edge.remote.hands import Hands


async def called(there: Post, path: Path, method: str, params: Any = None) -> Any:
    hands, woken = Hands(), asyncio.Event()
    hands.wake = woken.set
    desk = RemoteDesk(RemoteSettings(allow=tuple(METHODS)), hands, path, Parts(      # names of METHODS
        there.desk, there.desk._enrolment, there.latest, there.desk._means, None, None, None, None))      # not asked
    task = asyncio.create_task(desk.run(lambda _within_s: None))
    try:
        hands.heard("v1/gateway/rpc", msgspec.json.encode({"device": "m1", "data": {"id": 1, "method": method, "params": params}}), 0.0)
        async with asyncio.timeout(30):
            await woken.wait()
        said = hands.due(0.0, idle=True, limit_bytes=65_000)
        assert said is not None
        return msgspec.json.decode(said.publish.payload)["data"]
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_clock_is_moved_by_a_call_as_the_policy_says_and_told_where_not(tmp_path: Path) -> None:
    moving = msgspec.structs.replace(ALLOWING, clock_sync=ClockSyncSettings(allow=True, threshold_s=5.0))
    async with post(tmp_path, moving) as there:
        there.site.meter.model.device.set_clock(there.site.clock.wall_s, time.time() + 40)
        moved = await called(there, tmp_path, "clock_sync")
        assert "error" not in moved, moved
        assert abs(moved["drift_s"]) < 5
        assert "(shift_time), was +" in moved["summary"]
        (tmp_path / "b").mkdir()
        again = await called(there, tmp_path / "b", "clock_sync")
        assert again["summary"].startswith("is right: ")
    (tmp_path / "c").mkdir()
    async with post(tmp_path / "c") as there:
        assert "this gateway moves no clocks (clock_sync.allow)" in (await called(there, tmp_path / "c", "clock_sync"))["error"]


async def test_a_meter_is_read_and_switched_by_calls(tmp_path: Path) -> None:
    async with post(tmp_path) as there:
        values = (await called(there, tmp_path, "read", {"targets": ["1-0:1.8.0"]}))["values"]
        assert values[0]["unit"] == "Wh"
        newest = await called(there, tmp_path, "latest")
        assert newest["age_s"] >= 0
        assert all(isinstance(value, int | float | str) for value in newest["values"].values())
        assert (await called(there, tmp_path, "relay_status"))["output"] == "closed"
        assert "not confirmed" in (await called(there, tmp_path, "relay", {"order": "off"}))["error"]
        assert (await called(there, tmp_path, "read", {"targets": ["nonsense"]})).keys() == {"error"}

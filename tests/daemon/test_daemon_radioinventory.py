"""What is told upstream of the radio: when it comes, when it changes, when its driver is gone."""

import asyncio
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from edge.daemon import radioinventory
from edge.daemon.radioinventory import RadioInventory
from halow.inventory import Inventory
from halow.model import RadioFacts, RadioState

THERE = RadioState(present=True, since=0.0, facts=RadioFacts("wlan1", "morse_sdio", "m", country="EU", channel="S1G 5"))
GONE = RadioState(present=False, since=0.0, reason="no_interface")


def take(interface: str, _country: str) -> Inventory:
    if not interface:
        return Inventory("6.12.21", missing_modules=("dot11ah.ko", "morse.ko"))
    return Inventory("6.6.31", interface, "morse_sdio", "morse", "1.12.4", parameters=(("bcf", "bcf_mf08551.bin"),), country="EU")


async def test_it_is_told_once_then_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radioinventory, "LOOK_S", 0.01)
    radio: list[RadioState | None] = [None]
    told: asyncio.Queue[dict[str, str | bool]] = asyncio.Queue()
    looks = 0
    ten = asyncio.Event()

    def look() -> RadioState | None:
        nonlocal looks
        looks += 1
        if looks >= 10:
            ten.set()
        return radio[0]

    task = asyncio.create_task(RadioInventory(look, lambda values: told.put_nowait(dict(values)), take).run(lambda _: None))
    try:
        async with asyncio.timeout(20):
            await ten.wait()
            assert told.empty(), "nothing before the monitor's first judgement"
            radio[0] = THERE
            first = await told.get()
            assert (first["radio_driver_version"], first["radio_board_file"], first["radio_channel"]) == ("1.12.4", "bcf_mf08551.bin", "S1G 5")
            assert first["radio_driver_missing"] is False
            looks = 0
            ten.clear()
            await ten.wait()
            assert told.empty()
            radio[0] = replace(THERE, facts=replace(THERE.facts, channel="S1G 7"))
            assert (await told.get())["radio_channel"] == "S1G 7"
            radio[0] = GONE
            gone = await told.get()
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert (gone["radio_driver_missing"], gone["radio_missing_modules"]) == (True, "dot11ah.ko, morse.ko")
    assert gone["radio_driver"] == gone["radio_channel"] == "", "what was told before is replaced"
    assert gone.keys() == first.keys()
    contract = tomllib.loads((Path(__file__).parents[2] / "cloud/keys.toml").read_text())["attribute"]
    assert {name: {str: "text", bool: "boolean"}[type(value)] for name, value in gone.items()} == {
        entry["name"]: entry["type"] for entry in contract if entry["name"].startswith("radio_")}

"""What an eMMC says about itself, and a forecast that claims no more than is known; against trees like Linux makes them."""

import os
from pathlib import Path

import pytest

from edge.health import wear

GB = 10**9


def machine(root: Path, *, life: str | None = "0x02 0x03\n", eol: str = "0x01\n", written_sectors: int = 2_000_000,
            uptime: str = "86400.00 1.0\n", mapped: bool = False) -> Path:
    """A Raspberry Pi with an eMMC of 8 GB; `root` itself lies on its third partition."""
    disk = root / "sys/devices/platform/mmc_host/mmc0/mmc0:0001/block/mmcblk0"
    part = disk / "mmcblk0p3"
    (disk / "device").mkdir(parents=True)
    part.mkdir()
    (part / "partition").write_text("3\n")
    (disk / "size").write_text(f"{8 * GB // 512}\n")
    (disk / "stat").write_text(f"  100 0 800 50 900 10 {written_sectors} 70 0 60 120 0 0 0 0 0 0\n")
    if life is not None:
        (disk / "device/life_time").write_text(life)
        (disk / "device/pre_eol_info").write_text(eol)
    device = root.stat().st_dev
    link = root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    link.parent.mkdir(parents=True)
    if mapped:
        (root / "sys/devices/virtual/block/dm-0/slaves").mkdir(parents=True)
        (root / "sys/devices/virtual/block/dm-0/slaves/mmcblk0p3").symlink_to(part)
        part = root / "sys/devices/virtual/block/dm-0"
    link.symlink_to(part)
    (root / "proc").mkdir()
    (root / "proc/uptime").write_text(uptime)
    return root


@pytest.mark.parametrize("mapped", [False, True])
def test_an_emmc_tells_and_a_forecast_is_made_of_it(tmp_path: Path, mapped: bool) -> None:
    found = wear.look(tmp_path, 300, machine(tmp_path, mapped=mapped))
    assert found.device == "mmcblk0"
    assert found.figures() == {"storage_life_used_pct": 30, "storage_pre_eol": "normal",
                               "storage_written_bytes_per_day": 1_024_000_000,
                               "storage_forecast_days": int(8 * GB * 300 * 0.7 / 1_024_000_000)}


def test_a_card_that_tells_nothing_has_a_forecast_from_its_size(tmp_path: Path) -> None:
    found = wear.look(tmp_path, 300, machine(tmp_path, life=None))
    assert (found.life_used_pct, found.pre_eol) == (None, None)
    assert found.forecast_days == int(8 * GB * 300 / 1_024_000_000)


def test_a_short_uptime_or_no_device_says_nothing(tmp_path: Path) -> None:
    early = wear.look(tmp_path, 300, machine(tmp_path, uptime="3599.9 1\n"))
    assert (early.written_bytes_per_day, early.forecast_days, early.life_used_pct) == (None, None, 30)
    assert wear.look(tmp_path, 300, tmp_path / "elsewhere") == wear.StorageWear()
    assert wear.look(tmp_path / "not there", 300, tmp_path) == wear.StorageWear()


def test_a_device_beyond_its_life_has_no_days_left_and_an_idle_one_no_forecast(tmp_path: Path) -> None:
    assert wear.forecast_days(GB, 300, 110, 1_000) == 0
    assert wear.forecast_days(GB, 300, None, 0) is None
    assert wear.forecast_days(10**15, 300, None, 1) == wear.FORECAST_MAX_DAYS


@pytest.mark.parametrize(("text", "used"), [("0x01 0x01", 10), ("0x0a 0x02", 100), ("0x0b 0x0b", 110), ("0x00 0x00", None),
                                            ("0xff 0x01", None), ("", None), ("none", None)])
def test_the_life_time_register(text: str, used: int | None) -> None:
    assert wear.parse_life_time(text) == used


@pytest.mark.parametrize(("text", "word"), [("0x01\n", "normal"), ("0x02", "warning"), ("0x03", "urgent"), ("0x00", None), ("x", None)])
def test_the_spare_blocks_register(text: str, word: str | None) -> None:
    assert wear.parse_pre_eol(text) == word

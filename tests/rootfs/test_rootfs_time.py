"""The board's clock: saved on /data, restored before the gateway starts, and whether it may be believed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.clock import TIMESYNC

ROOTFS = Path(__file__).parents[2] / "rootfs"
UNITS = ROOTFS / "usr/lib/systemd/system"


def values(path: Path, key: str) -> list[str]:
    found = [line.partition("=")[2] for line in path.read_text().splitlines() if line.startswith(f"{key}=")]
    return [word for value in found for word in value.split()]


def test_the_saved_clock_is_mounted_before_it_is_read_and_a_lost_data_does_not_cost_the_time() -> None:
    drop_in = UNITS / "systemd-timesyncd.service.d/10-saved-clock.conf"
    assert values(drop_in, "WantsMountsFor") == ["/var/lib/systemd/timesync"]
    assert not values(drop_in, "RequiresMountsFor")
    mount = UNITS / "var-lib-systemd-timesync.mount"
    assert values(mount, "Where") == ["/var/lib/systemd/timesync"]
    assert values(mount, "What") == ["/data/timesync"]


def test_the_gateway_starts_after_the_clock_is_set() -> None:
    gateway = UNITS / "halow-gateway.service"
    assert "time-set.target" in values(gateway, "After")
    assert "time-set.target" in values(gateway, "Wants")
    # Not time-sync.target: a board whose NTP server never answers must poll all the same.
    assert "time-sync.target" not in values(gateway, "After") + values(gateway, "Wants")


def test_an_offline_board_saves_its_clock_rarely() -> None:
    [every] = values(ROOTFS / "usr/lib/systemd/timesyncd.conf.d/10-halow-gateway.conf", "SaveIntervalSec")
    assert every == "30min"


def test_a_sandboxed_gateway_may_look_at_what_timesyncd_leaves() -> None:
    hidden = [word for key in ("InaccessiblePaths", "TemporaryFileSystem") for word in values(UNITS / "halow-gateway.service", key)]
    assert not any(str(TIMESYNC).startswith(path.lstrip("-+")) for path in hidden)


def test_timesyncd_leaves_its_mark_where_the_gateway_looks() -> None:
    daemon = next((path for path in map(Path, ("/usr/lib/systemd/systemd-timesyncd", "/lib/systemd/systemd-timesyncd")) if path.exists()), None)
    if daemon is None:
        pytest.skip("systemd-timesyncd is not installed")
    assert str(TIMESYNC).encode() in daemon.read_bytes()


def test_units_of_radio_filter_and_clock_have_no_unknown_keys(tmp_path: Path) -> None:
    checker = shutil.which("systemd-analyze")
    if checker is None:
        pytest.skip("systemd-analyze is not installed")
    shutil.copytree(ROOTFS, tmp_path, dirs_exist_ok=True, symlinks=True)
    young = {"RestartSteps", "RestartMaxDelaySec", "WantsMountsFor"}         # 254, 254, 256; Debian 12 has 252
    for unit in ("halow-radio.service", "halow-radio-name@wlan1.service", "halow-radio.path", "nftables.service", "halow-gateway-firewall.service"):
        done = subprocess.run([checker, f"--root={tmp_path}", "verify", f"/usr/lib/systemd/system/{unit}"], capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if unit.replace("wlan1", "") in line and ("Unknown" in line or "Failed to parse" in line)]
        assert {line.split("'")[1] for line in said} <= young, said

"""The overlay's units agree with each other, with the presets and with the gateway; systemd itself judges them in the rehearsal."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.configfile import load

ROOTFS = Path(__file__).resolve().parents[2] / "rootfs"
UNITS = ROOTFS / "usr/lib/systemd/system"
OURS = sorted(path for path in UNITS.iterdir() if path.suffix in (".service", ".mount", ".path", ".timer", ".socket", ".target"))
# What the distribution and Buildroot bring.
THEIRS = {"systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service", "nftables.service"}


def sections(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Every `key=value` of a unit, by section; keys may repeat."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for raw in path.read_text().splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.setdefault(section, []).append((key, value))
    return found


def presets() -> list[str]:
    """The units that the presets enable."""
    text = "\n".join(path.read_text() for path in sorted((ROOTFS / "usr/lib/systemd/system-preset").glob("*.preset")))
    return re.findall(r"^enable (\S+)$", text, re.MULTILINE)


def test_every_enabled_unit_exists_and_everything_else_stays_off() -> None:
    assert set(presets()) - {path.name for path in OURS} <= THEIRS
    assert (ROOTFS / "usr/lib/systemd/system-preset/99-halow-gateway.preset").read_text().strip() == "disable *"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_a_unit_that_can_be_installed_is_enabled(path: Path) -> None:
    installed = "Install" in sections(path)
    assert installed == (path.name in presets()), "an [Install] that no preset enables, or the other way round"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_what_a_unit_names_is_there(path: Path) -> None:
    for key, value in sections(path).get("Service", []):
        if key.startswith("Exec") and "/usr/lib/halow-gateway/" in value:
            program = ROOTFS / re.findall(r"/(usr/lib/halow-gateway/[\w-]+)", value)[0]
            assert program.exists(), value
            assert program.stat().st_mode & 0o111, f"{program} is not executable"
    ours = {item.name for item in OURS}
    for key, value in sections(path).get("Unit", []):
        if key in ("Requires", "Wants", "After", "Before", "BindsTo"):
            for name in value.split():
                if name.startswith("halow-"):
                    assert name in ours, f"{path.name}: {key}={name}"


@pytest.mark.parametrize("path", [path for path in OURS if path.suffix == ".mount"], ids=lambda path: path.name)
def test_a_mount_is_named_after_its_place(path: Path) -> None:
    where = dict(sections(path)["Mount"])["Where"]
    escaped = where.strip("/").replace("-", "\\x2d").replace("/", "-")
    assert path.name == f"{escaped}.mount"


def test_the_unit_gives_the_gateway_what_the_program_promises() -> None:
    unit = sections(UNITS / "halow-gateway.service")
    service, policy = dict(unit["Service"]), dict(unit["Unit"])
    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert service["RestartPreventExitStatus"] == "78"
    assert policy["OnFailure"] == "halow-gateway-failed.service"
    assert "StartLimitAction" not in policy, "a proven image would reboot every minute for ever"
    # So many starts, each as slow as it may be, must fit into the interval, or the reboot never comes.
    minutes = {"min": 60, "s": 1}
    span = {key: sum(int(number) * minutes[unit_] for number, unit_ in re.findall(r"(\d+)(min|s)", text))
            for key, text in (("interval", policy["StartLimitIntervalSec"]), ("start", service["TimeoutStartSec"]), ("abort", service["TimeoutAbortSec"]),
                              ("watchdog", service["WatchdogSec"]), ("pause", service["RestartSec"]))}
    worst = max(span["start"], span["watchdog"]) + span["abort"] + span["pause"]
    assert int(policy["StartLimitBurst"]) * worst < span["interval"]
    assert "AF_NETLINK" in service["RestrictAddressFamilies"], "nl80211"
    assert service["ProcSubset"] == "all", "the clock reads the boot id below /proc/sys"


def test_the_drop_in_for_serial_lines_opens_serial_lines_only() -> None:
    base = dict(sections(UNITS / "halow-gateway.service")["Service"])
    added = sections(ROOTFS / "usr/share/halow-gateway/serial.conf")["Service"]
    assert {key for key, _ in added} == {"PrivateDevices", "SystemCallFilter", "DeviceAllow", "SupplementaryGroups"}
    # Linux' list of majors: 188 USB serial converters, 166 ACM modems. A name would mean nothing before the driver is loaded.
    assert [value for key, value in added if key == "DeviceAllow"] == ["char-188 rw", "char-166 rw"]
    assert base["DevicePolicy"] == "closed", "or allowing some would mean nothing"
    assert base["PrivateDevices"] == "yes", "without the drop-in nothing is opened"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze judges it")
def test_what_the_drop_in_costs_of_the_sandbox(tmp_path: Path) -> None:
    def exposure(*drop_ins: Path) -> float:
        unit = tmp_path / f"with-{len(drop_ins)}.service"
        # A later section of the same name adds to the first, as a drop-in does.
        unit.write_text("".join(path.read_text() for path in (UNITS / "halow-gateway.service", *drop_ins)))
        told = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], check=False, capture_output=True, text=True)
        found = re.search(r"exposure level for \S+: ([\d.]+)", told.stdout)
        assert found, told.stdout + told.stderr
        return float(found[1])

    assert exposure() <= 1.1
    assert exposure(ROOTFS / "usr/share/halow-gateway/serial.conf") <= 1.3


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_what_a_unit_requires_it_also_comes_after(path: Path) -> None:
    """Or it starts beside it, and at shutdown its mount goes first."""
    unit = sections(path).get("Unit", [])
    after = {name for key, value in unit if key == "After" for name in value.split()}
    for key, value in unit:
        if key in ("Requires", "BindsTo"):
            assert set(value.split()) <= after


@pytest.mark.parametrize("unit", ["systemd-networkd.service.d/10-filter.conf", "halow-radio.service", "halow-gateway-firewall.service"])
def test_no_network_without_the_packet_filter(unit: str) -> None:
    found = sections(UNITS / unit)["Unit"]
    for key in ("Requires", "After"):
        assert "nftables.service" in " ".join(value for name, value in found if name == key).split()


def test_rules_of_the_site_follow_their_folder_and_the_filter() -> None:
    unit = dict(sections(UNITS / "halow-gateway-firewall.service")["Unit"])
    assert not any(key.startswith("Condition") for key in unit), "an emptied folder must take its rules along"
    assert unit["ReloadPropagatedFrom"] == "nftables.service"


def test_nothing_waits_for_a_keyboard() -> None:
    service = sections(UNITS / "emergency.service.d/10-reboot.conf")["Service"]
    shell, ours = (value for key, value in service if key == "ExecStart")
    assert shell == "", "systemd's own is taken out"
    assert "reboot" in ours


def test_settings_that_are_wrong_again_and_again_wear_no_start_limit_out() -> None:
    again = sections(UNITS / "halow-gateway-again.service")
    path = sections(UNITS / "halow-gateway-settings.path")["Path"]
    assert dict(path)["Unit"] == "halow-gateway-again.service"
    assert [value for key, value in path if key == "PathChanged"] == ["/etc/halow-gateway/gateway.toml", "/etc/halow-gateway/alarms.toml"]
    assert dict(again["Unit"])["StartLimitIntervalSec"] == "0"
    assert [value for key, value in again["Service"] if key == "ExecStart"] == [
        "-/usr/bin/systemctl reset-failed halow-gateway.service", "/usr/bin/systemctl --no-block start halow-gateway.service"]


@pytest.mark.parametrize("path", [path for path in OURS if path.suffix == ".path"], ids=lambda path: path.name)
def test_no_start_limit_takes_a_path_unit_down_until_the_next_boot(path: Path) -> None:
    """systemd.path(5): the limit of the unit that it starts is its own end; nothing starts it again."""
    started = dict(sections(path)["Path"]).get("Unit", f"{path.stem}.service")
    assert dict(sections(UNITS / started)["Unit"])["StartLimitIntervalSec"] == "0"


@pytest.mark.parametrize("name", ["halow-gateway-radio-step.path", "halow-gateway-update.path"])
def test_a_path_unit_that_failed_all_the_same_is_started_again(name: str) -> None:
    """Its service may not get as far as its program; 200 such starts in 2 s are its own limit (TriggerLimitBurst)."""
    retry = UNITS / dict(sections(UNITS / name)["Unit"])["OnFailure"]
    timer = dict(sections(retry)["Timer"])
    assert timer["OnActiveSec"] == "10min"
    assert timer["RemainAfterElapse"] == "no", "or a second failure would find it elapsed, and start nothing"
    again = sections(UNITS / timer["Unit"])
    assert name in dict(again["Service"])["ExecStart"].split()
    assert dict(again["Unit"])["StartLimitIntervalSec"] == "0"


def test_the_watchdog_is_one_that_the_raspberry_pi_can_count_to() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOTFS / "usr/lib/systemd/system.conf.d/10-halow-gateway.conf")
    assert int(parser["Manager"]["RuntimeWatchdogSec"].removesuffix("s")) < 15


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOTFS / "usr/lib/halow-gateway").iterdir()) if path.is_file()])
def test_a_script_is_shell_that_dash_takes(name: str) -> None:
    path = ROOTFS / "usr/lib/halow-gateway" / name
    if path.read_text().startswith("#!/bin/sh"):
        assert subprocess.run(["sh", "-n", path], check=False, capture_output=True).returncode == 0


def test_the_shipped_settings_are_valid() -> None:
    load(ROOTFS / "usr/share/halow-gateway/gateway.toml")


@pytest.mark.parametrize("absent", ["/home/", "/root/"])
def test_nothing_in_the_overlay_names_a_developers_folder(absent: str) -> None:
    for path in ROOTFS.rglob("*"):
        if path.is_file():
            assert absent not in path.read_text(errors="replace"), path


@pytest.mark.parametrize("path", [path for path in OURS if path.suffix in (".path", ".timer", ".socket")], ids=lambda path: path.name)
def test_what_starts_before_basic_target_waits_for_no_ordinary_service(path: Path) -> None:
    unit = sections(path)["Unit"]
    if ("DefaultDependencies", "no") in unit:
        return
    early = {item.name for item in OURS if ("DefaultDependencies", "no") in sections(item)["Unit"]}
    for key, value in unit:
        if key == "After":
            late = [name for name in value.split() if name.endswith(".service") and name not in early]
            assert not late, f"{path.name} is before basic.target and after {late}: an ordering cycle"

"""Figures of the process: parsers on recorded text, and one look at this very process."""

import os
import time
from pathlib import Path

import psutil
import pytest

from edge.health.metrics import FIELDS, look, parse_load_centi, parse_millicelsius, parse_rss_bytes, under_voltage


@pytest.mark.parametrize(("text", "expected"), [
    ("Name:\tpython\nVmPeak:\t   50000 kB\nVmRSS:\t   24680 kB\nThreads:\t1\n", 24_680 * 1024),
    ("Name:\tkthreadd\n", None),
    ("VmRSS:\t lots kB\n", None),
    ("VmRSS:\t 12 MB\n", None),
    ("", None),
])
def test_rss(text, expected):
    assert parse_rss_bytes(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("0.52 0.58 0.59 1/389 12345\n", 52), ("12.00 1.0 1.0 1/1 1\n", 1200), ("", None), ("x", None), ("1.2 0 0", None),
])
def test_load(text, expected):
    assert parse_load_centi(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("48312\n", 483), ("48350\n", 484), ("-5250\n", -52), ("0", 0), ("", None), ("hot", None),
])
def test_temperature(text, expected):
    assert parse_millicelsius(text) == expected


def test_this_process_agrees_with_psutil(tmp_path):
    figures = look(tmp_path, started_at=100.0, now=161.9)
    me = psutil.Process()
    assert figures.uptime_s == 61
    assert figures.rss_bytes == pytest.approx(me.memory_info().rss, rel=0.1)
    assert figures.cpu_time_ms == pytest.approx(time.process_time() * 1000, abs=200)
    assert figures.open_fds == pytest.approx(me.num_fds(), abs=2)
    assert figures.disk_free_bytes == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.1)
    assert figures.load_1min_centi == pytest.approx(os.getloadavg()[0] * 100, abs=200)
    assert len(figures.values()) == len(FIELDS)


def test_a_board_with_thermal_zones(tmp_path):
    for n, (kind, temp) in enumerate([("cpu-thermal", "51540"), ("soc-thermal", "47000"), ("battery", "99000")]):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{n}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(kind + "\n")
        (zone / "temp").write_text(temp + "\n")
    assert look(tmp_path, 0, 0, root=tmp_path).soc_temperature_decicelsius == 515


def test_what_is_not_there_is_not_known(tmp_path):
    figures = look(tmp_path / "gone", 0, 1, root=tmp_path)
    assert (figures.rss_bytes, figures.open_fds, figures.disk_free_bytes, figures.load_1min_centi,
            figures.soc_temperature_decicelsius) == (None,) * 5


def test_units_of_the_columns():
    assert {field.key: (field.scaler, field.unit) for field in FIELDS} == {
        "uptime_s": (0, "s"), "cpu_time_s": (-3, "s"), "rss_bytes": (0, "B"), "open_fds": (0, ""),
        "disk_free_bytes": (0, "B"), "load_1min": (-2, ""), "soc_temperature_c": (-1, "°C"),
    }
    assert Path("/proc").exists()


@pytest.mark.parametrize(("name", "alarm", "expected"), [("rpi_volt", "1\n", 1), ("rpi_volt", "0\n", 0), ("cpu_thermal", "1\n", None)])
def test_the_supply_is_told_by_a_raspberry_pi_only(tmp_path, name, alarm, expected):
    device = tmp_path / "sys/class/hwmon/hwmon1"
    device.mkdir(parents=True)
    (device / "name").write_text(f"{name}\n")
    (device / "in0_lcrit_alarm").write_text(alarm)
    assert under_voltage(tmp_path) == expected

"""`link survey`, as somebody on a ladder uses it."""

import csv
from pathlib import Path

import pytest
from cli_site import Site

from halow.survey import CSV_HEADER

MAC = "02:00:00:00:00:01"


@pytest.fixture
def surveyed(site: Site, tmp_path: Path) -> Site:
    trace = tmp_path / "trace.csv"
    trace.write_text(f"t_s,mac,signal_dbm\n0,{MAC},-71\n600,{MAC},-71\n")
    site.configure(f'[radio]\nkind = "simulated"\ntrace = "{trace}"\n')
    return site


def test_a_peer_by_its_mac_with_a_csv_file(surveyed: Site, tmp_path: Path) -> None:
    out = tmp_path / "survey.csv"
    told = surveyed.good("link", "survey", MAC.upper(), "--seconds", "2", "--csv", str(out))
    assert " -71.0 dBm" in told
    assert "best -71.0" in told
    assert "rtt -  loss -" in told, "a bare MAC has no address to ask"
    with out.open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == CSV_HEADER
    assert rows[1][1] == MAC


def test_a_meter_by_its_name_and_what_is_wrong_is_told(surveyed: Site, tmp_path: Path) -> None:
    surveyed.good("meter", "add", "near", "127.0.0.1", "--mac", MAC)
    surveyed.good("meter", "add", "far", "203.0.113.9")
    assert " -71.0 dBm" in surveyed("link", "survey", "near", "--seconds", "1").stdout
    assert "nobody tells which peer it is" in surveyed.refused("link", "survey", "far")[0]
    assert surveyed.refused("link", "survey", "unknown")
    assert "cannot be written" in surveyed.refused("link", "survey", MAC, "--csv", str(tmp_path / "no/such/dir.csv"))[0]
    away = surveyed("link", "survey", "02:00:00:00:00:99", "--seconds", "1")
    assert away.exit_code == 1
    assert "02:00:00:00:00:99 is not there: 1 other peers are" in away.stdout


def test_info_says_what_there_is(surveyed: Site) -> None:
    import json
    import os

    told = surveyed.good("link", "info")
    assert told.startswith("radio: sim0 (simulated")
    assert os.uname().release in told
    answer = json.loads(surveyed.good("link", "info", "--json"))
    assert answer["inventory"]["interface"] == answer["radio"]["facts"]["interface"] == "sim0"

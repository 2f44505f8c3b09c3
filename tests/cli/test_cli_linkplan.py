"""`link plan`, as somebody plans a site with it."""

import json
from pathlib import Path

from cli_site import Site


def test_a_site_that_fits_and_one_that_does_not(site: Site) -> None:
    fits = site.good("link", "plan", "--meters", "30", "--interval", "10", "--width", "1", "--rssi", "-93", "--country", "DE")
    assert "30 meters, 180.0 polls a minute; link: 1 MHz, MCS 10, 10 % repeated" in fits
    assert "It fits" in fits
    assert "the limit is duty cycle of the gateway" in fits
    full = site("link", "plan", "--meters", "500", "--interval", "10", "--width", "1", "--rssi", "-93", "--country", "DE", "--json")
    assert full.exit_code == 1
    told = json.loads(full.stdout)
    assert told["fits"] is False
    assert told["meters_most"] < 100
    assert told["limits"][0]["what"] == "duty cycle of the gateway"
    assert told["limits"][0]["limit_pct"] == 10.0
    noisy = json.loads(site("link", "plan", "--meters", "30", "--width", "2", "--busy", "50", "--json").stdout)
    assert noisy["limits"][0] == {"what": "the channel", "used_pct": noisy["limits"][0]["used_pct"], "limit_pct": 10.0}, "60 % less 50"


def test_registered_meters_are_planned_with_their_own_interval(site: Site) -> None:
    assert "no meter is registered" in site.misused("link", "plan")
    site.good("meter", "add", "a", "10.30.0.1", "--interval", "10")
    site.good("meter", "add", "b", "10.30.0.2", "--interval", "60")
    site.good("meter", "add", "c", "10.30.0.3", "--interval", "1")
    site.good("meter", "pause", "c")
    assert "2 meters, 7.0 polls a minute" in site.good("link", "plan")
    assert "no rules of 'XX' are known" in site.misused("link", "plan", "--country", "XX")


def test_the_signal_that_the_radio_shows_decides_and_colombia_is_always_warned_of(site: Site, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,mac,signal_dbm\n0,02:00:00:00:00:01,-71\n0,02:00:00:00:00:02,-91\n60,02:00:00:00:00:01,-71\n")
    site.configure(f'[radio]\nkind = "simulated"\ntrace = "{trace}"\n')
    site.good("meter", "add", "near", "10.30.0.1", "--mac", "02:00:00:00:00:01")
    near = json.loads(site.good("link", "plan", "--json"))["limits"][0]["used_pct"]
    site.good("meter", "edit", "near", "--mac", "02:00:00:00:00:02")
    far = json.loads(site.good("link", "plan", "--json"))["limits"][0]["used_pct"]
    assert far > 1.5 * near
    told = site.good("link", "plan", "--country", "CO")
    assert "radio: sim0 (simulated" in told
    assert "warning: CO: no vendor's table has it" in told

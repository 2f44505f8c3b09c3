"""The radio of a bridge box, as somebody looks at it."""

import json
from pathlib import Path

from cli_site import Site


def test_the_stations_of_a_box_and_a_box_that_is_silent(site: Site, tmp_path: Path) -> None:
    told = tmp_path / "peers.json"
    told.write_text('{"peers": [{"mac": "02:00:00:00:0a:01", "signal_dbm": -71, "inactive_ms": 200}], "s1g_khz": 918000, "width_mhz": 2}')
    site.configure(f'[radio]\nkind = "external"\nexternal_file = "{told}"\n')
    shown = site.good("link", "show")
    assert "radio: external, ap, 918.0 MHz, 2 MHz wide" in shown
    assert "02:00:00:00:0a:01  good" in shown
    assert "all from               external" in site.good("link", "info")
    assert f"radio: a box's, by {told}" in site("check").stdout
    told.write_text('{"peers": 5}')
    refused = site("link", "show", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["radio"]["reason"] == "fault"
    told.unlink()
    assert "peers.json: No such file or directory" in site("link", "show").stdout
    assert f"radio: a box's, by {told}: not there now" in site("check").stdout

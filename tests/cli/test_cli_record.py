"""`read --record` from the command line: a file that can be shown around, also of a poll that failed."""

import json

from cli_site import Site
from discovery_bench import KEY, PASSWORD, ciphered
from poll_bench import meter_settings
from test_cli_discover import meter_at

from edge.demo.bridge import Quirks
from edge.model import Keys, Meter


def enrolled(site: Site, meter: object, **more: object) -> None:
    keys = more.pop("keys", Keys())
    with site.registry() as registry:
        registry.add(Meter("m1", *meter.address, client_sap=1, **more), PASSWORD, keys)


def test_a_poll_is_printed_and_recorded(site: Site) -> None:
    path = site.base / "m1.json"
    with meter_at(site, meter_settings("wrapper")) as (_, meter):
        enrolled(site, meter)
        result = site("read", "m1", "--record", str(path))
        assert result.exit_code == 0, result.output
        assert "active_energy" in result.stdout
        assert f"Wrote {path}. Taken out: the meter's identity (1); the password (1)." in result.stderr
        script = json.loads(path.read_text())
        assert (script["scenario"], script["profile"], script["replayable"]) == ("m1", "generic-three-phase", True)
        for secret in (PASSWORD, b"1234567890"):
            assert secret.hex() not in path.read_text()
        assert site.refused("read", "m1", "--record", str(path)) == [f"{path}: is there already; a recording replaces nothing"]
        kept = site.base / "kept.json"
        assert json.loads(site("read", "m1", "--json", "--record", str(kept), "--keep-identity").stdout)["values"]
        assert b"1234567890".hex() in kept.read_text()
        assert PASSWORD.hex() not in kept.read_text()


def test_a_ciphered_meter(site: Site) -> None:
    path = site.base / "m1.json"
    with meter_at(site, ciphered(meter_settings("wrapper"))) as (_, meter):
        enrolled(site, meter, authentication="hls-gmac", security="both", counter_obis="0-0:43.1.0", keys=Keys(KEY[::-1], KEY[::-1]))
        meter.settings.manners.secured[1].encryption_key = meter.settings.manners.secured[1].authentication_key = KEY[::-1]
        result = site("read", "m1", "--record", str(path))
        assert result.exit_code == 0, result.output
    script = json.loads(path.read_text())
    assert script["replayable"]
    assert script["deciphered_answers"]
    assert KEY[::-1].hex() not in path.read_text()
    assert {entry["hex"][4:8] for entry in script["exchange"] if entry["dir"] == "tx"} == {"0001"}, "nothing of the look at the counter"


def test_a_failed_poll_is_recorded_too(site: Site) -> None:
    path = site.base / "m1.json"
    with meter_at(site, meter_settings("wrapper"), quirks=Quirks(after_requests=1, then="close")) as (_, meter):
        enrolled(site, meter)
        result = site("read", "m1", "--record", str(path))
    assert result.exit_code == 1
    assert "connection_lost" in result.stderr
    assert [entry["note"] for entry in json.loads(path.read_text())["exchange"]] == ["AARQ", "AARE", "GET request"]


def test_nothing_to_record_is_told(site: Site) -> None:
    with meter_at(site, meter_settings("wrapper")) as (_, meter):
        enrolled(site, meter)
    result = site("read", "m1", "--record", str(site.base / "m1.json"))
    assert result.exit_code == 1
    assert "nothing was exchanged" in result.stderr
    assert not (site.base / "m1.json").exists()


def test_wrong_usage(site: Site) -> None:
    assert "there is no --record" in site.misused("read", "m1", "--keep-identity")
    assert "no such directory" in site.refused("read", "m1", "--record", str(site.base / "none/x.json"))[0]

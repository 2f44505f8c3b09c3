"""`meter scan` from the command line: the table, JSON, the CSV that `meter import` takes, and its limits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cli_site import Site
from discovery_bench import ciphered, hdlc, impostor, standing
from poll_bench import meter_settings
from test_cli_discover import beside

from edge.model import Learned, Meter

SOON = ("--answer", "0.3", "--gap", "0")


@contextmanager
def yard(site: Site) -> Iterator[str]:
    """Three meters and a server of another kind on one port; the port as text."""
    site.configure("[poll]\nconnect_timeout_s = 2.0\n")
    with beside(standing(meter_settings("wrapper"), host="127.0.0.41", serial="41")) as first:
        port = first.address[1]
        with (beside(standing(hdlc(17, 4), host="127.0.0.42", port=port, serial="42")),
              beside(standing(ciphered(meter_settings("wrapper")), host="127.0.0.43", port=port, serial="43")),
              beside(impostor(b"220 mail ready\r\n", host="127.0.0.44", port=port))):
            yield str(port)


def test_the_table_tells_meters_from_open_ports_and_registered_ones(site: Site) -> None:
    with yard(site) as port:
        with site.registry() as registry:
            registry.add(Meter("here", "127.0.0.41", int(port)))
            registry.add(Meter("moved", "127.0.0.99", int(port)))
            registry.keep_learned("moved", Learned("HGW42"))
        result = site("meter", "scan", "127.0.0.40/29", "--port", port, *SOON)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines()[1:]}
    assert set(rows) == {f"127.0.0.{n}:{port}" for n in (41, 42, 43, 44)}
    assert rows[f"127.0.0.41:{port}"].endswith("HGW41  generic-three-phase  here")
    assert rows[f"127.0.0.42:{port}"].endswith("moved, registered at 127.0.0.99")
    assert "no_meter" in rows[f"127.0.0.44:{port}"]
    assert "looking at 6 addresses, 4 at once" in result.stderr


def test_json_and_a_csv_that_import_takes(site: Site) -> None:
    file = site.base / "found.csv"
    with yard(site) as port:
        with site.registry() as registry:
            registry.add(Meter("here", "127.0.0.41", int(port)))
        result = site("meter", "scan", "127.0.0.41", "127.0.0.42", "127.0.0.43", "--port", port, *SOON, "--json", "--csv", str(file))
        assert {spot["host"]: spot["registered"] for spot in json.loads(result.stdout)} == {
            "127.0.0.41": "here", "127.0.0.42": "", "127.0.0.43": ""}
        assert "Wrote 2 meters" in result.stderr
        assert "1 of them paused" in result.stderr
        assert site.good("meter", "import", str(file)).startswith("Added 2")
        with site.registry() as registry:
            rows = {meter.name: meter for meter in registry.list()}
        assert set(rows) == {"here", "meter-42", "meter-HGW43"}
        assert (rows["meter-42"].framing, rows["meter-42"].server_physical, rows["meter-42"].authentication, rows["meter-42"].paused) == (
            "hdlc", 17, "none", False)
        assert (rows["meter-HGW43"].authentication, rows["meter-HGW43"].paused) == (None, True)
        assert "active_energy" in site.good("read", "meter-42")


def test_nobody_there(site: Site) -> None:
    site.configure("[poll]\nconnect_timeout_s = 1.0\n")
    with beside(impostor(host="127.0.0.45")) as other:
        port = str(other.port)
    result = site("meter", "scan", "127.0.0.45", "--port", port, *SOON, "--csv", str(site.base / "x.csv"))
    assert (result.exit_code, result.stdout) == (1, "Nothing answers there.\n")
    assert "No CSV was written" in result.stderr
    assert not (site.base / "x.csv").exists()


def test_this_machines_own_address_is_told_to_be_left_alone(site: Site) -> None:
    """Who tries it with simulated meters wonders else why nothing answers."""
    result = site("meter", "scan", "127.0.0.1", *SOON)
    assert (result.exit_code, result.stdout) == (1, "Nothing answers there.\n")
    assert "127.0.0.1: this machine's own, left alone" in result.stderr


def test_what_the_running_gateway_polls_is_left_alone(site: Site) -> None:
    with yard(site) as port:
        with site.registry() as registry:
            registry.add(Meter("m1", "127.0.0.41", int(port)))
        with site.daemon({"meters": [{"name": "m1", "address": f"127.0.0.41:{port}", "state": "reading"}]}):
            result = site("meter", "scan", "127.0.0.41", "127.0.0.42", "--port", port, *SOON)
    assert f"127.0.0.41:{port}" not in result.stdout
    assert f"127.0.0.42:{port}" in result.stdout
    assert "1 places that the gateway polls are left alone" in result.stderr


@pytest.mark.parametrize(("args", "text"), [
    ((), "Missing argument 'NET...'"), (("10.0.0.0/20",), "--yes looks at them all the same"), (("10.0.0.1/24",), "the net is 10.0.0.0/24"),
    (("10.0.0.1", "--at-once", "0"), "not in the range"), (("10.0.0.1", "--port", "0"), "not in the range"),
])
def test_wrong_usage(site: Site, args: tuple[str, ...], text: str) -> None:
    assert text in " ".join(site.misused("meter", "scan", *args).split())


def test_a_csv_that_is_there_is_not_overwritten(site: Site) -> None:
    (site.base / "x.csv").write_text("mine")
    assert site.refused("meter", "scan", "127.0.0.46", "--csv", str(site.base / "x.csv")) == [f"{site.base / 'x.csv'}: is there already"]

"""`meter discover` from the command line: what it prints, writes and registers, and what it refuses to do."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cli_site import Site
from discovery_bench import KEY, NAME, PASSWORD, ciphered, hdlc, impostor, standing
from poll_bench import meter_settings

from edge.commands.discover import physical_range, split_address
from edge.demo.meter_settings import MeterSettings
from edge.meters.profile import load_profile
from edge.model import Keys, Meter

SOON = ("--answer", "0.3", "--gap", "0.01")


@contextmanager
def beside(context: Any) -> Iterator[Any]:
    """Run a meter or an impostor in a loop of its own, beside the command's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        opened = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
        try:
            yield opened
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def meter_at(site: Site, settings: MeterSettings, **more: Any) -> Iterator[tuple[str, Any]]:
    site.configure("[poll]\nexchange_timeout_s = 1.0\n")
    with beside(standing(settings, **more)) as meter:
        yield f"{meter.address[0]}:{meter.address[1]}", meter


def test_a_report_for_people(site: Site) -> None:
    with meter_at(site, hdlc(17, 4)) as (address, _):
        result = site("meter", "discover", address, *SOON)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[:3] == [
        f"{address}: looking for a meter", "HDLC, address 1, client 16: silence",
        "HDLC, address 1/17 (logical/physical, 4 octets), client 16: answers"]
    lines = result.stdout.splitlines()
    assert lines[0] == f"{address}: a meter: HDLC, address 1/17 (logical/physical, 4 octets), client 16, authentication none"
    assert any(line.split() == ["name", "HGW1234567890", "(0-0:42.0.0.255)"] for line in lines)
    assert any(line.startswith("  voltage_l1") and " V  (1-0:32.7.0.255, scaler -1)" in line for line in lines)
    assert "  type generic-three-phase  9 of 9 objects" in lines
    assert "--add NAME" in result.stderr


def test_json_has_everything(site: Site) -> None:
    with meter_at(site, meter_settings("wrapper")) as (address, _):
        result = site("meter", "discover", address, "--framing", "wrapper", "--json")
    told = json.loads(result.stdout)
    assert (told["found"], told["verdict"], told["name"], told["serial"]) == (True, "meter", "HGW1234567890", "1234567890")
    assert told["door"] == {"framing": "wrapper", "client_sap": 16, "logical": 1, "physical": None, "address_bytes": 1}
    assert len(told["objects"]) == 34
    assert told["fits"][0] == {"profile": "generic-three-phase", "matched": 9, "objects": 9, "against": [], "identity": "HGW1234567890"}
    assert {each["obis"] for each in told["registers"]} >= {"1-0:32.7.0.255", "1-0:1.8.1.255"}


def test_a_profile_is_written_and_the_meter_registered_with_it(site: Site) -> None:
    directory = site.state_dir / "profiles"
    directory.mkdir(parents=True)
    secret = site.base / "password"
    secret.write_bytes(PASSWORD + b"\n")
    path = directory / "found.toml"
    with meter_at(site, hdlc(17, 4)) as (address, _):
        result = site("meter", "discover", address, *SOON, "--password-file", str(secret), "--save", str(path), "--add", "m1")
        assert result.exit_code == 0, result.output
        assert f"Wrote {path}." in result.stderr
        assert "Added m1 as found." in result.stderr
        profile = load_profile(path)
        assert {spec.key: spec.unit for spec in profile.objects}["voltage_l1"] == "V"
        assert len(profile.objects) == 9
        assert (profile.association.framing, profile.association.server_physical, profile.association.authentication) == ("hdlc", 17, "lls")
        text = path.read_text()
        assert profile.load_profile is not None
        assert {spec.key: spec.unit for spec in profile.load_profile.columns}["active_energy"] == "Wh"
        assert profile.clock is not None
        assert profile.relay is not None
        assert "0-0:99.98.0 class 7, profile" in text
        assert profile.billing is not None
        assert [spec.key for spec in profile.billing.objects] == ["active_energy_t1", "active_energy_t2"]
        assert "1-0:1.6.0 class 4, obis_1_0_1_6_0, unit W, scaler 0: not among the usual quantities" in text
        assert "1234567890" not in text, "a type, not a meter"
        with site.registry() as registry:
            row, learned = registry.get("m1"), registry.learned("m1")
            assert (row.profile, row.framing, row.client_sap, row.server_physical, row.authentication) == ("found", "hdlc", 1, 17, "lls")
            assert (registry.password("m1"), learned.identity) == (PASSWORD, "HGW1234567890")
        assert "active_energy" in site.good("read", "m1")
        assert PASSWORD.decode() not in result.output


def test_without_a_profile_of_its_own_it_gets_the_type_that_suits(site: Site) -> None:
    with meter_at(site, meter_settings("microstar"), microstar=True) as (address, _):
        result = site("meter", "discover", address, *SOON, "--add", "m1")
        assert "Added m1 as microstar." in result.stderr, result.output
        with site.registry() as registry:
            row, learned = registry.get("m1"), registry.learned("m1")
        assert (row.client_sap, row.authentication, row.address_bytes, learned.identity) == (16, "none", 1, "1234567890")
        assert "voltage_l1" in site.good("read", "m1")


def test_what_no_type_suits_is_not_registered(site: Site) -> None:
    settings = meter_settings("wrapper")
    settings.manners.public_reads = frozenset({NAME})
    with meter_at(site, settings) as (address, _):
        result = site("meter", "discover", address, "--framing", "wrapper", "--add", "m1")
        assert result.exit_code == 1
        assert "m1: not added: no known meter type suits it" in result.stderr
        result = site("meter", "discover", address, "--framing", "wrapper", "--save", str(site.base / "x.toml"))
        assert "not written: no register could be read" in result.stderr
    assert not (site.base / "x.toml").exists()
    with site.registry() as registry:
        assert registry.list() == ()


def test_a_registered_meter_with_its_keys(site: Site) -> None:
    with meter_at(site, ciphered(meter_settings("wrapper"))) as (_address, meter):
        with site.registry() as registry:
            registry.add(Meter("m1", *meter.address, client_sap=1, authentication="hls-gmac", security="both"), keys=Keys(KEY, KEY))
        result = site("meter", "discover", "--as", "m1")
        assert result.exit_code == 0, result.output
        assert "  type generic-three-phase  9 of 9 objects" in result.stdout
        assert meter.counters.security_faults == 0
        assert KEY.hex() not in result.output


def test_nothing_found_is_status_1_with_why(site: Site) -> None:
    site.configure("[poll]\nexchange_timeout_s = 0.2\nconnect_timeout_s = 1.0\n")
    with beside(impostor(b"SSH-2.0-OpenSSH_9.2p1\r\n")) as other:
        result = site("meter", "discover", f"127.0.0.1:{other.port}", *SOON)
    assert result.exit_code == 1
    assert "SSH-2.0-OpenSSH_9.2p1" in result.stderr
    result = site("meter", "discover", f"127.0.0.1:{other.port}", *SOON, "--json")
    assert (result.exit_code, json.loads(result.stdout)["verdict"]) == (1, "unreachable")


def test_a_wrong_password_is_told_with_the_danger(site: Site) -> None:
    with meter_at(site, meter_settings("wrapper")) as (address, meter):
        result = site("meter", "discover", address, "--framing", "wrapper", "--password-file", "-", stdin="87654321\n")
        assert meter.counters.rejected == 1
    assert "meters lock themselves" in result.stderr
    assert "87654321" not in result.output
    assert result.exit_code == 0, "the meter is found all the same"


def test_a_meter_that_the_running_gateway_polls_is_left_alone(site: Site) -> None:
    status = {"meters": [{"name": "m 1", "address": "127.0.0.1:4059", "state": "reading"}, {"name": "m2", "address": "127.0.0.1:3333", "state": "paused"}]}
    site.configure("[poll]\nexchange_timeout_s = 0.2\nconnect_timeout_s = 1.0\n")
    with site.daemon(status):
        line = site.refused("meter", "discover", "127.0.0.1:4059")[-1]
        assert line.startswith("127.0.0.1:4059: the running gateway polls 'm 1' there")
        assert site("meter", "discover", "127.0.0.1:3333", *SOON).exit_code == 1, "paused: looked for, and not there"


@pytest.mark.parametrize(("args", "text"), [
    ((), "give ADDRESS, or --as NAME"),
    (("10.0.0.1", "--as", "m1"), "give ADDRESS, or --as NAME"),
    (("--as", "m1", "--add", "m2"), "no --add go with it"),
    (("10.0.0.1:99999",), "a port is a number"),
    (("10.0.0.256",), "neither an IP address nor a host name"),
    (("serial:ttyUSB0",), "must be serial: and a device"),
    (("10.0.0.1", "--save", "x.json"), "must end in .toml"),
    (("10.0.0.1", "--server-physical", "5-900"), "at most 128 at a time"),
    (("10.0.0.1", "--server-physical", "x"), "must be a number from 0 to 16383"),
    (("10.0.0.1", "--hex"), "there is none"),
    (("10.0.0.1", "--add", "m1", "--save", "/tmp/x.toml"), "save it there"),
    (("10.0.0.1", "--add", "=cmd"), "can be no meter's name"),
])
def test_wrong_usage_ends_with_2_before_anything_is_sent(site: Site, args: tuple[str, ...], text: str) -> None:
    assert text in " ".join(site.misused("meter", "discover", *args).split())


def test_what_could_not_be_done_afterwards_is_refused_before(site: Site) -> None:
    with site.registry() as registry:
        registry.add(Meter("m1", "10.0.0.1", 4059))
    assert site.refused("meter", "discover", "10.0.0.9", "--add", "m1") == ["the meter m1 is registered already; `meter edit` changes it"]
    (site.base / "x.toml").write_text("")
    assert "is there already" in site.refused("meter", "discover", "10.0.0.9", "--save", str(site.base / "x.toml"))[0]
    assert "no such directory" in site.refused("meter", "discover", "10.0.0.9", "--save", str(site.base / "none/x.toml"))[0]
    assert "a shipped meter type has this name" in site.refused("meter", "discover", "10.0.0.9", "--save", str(site.base / "microstar.toml"))[0]
    assert "no meter is named 'zz'" in site.refused("meter", "discover", "--as", "zz")[0]


@pytest.mark.parametrize(("text", "told"), [
    ("10.0.0.1", ("10.0.0.1", None)), ("10.0.0.1:4059", ("10.0.0.1", 4059)), ("meter.local:1", ("meter.local", 1)),
    ("fe80::1%wlan1", ("fe80::1%wlan1", None)), ("[fe80::1]:4059", ("fe80::1", 4059)), ("[::1]", ("::1", None)),
    ("serial:/dev/ttyUSB0?baud=9600", ("serial:/dev/ttyUSB0", 0)),
])
def test_addresses(text: str, told: tuple[str, int | None]) -> None:
    assert split_address(text) == told


def test_ranges() -> None:
    assert physical_range("17") == (17,)
    assert physical_range("16-18") == (16, 17, 18)
    assert physical_range(None) == ()

"""`check` on the local page, on alarms and on the uplink's paths: what stands in the way, and what to do."""

import datetime as dt
import socket

import msgspec
import pytest
from cli_site import Site
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.alarms.conditions import shipped
from edge.api import passwords
from edge.api.access import FILE_NAME
from edge.credentials import PAGE_FILE, page_certificate, page_fingerprint


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def page(site: Site, port: int) -> Site:
    site.state_dir.mkdir(mode=0o700, exist_ok=True)
    site.configure(f"[api]\nenabled = true\nport = {port}\n")
    return site


def lines(site: Site, about: str = "") -> list[str]:
    """What is said about something; of the page without."""
    return [line for line in site("check").stdout.splitlines()
            if (about in line if about else line[6:].startswith(("page", "the page")) or PAGE_FILE in line or FILE_NAME in line)]


def test_nothing_is_said_of_a_page_that_nobody_wants(site: Site) -> None:
    assert lines(site) == []


def test_a_page_to_come_has_its_port_and_wants_a_password(page: Site, port: int) -> None:
    assert lines(page) == [f"ok    page: 127.0.0.1 port {port} is free", "ok    page certificate: none yet; the gateway makes it at its start",
                           "note  page password: none yet; `halow-gateway page code` gives the code to set it with"]


def test_a_port_that_another_program_has(page: Site, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert f"BAD   the page cannot listen on 127.0.0.1 port {port}: another program has this port; end it, or set another api.port" in lines(page)
        assert page("check").exit_code == 1


def test_an_address_that_is_not_the_boards(site: Site, port: int) -> None:
    site.configure(f'[api]\nenabled = true\nport = {port}\nlisten = "192.0.2.1"\n')
    assert "note  the page cannot listen on 192.0.2.1" in lines(site)[0]
    assert "note  page: the network reaches 192.0.2.1; the packet filter has to let in who may come" in lines(site)


def test_a_page_for_the_network_without_tls(site: Site) -> None:
    site.configure('[api]\nenabled = true\ntls = false\nlisten = "192.0.2.1"\n')
    assert "passwords would be in clear on the network" in site("check").stdout
    assert site("check").exit_code == 1


def certificate(begin: dt.datetime, end: dt.datetime) -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end).sign(key, hashes.SHA256())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + made.public_bytes(serialization.Encoding.PEM)


def test_the_certificate(page: Site) -> None:
    path = page_certificate(page.state_dir, "gw", "127.0.0.1")
    assert f"ok    page certificate: until 2049-12-31, SHA-256 {page_fingerprint(path)}" in lines(page)
    path.chmod(0o644)
    assert f"note  {path}: other users can read the page's key; chmod 600 it" in lines(page)
    made = path.read_bytes()
    path.write_bytes(made[made.index(b"-----BEGIN CERT"):])
    assert "key and certificate do not belong together, or one is missing" in "".join(lines(page, PAGE_FILE))
    path.write_bytes(certificate(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2021, 1, 1, tzinfo=dt.UTC)))
    assert lines(page, PAGE_FILE) == [f"BAD   {path}: ended on 2021-01-01; remove it, and the gateway makes another"]
    path.write_text("nothing")
    assert "holds no certificate in PEM" in "".join(lines(page, PAGE_FILE))


def test_the_password(page: Site) -> None:
    kept = passwords.hashed("correct horse battery", n=2)
    (page.state_dir / FILE_NAME).write_bytes(msgspec.json.encode({"admin": kept}))
    assert "ok    page password: set" in lines(page)
    (page.state_dir / FILE_NAME).write_text("{")
    assert f"BAD   {page.state_dir / FILE_NAME}: damaged: nobody can log in; `halow-gateway page code` gives a code for a new password" in lines(page)


def test_what_the_running_gateway_says_of_its_page(page: Site, port: int) -> None:
    answer = {"url": f"https://127.0.0.1:{port}/", "problem": ""}
    with page.daemon(page=answer):
        assert f"ok    page: https://127.0.0.1:{port}/" in lines(page)
        answer["problem"] = "the page cannot listen"
        assert "BAD   page: the page cannot listen" in lines(page)
        answer.update(problem="", url="https://127.0.0.1:1/")
        assert "note  page: served at https://127.0.0.1:1/, not as the settings say; start the gateway again" in lines(page)
    with page.daemon():
        assert "note  page: not served by the running gateway: " in "".join(lines(page))


OWN = '[[alarm]]\nname = "load"\ndevice = "meter"\nfigures = ["%s"]\nabove = 5.0\nseverity = "minor"\nmeters = ["m1"]\n'


def test_own_alarms_are_read_as_the_gateway_reads_them(site: Site) -> None:
    file = site.base / "alarms.toml"
    site.configure(f'[alarms]\nfile = "{file}"\n')
    assert f"BAD   alarms.file = {file}: cannot be read" in lines(site, "alarms.file")[0]
    file.write_text(OWN % "active_power" + "for_s = -1\n")
    assert lines(site, "alarm load") == [f"BAD   {file}: alarm load: for_s is below 0"]
    file.write_text(OWN % "active_power" + 'of = "nominal_volts"\n')
    assert "is no setting; there are nominal_voltage_v" in lines(site, "alarm load")[0]
    file.write_text(OWN % "active_pwer")
    assert lines(site, "alarm load") == [f"BAD   {file}: alarm load: no meter is named m1", f"note  {file}: alarm load: no meter type has active_pwer; is the key right?"]
    site.good("meter", "add", "m1", "127.0.0.1")
    file.write_text(OWN % "active_power")
    assert lines(site, "conditions") == [f"ok    alarms: {len(shipped()) + 1} conditions, 1 of them from {file}"]


FAR = ("note  alarms.nominal_voltage_v = 230: every meter that is read is far from it (m1: voltage_present_min 119.8); "
       "set this site's own, or the meter type's under [supply]")


@pytest.mark.parametrize(("standing", "said"), [
    ([("m1", "under_voltage", "voltage_present_min 119.8"), ("m2", "under_voltage", "voltage_present_min 121")], 1),
    ([("m1", "under_voltage", "voltage_present_min 119.8")], 0),
    ([("m1", "under_voltage", "voltage_present_min 119.8"), ("m2", "over_frequency", "frequency 60")], 0),
])
def test_a_nominal_value_that_is_not_this_sites(site: Site, standing: list[tuple[str, str, str]], said: int) -> None:
    status = {"meters": [{"name": "m1", "readings": 9}, {"name": "m2", "readings": 9}, {"name": "silent", "readings": 0}],
              "alarms": [{"device": meter, "name": name, "detail": detail} for meter, name, detail in standing]}
    with site.daemon(status):
        told = lines(site, "alarms.nominal")
    assert told == [FAR] * said


def test_the_interfaces_of_the_uplinks_paths(site: Site) -> None:
    site.configure("""[[paths.path]]
name = "cable"
interface = "lo"
[[paths.path]]
name = "modem"
interface = "wwan7"
[[paths.path]]
name = "rest"
""")
    assert lines(site, "path ") == ["ok    path cable: interface lo",
                                    "note  path modem: interface wwan7 is not there now; the path is taken once it is, `ip link` shows which are"]


def test_a_paused_meter_needs_no_password(site: Site) -> None:
    """It only pushes, or waits: nothing stands in the gateway's way."""
    site.good("meter", "add", "push-only", "10.0.0.1", "--paused")
    site.good("meter", "add", "polled", "10.0.0.2")
    assert lines(site, "no password") == ["BAD   meter polled: no password; halow-gateway meter set-password polled"]


def test_the_ports_for_pushes_are_looked_at(site: Site, port: int) -> None:
    site.configure(f'[push]\nenabled = true\nlisten = "127.0.0.1"\ntcp_port = {port}\nudp_port = 0\n')
    assert lines(site, "pushes: ")[0].startswith(f"ok    pushes: push.tcp_port = {port}, on 127.0.0.1")
    with socket.create_server(("127.0.0.1", port)):
        assert lines(site, "pushes: ") == [
            f"BAD   pushes: cannot listen on 127.0.0.1 tcp port {port}: another program has this port; end it, or set another push.tcp_port"]
    with site.daemon({"push": {"enabled": False, "problem": "switched off"}}):
        assert lines(site, "pushes: ")[0].startswith("note  pushes: the running gateway does not listen")

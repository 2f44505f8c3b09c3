"""Fleet files: what is wrong is told whole, with its place, before anything is sent."""

import pytest

from cloud.errors import CloudError, FleetError
from cloud.fleet import from_csv, from_toml, load
from cloud.provision.files import read_certificate

HEAD = '[fleet]\nname = "f"\n'
PLACE = '[[region]]\nname = "R"\n[[site]]\nname = "S"\nregion = "R"\n'
GATEWAY = '[[gateway]]\nname = "gw"\nsite = "S"\n'


@pytest.mark.parametrize(("text", "told"), [
    ("[fleet]\n", "name"),
    ('[fleet]\nname = "a b"\n', "fleet.name"),
    (HEAD + "colour = 1\n", "colour"),
    (HEAD + '[[site]]\nname = "S"\nregion = "R"\n', "site 'S': no region 'R'"),
    (HEAD + PLACE + 'customer = "C"\n', "site 'S': no customer 'C'"),
    (HEAD + PLACE + "latitude = 91\nlongitude = 0\n", "latitude"),
    (HEAD + PLACE + "latitude = 9\n", "latitude and longitude belong together"),
    (HEAD + PLACE + GATEWAY + GATEWAY, "device 'gw' stands there 2 times"),
    (HEAD + PLACE + '[[region]]\nname = "S"\n', "asset 'S' stands there 2 times"),
    (HEAD + PLACE + GATEWAY + '[[meter]]\nname = "m"\ngateway = "gx"\ntype = "t"\n', "no gateway 'gx'"),
    (HEAD + PLACE + GATEWAY + '[[meter]]\nname = "m"\ngateway = "gw"\ntype = "t"\n', "no meter_type 't'"),
    (HEAD + '[[meter_type]]\nname = "halow-gateway"\n', "the gateways' own profile"),
    (HEAD + '[[region]]\nname = "a/b"\n', "region[0].name"),
    (HEAD + '[[region]]\nname = "<b>"\n', "region[0].name"),
    (HEAD + '[[region]]\nname = " a"\n', "region[0].name"),
    ("[fleet\n", "not TOML: Expected ']'"),
    ("[fleet]\n", "fleet: name is missing"),
    ("", "the file: fleet is missing"),
    (HEAD + PLACE + GATEWAY + '[[meter]]\nname = "m"\ngateway = "gw"\ntyp = "t"\n', "meter[0] ('m'): there is no key typ"),
    (HEAD + PLACE + "latitude = 91\nlongitude = 0\n", "site[0].latitude ('S'): must be a number <= 90.0"),
    (HEAD + PLACE + 'latitude = "x"\n', "site[0].latitude ('S'): must be a number, not text"),
    (HEAD + '[[region]]\nname = " a"\n', "region[0].name (' a'): must not be empty, hold < >"),
    (HEAD.replace("[fleet]", "site = 3\n[fleet]"), "site: must be [[tables]], not a whole number"),
    ('[fleet]\nname = "a b"\n', "fleet.name: must be 1 to 64 letters"),
])
def test_what_is_wrong_is_told(text, told):
    found = from_toml(text)
    assert isinstance(found, list)
    assert any(told in line for line in found), found


ROWS = "region,site,gateway,meter,meter_type\n"


@pytest.mark.parametrize(("text", "told"), [
    ("region,site\nR,S\n", "missing: gateway"),
    (ROWS.replace("meter,", "colour,") + "R,S,g,m,t\n", "unknown: colour"),
    (ROWS + "R,S,g,m,t\nQ,S,g,n,t\n", "line 3: site 'S' was name=S, region=R before, and is name=S, region=Q here"),
    (ROWS + "R,S,g,m,t\nR,T,g,n,t\n", "line 3: gateway 'g' was"),
    (ROWS + "R,S,g,m,t\nR,S,g,m,t\n", "line 3: meter 'm' stands there twice"),
    (ROWS + "R,S,g\n", "line 2"),
    (ROWS + "R,S,g,m,\n", "type"),
    ("region,site,gateway,latitude\nR,S,g,north\n", "line 2: latitude 'north' is no number"),
])
def test_what_is_wrong_in_a_table_is_told_with_its_line(text, told):
    found = from_csv(text, "f")
    assert isinstance(found, list)
    assert any(told in line for line in found), found


def test_many_problems_are_cut_short(tmp_path):
    path = tmp_path / "big.csv"
    path.write_text(ROWS + "R,S,g,m,t\n" * 99)
    with pytest.raises(FleetError, match="and 78 more"):
        load(path)


def test_a_table_from_a_spreadsheet_has_a_byte_order_mark(tmp_path):
    path = tmp_path / "north.csv"
    path.write_bytes(b"\xef\xbb\xbf" + ROWS.encode() + b"R,S,g,m,t\r\n")
    found = load(path).fleet
    assert (found.fleet.name, [one.name for one in found.meter]) == ("north", ["m"])


@pytest.mark.parametrize(("content", "told"), [
    (None, "No such file"), ("nothing", "holds 0 certificates"),
    ("-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n", "holds 2"),
    ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n", "private key"),
])
def test_a_certificate_is_looked_at_before_it_is_sent(tmp_path, content, told):
    if content is not None:
        (tmp_path / "c.pem").write_text(content)
    with pytest.raises(CloudError, match=told):
        read_certificate(tmp_path, "c.pem")

"""Meters as CSV: there and back, every kind of mistake by line, all or nothing, and no secret on the way out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import RegistryError
from edge.model import Meter
from edge.store import csvio
from edge.store.registry import Imported, Registry
from edge.store.validate import normal_mac, problems, valid_host

HEADER = "name,host,port\n"


def complaints(text: str, **options: object) -> list[str]:
    with pytest.raises(RegistryError) as caught:
        csvio.parse(text, **options)
    lines = str(caught.value).split("\n")
    assert all(line.startswith("line ") and line.isprintable() for line in lines)
    return lines


names = st.from_regex(r"[A-Za-z0-9ñäβ][\w .:/#()+-]{0,30}[\w.#)+]", fullmatch=True)
hosts = st.one_of(st.ip_addresses().map(str), st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z]{1,10})?", fullmatch=True))
lines = st.builds("serial:/dev/{}{}".format, st.sampled_from(["ttyUSB0", "serial/by-id/usb-FTDI_A5-if00-port0", "ttyACM1"]),
                  st.sampled_from(["", "?baud=300", "?format=8E1", "?baud=19200&format=8N2"]))
macs = st.one_of(st.just(""), st.from_regex(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", fullmatch=True))
meters = st.builds(
    Meter, names, hosts | lines, st.integers(0, 65_535), profile=st.sampled_from(["generic-three-phase", "microstar"]),
    framing=st.sampled_from([None, "wrapper", "hdlc"]), client_sap=st.none() | st.integers(1, 127),
    server_logical=st.none() | st.integers(0, 127), server_physical=st.none() | st.integers(0, 127),
    address_bytes=st.sampled_from([None, 2, 4]), authentication=st.sampled_from([None, "none", "lls"]),
    interval_s=st.none() | st.floats(0.001, 86_400), paused=st.booleans(), mac=macs,
    opening=st.sampled_from([None, "direct", "mode-e"]), device_address=st.sampled_from(["", "0012345678", "Meter 1"]),
).filter(lambda meter: not list(problems(meter)))


@given(st.lists(meters, min_size=1, max_size=8, unique_by=lambda meter: meter.name))
def test_what_is_exported_is_imported_equal(listed: list[Meter]) -> None:
    assert [row.meter for row in csvio.parse(csvio.render(listed))] == listed


@given(st.text(max_size=200))
def test_any_text_is_meters_or_complaints_by_line(text: str) -> None:
    for attempt in (text, HEADER + text, "name;host;port;password\n" + text):
        told = ""
        try:
            assert csvio.parse(attempt)
        except RegistryError as error:
            told = str(error)
        assert not told or all(line.startswith("line ") and line.isprintable() for line in told.split("\n"))


def test_a_serial_line_has_no_port_and_one_way_of_writing() -> None:
    text = HEADER + "a,serial:/dev/ttyUSB0?format=8n1&baud=19200,\nb,Serial:/dev/ttyUSB0?baud=9600,0\n"
    assert [(row.meter.host, row.meter.port) for row in csvio.parse(text)] == [
        ("serial:/dev/ttyUSB0?baud=19200", 0), ("serial:/dev/ttyUSB0", 0)]
    assert complaints(HEADER + "a,serial:/dev/ttyUSB0,4059\n") == [
        "line 2: port = 4059: a serial line has none; leave it out or set it to 0"]


def test_spreadsheets_are_understood() -> None:
    text = "\ufeffName;Host;Port;Interval_S;Paused;MAC\r\nA 1;10.0.0.1;3333;2,5;Yes;02-00-5E-10-00-01\r\n;;;;;\r\n"
    (row,) = csvio.parse(text)
    assert row.meter == Meter("A 1", "10.0.0.1", 3333, interval_s=2.5, paused=True, mac="02:00:5e:10:00:01")
    assert row.password is None


@pytest.mark.parametrize("text", [
    "name\thost\tport\tpassword\nm1\t10.0.0.1\t4059\ta,b;c\n",
    'sep=;\r\nname;host;port;password\r\nm1;10.0.0.1;4059;"a,b;c"\r\n',
    '\ufeff"sep=\t"\nname\thost\tport\tpassword\nm1\t10.0.0.1\t4059\ta,b;c\n',
    "SEP=|\nname|host|port|password\nm1|10.0.0.1|4059|a,b;c\n",
    'sep=,\nname,host,port,password\nm1,10.0.0.1,4059,"a,b;c"\n',
])
def test_what_parts_the_cells_is_seen_or_said(text: str) -> None:
    (row,) = csvio.parse(text)
    assert (row.meter, row.password) == (Meter("m1", "10.0.0.1", 4059), b"a,b;c")
    assert row.line == text.count("\n")


def test_lines_are_counted_from_the_first_of_the_file() -> None:
    assert complaints("sep=;\nname;host;prt\nm;h;1\n") == [
        "line 2: the column port is missing", "line 2: unknown column 'prt'; did you mean port?"]
    assert complaints("sep=;\nname;host;port\nm;h;0\n") == ["line 3: port = 0: must be from 1 to 65535"]
    assert complaints("sep=;\n") == [f"line 2: the header is missing: {','.join(csvio.COLUMNS)}"]


@pytest.mark.parametrize(("text", "expected"), [
    ("", ["line 1: the header is missing: " + ",".join(csvio.COLUMNS)]),
    (HEADER, ["line 2: no meter in the file"]),
    ("name,port\n", ["line 1: the column host is missing"]),
    (HEADER.replace("port", "prot,port"), ["line 1: unknown column 'prot'; did you mean port?"]),
    ("name,host,port,host\n", ["line 1: the column host stands there twice"]),
    (HEADER + "a,h\n", ["line 2: 2 cells where the header has 3"]),
    (HEADER + "a,,x\n", ["line 2: host = '': must not be empty", "line 2: port = 'x': must be a whole number"]),
    (HEADER + "a,h,1\n\nb,h,99999\n", ["line 4: port = 99999: must be from 1 to 65535"]),
    (HEADER + "a,h,1\na,i,2\n", ["line 3: name = 'a': has line 2 already"]),
    (HEADER + "=cmd(),h,1\n", ["line 2: name = '=cmd()': must be a letter or digit, then at most 63 of these, spaces or .:/#()+-_"]),
    ("name,host,port,framing\na,h,1,serial\n", ["line 2: Invalid enum value 'serial': framing"]),
    ("name,host,port,paused\na,h,1,maybe\n", ["line 2: paused = 'maybe': must be yes or no"]),
    ("name,host,port,interval_s\na,h,1,nan\n", ["line 2: interval_s = nan: must be more than 0 and at most 86400 seconds"]),
    ("name,host,port,interval_s\na,h,1,fast\n", ["line 2: interval_s = 'fast': must be a number of seconds"]),
    ("name,host,port,address_bytes\na,h,1,3\n", ["line 2: Invalid enum value 3: address_bytes"]),
    (HEADER + 'a,"h,1\n', ["line 2: not CSV: unexpected end of data"]),
])
def test_mistakes_are_named_by_line(text: str, expected: list[str]) -> None:
    assert complaints(text) == expected


def test_unknown_profiles_are_named_by_line() -> None:
    found = complaints("name,host,port,profile\na,h,1,microstar\nb,h,1,micro\n", profiles=["microstar"])
    assert found == ["line 3: profile = 'micro': no such profile; there are microstar"]


def test_an_import_is_all_or_nothing_and_updates_only_when_told(tmp_path: Path) -> None:
    with Registry.open(tmp_path / "registry.db") as registry:
        registry.add(Meter("a", "10.0.0.1", 1), b"old")
        with pytest.raises(RegistryError, match=r"^line 3: a is registered already; --update replaces it$"):
            registry.import_csv(HEADER + "b,h,2\na,h,2\n")
        with pytest.raises(RegistryError, match="line 3: port"):
            registry.import_csv(HEADER + "b,h,2\nc,h,0\n")
        assert registry.list() == (Meter("a", "10.0.0.1", 1),)
        done = registry.import_csv("name,host,port,password\nb,h,2,pw b\na,h,2,\n", update=True)
        assert done == Imported(("b",), ("a",))
        assert registry.get("a").host == "h"
        assert (registry.password("a"), registry.password("b")) == (b"old", b"pw b")


def test_secrets_go_in_and_never_come_out(tmp_path: Path) -> None:
    secret = "hunter2-9f"
    text = f"name,host,port,password\na,h,1,{secret}\n"
    (row,) = csvio.parse(text)
    assert row.password == secret.encode()
    with Registry.open(tmp_path / "registry.db") as registry:
        registry.import_csv(text)
        shown = [repr(row), repr(registry), repr(registry.list()), repr(registry.get("a")), registry.export_csv()]
    assert not [text for text in shown if secret in text]
    for bad in (
        f"name,host,port,password\na,h,0,{secret}\n",                # wrong elsewhere
        f"name,host,port,password\na,h,{secret}\n",                  # shifted into another column
        f"name,host,port,password\na,h,1,{secret * 10}\n",           # too long
        f'name,host,port,password\na,h,1,"{secret}\n',              # an open quote
    ):
        assert not [line for line in complaints(bad) if secret in line]


@pytest.mark.parametrize(("host", "good"), [
    ("10.0.0.1", True), ("2001:db8::1", True), ("fe80::1%wlan0", True), ("meter-1.local", True), ("m", True), ("m.example.", True),
    ("10.0.0.256", False), ("10.0.0", False), ("", False), ("a b", False), ("-a", False), ("a..b", False), ("a_b", False),
    ("fe80::1%a b", False), ("http://x", False), ("x:80", False), ("a" * 64, False), ("\n", False), ("m\n", False),
])
def test_hosts(host: str, good: bool) -> None:
    assert valid_host(host) is good


@pytest.mark.parametrize(("changes", "expected"), [
    ({"framing": "hdlc", "client_sap": 128}, "client_sap = 128: must be from 1 to 127"),
    ({"framing": "wrapper", "client_sap": 65_535, "server_logical": 65_535}, None),
    ({"client_sap": 0}, "client_sap = 0: must be from 1 to 65535"),
    ({"address_bytes": 1, "server_logical": 127}, None),
    ({"address_bytes": 1, "server_logical": 128}, "server_logical = 128: must be from 0 to 127"),
    ({"address_bytes": 1, "server_physical": 1}, "server_physical: has no place in a 1-byte server address"),
    ({"address_bytes": 2, "server_physical": 128}, "server_physical = 128: must be from 0 to 127"),
    ({"address_bytes": 4, "server_physical": 16_383}, None),
    ({"address_bytes": 4, "server_physical": 16_384}, "server_physical = 16384: must be from 0 to 16383"),
    ({"interval_s": 0.0}, "interval_s = 0.0: must be more than 0"),
    ({"name": "a" * 65}, "name = "), ({"name": "e\u0301"}, "name = "), ({"name": "a "}, "name = "), ({"name": "a\n"}, "name = "),
    ({"mac": "02:00:5E:10:00:01"}, "mac = "),
])
def test_ranges(changes: dict[str, object], expected: str | None) -> None:
    found = list(problems(Meter(**({"name": "m", "host": "h", "port": 1} | changes))))
    assert (found == []) if expected is None else (len(found) == 1 and found[0].startswith(expected))


def test_mac_addresses_are_brought_to_one_form() -> None:
    assert {normal_mac(text) for text in ("02:00:5E:10:00:01", "02-00-5e-10-00-01", "0200.5e10.0001", "02005E100001")} == {
        "02:00:5e:10:00:01"}
    assert normal_mac("nonsense") == "nonsense"

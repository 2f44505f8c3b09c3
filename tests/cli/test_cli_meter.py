"""`meter` commands: what each does, says and refuses; and that no secret is ever shown."""

import json
from pathlib import Path

import pytest
from cli_site import Site

from edge.meters.profile import load_profiles
from edge.model import Learned, Meter

IDLE = "No gateway is running; it takes effect at the next start."
LIVE = "The running gateway has taken it up."
SECRET = "hunter2-9f"
SHIPPED = ", ".join(sorted(load_profiles()))


@pytest.fixture
def two(site: Site) -> Site:
    with site.registry() as registry:
        registry.add(Meter("m1", "10.0.0.1", 3333, "microstar", interval_s=5.0), SECRET.encode())
        registry.add(Meter("m2", "10.0.0.2", 4059, paused=True, mac="02:00:5e:10:00:01"))
    return site


def test_an_empty_registry_says_how_to_go_on(site: Site) -> None:
    assert "meter add NAME HOST" in site.good("meter", "list")
    assert json.loads(site.good("meter", "list", "--json")) == []


def test_add_takes_what_is_told_and_the_port_from_the_profile(site: Site) -> None:
    out = site.good("meter", "add", "m1", "10.0.0.1", "--profile", "microstar", "--interval", "2.5", "--client-sap", "16",
                    "--framing", "hdlc", "--address-bytes", "4", "--server-logical", "1", "--server-physical", "1234",
                    "--authentication", "none", "--mac", "02-00-5E-10-00-01", "--paused")
    assert out == f"Added m1. {IDLE}\n"
    with site.registry() as registry:
        assert registry.list() == (Meter("m1", "10.0.0.1", 3333, "microstar", "hdlc", 16, 1, 1234, 4, "none", 2.5, True,
                                         "02:00:5e:10:00:01"),)


def test_add_reminds_of_the_password_that_is_wanted(site: Site) -> None:
    assert "halow-gateway meter set-password m1" in site.good("meter", "add", "m1", "10.0.0.1")
    assert "set-password" not in site.good("meter", "add", "m2", "10.0.0.1", "--authentication", "none")
    assert "set-password" not in site.good("meter", "add", "m3", "10.0.0.1", "--password-file", "-", stdin=f"{SECRET}\n")
    with site.registry() as registry:
        assert registry.password("m3") == SECRET.encode()


@pytest.mark.parametrize(("args", "line"), [
    (("add", "m1", "10.0.0.1"), "the meter m1 is registered already; `meter edit` changes it"),
    (("add", "m3", "10.0.0.256"), "host = '10.0.0.256': must be an IP address, a host name, or serial: and a device"),
    (("add", "m3", "10.0.0.25:4059"),
     ("host = '10.0.0.25:4059': must be an IP address, a host name, or serial: and a device; "
      "the port stands apart, as port or --port")),
    (("add", "m3", "serial:ttyUSB0"),
     "host = 'serial:ttyUSB0': must be serial: and a device, like serial:/dev/ttyUSB0 or serial:/dev/serial/by-id/..."),
    (("add", "m3", "serial:/dev/ttyUSB0", "--framing", "wrapper"), "framing = 'wrapper': is for TCP; a serial line carries hdlc"),
    (("add", "m3", "serial:/dev/ttyUSB0", "--port", "4059"), "port = 4059: a serial line has none; leave it out or set it to 0"),
    (("add", "m3", "serial:/dev/ttyUSB0", "--device-address", "/?!"),
     "device_address = '/?!': must be at most 32 letters, digits or spaces"),
    (("add", "m3", "h", "--framing", "wrapper", "--opening", "mode-e"),
     "opening = 'mode-e': leads to HDLC; framing = 'wrapper' does not go with it"),
    (("add", "m3", "h", "--port", "0"), "port = 0: must be from 1 to 65535"),
    (("add", "m3", "h", "--profile", "nope"), f"no meter profile is named 'nope'; there are {SHIPPED}"),
    (("add", "m3", "h", "--password-file", "/none"), "/none: cannot be read: No such file or directory"),
    (("edit", "m1", "--interval", "0"), "interval_s = 0.0: must be more than 0 and at most 86400 seconds"),
    (("edit", "m11", "--port", "1"), "no meter is named 'm11'; did you mean m1?"),
    (("show", "zz"), "no meter is named 'zz'; `halow-gateway meter list` shows the registered ones"),
    (("pause", "m1", "zz"), "no meter is named 'zz'; `halow-gateway meter list` shows the registered ones"),
    (("remove", "zz", "--yes"), "no meter is named 'zz'; `halow-gateway meter list` shows the registered ones"),
    (("set-password", "zz", "--clear"), "no meter is named 'zz'; `halow-gateway meter list` shows the registered ones"),
])
def test_refusals_are_one_line_and_change_nothing(two: Site, args: tuple[str, ...], line: str) -> None:
    before = two.good("meter", "list", "--json")
    assert two.refused("meter", *args) == [line]
    assert two.good("meter", "list", "--json") == before


@pytest.mark.parametrize(("args", "text"), [
    (("add", "m3"), "Missing argument 'HOST'"),
    (("add", "m3", "h", "--port", "x"), "'x' is not a valid integer"),
    (("add", "m3", "h", "--framing", "serial"), "'serial' is not one of"),
    (("add", "m3", "h", "--password", "x"), "No such option"),
    (("edit", "m1"), "nothing to change"),
    (("edit", "m1", "--interval", "5", "--unset", "interval_s"), "interval_s: set and unset at once"),
    (("remove", "m1"), "no terminal to ask at; give --yes"),
    (("set-password", "m1"), "no terminal to ask at; give --password-file FILE, or - for standard input"),
    (("set-password", "m1", "--clear", "--password-file", "-"), "exclude each other"),
    (("pause",), "Missing argument 'NAME...'"),
    (("frobnicate",), "No such command 'frobnicate'"),
])
def test_wrong_usage_ends_with_2(two: Site, args: tuple[str, ...], text: str) -> None:
    assert text in two.misused("meter", *args)


def test_list_is_a_table_or_json(two: Site) -> None:
    lines = two.good("meter", "list").splitlines()
    assert lines[0].split() == ["NAME", "HOST", "PORT", "PROFILE", "INTERVAL", "PASSWORD", "STATE"]
    assert lines[1].split() == ["m1", "10.0.0.1", "3333", "microstar", "5", "s", "set", "active"]
    assert lines[2].split() == ["m2", "10.0.0.2", "4059", "generic-three-phase", "-", "-", "paused"]
    m1, m2 = json.loads(two.good("meter", "list", "--json"))
    assert (m1["name"], m1["interval_s"], m1["password_set"]) == ("m1", 5.0, True)
    assert (m2["paused"], m2["mac"], m2["password_set"]) == (True, "02:00:5e:10:00:01", False)


def test_show_tells_what_is_set_what_the_profile_says_and_what_was_learned(two: Site) -> None:
    with two.registry() as registry:
        registry.keep_learned("m1", Learned("4711", 9, {"1-0:1.7.0.255 2": (-1, 27)}))
    shown = dict(line.split(maxsplit=1) for line in two.good("meter", "show", "m1").splitlines())
    assert (shown["framing"], shown["interval_s"], shown["password"]) == ("hdlc  (profile)", "5", "set")
    assert (shown["identity"], shown["list"], shown["scalers"]) == ("4711", "limit       9", "known    1")
    as_json = json.loads(two.good("meter", "show", "m1", "--json"))
    assert as_json["framing"] is None
    assert as_json["learned"] == {"identity": "4711", "list_limit": 9, "scalers": {"1-0:1.7.0.255 2": [-1, 27]}}


def test_show_names_a_profile_that_is_gone(two: Site) -> None:
    with two.registry() as registry:
        registry.add(Meter("old", "h", 1, "retired"))
    assert "retired  (no such profile)" in two.good("meter", "show", "old")


def test_edit_changes_what_is_named_and_unset_goes_back_to_the_profile(two: Site) -> None:
    assert two.good("meter", "edit", "m1", "--host", "meter.local", "--port", "4059", "--unset", "interval_s") == f"Changed m1. {IDLE}\n"
    two.good("meter", "edit", "m2", "--unset", "mac")
    with two.registry() as registry:
        assert registry.get("m1") == Meter("m1", "meter.local", 4059, "microstar")
        assert registry.get("m2").mac == ""
        assert registry.password("m1") == SECRET.encode()


def test_a_meter_on_a_serial_line_goes_in_moves_and_comes_out_again(two: Site) -> None:
    two.good("meter", "add", "m3", "serial:/dev/ttyUSB0?format=8n1&baud=19200", "--opening", "mode-e", "--device-address", "00123")
    two.good("meter", "edit", "m1", "--host", "serial:/dev/serial/by-id/usb-FTDI_A5-if00-port0")
    with two.registry() as registry:
        assert registry.get("m3") == Meter("m3", "serial:/dev/ttyUSB0?baud=19200", 0, opening="mode-e", device_address="00123")
        assert registry.get("m1") == Meter("m1", "serial:/dev/serial/by-id/usb-FTDI_A5-if00-port0", 0, "microstar", interval_s=5.0)
    assert two.good("meter", "list").splitlines()[-1].split()[:3] == ["m3", "serial:/dev/ttyUSB0?baud=19200", "-"]
    shown = dict(line.split(maxsplit=1) for line in two.good("meter", "show", "m3").splitlines())
    assert (shown["framing"], shown["opening"]) == ("hdlc  (serial line)", "mode-e")
    exported = two.good("meter", "export")
    two.good("meter", "edit", "m3", "--host", "10.0.0.3", "--unset", "opening", "--unset", "device_address")
    with two.registry() as registry:
        assert registry.get("m3") == Meter("m3", "10.0.0.3", 4059)
    two.good("meter", "import", "-", "--update", stdin=exported)
    with two.registry() as registry:
        assert registry.get("m3") == Meter("m3", "serial:/dev/ttyUSB0?baud=19200", 0, opening="mode-e", device_address="00123")


def test_pause_and_resume_say_what_was_so_already(two: Site) -> None:
    assert two.good("meter", "pause", "m1", "m2") == f"m1 is paused.\nm2 was paused already.\n{IDLE}\n"
    assert two.good("meter", "pause", "m1") == "m1 was paused already.\n"
    assert two.good("meter", "resume", "m1") == f"m1 is active.\n{IDLE}\n"


def test_a_running_gateway_is_told_of_every_change_and_of_nothing_else(two: Site) -> None:
    with two.daemon() as requests:
        assert two.good("meter", "pause", "m1") == f"m1 is paused.\n{LIVE}\n"
        assert two.good("meter", "edit", "m1", "--port", "1").endswith(f"{LIVE}\n")
        assert two.good("meter", "add", "m3", "h", "--authentication", "none").endswith(f"{LIVE}\n")
        assert two.good("meter", "remove", "m3", "--yes").endswith(f"{LIVE}\n")
        assert two.good("meter", "set-password", "m1", "--clear").endswith(f"{LIVE}\n")
        assert two.good("meter", "import", "-", stdin="name,host,port\nx,h,1\n").endswith(f"{LIVE}\n")
        assert requests == [{"request": "reload"}] * 6
        two.good("meter", "list")
        two.good("meter", "show", "m1")
        two.good("meter", "export")
        two.good("meter", "pause", "m1")
        two.refused("meter", "pause", "zz")
        assert len(requests) == 6


def test_a_gateway_that_does_not_take_it_does_not_undo_the_change(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.errors import EdgeError

    def refuse(*_: object, **__: object) -> None:
        raise EdgeError("busy")

    monkeypatch.setattr("edge.control.ask", refuse)
    assert "The running gateway has not taken it up yet: busy" in two.good("meter", "pause", "m1")
    with two.registry() as registry:
        assert registry.get("m1").paused


def test_a_meter_that_the_gateway_cannot_poll_is_named_with_the_reason(two: Site) -> None:
    with two.daemon(reloaded={"started": [], "refused": {"m1": "meter m1: no password is stored", "m2": "meter m2: ..."}}):
        assert two.good("meter", "edit", "m1", "--port", "1") == (
            f"Changed m1. {LIVE}\nIt cannot poll: meter m1: no password is stored\n")


@pytest.mark.parametrize(("raw", "args", "stored"), [
    (b"abc\n", (), b"abc"), (b"abc\r\n", (), b"abc"), (b" a b \n\n", (), b" a b \n"), (b"\xff\x00", (), b"\xff\x00"),
    (b"00 ff\n", ("--hex",), b"\x00\xff"),
])
def test_passwords_come_from_a_file_or_standard_input(two: Site, raw: bytes, args: tuple[str, ...], stored: bytes) -> None:
    file = two.base / "pw"
    file.write_bytes(raw)
    for name, stdin in ((str(file), None), ("-", raw)):
        two.good("meter", "set-password", "m2", "--clear")
        assert two.good("meter", "set-password", "m2", "--password-file", name, *args, stdin=stdin) == f"Set the password of m2. {IDLE}\n"
        with two.registry() as registry:
            assert registry.password("m2") == stored


def test_a_password_file_saved_on_windows_is_read(two: Site) -> None:
    for raw, args, stored in ((b"\xef\xbb\xbfp\xc3\xa4ss\r\n", (), "päss".encode()), (b"\xef\xbb\xbf00ff\r\n", ("--hex",), b"\x00\xff")):
        two.good("meter", "set-password", "m2", "--password-file", "-", *args, stdin=raw)
        with two.registry() as registry:
            assert registry.password("m2") == stored
    (line,) = two.refused("meter", "set-password", "m2", "--password-file", "-", stdin=b"\xef\xbb\xbf")
    assert line.startswith("the password is empty")


@pytest.mark.parametrize(("raw", "args", "reason"), [
    (b"\n", (), "the password is empty"), (SECRET.encode(), ("--hex",), "not in hexadecimal digits"),
    (SECRET.encode() * 10, (), "has 100 bytes"),
])
def test_bad_passwords_are_refused_and_the_old_one_stays(two: Site, raw: bytes, args: tuple[str, ...], reason: str) -> None:
    (line,) = two.refused("meter", "set-password", "m1", "--password-file", "-", *args, stdin=raw)
    assert reason in line
    assert SECRET not in line
    with two.registry() as registry:
        assert registry.password("m1") == SECRET.encode()


def test_csv_goes_in_and_out(two: Site) -> None:
    exported = two.good("meter", "export")
    assert len(exported.splitlines()) == 3
    file = two.base / "meters.csv"
    file.write_text(exported.replace("m1", "n1").replace("m2", "n2"))
    assert two.good("meter", "import", str(file)) == f"Added 2, updated 0. {IDLE}\n"
    assert two.refused("meter", "import", str(file)) == [
        "line 2: n1 is registered already; --update replaces it", "line 3: n2 is registered already; --update replaces it"]
    assert two.good("meter", "import", "--update", str(file)) == f"Added 0, updated 2. {IDLE}\n"


def test_a_wrong_csv_is_refused_whole_with_its_lines(two: Site) -> None:
    text = f"name,host,port,profile,password\na,h,1,nope,{SECRET}\nb,h,0,microstar,{SECRET}\nc,h,1,microstar,{SECRET}\n"
    assert two.refused("meter", "import", "-", stdin=text) == [
        f"line 2: profile = 'nope': no such profile; there are {SHIPPED}",
        "line 3: port = 0: must be from 1 to 65535"]
    assert two.refused("meter", "import", "-", stdin=b"name,host,port\n\xff") == ["-: byte 15 is not UTF-8; save it as UTF-8 CSV"]
    assert two.refused("meter", "import", "/none.csv") == ["/none.csv: cannot be read: No such file or directory"]
    assert len(json.loads(two.good("meter", "list", "--json"))) == 2


def test_no_output_of_any_command_holds_a_secret(two: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    shown = [
        two(*args).output for args in (
            ("meter", "list"), ("meter", "list", "--json"), ("meter", "show", "m1"), ("meter", "show", "m1", "--json"),
            ("meter", "export"), ("config", "show"), ("check",), ("--debug", "meter", "show", "m1"),
            ("--debug", "meter", "add", "m1", "h"), ("meter", "pause", "m1"),
        )
    ]
    shown.append(two("--debug", "meter", "set-password", "m1", "--password-file", "-", stdin=SECRET).output)
    shown.append(two("--debug", "meter", "set-password", "m1", "--password-file", "-", stdin=SECRET * 10).output)
    shown.append(two("--debug", "meter", "set-password", "m1", "--password-file", "-", "--hex", stdin=SECRET).output)
    shown.append(two("--debug", "meter", "import", "-", stdin=f"name,host,port,password\nm1,h,1,{SECRET}\n").output)
    assert all(shown)
    assert not [text for text in [*shown, caplog.text] if SECRET in text]


@pytest.mark.parametrize("raw", [b"", b"garbage" * 1000, bytes(4096)])
def test_a_broken_registry_is_one_line_for_every_command(site: Site, raw: bytes) -> None:
    site.state_dir.mkdir(mode=0o700)
    (site.state_dir / "registry.db").write_bytes(raw)
    for args in (("list",), ("show", "m1"), ("add", "m1", "h"), ("pause", "m1"), ("export",), ("remove", "m1", "--yes")):
        (line,) = site.refused("meter", *args)
        assert "restore it, or move it away and import the meters again" in line
    assert (site.state_dir / "registry.db").read_bytes() == raw


def test_a_state_directory_that_cannot_be_made_is_one_line(site: Site, tmp_path: Path) -> None:
    site.state_dir.write_text("a file")
    (line,) = site.refused("meter", "list")
    assert "check the directory" in line


def test_a_file_that_is_wrong_in_every_line_does_not_flood_the_terminal(site: Site) -> None:
    text = "name,host,port\n" + "".join(f"m{n},1.1.1.999,1\n" for n in range(500))
    lines = site.refused("meter", "import", "-", stdin=text)
    assert len(lines) == 21
    assert lines[0].startswith("line 2: host = ")
    assert lines[-1] == "and 480 problems more"


def test_a_name_with_spaces_is_quoted_in_the_command_to_copy(site: Site) -> None:
    assert "halow-gateway meter set-password 'flat 2 (east)'" in site.good("meter", "add", "flat 2 (east)", "10.0.0.1")
    assert "halow-gateway meter set-password 'flat 2 (east)'" in site("check").stdout


def test_a_meter_named_twice_is_told_of_once(two: Site) -> None:
    assert two.good("meter", "pause", "m1", "m1") == f"m1 is paused.\n{IDLE}\n"


def test_show_tells_the_interval_in_force_and_where_it_comes_from(two: Site) -> None:
    def interval(name: str) -> list[str]:
        return next(line.split() for line in two.good("meter", "show", name).splitlines() if line.startswith("interval_s"))

    assert interval("m1") == ["interval_s", "5"]
    assert interval("m2") == ["interval_s", "60", "(settings)"]
    two.configure("[poll]\ninterval_s = 15\n")
    assert interval("m2") == ["interval_s", "15", "(settings)"]


@pytest.mark.parametrize("group", ["meter", "ring", "link", "config"])
def test_the_list_of_subcommands_fits_an_80_column_terminal_uncut(
        site: Site, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands = site(group, "--help").stdout.partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands
    for line in commands.splitlines():
        text = site(group, line.split()[0], "--help").stdout
        assert max(map(len, text.splitlines())) <= 80, text


def test_hex_without_a_password_to_read_is_wrong_usage(two: Site) -> None:
    assert "--hex says how --password-file is written" in two.misused("meter", "add", "m3", "10.0.0.3", "--hex")
    assert "--hex says how --password-file is written" in two.misused("read", "m1", "--hex")
    assert "m3" not in two.good("meter", "list")

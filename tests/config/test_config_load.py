"""Settings: the defaults, every way to be wrong, and that nothing but a ConfigError comes out of any bytes."""

import errno
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config import GatewaySettings, Settings
from edge.configfile import FILE_LIMIT_BYTES, default_toml, load, to_toml
from edge.errors import ConfigError, SettingsError
from edge.identity import named

reuse_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "gateway.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}: ") and line.isprintable() for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_no_file_is_the_defaults() -> None:
    assert load(None) == Settings()


def test_the_printed_default_loads_back_equal_and_names_every_key(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(default_toml())
    assert load(path) == Settings()
    parsed = tomllib.loads(default_toml())
    assert parsed == msgspec.json.decode(msgspec.json.encode(Settings()))
    lines = default_toml().splitlines()
    assert all(lines[i - 1].startswith("# ") and len(lines[i - 1]) > 4 for i, line in enumerate(lines) if " = " in line and line[0] != "#")


def test_the_defaults_satisfy_their_own_ranges_and_relations(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.write_text("")
    assert load(path) == Settings()


def test_values_are_taken_and_the_rest_stays_default(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nname = "gw 7"\n[poll]\ninterval_s = 10\n[uplink]\nhost = "2001:db8::1"\ntls = true\nca_file = "/a/b"\n')
    loaded = load(path)
    assert (loaded.gateway.name, loaded.poll.interval_s, loaded.uplink.host) == ("gw 7", 10.0, "2001:db8::1")
    assert isinstance(loaded.poll.interval_s, float)
    assert loaded.ring == Settings().ring


@reuse_path
@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=60), st.floats(0.001, 86_400), st.booleans())
def test_any_settings_load_back_from_their_own_toml(tmp_path: Path, text: str, interval_s: float, flag: bool) -> None:
    made = msgspec.structs.replace(
        Settings(),
        gateway=GatewaySettings(state_dir=f"/{text}", name="x"),
        uplink=msgspec.structs.replace(Settings().uplink, client_id=text, enabled=flag, health_interval_s=interval_s),
    )
    path = tmp_path / "gateway.toml"
    path.write_text(to_toml(made))
    assert load(path) == made


@pytest.mark.parametrize(("text", "expected"), [
    ("[poll]\nat_once = 0", "poll.at_once = 0: must be a whole number at least 1 and at most 1024"),
    ("[poll]\nat_once = true", "poll.at_once = true: must be a whole number at least 1 and at most 1024"),
    ("[poll]\nat_once = 1.5", "poll.at_once = 1.5: must be a whole number at least 1 and at most 1024"),
    ("[poll]\ninterval_s = -1", "poll.interval_s = -1: must be a number greater than 0 and at most 86400"),
    ("[poll]\ninterval_s = nan", "poll.interval_s = nan: must be a number greater than 0 and at most 86400"),
    ("[poll]\ninterval_s = inf", "poll.interval_s = inf: must be a number greater than 0 and at most 86400"),
    ('[poll]\ninterval_s = "5"', 'poll.interval_s = "5": must be a number greater than 0 and at most 86400'),
    ("[uplink]\nport = 0", "uplink.port = 0: must be a whole number at least 1 and at most 65535"),
    ("[uplink]\nport = 65536", "uplink.port = 65536: must be a whole number at least 1 and at most 65535"),
    ('[uplink]\nhost = ""', 'uplink.host = "": must be a host name or an IP address'),
    ('[uplink]\norder = "latest"', 'uplink.order = "latest": must be "oldest", "newest" or "live+backfill"'),
    ("[uplink]\nenabled = 1", "uplink.enabled = 1: must be true or false"),
    ('[push]\nlisten = "halow0"', 'push.listen = "halow0": must be an IP address'),
    ('[gateway]\nstate_dir = "var"', 'gateway.state_dir = "var": must be an absolute path'),
    ('[gateway]\nstate_dir = "/a\\n"', 'gateway.state_dir = "/a\\n": must be an absolute path'),
    ('[gateway]\nname = " x"', 'gateway.name = " x": must be 1 to 64 letters, digits, spaces, dots, dashes or underscores; also {id}'),
    ('[radio]\nmac = "1:2"', 'radio.mac = "1:2": must be six hexadecimal pairs with colons, or ""'),
    ("[radio]\nwidth_mhz = 3", "radio.width_mhz = 3: must be 1, 2, 4, 8 or 16"),
    ("[ring]\nalarm_share = 1", "ring.alarm_share = 1: must be a number greater than 0 and less than 1"),
    ("ring = 3", "ring = 3: must be a section, [ring]"),
    ("[uplnik]", "uplnik: unknown section; did you mean uplink?"),
    ("[poll]\nintervall_s = 3", "poll.intervall_s: unknown key; did you mean interval_s?"),
    ('[clock]\n"a\\nb" = 3', 'clock."a\\nb": unknown key; known are trust_wall, meters_zone, hold_s'),
    ("[paths]\npath = 3", "paths.path = 3: must be up to 8 tables"),
    ("[paths]\npath = [3]", "paths.path[1] = 3: must be a table"),
    ('[[paths.path]]\ninterface = "eth0"', "paths.path[1].name: missing"),
    ('[[paths.path]]\nname = "a"\n[[paths.path]]\nname = "b"\nmetred = true', "paths.path[2].metred: unknown key; did you mean metered?"),
    ('[[paths.path]]\nname = "a"\nbacklog = "24:00-06:00"', 'paths.path[1].backlog = "24:00-06:00": must be "always", "never", or hours like "22:00-06:00"'),
    ("".join(f'[[paths.path]]\nname = "p{n}"\n' for n in range(9))[:-1], "paths.path = [{'name': 'p0'}, {'name': 'p1'}, {'name': 'p2'}, {'name': 'p3'}, {'name': 'p4...: must be up to 8 tables"),
    ('[remote]\nconfigurable = "poll"', 'remote.configurable = "poll": must be a list, each up to 255 characters on one line'),
    ("[poll]\nat_once = 0x" + "f" * 5000, "poll.at_once = a number of 20000 bits: must be a whole number at least 1 and at most 1024"),
])
def test_one_wrong_value_is_one_line_with_path_value_and_what_is_allowed(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [expected]


def test_tables_load_back_from_their_own_toml(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[[paths.path]]\nname = "lan"\ninterface = "eth0"\n[[paths.path]]\nname = "modem"\nmetered = true\nbacklog = "22:00-06:00"\n')
    made = load(path)
    assert [one.name for one in made.paths.path] == ["lan", "modem"]
    path.write_text(to_toml(made))
    assert load(path) == made


@pytest.mark.parametrize(("text", "expected"), [
    ("[uplink]\ntls = true", "uplink.tls = true: needs uplink.ca_file"),
    ('[uplink]\nca_file = "/ca.pem"', 'uplink.ca_file = "/ca.pem": does nothing without uplink.tls = true'),
    ("[uplink]\nbackoff_first_s = 61", "uplink.backoff_first_s = 61.0: must be at most backoff_max_s = 60.0"),
    ("[uplink]\nwindow_bytes = 2048", "uplink.batch_bytes = 16384: must be at most window_bytes = 2048"),
    ("[poll]\nbackoff_first_s = 61", "poll.backoff_first_s = 61.0: must be at most backoff_max_s = 60.0"),
    ("[poll]\nbreaker_open_s = 1801", "poll.breaker_open_s = 1801.0: must be at most breaker_open_max_s = 1800.0"),
    ("[ring]\nsize_mib = 23", "ring.size_mib = 23: must hold 6 slots of slot_mib = 4.0 at least"),
    ("[ring]\nalarm_share = 0.5\nbilling_share = 0.5", "ring.alarm_share + ring.billing_share = 0.5 + 0.5: must leave 2 of the 64 slots"),
    ("[ring]\nslot_mib = 0.0625", "ring.record_limit_bytes = 65536: must be at most half of slot_mib"),
    ('[radio]\nkind = "simulated"', 'radio.kind = "simulated": needs radio.trace'),
    ('[ring]\nkey_command = "/bin/key"\nkey_file = "/k"', 'ring.key_file = "/k": does nothing beside ring.key_command; one of them'),
    ('[ring]\nkey_command = "/bin/key \'"', "ring.key_command = \"/bin/key '\": must be a command as a shell reads it: No closing quotation"),
    ('[radio]\nkind = "external"', 'radio.kind = "external": needs one of radio.external_command and radio.external_file'),
    ("[radio]\nexternal_timeout_s = 26", "radio.external_timeout_s = 26.0: must be at most 25"),
    ("[radio]\nvendor_tool = \"/usr/bin/sudo 'x\"", "radio.vendor_tool = \"/usr/bin/sudo 'x\": must be a command as a shell reads it: No closing quotation"),
    ('[recovery]\nreboot = "reboot"', 'recovery.reboot = "reboot": must be a command that begins with an absolute path, or ""'),
    ("[radio]\ninterval_s = 901", "radio.interval_s = 901.0: must be at most record_interval_s = 900.0"),
    (f'[gateway]\nruntime_dir = "/{"r" * 100}"', 'gateway.runtime_dir = "/rrr'),
    ('[push]\nlisten = "10.41.0.999"', 'push.listen = "10.41.0.999": must be an IP address of this machine'),
    ("[push]\nenabled = true\ntcp_port = 0\nudp_port = 0", "push.tcp_port = 0, push.udp_port = 0: one of them must be a port"),
    ('[discovery]\nsubnet = "10.0.0.1/24"', 'discovery.subnet = "10.0.0.1/24": must be a net like 10.30.0.0/24'),
    ('[discovery]\nsubnet = "10.0.0.0/20"', 'discovery.subnet = "10.0.0.0/20": has 4096 addresses; at most 1024'),
    ("[push]\nmax_connections = 7", "push.max_connections_per_address = 8: must be at most max_connections = 7"),
    ("[push]\nmessages_per_minute = 2000", "push.messages_per_minute = 2000: must be at most messages_per_minute_in_all = 1200"),
    ('[[paths.path]]\nname = "a"\n[[paths.path]]\nname = "a"', 'paths.path[2].name = "a": there is another path of this name'),
    ('[uplink]\norder = "oldest"\n[[paths.path]]\nname = "a"\nbacklog = "never"', 'paths.path[1].backlog = "never": with uplink.order = "oldest"'),
    ('[paths]\ndead_after_s = 39\n[[paths.path]]\nname = "a"', "paths.dead_after_s = 39: must be at least twice uplink.keepalive_s = 20"),
    ("[paths]\nthin_s = 60", "paths.thin_s = 60: does nothing"),
    ('[paths]\nzone = "Mars/Olympus"', 'paths.zone = "Mars/Olympus": this machine\'s time zone database has no such zone'),
    (f'[gateway]\nname = "{"g" * 33}{{id}}"', f'gateway.name = "{"g" * 33}{{id}}": too long: at most 64 characters, of which {{id}} takes up to 32'),
])
def test_relations_between_keys(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(expected)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "ringg = 1\n[poll]\nat_once = 0\ninterval = 3\n[uplink]\nport = 70000\ntls = true\n")
    assert [line.partition(":")[0].partition(" ")[0] for line in found] == ["ringg", "poll.at_once", "poll.interval", "uplink.port"]


def test_a_token_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, '[uplink]\ntoken = "A1B2C3SECRET"\n')
    assert problem == "uplink.token: unknown key; did you mean token_file?"


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[poll]\nat_once = \n")
    assert "not TOML" in problem
    assert "line 2" in problem


@pytest.mark.parametrize(("raw", "expected"), [
    (b"a = " + b"[" * 50_000, "not TOML: nested too deeply"),
    (b"a = " + b"9" * 5_000, "not TOML: "),
    (b"\xff\xfe", "byte 0 is not UTF-8"),
    (b"#" * (FILE_LIMIT_BYTES + 1), "larger than"),
])
def test_hostile_files_are_one_line(tmp_path: Path, raw: bytes, expected: str) -> None:
    (problem,) = problems(tmp_path, raw)
    assert problem.startswith(expected)


def test_a_file_saved_on_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(b'\xef\xbb\xbf[gateway]\r\nname = "yard 7"\r\n')
    assert load(path).gateway.name == "yard 7"


@pytest.mark.parametrize(("name", "becomes"), [
    ("{id}", "abc-1"), ("gw {id}", "gw abc-1"), ("{id}.yard", "abc-1.yard"), ("gw", "gw"), ("g" * 32 + "{id}", "g" * 32 + "abc-1"),
])
def test_the_identity_stands_in_the_name(tmp_path: Path, name: str, becomes: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'[gateway]\nname = "{name}"\n')
    assert named(load(path), "abc-1").gateway.name == becomes


@pytest.mark.parametrize("name", ["{serial}", "{id", "id}", "gw{}", "{id} ", "{ID}"])
def test_no_other_braces_stand_in_the_name(tmp_path: Path, name: str) -> None:
    (problem,) = problems(tmp_path, f'[gateway]\nname = "{name}"\n')
    assert problem.startswith("gateway.name = ")


def test_only_what_stands_in_the_file_is_the_operators_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingsError):
            load(path)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", fails)
    with pytest.raises(ConfigError, match="Input/output error") as caught:
        load(tmp_path / "gateway.toml")
    assert not isinstance(caught.value, SettingsError), "a card that fails may be well after a reboot"


def test_a_file_that_is_absent_or_a_directory_is_one_line(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=reason) as caught:
            load(path)
        assert "\n" not in str(caught.value)


toml_lines = st.lists(st.one_of(
    st.sampled_from(["[poll]", "[uplink]", "[ring", "[[radio]]", "[gateway]", "[poll.x]"]),
    st.builds("{} = {}".format, st.sampled_from(["at_once", "interval_s", "name", "host", "x", '"\\u0000"', "size_mib"]),
              st.sampled_from(["1", "-1", "0.0", "nan", '"x"', "'''", "[1]", "{a=1}", "true", "1979-05-27", "0xffffffffffffffffff"])),
)).map(lambda lines: "\n".join(lines).encode())


@reuse_path
@given(st.one_of(st.binary(max_size=300), toml_lines))
def test_any_bytes_load_or_raise_config_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(raw)
    told = ""
    try:
        assert isinstance(load(path), Settings)
    except ConfigError as error:
        told = str(error)
    assert not told or all(line.startswith(f"{path}: ") and line.isprintable() for line in told.split("\n"))

"""`status`, `config` and `check`, and the text that they lay out."""

import json
import os
from pathlib import Path

import pytest
from cli_site import Site

from edge.commands import table
from edge.commands.status import figure, render
from edge.commands.statusview import compact
from edge.configfile import default_toml
from edge.model import Meter

STATUS = {
    "gateway": {"name": "gw", "uptime_s": 3725.2, "synchronised": True, "overdue": []},
    "uplink": {"connected": False, "last_error": None, "backlog": {"instant": 10, "oldest_age_s": 90_000}},
    "ring": {"size_bytes": 268_435_456, "health": ["slot 3 quarantined", "x"]},
    "radio": {"state": "absent"},
    "meters": [
        {"name": "m1", "state": "polling", "last_value_age_s": 3.2, "polls": 100, "rssi_dbm": -71, "detail": ""},
        {"name": "meter-22", "state": "circuit open", "last_value_age_s": None, "polls": 1, "rssi_dbm": None, "detail": ""},
    ],
    "streams": [],
}


def test_a_status_is_one_screen_with_units() -> None:
    assert render(STATUS) == """\
gateway   name gw · uptime 1 h 2 min · synchronised yes
uplink    connected no · backlog instant 10 · backlog oldest age 1 d 1 h
ring      size 256 MiB · health slot 3 quarantined, x
radio     state absent

meters (2)
NAME      STATE         LAST VALUE AGE  POLLS  RSSI
m1        polling       3.2 s             100  -71 dBm
meter-22  circuit open  -                   1  -
streams   -"""


def test_a_narrow_terminal_wraps_pairs_and_cuts_tables() -> None:
    lines = render(STATUS, width=40).splitlines()
    assert max(len(line) for line in lines) <= 40
    assert lines[0] == "gateway   name gw · uptime 1 h 2 min ·"
    assert lines[1] == "          synchronised yes"
    assert [line for line in lines if line.startswith("m1")] == ["m1        polling       3.2 s          …"]


def test_whatever_a_status_holds_it_is_laid_out() -> None:
    odd = {"a": None, "b": {}, "c": [{}], "d": [{"x": {"y_s": 1}}, {"z": [1, 2]}], "e": [1, "two"], "f_s": 5, "g": "x\n\x1b[2J"}
    text = render(odd)
    assert text.replace("\n", "").isprintable()
    assert "y 1 s" in text


def test_what_fits_on_the_screen_is_chosen_and_trouble_is_never_left_out() -> None:
    stream = {"backlog": 5, "in_memory": 0, "lost": 0, "slots": 2, "slots_quarantined": 0, "size_bytes": 1024, "io_errors": 0}
    shown = compact({
        "gateway": {"name": "gw", "workers": {"vitals": {"phase": "running", "last_error": ""},
                                              "radio": {"phase": "parked", "last_error": "gone"}}},
        "uplink": {"connected": False, "acked_records": 0, "refused": 0, "takeovers": 2, "last_error": "no route", "for_s": 3.0},
        "ring": {"healthy": False, "problem": "disk full", "streams": {"alarm": stream, "instant": stream | {"io_errors": 3}},
                 "backlog": {"alarm": 5, "instant": 5}, "epoch": 7},
        "radio": {"present": True, "peers": [{"mac": "02:00:5e:10:00:01", "grade": "good", "rssi_dbm": -70, "samples": 9}]},
        "meters": [{"name": "m1", "state": "failing", "readings": 3, "failed": 1, "last_failure": "no_answer: x", "problem": "",
                    "last_reading_age_s": 2.0, "circuit": "closed", "recovery": "0/1/0", "skipped": 0,
                    "backfill": {"state": "catching up", "missing": 7, "absent": 0}}],
        "later": {"x": 1},
    })
    assert shown == {
        "gateway": {"name": "gw", "workers": {"radio": "parked: gone"}},
        "uplink": {"connected": False, "acked_records": 0, "takeovers": 2, "last_error": "no route", "for_s": 3.0},
        "ring": {"healthy": False, "problem": "disk full", "waiting": {"alarm": 5, "instant": 5}, "size_bytes": 2048,
                 "quota_bytes": 0, "written_bytes": 0, "lost": 0, "in_memory": None, "slots_quarantined": None,
                 "slots_strange": None, "io_errors": 3, "evictions": None, "damaged_pages": None},
        "radio": {"present": True},
        "meters": [{"name": "m1", "state": "failing", "last_value_s": 2.0, "polls": 4, "good_percent": 75.0, "pushes": None, "last_push_s": None, "circuit": None,
                    "recovery": "0/1/0", "backfill": "catching up, 7 missing", "rssi_dbm": None, "link": None, "address": None, "why": "no_answer: x"}],
        "later": {"x": 1},
        "radio peers": [{"mac": "02:00:5e:10:00:01", "grade": "good", "rssi_dbm": -70, "rssi_avg_dbm": None, "trend_db": None,
                         "snr_db": None, "age_s": None, "retries_per_100": None, "lost_because": None}],
    }
    assert "parked: gone" in render(shown)
    (line,) = (line for line in render(shown).splitlines() if line.startswith("m1"))
    assert line.split() == ["m1", "failing", "2", "s", "4", "75", "%", "0/1/0", "catching", "up,", "7", "missing", "no_answer:", "x"]


def test_who_pushes_and_is_not_registered_is_on_the_screen() -> None:
    sender = {"address": "10.41.0.20", "title": "4d4d4d0000000001", "times": 3, "last_age_s": 61.0, "reason": "not registered"}
    push = {"enabled": True, "listening": ["tcp [::]:4059"], "problem": "", "received": 3, "accepted": 0, "duplicate": 0, "unknown": 3,
            "unknown_senders": [sender], "refusals": []}
    shown = compact({"push": push, "meters": [{"name": "m1", "pushes": 4, "last_push_age_s": 9.0}]})
    assert shown["push"] == {"listening": ["tcp [::]:4059"], "received": 3, "accepted": 0, "unknown": 3}
    assert shown["push unknown senders"] == [sender]
    assert (shown["meters"][0]["pushes"], shown["meters"][0]["last_push_s"]) == (4, 9.0)
    assert "10.41.0.20  4d4d4d0000000001" in render(shown)
    assert compact({"push": {"enabled": False, "received": 0}})["push"] == {"enabled": False}


def test_a_healthy_crew_is_one_word_and_an_empty_answer_is_no_failure() -> None:
    running = {"phase": "running", "last_error": ""}
    assert compact({"gateway": {"workers": {"a": running, "b": running}}}) == {"gateway": {"workers": "all 2 running"}}
    assert compact({}) == {}
    assert render(compact({"ring": {}, "radio": {}, "uplink": {}, "gateway": {}, "meters": []})).splitlines()[-1] == "meters    none"


@pytest.mark.parametrize(("key", "value", "text"), [
    ("age_s", 0, "0 s"), ("age_s", 0.84, "0.8 s"), ("age_s", 9.96, "10 s"), ("age_s", 59.4, "59 s"), ("age_s", 60, "1 min"),
    ("age_s", 185, "3 min 5 s"), ("age_s", 7_800, "2 h 10 min"), ("age_s", 90_061, "1 d 1 h"), ("age_s", -5, "-5 s"),
    ("age_s", None, "-"), ("age_s", "x", "x"), ("on_s", True, "yes"),
    ("size_bytes", 512, "512 B"), ("size_bytes", 4_096, "4.0 KiB"), ("size_bytes", 268_435_456, "256 MiB"),
    ("size_bytes", 5 * 1024**4, "5120 GiB"), ("rssi_dbm", -71.5, "-71.5 dBm"), ("rtt_ms", 12, "12 ms"), ("acked", 10_000, "10000"),
    ("ratio", 0.25, "0.25"), ("names", ["a", "b"], "a, b"), ("names", [], "-"), ("s", 5, "5 s"),
])
def test_figures(key: str, value: object, text: str) -> None:
    assert figure(key, value) == text


def test_tables_align_numbers_to_the_right() -> None:
    assert table.render(("A", "LONG"), [("x", 1), ("yy", 222), ("", None)]) == "A   LONG\nx      1\nyy   222\n-      -"
    assert table.render(("A",), []) == "A"


def test_status_asks_the_running_gateway(site: Site) -> None:
    assert site.refused("status") == [
        f"{site.runtime_dir}/control.sock: no gateway is running here; start it with `halow-gateway run`"]
    with site.daemon(STATUS) as requests:
        assert site.good("status") == render(compact(STATUS)) + "\n"
        assert json.loads(site.good("status", "--json")) == STATUS
        assert requests == [{"request": "status"}] * 2


def test_single_settings_are_printed_for_scripts(site: Site) -> None:
    site.configure('[api]\nenabled = true\nlisten = "::"\n')
    assert site.good("config", "get", "api.enabled", "api.listen", "api.port", "ring.size_mib") == "true\n::\n8443\n24\n"
    for key in ("api.nothing", "nothing.port", "api", ""):
        assert site.refused("config", "get", key) == [f"there is no setting {key!r}; halow-gateway config default prints all of them"]


def test_config_default_is_what_a_file_starts_from(site: Site) -> None:
    text = site.good("config", "default")
    assert text == default_toml()
    site.config.write_text(text)
    assert site.good("config", "check") == f"{site.config}: good\n"
    shown = site.good("config", "show")
    assert shown.startswith(f"# from {site.config}\n")
    assert [line.removesuffix("      # file") for line in shown.splitlines()[2:]] == text.splitlines()[2:]
    assert "interval_s = 60.0      # file" in shown


def test_config_show_brings_what_is_in_force(site: Site) -> None:
    site.configure("[poll]\ninterval_s = 7\n")
    assert "interval_s = 7.0" in site.good("config", "show")
    as_json = json.loads(site.good("config", "show", "--json"))
    assert (as_json["poll"]["interval_s"], as_json["ring"]["size_mib"], as_json["uplink"]["port"]) == (7.0, 24, 1883)


def test_wrong_settings_are_one_line_each_for_every_command(site: Site) -> None:
    site.configure("[poll]\nat_once = 0\nintervall_s = 3\n")
    expected = [f"{site.config}: poll.at_once = 0: must be a whole number at least 1 and at most 1024",
                f"{site.config}: poll.intervall_s: unknown key; did you mean interval_s?"]
    for args in (("config", "check"), ("config", "show"), ("meter", "list"), ("status",), ("init",), ("run",)):
        assert site.refused(*args, status=78) == expected
    assert site("check").stdout.splitlines() == [f"BAD   {line}" for line in expected]
    other = site.base / "other.toml"
    other.write_text("[")
    (line,) = site.refused("config", "check", str(other), status=78)
    assert line.startswith(f"{other}: not TOML")


def checked(site: Site) -> tuple[int, dict[str, list[str]]]:
    result = site("check")
    found: dict[str, list[str]] = {"ok": [], "note": [], "BAD": []}
    for line in result.stdout.splitlines():
        mark, _, text = line.partition(" ")
        found[mark].append(text.strip())
    assert result.stderr == ""
    assert bool(found["BAD"]) == bool(result.exit_code)
    return result.exit_code, found


def test_check_before_anything_is_set_up(site: Site) -> None:
    _, found = checked(site)
    assert found["BAD"] == [f"{site.state_dir}/uplink.token: No such file or directory; put the gateway's access token there, mode 0600"]
    assert "registry: none yet; `halow-gateway meter add` makes it" in found["note"]
    assert "gateway: not running" in found["note"]
    assert not site.state_dir.exists(), "check changes nothing"


def test_check_when_all_is_well(site: Site) -> None:
    site.configure('[clock]\ntrust_wall = true\n[radio]\nkind = "none"\n')
    with site.registry() as registry:
        registry.add(Meter("m1", "h", 1), b"pw")
        registry.add(Meter("m2", "h", 2, authentication="none", paused=True))
    token = site.state_dir / "uplink.token"
    token.touch(0o600)
    token.write_text("A1_TEST_TOKEN\n")
    with site.daemon():
        status, found = checked(site)
    assert status == 0
    assert "registry: 2 meters, 1 of them paused" in found["ok"]
    assert f"access token: {token}" in found["ok"]
    assert "gateway: running" in found["ok"]
    assert "A1_TEST_TOKEN" not in str(found)
    assert found["note"] == ["radio: not watched, by radio.kind"]


def test_check_names_meters_that_share_one_address(site: Site) -> None:
    with site.registry() as registry:
        for name, physical in (("a", None), ("b", None), ("c", 18)):
            registry.add(Meter(name, "10.0.0.1", 4059, authentication="none", server_physical=physical))
    _, found = checked(site)
    assert "meters a, b: have one address, 10.0.0.1:4059; is one of them wrong?" in found["note"]


def test_check_tells_by_which_ports_pushes_come(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("push" in line for lines in checked(site)[1].values() for line in lines), "switched off"
    site.configure("[push]\nenabled = true\nudp_port = 0\n")
    assert "pushes: push.tcp_port = 4059, on ::; the packet filter has to let them in (docs/push.md)" in checked(site)[1]["ok"]
    site.configure("[push]\nenabled = true\nudp_port = 443\n")
    for name in ("getuid", "geteuid"):      # both: root with other rights would take its own back by itself
        monkeypatch.setattr(os, name, lambda: 780)
    assert "push.tcp_port = 4059, push.udp_port = 443: ports below 1024 need a right that the gateway does not have" in checked(site)[1]["BAD"]


def test_check_names_serial_lines_that_cannot_be_opened_and_one_with_two_names(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    far, near = os.openpty()
    device, other = os.ttyname(near), Path(f"/dev/shm/halow-check-{os.getpid()}")
    other.symlink_to(device)
    with site.registry() as registry:
        for name, host in (("a", f"serial:{device}"), ("b", f"serial:{device}"), ("c", f"serial:{other}"), ("d", "serial:/dev/ttyUSB9"),
                           ("e", "serial:/dev/null")):
            registry.add(Meter(name, host, 0, authentication="none", server_physical=ord(name)))
        registry.add(Meter("f", "serial:/dev/ttyUSB8", 0, authentication="none", paused=True))
    try:
        _, found = checked(site)
        monkeypatch.setattr(os, "access", lambda path, mode: path != device)
        _, denied = checked(site)
    finally:
        other.unlink()
        os.close(far)
        os.close(near)
    assert f"serial line: {device}, 9600 baud 8N1" in found["ok"]
    lines = [line for line in found["BAD"] if "uplink.token" not in line]
    assert lines[0].startswith(f"{other} and {device} are one line")
    assert lines[1] == "/dev/ttyUSB9: is not there: is the adapter plugged in? `ls /dev/serial/by-id` names what is (d)"
    assert len(lines) == 2, "a paused meter's line may be away"
    assert any(line.startswith(f"{device}: not permitted: put this user into the device's group, mostly dialout") and line.endswith("(a, b)")
               for line in denied["BAD"])


def test_check_names_everything_that_stands_in_the_way(site: Site) -> None:
    site.configure(f'[uplink]\ntls = true\nca_file = "{site.base}/ca.pem"\n[radio]\nkind = "simulated"\ntrace = "/none"\n'
                   '[clock]\ntrust_wall = true\n')
    (site.base / "ca.pem").write_text("no certificate")
    with site.registry() as registry:
        registry.add(Meter("m1", "h", 1))
        registry.add(Meter("m2", "h", 1, "retired"))
    (site.state_dir / "uplink.token").write_text("two words\n")
    (site.state_dir / "ring").write_text("a file")
    _, found = checked(site)
    assert [line.partition(":")[0] for line in found["BAD"]] == [
        f"{site.state_dir}/ring", "meter m1", "meter m2", f"uplink.ca_file = {site.base}/ca.pem",
        f"{site.state_dir}/uplink.token", "radio.trace = /none"]


def test_check_names_a_ring_that_does_not_fit_and_an_open_token(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace("size_mib = 24", "size_mib = 65536\nslot_mib = 16"))
    site.state_dir.mkdir(mode=0o700)
    token = site.state_dir / "uplink.token"
    token.write_text("A1_TEST_TOKEN")
    token.chmod(0o644)
    space = os.statvfs(site.base)
    _, found = checked(site)
    if space.f_bavail * space.f_frsize < 65536 * 1024**2:
        assert any(line.startswith("ring.size_mib = 65536: wants 65536 MiB more") for line in found["BAD"])
    assert f"{token}: other users can read the access token; chmod 600 it" in found["note"]


def test_check_goes_on_after_a_broken_registry(site: Site) -> None:
    site.state_dir.mkdir()
    (site.state_dir / "registry.db").write_bytes(b"garbage" * 100)
    _, found = checked(site)
    assert any("is not a usable registry" in line for line in found["BAD"])
    assert any("uplink.token" in line for line in found["BAD"])


def test_check_with_the_uplink_off_wants_no_token(site: Site) -> None:
    site.configure("[uplink]\nenabled = false\n")
    status, found = checked(site)
    assert status == 0
    assert any(line.startswith("uplink: switched off") for line in found["note"])


def test_check_as_json_has_the_same_findings_and_status(site: Site) -> None:
    plain, told = site("check"), site("check", "--json")
    found = json.loads(told.stdout)
    marks = {"good": "ok  ", "note": "note", "bad": "BAD "}
    assert [f"{marks[each['level']]}  {each['text']}" for each in found] == plain.stdout.splitlines()
    assert told.exit_code == plain.exit_code == 1
    site.configure("stray = 1\n")
    assert [each["level"] for each in json.loads(site("check", "--json").stdout)] == ["bad"]


def test_check_looks_for_the_credentials_that_the_settings_name(site: Site) -> None:
    site.configure('[uplink]\ncredentials = "mqtt_basic"\nusername = "gw-user"\n')
    site.good("init")
    password = site.state_dir / "uplink.password"
    assert f"BAD   {password}: no password; put the one that ThingsBoard knows there" in site("check").stdout
    password.write_text("s3cret\n")
    password.chmod(0o644)
    assert f"note  {password}: other users can read it; chmod 600 it" in site("check").stdout
    password.chmod(0o600)
    told = site("check").stdout
    assert f"ok    credentials: uplink.username, uplink.client_id and the password in {password}" in told
    assert "s3cret" not in told

"""radio-config: what it refuses and how it says so, what it writes, and that no value of radio.conf is ever more than data."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from radio_board import AP, PROGRAM, ROOT, SHARE, STA, WRONG, Board, faults, rows, text


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.made(tmp_path)


def test_an_access_point_of_morse(board: Board) -> None:
    done = board.render(AP)
    assert done.returncode == 0, faults(done)
    lines = board.lines()
    for line in ("interface=halow0", "country_code=AU", "ssid=meters", "ieee80211ah=1", "op_class=69", "channel=42", "s1g_prim_chwidth=1",
                 "wpa_key_mgmt=SAE", "ieee80211w=2", "sae_pwe=1", "wpa_passphrase=correct horse", "ap_isolate=1"):
        assert line in lines, line
    network = board.network_file.read_text()
    assert "Address=10.41.0.1/24\n" in network
    assert "PoolOffset=64\nPoolSize=128\n" in network
    for line in ("EmitRouter=no", "EmitDNS=no", "IPv6SendRA=no", "IPv4Forwarding=no"):
        assert f"{line}\n" in network
    assert board.calls() == ["networkctl reload"]


def test_a_station_of_newracom_gets_an_address_and_no_way_out(board: Board) -> None:
    done = board.render(STA)
    assert done.returncode == 0, faults(done)
    assert f"    sae_password={b'correct horse'.hex()}" in board.lines()
    assert f"    ssid={b'meters'.hex()}" in board.lines()
    network = board.network_file.read_text()
    assert "DHCP=ipv4\n" in network
    for line in ("UseGateway=no", "UseRoutes=no", "UseDNS=no", "UseNTP=no", "ClientIdentifier=mac"):
        assert f"{line}\n" in network
    assert "DHCPServer" not in network


def test_a_station_may_have_a_fixed_address(board: Board) -> None:
    assert board.render(STA | {"ADDRESS": "10.41.0.7/24"}).returncode == 0
    assert "DHCP=no\nAddress=10.41.0.7/24\n" in board.network_file.read_text()


def test_secrets_are_for_root_alone_and_the_network_file_for_networkd(board: Board) -> None:
    assert board.render(AP).returncode == 0
    assert stat.S_IMODE(board.daemon_conf.stat().st_mode) == 0o600
    assert stat.S_IMODE(board.daemon_conf.parent.stat().st_mode) == 0o711, "the control socket is reached through it"
    assert stat.S_IMODE(board.network_file.stat().st_mode) == 0o644
    assert "correct horse" not in board.network_file.read_text()


def test_what_did_not_change_is_not_told_to_networkd_again(board: Board) -> None:
    assert board.render(AP).returncode == 0
    assert board.render(AP | {"SSID": "other"}).returncode == 0
    assert board.calls() == ["networkctl reload"]
    assert board.render(AP | {"ADDRESS": "10.41.0.2/24"}).returncode == 0
    assert len(board.calls()) == 2


def test_run_becomes_the_daemon_of_the_role(board: Board) -> None:
    board.render(AP)
    board.run("run")
    board.render(STA)
    board.run("run")
    run = board.path / "run/daemon.conf"
    started = [call for call in board.calls() if not call.startswith("networkctl")]
    assert started == [f"hostapd_s1g {run}", f"wpa_supplicant -i halow0 -D nl80211 -c {run}"]


@pytest.mark.parametrize("vendor", ["morse", "newracom"])
def test_every_channel_of_every_country_can_be_asked_for(board: Board, vendor: str) -> None:
    plans = {row[1]: row[0] for row in rows(vendor, "countries.tsv") if row[1] != "-"}
    table = rows(vendor, "channels.tsv")
    assert {row[0] for row in table} == set(plans)
    for plan in plans:
        assert sum(1 for row in table if row[0] == plan and row[7] == "default") == 1, f"{plan} needs exactly one default"
    for plan, width, _, khz, op_class, daemon_channel, mode, _ in table:
        wanted = AP | {"VENDOR": vendor, "COUNTRY": plans[plan], "WIDTH_MHZ": width, "FREQUENCY_MHZ": f"{int(khz) / 1000:.1f}"}
        done = board.render(wanted)
        assert done.returncode == 0, (wanted, faults(done))
        lines = board.lines()
        assert f"channel={daemon_channel}" in lines
        assert f"hw_mode={mode}" in lines
        assert (f"op_class={op_class}" in lines) == (op_class != "-")


@pytest.mark.parametrize(("vendor", "country", "code"), [("morse", "DE", "EU"), ("newracom", "DE", "DE"), ("newracom", "K1", "KR")])
def test_the_daemon_is_told_the_code_it_knows(board: Board, vendor: str, country: str, code: str) -> None:
    assert board.render(AP | {"VENDOR": vendor, "COUNTRY": country}).returncode == 0
    assert f"country_code={code}" in board.lines()


def test_the_european_union_has_one_megahertz_and_its_duty_cycle_is_said(board: Board) -> None:
    assert all(row[1] == "1" for vendor in ("morse", "newracom") for row in rows(vendor, "channels.tsv") if row[0] == "EU")
    done = board.render(AP | {"COUNTRY": "DE"})
    assert b"10 % (access point) and 2.8 % (station)" in done.stdout
    assert faults(board.render(AP | {"COUNTRY": "DE", "WIDTH_MHZ": "2"})) == ["radio.conf WIDTH_MHZ: DE has no channels 2 MHz wide"]


REFUSED = {
    "an unknown country": (AP | {"COUNTRY": "XX"}, "COUNTRY: no sourced channels of XX for morse; there are: "),
    "a country in nobody's table": (AP | {"COUNTRY": "CO"}, "COUNTRY: CO with morse: neither vendor's table has it"),
    "a country the daemon does not know": (AP | {"COUNTRY": "CA"}, "COUNTRY: CA with morse: morse-regdb has channels for it, but"),
    "Korea without its plan": (AP | {"VENDOR": "newracom", "COUNTRY": "KR"}, "COUNTRY: KR with newracom: the vendor has two plans"),
    "an unknown vendor": (AP | {"VENDOR": "acme"}, "VENDOR: acme is not known here"),
    "a vendor that climbs": (AP | {"VENDOR": "../morse"}, "VENDOR: ../morse is no vendor's name"),
    "no role": ({k: v for k, v in AP.items() if k != "ROLE"}, "ROLE: missing; write ap"),
    "a channel that is not there": (AP | {"CHANNEL": "1"}, "CHANNEL: no channel of AU is CHANNEL=1; there are (channel=MHz/width): 27=915.5/1"),
    "a channel that is no number": (AP | {"CHANNEL": "4;2"}, "CHANNEL: 4;2 is no S1G channel number"),
    "a frequency of two channels": (AP | {"COUNTRY": "JP", "FREQUENCY_MHZ": "924.5"}, "CHANNEL: 2 channels of JP fit FREQUENCY_MHZ=924.5"),
    "a width S1G has not": (AP | {"WIDTH_MHZ": "3"}, "WIDTH_MHZ: 3 is no width of S1G"),
    "a station with a channel": (STA | {"CHANNEL": "42"}, "CHANNEL: a station finds its access point by scanning"),
    "an open network by mistake": ({k: v for k, v in AP.items() if k != "PASSPHRASE"} | {"SECURITY": "open"}, "SECURITY: open lets everybody"),
    "WPA2": (AP | {"SECURITY": "psk"}, "SECURITY: psk is not known; write sae or owe"),
    "a short passphrase": (AP | {"PASSPHRASE": "short"}, "PASSPHRASE: 5 characters; 8 to 63 are taken"),
    "a long passphrase": (AP | {"PASSPHRASE": "x" * 64}, "PASSPHRASE: 64 characters; 8 to 63 are taken"),
    "a passphrase nobody uses": (AP | {"SECURITY": "owe"}, "PASSPHRASE: is for SECURITY=sae only"),
    "a long name": (AP | {"SSID": "x" * 33}, "SSID: 33 characters; 32 are the most"),
    "an address without a prefix": (AP | {"ADDRESS": "10.41.0.1"}, "ADDRESS: 10.41.0.1 needs a prefix from /16 to /29"),
    "an octal address": (AP | {"ADDRESS": "10.041.0.1/24"}, "ADDRESS: 10.041.0.1/24 is no IPv4 address"),
    "a public address": (AP | {"ADDRESS": "8.8.8.8/24"}, "ADDRESS: 8.8.8.8/24 is no private address"),
    "the network's own address": (AP | {"ADDRESS": "10.41.0.0/24"}, "ADDRESS: 10.41.0.0/24 is the network's own"),
    "no address": ({k: v for k, v in AP.items() if k != "ADDRESS"}, "ADDRESS: missing; write the board's address"),
    "a lease outside": (AP | {"LEASE": "02:00:00:00:0a:01 10.42.0.9"}, "LEASE: 10.42.0.9 is not free within 10.41.0.1/24"),
    "a lease that is none": (AP | {"LEASE": "meter-1 10.41.0.9"}, "LEASE: meter-1 10.41.0.9 is not a MAC address, one space"),
    "quotes": (AP | {"SSID": '"meters"'}, "line 4: SSID stands in quotes"),
    "an unknown key": (AP | {"PASSFRASE": "not to be shown"}, "line 8: unknown key PASSFRASE"),
    "a bad MAC": (AP | {"INTERFACE_MAC": "02:00"}, "INTERFACE_MAC: 02:00 is no MAC address"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_fault_is_one_line_that_says_where_and_what_to_do(board: Board, name: str) -> None:
    values, said = REFUSED[name]
    done = board.render(values)
    assert done.returncode == WRONG
    assert len(faults(done)) == 1, faults(done)
    assert faults(done)[0].startswith(f"radio.conf {said}"), faults(done)
    assert not board.daemon_conf.exists()
    assert not board.network_file.exists()
    assert "not to be shown" not in faults(done)[0]


def test_all_faults_are_said_at_once(board: Board) -> None:
    done = board.render({"VENDOR": "morse", "ROLE": "boss", "COUNTRY": "Australia", "SECURITY": "wep"})
    assert [line.split(":")[0] for line in faults(done)] == [f"radio.conf {key}" for key in ("ROLE", "COUNTRY", "SSID", "SECURITY")]


def test_open_is_possible_for_who_means_it(board: Board) -> None:
    values = {key: value for key, value in AP.items() if key != "PASSPHRASE"}
    assert board.render(values | {"SECURITY": "open", "ALLOW_OPEN": "yes"}).returncode == 0
    assert "wpa=0" in board.lines()


def test_leases_keep_a_meters_address(board: Board) -> None:
    board.conf.write_text(text(AP) + "LEASE=02:00:00:00:0a:01 10.41.0.20\r\nLEASE=02:00:00:00:0a:02 10.41.0.21\n")
    done = board.run("render")
    assert done.returncode == 0, faults(done)
    assert board.network_file.read_text().count("[DHCPServerStaticLease]\nMACAddress=02:00:00:00:0a:0") == 2
    board.conf.write_text(text(AP) + "LEASE=02:00:00:00:0a:01 10.41.0.20\nLEASE=02:00:00:00:0a:01 10.41.0.21\n")
    assert "stands in two of them" in faults(board.run("render"))[0]


def test_a_passphrase_from_a_file(board: Board) -> None:
    secret = board.path / "secret"
    secret.write_text("from the file\r\n")
    values = {key: value for key, value in AP.items() if key != "PASSPHRASE"} | {"PASSPHRASE_FILE": str(secret)}
    secret.chmod(0o644)
    assert f"everybody may read {secret}" in faults(board.render(values))[0] or "characters" in faults(board.render(values))[0]
    secret.chmod(0o600)
    assert board.render(values).returncode == 0
    assert "wpa_passphrase=from the file" in board.lines()


def test_a_driver_loaded_for_another_country_is_refused(board: Board) -> None:
    parameters = board.path / "sys/module/morse/parameters"
    parameters.mkdir(parents=True)
    (parameters / "country").write_text("US\n")
    done = board.render(AP)
    assert (done.returncode, faults(done)) == (WRONG, [
        "radio.conf COUNTRY: the driver was loaded with country=US, AU needs country=AU; set it in the image's modprobe.d"])
    (parameters / "country").write_text("AU\n")
    assert board.render(AP).returncode == 0


def test_a_missing_daemon_is_named(board: Board) -> None:
    (board.path / "bin/hostapd_s1g").unlink()
    if shutil.which("hostapd_s1g"):
        pytest.skip("this machine has the vendor's hostapd_s1g")
    done = board.render(AP)
    assert (done.returncode, len(faults(done))) == (WRONG, 1)
    assert "hostapd_s1g is not in this image" in faults(done)[0]


def test_the_wrong_radio_is_refused(board: Board) -> None:
    interface = board.path / "sys/class/net/halow0"
    interface.mkdir(parents=True)
    (interface / "address").write_text("02:00:00:00:00:01\n")
    assert board.render(AP | {"INTERFACE_MAC": "02:00:00:00:00:01"}).returncode == 0
    assert "is the radio 02:00:00:00:00:01, not 02:00:00:00:00:02" in faults(board.render(AP | {"INTERFACE_MAC": "02:00:00:00:00:02"}))[0]


@pytest.mark.parametrize("hostile", [
    b"SSID=x\x00y\n", b"SSID=x\xffy\n", b"SSID=x\x1b[2Jy\n", b"\xef\xbb\xbfSSID=x\n", b"SSID=" + b"x" * 20_000 + b"\n", b"nothing at all\n",
    b"=\n", b"SSID\n", b"$(touch pwned)=x\n", b"SSID;touch pwned=x\n", b"SSID=x" * 500 + b"\n"], ids=range(11))
def test_hostile_files_are_refused_and_run_nothing(board: Board, hostile: bytes) -> None:
    board.conf.write_bytes(text({key: value for key, value in AP.items() if key != "SSID"}).encode() + hostile)
    done = board.run("render")
    assert done.returncode == WRONG
    assert faults(done)
    assert all(line.startswith("radio.conf ") and line.isascii() and line.isprintable() and len(line) < 400 for line in faults(done))
    assert not board.daemon_conf.exists()
    assert not (board.path / "pwned").exists()
    assert b"correct horse" not in done.stdout + done.stderr


ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=70)
SHELLS = ["/bin/sh", *(["busybox sh"] if shutil.which("busybox") else [])]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ssid=ASCII | st.sampled_from(["$(touch pwned)", "`touch pwned`", "';touch pwned;'", "@PASSPHRASE@", "a\\nchannel=1", "%s%n", "#x"]),
       passphrase=ASCII | st.sampled_from(["$(touch pwned)", 'p"a#b"c d', "pass|mac=|id=x", "@SSID@@SSID@", "\\\\\\\\\\\\\\\\x"]))
def test_a_value_is_data_whatever_it_looks_like(board: Board, ssid: str, passphrase: str) -> None:
    taken = (len(ssid) <= 32 and 8 <= len(passphrase) <= 63
             and all(value.strip() == value and (len(value) == 1 or (value[0], value[-1]) not in {('"', '"'), ("'", "'")}) for value in (ssid, passphrase)))
    for values in (AP, STA):
        board.daemon_conf.unlink(missing_ok=True)
        board.conf.write_text(text(values | {"SSID": ssid, "PASSPHRASE": passphrase}))
        for shell in SHELLS:
            done = board.run("render", shell=shell)
            assert done.returncode == (0 if taken else WRONG), faults(done)
            assert passphrase not in (done.stdout + done.stderr).decode() or len(passphrase) < 8
            assert board.daemon_conf.exists() == taken
        if taken and values is AP:
            assert f"ssid={ssid}" in board.lines()
            assert board.lines()[-1] == f"wpa_passphrase={passphrase}"
            assert len(board.lines()) == 25
        elif taken:
            assert f"    ssid={ssid.encode().hex()}" in board.lines()
            assert f"    sae_password={passphrase.encode().hex()}" in board.lines()
    assert not (board.path / "pwned").exists()


def test_the_example_lacks_only_the_passphrase(board: Board) -> None:
    example = (SHARE / "radio.conf.example").read_text()
    board.conf.write_text(example)
    assert [line.split(": ")[0].split(" ")[0] for line in faults(board.run("check"))] == ["radio.conf"]
    board.conf.write_text(example.replace("PASSPHRASE=", "PASSPHRASE=correct horse").replace("# LEASE", "LEASE").replace("# CHANNEL", "CHANNEL")
                          .replace("# WIDTH", "WIDTH"))
    done = board.run("check")
    assert done.returncode == 0, faults(done)


def parser(name: str) -> str:
    program = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed: its parser cannot be asked")
    return program


def complaints(command: list[str]) -> list[str]:
    """What a daemon says about its configuration; the interface is missing on purpose, so it ends by itself."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Line ") or "errors found" in line or "unknown" in line]


# What only the vendor's build knows.
S1G_KEYS = {"ieee80211ah", "s1g_prim_chwidth", "s1g_prim_1mhz_chan_index", "s1g_capab"}
EXTREME = {"SSID": 'a "b#\\c', "PASSPHRASE": 'p"a#s\\s|mac=$(x)"e'}


@pytest.mark.parametrize("security", ["sae", "owe", "open"])
@pytest.mark.parametrize("vendor", ["morse", "newracom"])
def test_hostapd_takes_it_but_for_what_only_the_vendors_build_knows(board: Board, vendor: str, security: str) -> None:
    program = parser("hostapd")
    values = AP | EXTREME | {"VENDOR": vendor, "SECURITY": security, "ALLOW_OPEN": "yes"}
    if security != "sae":
        del values["PASSPHRASE"]
    assert board.render(values).returncode == 0
    said = complaints([program, str(board.daemon_conf)])
    unknown = {line.split("'")[1] for line in said if "unknown configuration item" in line}
    assert unknown == (S1G_KEYS if vendor == "morse" else set())
    assert len([line for line in said if line.startswith("Line ")]) == len(unknown), said


@pytest.mark.parametrize("security", ["sae", "owe", "open"])
@pytest.mark.parametrize("vendor", ["morse", "newracom"])
def test_wpa_supplicant_takes_it_and_reads_the_same_name_and_key(board: Board, vendor: str, security: str) -> None:
    program = parser("wpa_supplicant")
    values = STA | EXTREME | {"VENDOR": vendor, "SECURITY": security, "ALLOW_OPEN": "yes"}
    if security != "sae":
        del values["PASSPHRASE"]
    assert board.render(values).returncode == 0
    command = [program, "-ddd", "-K", "-i", "halow0", "-D", "nl80211", "-c", str(board.daemon_conf)]
    assert complaints(command) == []
    said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    assert f"ssid - hexdump_ascii(len={len(EXTREME['SSID'])})" in said
    assert (f"sae_password - hexdump_ascii(len={len(EXTREME['PASSPHRASE'])})" in said) == (security == "sae")


@pytest.mark.skipif(os.geteuid() != 0, reason="changing users and rights needs root")
@pytest.mark.parametrize(("group", "answer"), [(780, b"PONG\n"), (781, b"PermissionError")])
def test_the_gateways_group_may_ask_the_daemon_and_nobody_else(board: Board, group: int, answer: bytes) -> None:
    program = parser("hostapd")
    assert board.render(AP).returncode == 0
    assert [stat.S_IMODE(path.stat().st_mode) for path in (board.path / "run", board.daemon_conf)] == [0o711, 0o600]
    control = [line for line in board.lines() if line.startswith("ctrl_interface")]
    board.daemon_conf.write_text("\n".join(["interface=lo", "driver=none", *control]) + "\n")
    # the unit's rights: root with its group, and without CAP_CHOWN
    (board.path / "bin/hostapd_s1g").write_text(
        f"#!/bin/sh\nexec setpriv --groups 0,780 --bounding-set=-all,+net_admin,+net_raw --inh-caps=-all {program} $*\n")
    socket_path = f"{board.path}/run/control/lo"
    ask = ("import os, socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.settimeout(10)\n"
           "os.chdir(sys.argv[1]); os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(12345)\n"      # as below a path that all may pass
           "try: s.bind(''); s.connect('control/lo'); s.send(b'PING'); print(s.recv(99).decode(), end='')\n"
           "except OSError as error: print(type(error).__name__, end='')")
    environment = {"PATH": f"{board.path}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HALOW_RADIO_RUN": str(board.path / "run")}
    with subprocess.Popen(["/bin/sh", str(PROGRAM), "run"], env=environment, stdout=subprocess.PIPE, text=True) as daemon:
        try:
            assert daemon.stdout
            for line in daemon.stdout:
                if "AP-ENABLED" in line:
                    break
            assert Path(socket_path).is_socket()
            done = subprocess.run([sys.executable, "-c", ask, str(board.path / "run"), str(group)], capture_output=True, check=True)
            assert done.stdout == answer
        finally:
            daemon.kill()


def test_the_group_of_the_control_socket_is_the_gateways() -> None:
    number = next(line.split()[2] for line in (ROOT / "rootfs/usr/lib/sysusers.d/halow-gateway.conf").read_text().splitlines() if line.startswith("u "))
    assert f"\ncontrol_group={number}\n" in PROGRAM.read_text()
    unit = (ROOT / "rootfs/usr/lib/systemd/system/halow-radio.service").read_text()
    assert "SupplementaryGroups=halow-gateway\n" in unit
    assert "RuntimeDirectoryMode=0711\n" in unit


def test_the_programs_are_plain_shell() -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed")
    folder = PROGRAM.parent
    done = subprocess.run([checker, "-x", "-s", "sh", str(PROGRAM), str(folder / "radio-settings"), str(folder / "radio-addresses"),
                           str(folder / "site-firewall"), str(folder / "page-port")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

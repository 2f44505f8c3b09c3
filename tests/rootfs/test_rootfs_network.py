"""Network files of the board: no misspelt key, ranks of the uplinks, and systemd-networkd itself on the files of both roles."""

import configparser
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from halow.radios import VENDORS

ROOT = Path(__file__).parents[2]
ROOTFS = ROOT / "rootfs"
NETWORK = ROOTFS / "usr/lib/systemd/network"
SHARE = ROOTFS / "usr/share/halow-gateway/radio"
SYSCTL = ROOTFS / "usr/lib/sysctl.d/90-halow-network.conf"
PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())

# Keys of systemd 257 (systemd.network(5), systemd.link(5), timesyncd.conf(5), resolved.conf(5)) that are used here.
KNOWN = {
    "Match": {"Name", "Driver", "Type", "Kind"},
    "Link": {"Name", "MACAddressPolicy", "RequiredForOnline", "RequiredFamilyForOnline"},
    "Network": {"Address", "ConfigureWithoutCarrier", "DHCP", "DHCPServer", "EmitLLDP", "IgnoreCarrierLoss", "IPv4Forwarding", "IPv4ReversePathFilter",
                "IPv6AcceptRA", "IPv6Forwarding", "IPv6LinkLocalAddressGenerationMode", "IPv6PrivacyExtensions", "IPv6SendRA", "LLDP", "LLMNR",
                "LinkLocalAddressing", "MulticastDNS"},
    "DHCPv4": {"ClientIdentifier", "RouteMetric", "SendHostname", "UseDNS", "UseDomains", "UseGateway", "UseHostname", "UseMTU", "UseNTP", "UseRoutes",
               "UseSIP", "UseTimezone"},
    "DHCPv6": {"DUIDType", "UseDomains", "UseHostname", "UseNTP"},
    "IPv6AcceptRA": {"RouteMetric", "Token", "UseDomains"},
    "DHCPServer": {"DefaultLeaseTimeSec", "EmitDNS", "EmitLPR", "EmitNTP", "EmitPOP3", "EmitRouter", "EmitSIP", "EmitSMTP", "EmitTimezone",
                   "MaxLeaseTimeSec", "PoolOffset", "PoolSize"},
    "DHCPServerStaticLease": {"MACAddress", "Address"},
    "Time": {"FallbackNTP", "SaveIntervalSec"},
    "Resolve": {"DNSSEC", "FallbackDNS", "LLMNR", "MulticastDNS"},
}
# Younger than the systemd of Debian 12 (252), which is what a laptop may run the files through.
YOUNG = {"IPv4Forwarding", "IPv6Forwarding", "IPv4ReversePathFilter"}

AP = "VENDOR=morse\nROLE=ap\nCOUNTRY=AU\nSSID=x\nSECURITY=owe\nADDRESS=10.41.0.1/24\nLEASE=02:00:00:00:0a:01 10.41.0.20\n"
STA = "VENDOR=newracom\nROLE=sta\nCOUNTRY=US\nSSID=x\nSECURITY=owe\n"


def parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def rendered(folder: Path, conf: str) -> str:
    """The network file that radio-config writes for a radio.conf."""
    (folder / "bin").mkdir(exist_ok=True)
    for name in ("hostapd_s1g", "wpa_supplicant", "networkctl"):
        (folder / "bin" / name).write_text("#!/bin/sh\n")
        (folder / "bin" / name).chmod(0o755)
    (folder / "radio.conf").write_text(conf)
    environment = {"PATH": f"{folder}/bin:/usr/bin:/bin", "HALOW_RADIO_CONF": str(folder / "radio.conf"), "HALOW_RADIO_SHARE": str(SHARE),
                   "HALOW_RADIO_RUN": str(folder / "run"), "HALOW_RADIO_NETWORK": str(folder / "network"), "HALOW_RADIO_SYS": str(folder / "sys")}
    subprocess.run([str(ROOTFS / "usr/lib/halow-gateway/radio-config"), "render"], env=environment, check=True, capture_output=True)
    return (folder / "network/40-halow0.network").read_text()


def settings_files() -> list[Path]:
    return sorted([*NETWORK.iterdir(), *ROOTFS.glob("usr/lib/systemd/timesyncd.conf.d/*"), *ROOTFS.glob("usr/lib/systemd/resolved.conf.d/*")])


@pytest.mark.parametrize("path", settings_files(), ids=lambda path: path.name)
def test_every_key_is_one_that_systemd_knows(path: Path) -> None:
    for section, values in parsed(path.read_text()).items():
        assert set(values) <= KNOWN.get(section, set()), f"[{section}] of {path.name}"


@pytest.mark.parametrize("conf", [AP, STA, STA + "ADDRESS=10.41.0.9/24\n", AP.replace("LEASE", "# LEASE") + "DHCP_SERVER=no\n"])
def test_every_key_of_the_rendered_files_is_known_and_none_gives_a_way_out(tmp_path: Path, conf: str) -> None:
    text = rendered(tmp_path, conf)
    for section, values in parsed(text).items():
        assert set(values) <= KNOWN.get(section, set()), section
    for line in text.splitlines():
        assert not line.startswith(("Gateway=", "DNS=", "NTP=", "EmitRouter=yes", "EmitDNS=yes", "UseGateway=yes", "[Route]")), line
    for line in ("Name=halow0", "IPv4Forwarding=no", "IPv6AcceptRA=no", "LinkLocalAddressing=no", "RequiredForOnline=no"):
        assert line in text.splitlines()


def test_the_radio_is_named_by_the_drivers_of_the_vendors_and_by_nothing_else() -> None:
    link = parsed((NETWORK / "10-halow0.link").read_text())
    drivers = [driver for vendor in ("morse", "newracom") for line in (SHARE / vendor / "vendor").read_text().splitlines()
               if line.startswith("DRIVERS=") for driver in line.removeprefix("DRIVERS=").split()]
    assert link["Match"]["Driver"].split() == drivers
    assert dict(link["Match"]) == {"Driver": link["Match"]["Driver"]}
    assert link["Link"]["Name"] == "halow0"
    # What is named halow0 is also what the gateway's own monitor takes for a HaLow radio.
    patterns = [pattern for vendor in VENDORS if vendor.halow for pattern in vendor.drivers]
    assert all(any(Path(driver).match(pattern) for pattern in patterns) for driver in drivers), patterns


def test_ethernet_comes_before_wifi_before_modem_and_none_is_ever_the_radio() -> None:
    files = {path.stem.split("-")[-1]: parsed(path.read_text()) for path in NETWORK.glob("*-uplink-*.network")}
    metrics = {name: int(file["DHCPv4"]["RouteMetric"]) for name, file in files.items()}
    assert metrics == {name: int(file["IPv6AcceptRA"]["RouteMetric"]) for name, file in files.items()}
    assert sorted(metrics, key=metrics.__getitem__) == ["ethernet", "wifi", "modem"]
    for name, file in files.items():
        assert file["DHCPv4"]["ClientIdentifier"] == "mac", f"{name}: the machine id changes at each boot"
        assert file["Network"]["IPv4Forwarding"] == "no"
        assert not {"morse_spi", "nrc80211"} & set(file["Match"].get("Driver", "").split())
    assert files["wifi"]["Match"]["Driver"] == "brcmfmac", "any other wireless interface may be a HaLow radio"
    assert files["ethernet"]["Match"]["Type"] == "ether"
    # The modem's file is read first, or a modem that poses as a network card would have Ethernet's rank.
    names = sorted(path.name for path in NETWORK.glob("*.network"))
    assert [name.split("-")[-1] for name in names] == ["modem.network", "ethernet.network", "wifi.network"]


def test_sysctls_exist_and_nothing_is_routed() -> None:
    lines = [line.lstrip("-") for line in SYSCTL.read_text().splitlines() if line and not line.startswith("#")]
    values = dict(line.split(" = ") for line in lines)
    assert len(values) == len(lines), "a sysctl stands twice"
    assert {value for key, value in values.items() if "forward" in key} == {"0"}
    for key in values:
        if "halow0" not in key and Path("/proc/sys/net/ipv6").exists():
            assert list(Path("/proc/sys").glob(key.replace(".", "/"))), key


def test_what_the_network_may_not_change_is_set_for_interfaces_that_were_there_before() -> None:
    keys = [line.split(" = ")[0] for line in SYSCTL.read_text().splitlines() if " = " in line]
    for family, name in [(4, "accept_redirects"), (6, "accept_redirects"), (6, "accept_ra"), (6, "accept_source_route")]:
        for where in ("all", "default", "*"):
            assert f"net.ipv{family}.conf.{where}.{name}" in keys
    # sysctl.d(5): the file that sorts last wins, and systemd brings a 50-default.conf.
    assert all(path.name > "50-default.conf" for path in SYSCTL.parent.iterdir())


NETWORKD = next((path for path in ("/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd") if Path(path).exists()), None)


def netd_missing() -> str:
    users = {user.pw_name for user in pwd.getpwall()}
    tools = [tool for tool in ("unshare", "nsenter", "ip", "mount") if not shutil.which(tool)]
    if os.geteuid() != 0 or tools:
        return "needs " + " and ".join(["root", *tools])
    return "" if NETWORKD and "systemd-network" in users else "systemd-networkd is not installed"


# Everything below happens in namespaces of its own: /run is empty, /sys read-only (there is no udev), our files stand in for the host's.
SETUP = """set -e
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases
chown -R systemd-network:systemd-network /run/systemd/netif
mount --bind "$1" /usr/lib/systemd/network
cp "$2" /run/systemd/network/
mount -t sysfs -o ro none /sys
ip link set lo up
ip link add halow0 type veth peer name air netns "$5"
nsenter -t "$5" -n -- ip link set air up
nsenter -t "$5" -n -- ip address add "$3" dev air
echo up
read -r _
SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=info exec "$4"
"""


@dataclass(frozen=True)
class Pair:
    """systemd-networkd in one namespace, ready to start, and whoever is at the other end of the air in another one."""

    board: subprocess.Popen[str]
    peer: subprocess.Popen[str]

    def start(self) -> None:
        assert self.board.stdin is not None
        self.board.stdin.write("\n")
        self.board.stdin.flush()

    def on_board(self, *words: str) -> str:
        return run_in(self.board, *words)

    def on_peer(self, *words: str) -> str:
        return run_in(self.peer, *words)


def run_in(process: subprocess.Popen[str], *words: str) -> str:
    command = ["nsenter", "-t", str(process.pid), "-n", "--", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@contextmanager
def spawned(command: list[str], said: Path) -> Iterator[subprocess.Popen[str]]:
    with said.open("w") as errors, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as running:
        try:
            assert running.stdout is not None
            if running.stdout.readline() != "up\n":
                pytest.skip(f"namespaces do not work here: {said.read_text()}")
            yield running
        finally:
            running.kill()


@contextmanager
def networkd(tmp_path: Path, conf: str, air_address: str) -> Iterator[Pair]:
    if netd_missing():
        pytest.skip(f"{netd_missing()}: the files are not tried on systemd-networkd")
    rendered(tmp_path, conf)
    with spawned(["unshare", "-n", "sh", "-c", "echo up; exec sleep 120"], tmp_path / "peer") as peer:
        command = ["unshare", "-n", "-m", "sh", "-c", SETUP, "setup", str(NETWORK), str(tmp_path / "network/40-halow0.network"), air_address,
                   str(NETWORKD), str(peer.pid)]
        with spawned(command, tmp_path / "said") as board:
            yield Pair(board, peer)


# A meter's bridge asking for an address over the air; prints the options of the offer and the address, or nothing after 20 s.
BRIDGE = """
import socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"air")
s.bind(("", 68))
s.settimeout(1)
discover = struct.pack("!BBBBIHH4s4s4s4s16s192s", 1, 1, 6, 0, 0x51, 0, 0x8000, b"", b"", b"", b"", bytes.fromhex("020000000a01"), b"")
discover += bytes.fromhex("63825363 350101 3d0701020000000a01 370601030f062a79 ff")
for _ in range(20):
    try:
        s.sendto(discover, ("255.255.255.255", 67))
        data = s.recv(1500)
    except OSError:
        time.sleep(0.1)
        continue
    options, rest = [], data[240:]
    while rest and rest[0] != 255:
        options.append(rest[0]); rest = rest[2 + rest[1]:]
    print(socket.inet_ntoa(data[16:20]), *options)
    break
"""


def test_as_access_point_it_hands_out_addresses_and_nothing_else(tmp_path: Path) -> None:
    with networkd(tmp_path, AP, "169.254.7.7/16") as pair:
        pair.start()
        answer = pair.on_peer(PYTHON, "-I", "-c", BRIDGE).split()
        assert answer, (tmp_path / "said").read_text()
        address, options = answer[0], {int(option) for option in answer[1:]}
        assert address == "10.41.0.20", "the fixed lease"
        assert 1 in options, "a subnet mask"
        assert not options & {3, 6, 15, 33, 42, 121}, "router, DNS, domain, routes, NTP"
        assert "10.41.0.1/24" in pair.on_board("ip", "-4", "address", "show", "dev", "halow0")
        assert "inet6" not in pair.on_board("ip", "-6", "address", "show", "dev", "halow0")
        assert pair.on_board("ip", "route", "show", "default") == ""
    unknown = {line.split("'")[1] for line in (tmp_path / "said").read_text().splitlines() if "Unknown key" in line}
    assert unknown <= YOUNG


# An access point that offers everything there is: router, DNS, NTP, and a default route as a classless one.
GREEDY = """
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"air")
s.bind(("", 67))
s.settimeout(20)
own = socket.inet_aton("10.41.0.1")
while True:
    asked = s.recv(1500)
    kind = asked[asked.index(b"\\x35\\x01") + 2]
    answer = struct.pack("!BBBB", 2, 1, 6, 0) + asked[4:8] + bytes(8) + socket.inet_aton("10.41.0.77") + own + bytes(4) + asked[28:44] + bytes(192)
    answer += bytes.fromhex("63825363 3501") + bytes([2 if kind == 1 else 5]) + b"\\x36\\x04" + own + bytes.fromhex("330400000e10 0104ffffff00")
    for option in (3, 6, 42): answer += bytes([option, 4]) + own
    answer += bytes([121, 5, 0]) + own + b"\\xff"
    s.sendto(answer, ("255.255.255.255", 68))
    if kind == 3:
        print("leased", flush=True)
        break
"""


def test_as_station_it_takes_an_address_and_never_a_way_out(tmp_path: Path) -> None:
    with networkd(tmp_path, STA, "10.41.0.1/24") as pair:
        pair.start()
        assert pair.on_peer(PYTHON, "-I", "-c", GREEDY) == "leased\n", (tmp_path / "said").read_text()
        seen = pair.on_board("sh", "-c", "for _ in $(seq 100); do ip -4 address show dev halow0 | grep 10.41.0.77 && break; sleep 0.1; done")
        assert "10.41.0.77/24" in seen
        assert pair.on_board("ip", "route", "show", "default") == ""
        assert {line.split()[0] for line in pair.on_board("ip", "route", "show", "dev", "halow0").splitlines()} <= {"10.41.0.0/24", "10.41.0.1"}

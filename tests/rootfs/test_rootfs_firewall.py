"""The packet filter, loaded by the real nft into network namespaces and tried by real connections.

Three namespaces: the board between the site (eth0) and a meter (halow0). Routing is switched on on purpose, and first it is shown
that everything passes without the filter, so that what does not pass afterwards is the filter's doing.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_rootfs_pageport import stand_ins

ROOT = Path(__file__).parents[2]
FILTER = ROOT / "rootfs/etc/nftables.conf"
PROGRAM = ROOT / "rootfs/usr/lib/halow-gateway/site-firewall"
GATEWAY = 780
PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())

SITE, SITE6, BOARD, BOARD6 = "192.0.2.2", "2001:db8::2", "192.0.2.1", "2001:db8::1"
METER, METER6, BOARD_HALOW, BOARD_HALOW6 = "10.41.0.20", "fd41::20", "10.41.0.1", "fd41::1"
NEAR, BOARD_NEAR = "192.168.7.2", "192.168.7.1"      # the site by a private address
TCP_PORTS = (22, 53, 443, 1883, 4059, 8443, 8883)
UDP_PORTS = (53, 67, 123, 4059)

# Answers on every port, both families; says "ready" when it does.
SERVER = f"""
import asyncio, socket
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, address): self.transport.sendto(data, address)
def bound(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    return s
async def main():
    loop = asyncio.get_running_loop()
    async def answer(reader, writer):
        while data := await reader.read(100): writer.write(data)
        writer.close()
    for port in {TCP_PORTS}: await asyncio.start_server(answer, sock=bound(socket.SOCK_STREAM, port))
    for port in {UDP_PORTS}: await loop.create_datagram_endpoint(Echo, sock=bound(socket.SOCK_DGRAM, port))
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

# [[kind, host, port, own port]] -> which of them answered within a second.
PROBE = """
import asyncio, json, socket, sys
async def one(kind, host, port, own):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if own: s.bind(("::" if ":" in host else "0.0.0.0", own))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(1):
            await loop.sock_connect(s, (host, port))
            await loop.sock_sendall(s, b"x")
            return await loop.sock_recv(s, 10) == b"x"
    except (OSError, TimeoutError):
        return False
    finally:
        s.close()
async def main():
    print(json.dumps(await asyncio.gather(*(one(*what) for what in json.loads(sys.argv[1])))))
asyncio.run(main())
"""

Target = tuple[str, str, int] | tuple[str, str, int, int]


@dataclass(frozen=True)
class Host:
    """One network namespace, alive as long as its process."""

    pid: int

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "--", *words]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=check)

    def reaches(self, *targets: Target, user: int = 0) -> list[bool]:
        asked = json.dumps([[*target, 0][:4] for target in targets])
        drop = [] if user == 0 else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
        done = self.run(*drop, PYTHON, "-I", "-c", PROBE, asked)
        answers: list[bool] = json.loads(done.stdout)
        return answers

    def pings(self, address: str) -> bool:
        ping = [PYTHON, "-I", "-c", PING, address]
        return self.run(*ping, check=False).returncode == 0


# One echo request over a raw socket: neither ping nor its options are the same everywhere.
PING = """
import socket, struct, sys
six = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
s.settimeout(1)
body = struct.pack("!HH", 7, 1)
head = struct.pack("!BBH", 128 if six else 8, 0, 0)
if not six:
    total = sum(struct.unpack("!4H", head + body))
    head = struct.pack("!BBH", 8, 0, ~((total >> 16) + (total & 0xFFFF)) & 0xFFFF)
s.sendto(head + body, (sys.argv[1], 0))
while True:
    data = s.recv(200)
    data = data if six else data[(data[0] & 15) * 4:]
    if data[0] == (129 if six else 0): sys.exit(0)
"""


@dataclass(frozen=True)
class Net:
    board: Host
    site: Host
    meter: Host

    def load(self) -> None:
        self.board.run("nft", "-f", str(FILTER))

    def rules(self, folder: Path) -> subprocess.CompletedProcess[str]:
        return self.board.run(str(PROGRAM), str(FILTER), str(folder), check=False)

    def counted(self, name: str) -> int:
        found = json.loads(self.board.run("nft", "-j", "list", "counter", "inet", "gateway", name).stdout)
        packets: int = found["nftables"][1]["counter"]["packets"]
        return packets


@contextmanager
def process(command: list[str], first_line: str) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            said = running.stdout.readline().strip()
            if said != first_line:
                running.kill()
                pytest.skip(f"{command[0]} does not work here: {running.communicate()[1].strip()}")
            yield running.pid
        finally:
            running.kill()


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    missing = [tool for tool in ("nft", "ip", "unshare", "nsenter", "setpriv") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        wanted = " and ".join(["root", *missing])
        pytest.skip(f"needs {wanted}: the filter is tried in network namespaces")
    with ExitStack() as stack:
        hosts = [Host(stack.enter_context(process(["unshare", "-n", "sh", "-c", "echo up; exec sleep 600"], "up"))) for _ in range(3)]
        it = Net(*hosts)
        tried = it.board.run("nft", "-f", str(FILTER), check=False)
        if tried.returncode != 0:
            pytest.skip(f"this kernel has not all of nftables: {tried.stderr.splitlines()[0]}")
        it.board.run("nft", "flush", "ruleset")
        for host in hosts:
            host.run("ip", "link", "set", "lo", "up")
            # Or IPv6 is mute for its first two seconds.
            host.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
        connect(it.board, "eth0", (BOARD, BOARD6), it.site, (SITE, SITE6))
        for host, interface, address in ((it.board, "eth0", BOARD_NEAR), (it.site, "wire", NEAR)):
            host.run("ip", "address", "add", f"{address}/24", "dev", interface)
        connect(it.board, "halow0", (BOARD_HALOW, BOARD_HALOW6), it.meter, (METER, METER6))
        it.board.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for host, way, way6 in ((it.site, BOARD, BOARD6), (it.meter, BOARD_HALOW, BOARD_HALOW6)):
            host.run("ip", "route", "add", "default", "via", way)
            host.run("ip", "-6", "route", "add", "default", "via", way6)
        for host in hosts:
            stack.enter_context(process(host.command(PYTHON, "-I", "-c", SERVER), "ready"))
        yield it


def connect(board: Host, name: str, own: tuple[str, str], other: Host, theirs: tuple[str, str]) -> None:
    board.run("ip", "link", "add", name, "type", "veth", "peer", "name", "wire", "netns", str(other.pid))
    for host, interface, (four, six) in ((board, name, own), (other, "wire", theirs)):
        host.run("ip", "address", "add", f"{four}/24", "dev", interface)
        host.run("ip", "address", "add", f"{six}/64", "dev", interface, "nodad")
        host.run("ip", "link", "set", interface, "up")


@pytest.fixture
def filtered(net: Net) -> Net:
    net.load()
    return net


BOTH_WAYS = [("tcp", METER, 4059), ("udp", METER, 4059), ("tcp", METER6, 4059)]


def test_without_the_filter_everything_passes(net: Net) -> None:
    net.board.run("nft", "flush", "ruleset")
    assert all(net.site.reaches(*BOTH_WAYS, ("tcp", BOARD, 22), ("udp", BOARD, 53)))
    assert all(net.meter.reaches(("tcp", SITE, 8883), ("tcp", SITE6, 8883), ("tcp", BOARD_HALOW, 22), ("udp", SITE, 53)))
    assert all(net.board.reaches(("tcp", SITE, 443), ("tcp", METER, 4059), ("udp", METER, 4059)))
    assert net.meter.pings(SITE)


def test_nothing_of_the_board_is_reached_from_the_uplink_but_by_ping(filtered: Net) -> None:
    before = filtered.counted("dropped_input")
    asked: list[Target] = [("tcp", address, port) for address in (BOARD, BOARD6) for port in TCP_PORTS]
    asked += [("udp", address, port) for address in (BOARD, BOARD6) for port in UDP_PORTS]
    assert not any(filtered.site.reaches(*asked))
    assert filtered.counted("dropped_input") >= before + len(asked)
    assert filtered.site.pings(BOARD)
    for host in (filtered.site, filtered.board):
        host.run("ip", "-6", "neigh", "flush", "dev", "wire" if host is filtered.site else "eth0")
    assert filtered.site.pings(BOARD6), "neighbour discovery must pass, or IPv6 is dead"


def test_nothing_of_the_board_is_reached_from_the_air_but_dhcp_and_ping(filtered: Net) -> None:
    asked: list[Target] = [("tcp", address, port) for address in (BOARD_HALOW, BOARD_HALOW6, BOARD) for port in TCP_PORTS]
    asked += [("udp", address, port) for address in (BOARD_HALOW, BOARD_HALOW6) for port in UDP_PORTS]
    assert not any(filtered.meter.reaches(*asked))
    assert filtered.counted("dropped_halow") > 0
    assert filtered.meter.reaches(("udp", BOARD_HALOW, 67, 68)) == [True]
    assert filtered.meter.pings(BOARD_HALOW)
    assert not filtered.meter.pings(BOARD_HALOW6), "there is no IPv6 on the HaLow side"


def test_the_gateway_reaches_its_broker_and_its_meters_on_any_port(filtered: Net) -> None:
    asked: list[Target] = [("tcp", address, port) for address in (SITE, SITE6, METER) for port in TCP_PORTS]
    assert all(filtered.board.reaches(*asked, user=GATEWAY))
    assert filtered.board.reaches(("udp", SITE, 53), user=GATEWAY) == [True]
    assert not any(filtered.board.reaches(("udp", SITE, 4059), ("udp", METER, 4059), ("udp", METER, 53), user=GATEWAY))


@pytest.mark.parametrize("user", [0, 12345])
def test_everybody_else_on_the_board_gets_names_and_time_from_the_uplink_only(filtered: Net, user: int) -> None:
    assert all(filtered.board.reaches(("udp", SITE, 53), ("tcp", SITE, 53), ("udp", SITE, 123), ("udp", SITE6, 53), user=user))
    asked: list[Target] = [("tcp", SITE, port) for port in TCP_PORTS if port != 53]
    asked += [("tcp", METER, port) for port in TCP_PORTS] + [("udp", METER, port) for port in UDP_PORTS]
    assert not any(filtered.board.reaches(*asked, ("udp", SITE, 4059), user=user))
    assert filtered.counted("dropped_output") >= len(asked)


def test_programs_of_the_board_reach_each_other(filtered: Net) -> None:
    assert all(filtered.board.reaches(("udp", "127.0.0.1", 53), ("tcp", "127.0.0.1", 8883), user=12345))


def test_nothing_is_forwarded_in_either_direction(filtered: Net) -> None:
    assert not any(filtered.site.reaches(*BOTH_WAYS, ("tcp", METER, 22), ("tcp", METER, 8883)))
    assert not any(filtered.meter.reaches(("tcp", SITE, 8883), ("tcp", SITE6, 8883), ("udp", SITE, 53), ("udp", SITE, 123)))
    assert not filtered.meter.pings(SITE)
    assert filtered.counted("dropped_forward") > 0


def test_a_connection_lives_through_a_reload(filtered: Net) -> None:
    talk = ("import socket, sys\ns = socket.create_connection(sys.argv[1:3], 5)\nfor _ in range(2):\n"
            "    s.sendall(b'x'); assert s.recv(1) == b'x'; print('said', flush=True); sys.stdin.readline()\n")
    command = filtered.board.command("setpriv", f"--reuid={GATEWAY}", f"--regid={GATEWAY}", "--clear-groups", "--",
                                     PYTHON, "-I", "-c", talk, METER, "4059")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == "said\n"
        filtered.load()
        running.stdin.write("\n")
        running.stdin.flush()
        assert running.stdout.readline() == "said\n"
        running.stdin.close()
        assert running.wait(5) == 0


def test_a_site_names_who_may_manage_the_board(filtered: Net, tmp_path: Path) -> None:
    (tmp_path / "10-management.nft").write_text(
        "set management4 { type ipv4_addr; flags interval; auto-merge; elements = { 192.0.2.0/24, 10.41.0.0/24 } }\n")
    done = filtered.rules(tmp_path)
    assert done.returncode == 0, done.stderr
    assert filtered.site.reaches(("tcp", BOARD, 22), ("tcp", BOARD, 443), ("tcp", BOARD6, 22)) == [True, False, False]
    assert not any(filtered.meter.reaches(("tcp", BOARD_HALOW, 22))), "SSH is for the uplink's side, whatever the set says"


def test_a_site_opens_a_port(filtered: Net, tmp_path: Path) -> None:
    (tmp_path / "20-out.nft").write_text("chain site_output { ip daddr 192.0.2.2 tcp dport 443 accept; }")
    (tmp_path / "30-in.nft").write_text('chain site_input { iifname "eth0" tcp dport 1883 accept; }\n')
    assert filtered.rules(tmp_path).returncode == 0
    assert filtered.board.reaches(("tcp", SITE, 443), ("tcp", SITE, 1883)) == [True, False]
    assert filtered.site.reaches(("tcp", BOARD, 1883), ("tcp", BOARD, 443)) == [True, False]


def test_a_port_for_the_uplink_is_not_open_to_the_air(filtered: Net, tmp_path: Path) -> None:
    (tmp_path / "10.nft").write_text("chain site_input { tcp dport 1883 accept; }\nchain site_halow { tcp dport 443 accept; }\n")
    assert filtered.rules(tmp_path).returncode == 0
    assert filtered.site.reaches(("tcp", BOARD, 1883), ("tcp", BOARD, 443)) == [True, False]
    assert filtered.meter.reaches(("tcp", BOARD_HALOW, 1883), ("tcp", BOARD_HALOW, 443)) == [False, True]


def test_the_rule_for_pushes_opens_their_port_to_the_air_alone_and_only_when_taken_over(filtered: Net, tmp_path: Path) -> None:
    asked: list[Target] = [("tcp", BOARD_HALOW, 4059), ("udp", BOARD_HALOW, 4059)]
    assert filtered.meter.reaches(*asked) == [False, False]
    shutil.copy(ROOT / "rootfs/usr/share/halow-gateway/nftables/50-push.nft", tmp_path)
    assert filtered.rules(tmp_path).returncode == 0
    assert filtered.meter.reaches(*asked, ("tcp", BOARD_HALOW, 22), ("udp", BOARD_HALOW, 53)) == [True, True, False, False]
    assert filtered.site.reaches(("tcp", BOARD, 4059), ("udp", BOARD, 4059)) == [False, False]


def test_the_local_page_is_open_to_the_neighbourhood_as_long_as_the_settings_have_it_on_the_network(filtered: Net, tmp_path: Path) -> None:
    stand_ins(tmp_path)

    def follow(settings: str) -> str:
        (tmp_path / "gateway.toml").write_text(settings)
        done = filtered.board.run("env", f"PATH={tmp_path}:{os.environ['PATH']}", str(PROGRAM), str(FILTER), str(tmp_path / "rules"),
                                  str(tmp_path / "gateway.toml"))
        return done.stdout

    assert follow('[api]\nenabled = true\nlisten = "::"\n') == "firewall: port 8443 is open to private addresses: the local page\n"
    assert filtered.site.reaches(("tcp", BOARD_NEAR, 8443), ("tcp", BOARD_NEAR, 443), ("tcp", BOARD, 8443), ("tcp", BOARD6, 8443)) == [
        True, False, False, False], "from a private address, and to that port"
    assert not any(filtered.meter.reaches(("tcp", BOARD_HALOW, 8443), ("tcp", BOARD_NEAR, 8443))), "the air is no neighbourhood"
    assert follow("[api]\nenabled = true\n") == ""
    assert not any(filtered.site.reaches(("tcp", BOARD_NEAR, 8443)))


BROKEN = {
    "no nftables at all": "Let everybody in, please.\n",
    "half a rule": "chain site_input { tcp dport accept; }\n",
    "an unknown set": "chain site_input { ip saddr @friends accept; }\n",
    "half right": "chain site_input { tcp dport 443 accept; }\nchain site_output { wrong; }\n",
    "an open brace": "chain site_input { tcp dport 443 accept\n",
    "a command": "flush ruleset\n",
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_file_is_refused_whole_and_named_and_the_rest_stands(filtered: Net, tmp_path: Path, name: str) -> None:
    (tmp_path / "10-broken.nft").write_text(BROKEN[name])
    (tmp_path / "20-good.nft").write_text("chain site_input { tcp dport 1883 accept; }\n")
    done = filtered.rules(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"firewall: {tmp_path}/10-broken.nft refused: ")
    assert len(done.stderr.splitlines()) == 1
    assert filtered.site.reaches(("tcp", BOARD, 443), ("tcp", BOARD, 1883)) == [False, True]
    assert not any(filtered.site.reaches(*BOTH_WAYS))
    assert filtered.board.reaches(("tcp", METER, 4059), user=GATEWAY) == [True], "nor is the board dead"


OPENING = {
    "flush": "}\nflush ruleset\ntable inet other {\n",
    "policy": "chain input { type filter hook input priority filter; policy accept; }\n",
    "deleted": "}\ndelete table inet gateway\ntable inet other {\n",
}


@pytest.mark.parametrize("name", sorted(OPENING))
def test_a_file_that_opens_the_filter_as_a_whole_brings_back_the_built_in_one(filtered: Net, tmp_path: Path, name: str) -> None:
    (tmp_path / "10-good.nft").write_text("chain site_input { tcp dport 1883 accept; }\n")
    (tmp_path / "20-opening.nft").write_text(OPENING[name])
    done = filtered.rules(tmp_path)
    assert done.returncode == 1
    assert "opens the filter as a whole; back to the built-in filter" in done.stderr
    assert not any(filtered.site.reaches(("tcp", BOARD, 22), ("tcp", BOARD, 1883), *BOTH_WAYS))
    assert filtered.board.reaches(("tcp", SITE, 8883), user=GATEWAY) == [True]


def test_no_folder_and_an_empty_one_are_the_built_in_filter(filtered: Net, tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path):
        assert filtered.rules(folder).returncode == 0
        assert not any(filtered.site.reaches(("tcp", BOARD, 22)))


def test_rules_taken_out_are_gone_after_the_next_start(filtered: Net, tmp_path: Path) -> None:
    rule = tmp_path / "10.nft"
    rule.write_text("chain site_input { tcp dport 1883 accept; }\n")
    filtered.rules(tmp_path)
    assert filtered.site.reaches(("tcp", BOARD, 1883)) == [True]
    rule.unlink()
    filtered.rules(tmp_path)
    assert filtered.site.reaches(("tcp", BOARD, 1883)) == [False]


def test_a_built_in_filter_that_does_not_load_leaves_the_one_in_force(filtered: Net, tmp_path: Path) -> None:
    bad = tmp_path / "nftables.conf"
    bad.write_text("flush ruleset\ntable inet gateway {\n")
    done = filtered.board.run(str(PROGRAM), str(bad), str(tmp_path), check=False)
    assert (done.returncode, "does not load; what was in force before stays" in done.stderr) == (1, True)
    assert not any(filtered.site.reaches(("tcp", BOARD, 22)))


def test_the_user_in_the_filter_is_the_gateways() -> None:
    users = (ROOT / "rootfs/usr/lib/sysusers.d/halow-gateway.conf").read_text()
    assert f"u halow-gateway {GATEWAY} " in users
    assert f"meta skuid {GATEWAY} " in FILTER.read_text()

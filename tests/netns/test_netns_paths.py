"""Two real ways to one real Mosquitto, one of them swallowed without a word: fails over and comes back, nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from namespaces import PROJECT, NoNamespaces
from paths_site import SERVER, SERVER6, PathsSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
WINDOW, PER_MESSAGE = 8, 20
BIND = """
import socket, struct, sys
way, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
six = ":" in host
one = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
one.settimeout(5)
if way == "device":
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"v2\\0")
elif way == "unicast":
    index = struct.pack("!I", socket.if_nametoindex("v2"))
    one.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, 76 if six else 50, index)
one.connect((host, port))
print(one.getsockname()[0])
"""


@pytest.fixture
def site() -> Iterator[PathsSite]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed: apt install util-linux")
    try:
        with PathsSite() as made:
            yield made
    except NoNamespaces as why:
        pytest.skip(f"no network namespaces here: {why}")


@contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    lent = [str(PROJECT), *(str(PROJECT / room) for room in ("tools/netns", "tests/uplink"))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ":".join(lent)}) as process:
        try:
            assert ask(process) == {"ready": True}
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], order: str = "") -> dict:
    assert process.stdin
    assert process.stdout
    if order:
        process.stdin.write(f"{order}\n")
        process.stdin.flush()
    line = process.stdout.readline()
    assert line, f"it ended at {order!r}"
    return json.loads(line)


def test_a_path_is_left_when_it_falls_silent_and_taken_again(site: PathsSite, tmp_path: Path) -> None:
    if not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    end = lambda *words: [sys.executable, str(HERE / "paths_ends.py"), *words]      # noqa: E731 - a name for a list
    (tmp_path / "broker").mkdir()
    with running(site.server(*end("server", str(tmp_path / "broker")))) as server, \
            running(site.gateway(*end("gateway", str(tmp_path)))) as gateway:
        ask(gateway, "feed 200")
        ask(gateway, "drained")
        used = site.received_packets(2)
        assert site.received_packets(1) > used, "the better one is in use"
        site.swallow(1)
        ask(gateway, "feed 300")
        ask(gateway, "path modem")
        ask(gateway, "drained")
        assert site.received_packets(2) > used + 20
        site.heal(1)
        ask(gateway, "path lan")
        ask(gateway, "feed 200")
        ask(gateway, "drained")
        told = ask(gateway, "end")
        assert server.stdin
        server.stdin.close()
        heard = ask(server)
    assert heard["numbers"] == list(range(told["written"])), "nothing is lost"
    assert heard["twice"] <= 2 * WINDOW * PER_MESSAGE, "no more twice than was in flight at the two changes"
    assert (told["takeovers"], told["quarantined"]) == (0, 0)
    assert [text.partition(":")[0] for text in told["events"]] == ["lan -> modem", "modem -> lan"]
    assert min(told["bytes"].values()) > 1_000


@pytest.mark.parametrize("host", [SERVER, SERVER6])
def test_what_holds_tcp_to_an_interface_without_any_capability(site: PathsSite, host: str) -> None:
    """Why it is SO_BINDTODEVICE: docs/decisions/0034-uplink-paths.md. Red here: read that page again."""
    listen = ("import socket, time; s = socket.create_server((%r, 7), family=socket.AF_INET6 if %r.count(':') else socket.AF_INET);"
              "print('{\"ready\": true}', flush=True); time.sleep(60)")
    with running(site.server(sys.executable, "-c", listen % (host, host))):
        def leaves_by(way: str) -> str:
            words = site.gateway(sys.executable, "-c", BIND, way, host, "7")
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

        first, second = ("fd77:1::1", "fd77:2::1") if ":" in host else ("10.77.1.1", "10.77.2.1")
        assert {way: leaves_by(way) for way in ("none", "device", "unicast")} == {
            "none": first, "device": second, "unicast": first}

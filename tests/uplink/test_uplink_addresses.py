"""A server's name leads to it over a restart without name servers; what is wrong in the file is ignored, in one line."""

import asyncio
import logging
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from authority import Authority
from uplink_bench import TOKEN, settings

from edge.config import GatewaySettings, Settings
from edge.credentials import Login
from edge.daemon.upstream import Upstream
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules
from edge.errors import Retryable
from edge.uplink.addresses import FILE_NAME, MOST_ADDRESSES, MOST_NAMES, Addresses
from edge.uplink.dial import Dialer
from edge.uplink.mqtt import Session
from edge.uplink.way import way_of

NAME = "server.test"

START = """
import asyncio, sys
from pathlib import Path
from edge.config import UplinkSettings
from edge.credentials import Login
from edge.errors import UplinkError
from edge.errors import Retryable
from edge.uplink.addresses import Addresses
from edge.uplink.dial import Dialer
from edge.uplink.mqtt import Session
from edge.uplink.tls import tls_context

async def start(state_dir, host, port, token, ca_file):
    made = UplinkSettings(host=host, port=int(port), tls=True, ca_file=ca_file, connect_timeout_s=20.0)
    one = Session(made, client_id="gw", login=Login("a test", token), activity=asyncio.Event(), tls=tls_context(made),
                  dialer=Dialer(Addresses(Path(state_dir))))
    try:
        await one.open()
    except UplinkError as error:
        print(error)
    else:
        print("connected")
        await one.close()

asyncio.run(start(*sys.argv[1:]))
"""


def in_a_namespace():
    """Return what runs a command with mounts of its own, or None where nobody may."""
    words = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        found = subprocess.run([*words, "mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True, timeout=10, check=False)
    except OSError:
        return None
    return words if found.returncode == 0 else None


async def test_a_process_that_starts_without_name_servers_finds_the_server(tmp_path):
    """The machine's own resolver: first /etc/hosts knows the name, then nobody does, and the name server does not answer."""
    if (words := in_a_namespace()) is None:
        pytest.skip("no mount namespace may be made here")
    ours = Authority("ours")
    ours.server(tmp_path, host=NAME)
    (tmp_path / "ca.pem").write_bytes(ours.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    state_dir, kept = tmp_path, tmp_path / FILE_NAME

    async def start(host=NAME, known=""):
        (tmp_path / "hosts").write_text(f"127.0.0.1 localhost\n{known}\n")
        binds = " && ".join(f"mount --bind {tmp_path / name} /etc/{name}" for name in ("hosts", "resolv.conf"))
        process = await asyncio.create_subprocess_exec(
            *words, "sh", "-c", f'{binds} && exec "$@"', "sh", sys.executable, "-c", START, str(state_dir), host, str(server.port), TOKEN,
            str(tmp_path / "ca.pem"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2])
        said, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return said.decode()

    async with ThingsBoard(Rules(TOKEN, gateway_name="gw"), tls=context) as server:
        assert "its name is not resolved" in await start()
        assert await start(known=f"127.0.0.1 {NAME}") == "connected\n"
        assert kept.read_bytes() == b'{"server.test":["127.0.0.1"]}'
        before = kept.stat()
        assert await start() == "connected\n", "the name server is gone, and the process a new one"
        assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "nothing new, nothing written"
        assert "its name is not resolved" in await start("other.test"), "each name has its own"
        kept.write_text('{"other.test":["127.0.0.1"]}')
        assert "shows a certificate for another host" in await start("other.test"), "an address is no proof"
        kept.write_text(f'{{"{NAME}":["127.0.0.99"]}}')
        assert await start(known=f"127.0.0.1 {NAME}") == "connected\n", "what the resolver says goes first"
        assert kept.read_bytes() == b'{"server.test":["127.0.0.1","127.0.0.99"]}'


async def test_only_who_speaks_mqtt_is_remembered(tmp_path):
    """A captive portal takes the connection, too."""
    async def portal(_reader, writer):
        writer.write(b"HTTP/1.1 302 Found\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(portal, "127.0.0.1", 0) as server:
        made = settings(server.sockets[0].getsockname()[1], host="localhost")
        one = Session(made, client_id="gw", login=Login("a test", TOKEN), activity=asyncio.Event(), dialer=Dialer(Addresses(tmp_path)))
        with pytest.raises(Retryable, match=r"what is not MQTT|closed the connection|cannot reach"):
            await one.open()
    assert not (tmp_path / FILE_NAME).exists()


async def test_an_address_in_the_settings_is_not_kept(tmp_path):
    await Dialer(Addresses(tmp_path)).reached(way_of(settings(1)), "127.0.0.1")
    assert not (tmp_path / FILE_NAME).exists()


async def test_the_file_is_bounded_and_the_newest_stands_first(tmp_path):
    made = Addresses(tmp_path)
    for last in range(1, 9):
        await made.reached("a.test", f"192.0.2.{last}")
    await made.reached("a.test", "192.0.2.6")
    assert await made.of("a.test") == ["192.0.2.6", "192.0.2.8", "192.0.2.7", "192.0.2.5"]
    for number in range(2 * MOST_NAMES):
        await made.reached("a.test", "192.0.2.6")
        await made.reached(f"{number}.{'n' * 63}.{'n' * 63}.{'n' * 63}.test", "2001:db8:1111:2222:3333:4444:5555:6666")
    again = Addresses(tmp_path)
    assert (await again.of("a.test"))[0] == "192.0.2.6", "in use, so the others go"
    assert await again.of(f"{2 * MOST_NAMES - 1}.{'n' * 63}.{'n' * 63}.{'n' * 63}.test")
    assert await again.of(f"0.{'n' * 63}.{'n' * 63}.{'n' * 63}.test") == []


@pytest.mark.parametrize("raw", [
    b"", b"\0\xff", b"[" * 5_000, b"[]", b'{"a.test":"192.0.2.1"}', b'{"a.test":["elsewhere.test"]}', b'{"a.test":["0.0.0.0"]}', b'{"a.test":[1]}',
    b'{"a.test":["192.0.2.1"' + b',"192.0.2.1"' * MOST_ADDRESSES + b"]}", b'{"a.test":["192.0.2.1"]}' + b" " * 10_000, b'{"a.test":["\xff"]}'])
async def test_what_is_no_such_file_is_told_in_one_line_and_ignored(tmp_path, caplog, raw):
    (tmp_path / FILE_NAME).write_bytes(raw)
    made = Addresses(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert await made.of("a.test") == []
        assert await made.of("b.test") == []
    line, = caplog.messages
    assert line.startswith(f"{tmp_path / FILE_NAME}: is ignored, and written anew at the next connection: ")
    assert "\n" not in line
    await made.reached("a.test", "192.0.2.9")
    assert await Addresses(tmp_path).of("a.test") == ["192.0.2.9"]


async def test_a_state_directory_that_cannot_be_written_costs_the_memory_only(tmp_path, caplog):
    made = Addresses(tmp_path / "gone")
    await made.reached("a.test", "192.0.2.1")
    assert await made.of("a.test") == ["192.0.2.1"]
    assert "the server's addresses cannot be kept: No such file or directory" in caplog.text


async def test_the_gateway_keeps_them_in_its_state_directory(tmp_path, ring, clock):
    made = Settings(gateway=GatewaySettings(state_dir=str(tmp_path)), uplink=settings(1, host="localhost"))
    upstream = Upstream(made, ring, clock, None, lambda _meter: "", print)
    await upstream.paths.dialer.reached(upstream.paths.way, "127.0.0.1")
    assert await Addresses(tmp_path).of("localhost") == ["127.0.0.1"]


async def test_dead_name_servers_leave_time_for_what_is_known(tmp_path, monkeypatch):
    """Where the whole attempt has less time than a resolver takes to give up."""
    async def mute(*_, **__):
        await asyncio.Event().wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = way_of(settings(listener.getsockname()[1], host=NAME))
        known = Addresses(tmp_path)
        await known.reached(NAME, "127.0.0.1")
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", mute)
        async with asyncio.timeout(5):
            (await Dialer(known).connected(way, 0.3)).close()


class SlowResolver:
    """Answers 127.0.0.1 when it is let to, as one whose first name server is dead; counts the questions."""

    def __init__(self, monkeypatch):
        self.asked, self.may_answer, self.said = 0, asyncio.Event(), "127.0.0.1"
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._answer)

    async def _answer(self, _host, port, **_):
        self.asked += 1
        await self.may_answer.wait()
        if not self.said:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.said, port))]


async def test_where_nothing_is_known_a_resolver_has_the_whole_attempt(monkeypatch):
    resolver = SlowResolver(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = way_of(settings(listener.getsockname()[1], host=NAME))
        asyncio.get_running_loop().call_later(0.5, resolver.may_answer.set)      # a third of the time is 0.4 s
        (await Dialer().connected(way, 1.2)).close()


async def test_an_answer_that_came_too_late_serves_the_next_attempt(tmp_path, monkeypatch):
    resolver = SlowResolver(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = way_of(settings(listener.getsockname()[1], host=NAME))
        known = Addresses(tmp_path)
        await known.reached(NAME, "127.0.0.2")      # nobody listens there
        dialer = Dialer(known)
        for _ in range(3):
            with pytest.raises(OSError, match="refused"):
                await dialer.connected(way, 0.15)
        assert resolver.asked == 1, "a question that is under way is not put again"
        resolver.may_answer.set()
        (await dialer.connected(way, 5.0)).close()
        assert resolver.asked == 1
        (await dialer.connected(way, 5.0)).close()
        assert resolver.asked == 2, "each attempt wants what is so now"


async def test_two_paths_ask_for_a_name_once(monkeypatch):
    resolver = SlowResolver(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = way_of(settings(listener.getsockname()[1], host=NAME))
        dialer = Dialer()
        asyncio.get_running_loop().call_soon(resolver.may_answer.set)
        for one in await asyncio.gather(dialer.connected(way, 5.0), dialer.connected(way, 5.0)):
            one.close()
        assert resolver.asked == 1


async def test_a_refusal_that_came_too_late_is_asked_for_again(monkeypatch):
    resolver = SlowResolver(monkeypatch)
    resolver.said = ""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = way_of(settings(listener.getsockname()[1], host=NAME))
        dialer = Dialer()
        with pytest.raises(OSError, match="its name is not resolved: no answer"):
            await dialer.connected(way, 0.05)
        resolver.may_answer.set()
        with pytest.raises(OSError, match="its name is not resolved: Temporary failure"):
            await dialer.connected(way, 5.0)
        resolver.said = "127.0.0.1"
        (await dialer.connected(way, 5.0)).close()

"""Two paths to one Mosquitto: fails over, comes back, counts bytes; a probe never logs in. tests/netns has real interfaces."""

import asyncio
import errno
import os
import random
import socket
import ssl
from contextlib import asynccontextmanager, suppress

import pytest
from authority import Authority
from mosquitto_broker import Mosquitto, free_port
from test_uplink_mosquitto import WINDOW, drained, judge
from uplink_bench import settings, until
from wiretap import WireTap

from edge.config import PathSettings, PathsSettings
from edge.model import Stream
from edge.uplink import probe as probing
from edge.uplink.dial import CountedSocket, Dialer
from edge.uplink.pathwatch import PathWatch, schema
from edge.uplink.probe import probe
from edge.uplink.tls import tls_context
from edge.uplink.traffic import Traffic, traffic_of
from edge.uplink.way import way_of

FAST = {"dead_after_s": 3.0, "return_after_s": 1.0, "probe_interval_s": 0.2}
HASTY = {"ack_timeout_s": 0.8, "connect_timeout_s": 0.8, "keepalive_s": 1, "window_messages": WINDOW, "batch_bytes": 1_000}


class Paths:
    """A watch that runs, and what it told."""

    def __init__(self, clock, uplink, *paths, **times):
        self.events, self.records = [], []
        self.watch = PathWatch(uplink, PathsSettings(path=paths, **(FAST | times)), clock, random.Random(3),
                               self.events.append, self.records.append)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.watch.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.wait({self.task})
        assert self.task.cancelled(), self.task.exception()

    def sum(self, key):
        at = [field.key for field in schema([path.name for path in self.watch.paths]).fields].index(key)
        return sum(record.values[at] for record in self.records)


async def test_fails_over_comes_back_and_loses_nothing(mosquitto, ring, clock, feed, run_uplink):
    """The first path is swallowed without a word in the middle of the work, and heals later."""
    async with WireTap(("127.0.0.1", mosquitto.port)) as lan, WireTap(("127.0.0.1", mosquitto.port)) as modem:
        first, second = PathSettings(name="lan", port=lan.port), PathSettings(name="modem", port=modem.port, metered=True)
        async with Paths(clock, settings(1, **HASTY), first, second) as paths, \
                run_uplink(1, paths=paths.watch, **HASTY) as uplink:
            await until(lambda: uplink.state().connected)
            assert uplink.state().path == "lan"
            feeding = asyncio.create_task(feed.readings(500))
            await until(lambda: len(lan.acked) >= 5)
            lan.blackhole()
            await feeding
            await until(lambda: uplink.state().path == "modem" and uplink.state().connected)
            await feed.readings(300)
            await drained(uplink)
            assert len(modem.acked) > 5
            lan.heal()
            await until(lambda: uplink.state().path == "lan" and uplink.state().connected)
            await feed.readings(200)
            await drained(uplink)
            state = uplink.state()
        sent = sum(len(published.payload) for published in modem.published)
        assert sent < paths.sum("path_modem_sent_bytes") < 3 * sent + 40_000
        assert paths.sum("path_lan_received_bytes") > 1_000
    lan.published, lan.acked = lan.published + modem.published, lan.acked + modem.acked
    judge(lan, feed, cuts=state.connections - 1)
    assert [path.name for path in state.paths if path.in_use] == ["lan"]
    assert state.takeovers == 0, "one session at a time: the old one is closed before the new one opens"
    assert [record.values[0] for record in paths.events] == ["uplink_path_changed"] * 2
    there, back = (record.values[1] for record in paths.events)
    assert there.startswith("lan -> modem: not a word from the server for ")
    assert back.startswith("modem -> lan: a better path has answered for ")
    assert modem.connections > len(modem.levels) > 0, "probes, besides logins"


async def test_a_refused_login_is_no_fault_of_the_path(clock, run_uplink):
    async def refuse(reader, writer):
        await reader.read(1_000)
        writer.write(b"\x20\x03\x00\x87\x00")
        await writer.drain()
        writer.close()

    made = settings(1)
    async with listening(handler=refuse) as port, \
            Paths(clock, made, PathSettings(name="lan", port=port), PathSettings(name="modem", port=free_port())) as paths, \
            run_uplink(1, refused_backoff_s=0.1, paths=paths.watch) as uplink:
        await until(lambda: uplink.state().rejected)
        await until(lambda: paths.watch.states()[1].answers is False)
        heard_at = paths.watch._chooser.heard_at
        await until(lambda: paths.watch._chooser.heard_at > heard_at)
        assert "cannot reach" in paths.watch.states()[1].detail


async def test_without_paths_nothing_is_probed_and_bytes_are_counted(mosquitto, ring, clock, feed, run_uplink):
    made = settings(mosquitto.port)
    async with Paths(clock, made) as paths, run_uplink(mosquitto.port, paths=paths.watch) as uplink:
        await feed.readings(100)
        await drained(uplink)
        assert ring.backlog(Stream.INSTANT).records == 0
        assert uplink.state().paths[0].sent_bytes_today > 5_000
        paths.watch._tell_at = 0.0      # an hour is over
        paths.watch._count()
        assert paths.sum("path_uplink_sent_bytes") > 5_000
        kept = len(paths.records)
    assert len(paths.records) == kept, "a gateway that has sent all may stop with nothing unsent"


async def test_where_nobody_connects_no_path_is_at_fault(clock):
    """Without credentials nothing is asked of the server, so nothing is heard, for days."""
    now = 0.0
    clock.monotonic = lambda: now
    paths = Paths(clock, settings(1), PathSettings(name="lan", port=free_port()), PathSettings(name="modem", port=free_port()))
    async with paths:
        for _ in range(100):
            now += 1_000.0
            paths.watch._look()
        assert paths.events == []
        paths.watch.wanted()
        paths.watch._look()
        assert paths.events == [], "silence counts from now on"
        now += FAST["dead_after_s"]
        paths.watch.wanted()
        paths.watch._look()
        assert len(paths.events) == 1


# ---- probes


@pytest.fixture
def tls_server(tmp_path):
    """`async with`-less: (authority, context) of a server that is localhost."""
    authority = Authority("a test's")
    authority.server(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.load_verify_locations(tmp_path / "ca.pem")
    return context


@asynccontextmanager
async def listening(context=None, handler=None):
    async def silent(reader, writer):
        with suppress(OSError):
            await reader.read()
        writer.close()

    front = await asyncio.start_server(handler or silent, "127.0.0.1", 0, ssl=context)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()
        await front.wait_closed()


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("asks", ["false", "true"])
async def test_a_probe_shakes_hands_and_shows_no_certificate(tls_server, mosquitto, tmp_path, monkeypatch, asks, most):
    """A broker that wants one was reached all the same: it says so after it has shown its own."""
    files = {"cafile": tmp_path / "ca.pem", "certfile": tmp_path / "server.pem", "keyfile": tmp_path / "server.key"}
    (tmp_path / "strict").mkdir()
    broker = Mosquitto(mosquitto.binary, tmp_path / "strict", require_certificate=asks, user="root", **files)
    await broker.start()

    def at_most(made):
        context = tls_context(made)
        context.maximum_version = most
        return context

    monkeypatch.setattr(probing, "tls_context", at_most)
    dialer, made = Dialer(), settings(broker.port, tls=True, ca_file=str(tmp_path / "ca.pem"), host="localhost")
    way = way_of(made, PathSettings(name="by-address", host="127.0.0.1"))
    assert (way.tls_name, way.host) == ("localhost", "127.0.0.1")
    assert await probe(made, way, dialer) == ""
    assert dialer.carried("by-address").received_bytes > 500
    await broker.kill()


async def test_a_probe_never_logs_in():
    heard = asyncio.Queue()

    async def hear(reader, writer):
        heard.put_nowait(await reader.read())
        writer.close()

    async with listening(handler=hear) as port:
        assert await probe(settings(port), way_of(settings(port)), Dialer()) == ""
        async with asyncio.timeout(5):
            assert await heard.get() == b""


async def test_a_captive_portal_does_not_answer_a_probe(tls_server, tmp_path):
    (tmp_path / "other.pem").write_bytes(Authority("another").pem)
    async with listening(tls_server) as port:
        made = settings(port, tls=True, ca_file=str(tmp_path / "other.pem"), host="localhost")
        assert "uplink.ca_file does not vouch for" in await probe(made, way_of(made), Dialer())
    made = settings(port, tls=True, ca_file=str(tmp_path / "none.pem"))
    assert "uplink.ca_file" in await probe(made, way_of(made), Dialer())


async def test_a_probe_that_nobody_answers_ends_in_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as mute:
        port = mute.getsockname()[1]
        fillers = []
        for _ in range(3):      # fill the backlog
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        made = settings(port, connect_timeout_s=0.3)
        assert "no answer" in await probe(made, way_of(made), Dialer())
        for filler in fillers:
            filler.close()
    assert "cannot reach" in await probe(settings(free_port()), way_of(settings(free_port())), Dialer())


# ---- dialling


async def test_an_interface_that_is_not_there_is_named():
    made = settings(free_port())
    way = way_of(made, PathSettings(name="modem", interface="nosuch0"))
    assert str(way).endswith(" through nosuch0")
    assert await probe(made, way, Dialer()) == f"cannot reach {way}: interface nosuch0: No such device"


async def test_a_kernel_that_wants_a_privilege_for_it_is_told(monkeypatch):
    def refuse(_self, _level, option, _value):
        if option == socket.SO_BINDTODEVICE:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(CountedSocket, "setsockopt", refuse, raising=False)
    made = settings(free_port())
    assert "needs Linux 5.7, or CAP_NET_RAW" in await probe(made, way_of(made, PathSettings(name="m", interface="lo")), Dialer())


async def test_names_are_remembered_for_when_nobody_resolves_them(monkeypatch):
    async with listening() as port:
        loop, dialer = asyncio.get_running_loop(), Dialer()
        way = way_of(settings(port, host="localhost"))
        (await dialer.connected(way, 2.0)).close()

        async def fails(*_, **__):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(loop, "getaddrinfo", fails)
        (await dialer.connected(way, 2.0)).close()
        with pytest.raises(OSError, match="its name is not resolved: Temporary failure"):
            await Dialer().connected(way, 2.0)


async def test_bytes_are_those_of_the_kernel():
    async def greet(reader, writer):
        writer.write(b"x" * 10_000)
        await reader.read(5_000)
        writer.close()

    async with listening(handler=greet) as port:
        dialer = Dialer()
        one = await dialer.connected(way_of(settings(port), PathSettings(name="a")), 2.0)
        reader, writer = await asyncio.open_connection(sock=one)
        writer.write(b"y" * 5_000)
        assert len(await reader.readexactly(10_000)) == 10_000
        await reader.read()
        writer.close()
        await writer.wait_closed()
        carried = dialer.carried("a")
        assert 5_000 < carried.sent_bytes < 7_000
        assert 10_000 < carried.received_bytes < 12_000
        assert dialer.carried("b") == Traffic()
        assert traffic_of(b"\0" * 100) == Traffic(), "an old kernel counts nothing"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may test that nobody may")
async def test_binding_to_an_interface_needs_no_privilege():
    """As an ordinary user without any capability (Linux 5.7 on)."""
    async with listening() as port:
        script = ("import os,socket; os.setgroups([]); os.setgid(65534); os.setuid(65534); s=socket.socket();"
                  "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lo\\0'); s.connect(('127.0.0.1', %d))")
        process = await asyncio.create_subprocess_exec("/usr/bin/python3", "-c", script % port)
        assert await process.wait() == 0

"""One connection: every way in which opening, publishing and ending can go."""

import asyncio
import gc
import logging
import socket
import ssl
import subprocess
from contextlib import suppress

import pytest
from moat.lib.mqtt import ReasonCode
from mosquitto_broker import free_port
from uplink_bench import TOKEN, settings

from edge.credentials import Login
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules, Verdict
from edge.errors import ConfigError, Rejected, Retryable
from edge.model import Publish
from edge.uplink.arrivals import Ack
from edge.uplink.mqtt import Session
from edge.uplink.tls import tls_context

OWN = "v1/devices/me/telemetry"


def session(port, **changes):
    token = changes.pop("token", TOKEN)
    client_id = changes.pop("client_id", "gw")
    made = settings(port, **changes)
    return Session(made, client_id=client_id, login=Login("a test", token), activity=asyncio.Event(), tls=tls_context(made))


async def acks_of(open_session, count):
    found = []
    async with asyncio.timeout(3):
        while len(found) < count:
            await open_session.activity.wait()
            open_session.activity.clear()
            found += open_session.take_acks()
    return found


async def lost(open_session):
    async with asyncio.timeout(3):
        while open_session.loss is None:
            await open_session.activity.wait()
            open_session.activity.clear()
    return open_session.loss


@pytest.fixture
async def server():
    async with ThingsBoard(Rules(TOKEN)) as made:
        yield made


class Answering:
    """A server that answers the first bytes of a client with fixed ones (None: closes; b"": stays silent)."""

    def __init__(self, answer):
        self.answer, self.gone = answer, asyncio.Event()
        self.tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self._server.close()
        await asyncio.gather(*self.tasks)
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        await self._talk(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _talk(self, reader, writer):
        await reader.read(100)
        if self.answer:
            writer.write(self.answer)
        if self.answer is not None:
            await reader.read(100)      # until the client is gone
        self.gone.set()


async def test_reasons_are_read_and_ids_are_learnt_at_once(server):
    one = session(server.port)
    await one.open()
    verdicts = [Verdict(), Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID), Verdict(ReasonCode.QUOTA_EXCEEDED), Verdict()]
    server.contract.rules.next_verdicts += verdicts
    ids = [one.publish(Publish(OWN, b'{"a":%d}' % n)) for n in range(4)]
    assert len(set(ids)) == 4
    assert await acks_of(one, 4) == [Ack(ids[0], 0), Ack(ids[1], 0x99), Ack(ids[2], 0x97), Ack(ids[3], 0)]
    assert one.writable
    await one.close()


async def test_ids_never_run_out_while_answers_come(server):
    one = session(server.port)
    await one.open()
    one._handler.id_generator._last_used_id = 60_000          # as after so many publications
    for _ in range(20):
        ids = [one.publish(Publish("x/unknown", b"{}")) for _ in range(600)]        # past 65,535 and on from 1
        assert {ack.packet_id for ack in await acks_of(one, 600)} == set(ids)
    await one.close()


@pytest.mark.parametrize(("code", "kind"), [(0x86, Rejected), (0x87, Rejected), (0x85, Rejected), (0x88, Retryable), (0x9F, Retryable)])
async def test_refused_logins_are_told_apart(server, code, kind):
    server.contract.rules.refuse_login = ReasonCode(code)
    with pytest.raises(kind, match=f"refused the login: 0x{code:02x}"):
        await session(server.port).open()


async def test_nobody_there():
    with pytest.raises(Retryable, match=r"cannot reach 127\.0\.0\.1"):
        await session(free_port()).open()


@pytest.mark.parametrize(("answer", "kind", "text"), [
    (None, Retryable, "closed the connection before its CONNACK"),
    (b"", Retryable, "no CONNACK within 0.3 s"),
    (b"\x20\x02\x00\x01", Rejected, "does not speak MQTT 5"),
    (b"\x20\x03\x00\x84\x00", Rejected, "does not speak MQTT 5"),
    (b"\xff\xff\xff\xff\xff\xff", Retryable, "no CONNACK within 0.3 s"),
])
async def test_servers_that_are_none(answer, kind, text):
    server = Answering(answer)
    async with server as port:
        with pytest.raises(kind, match=text):
            await session(port, connect_timeout_s=0.3).open()
        async with asyncio.timeout(1):
            await server.gone.wait()


async def test_nothing_small_waits_for_an_answer_to_what_went_before(server):
    """Nagle's algorithm and a delayed ACK together hold back what follows a ping by 40 ms."""
    made = session(server.port)
    await made.open()
    raw = made._client._connection._transport.get_extra_info("socket")
    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await made.close()


async def test_cancelling_open_leaves_no_socket():
    server = Answering(b"")
    async with server as port:
        opening = asyncio.create_task(session(port).open())
        await asyncio.sleep(0.05)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        async with asyncio.timeout(1):
            await server.gone.wait()


async def test_takeover_is_noticed(server):
    one, other = session(server.port), session(server.port)
    await one.open()
    await other.open()
    loss = await lost(one)
    assert loss.reason == 0x8E
    assert "another client" in loss.text
    assert not one.writable
    with pytest.raises(Retryable):
        one.publish(Publish(OWN, b"{}"))
    one.abort()
    await other.close()


async def test_a_lost_link_is_a_loss_once(server):
    one = session(server.port)
    await one.open()
    await server.outage()
    assert (await lost(one)).reason is None
    one.abort()
    one.abort()


async def test_messages_come_through(server):
    server.contract.rules.limits = {"maxPayloadSize": 1}
    one = session(server.port)
    await one.open()
    one.subscribe("v1/devices/me/rpc/response/+")
    one.publish_unacknowledged(Publish("v1/devices/me/rpc/request/1", b'{"method":"getSessionLimits"}'))
    async with asyncio.timeout(2):
        while not (messages := one.take_messages()):
            await one.activity.wait()
            one.activity.clear()
    assert messages[0].topic == "v1/devices/me/rpc/response/1"
    assert messages[0].payload == b'{"maxPayloadSize":1}'
    await one.close()


async def test_a_stalled_peer_stops_the_flow_and_ends_at_once():
    """17 MB in the write buffer: transport.close() would wait for them for ever."""
    class Stalled(Answering):
        async def _talk(self, reader, writer):
            await reader.read(100)
            writer.write(b"\x20\x03\x00\x00\x00")
            await self.gone.wait()
            writer.transport.abort()

    server = Stalled(None)
    async with server as port:
        one = session(port)
        await one.open()
        handed = 0
        while one.writable:
            one.publish(Publish(OWN, b"x" * 100_000))
            handed += 100_000
            assert handed < 50_000_000
        for _ in range(100):
            one.publish(Publish(OWN, b"x" * 100_000))       # nobody should, but if: it still ends
        before = asyncio.get_running_loop().time()
        await one.close()
        assert asyncio.get_running_loop().time() - before < 0.5
        server.gone.set()


async def test_receive_maximum_is_read():
    async with Answering(b"\x20\x0b\x00\x00\x08\x21\x00\x14\x27\x00\x00\x20\x00") as port:
        one = session(port)
        await one.open()
        assert one.receive_maximum == 20
        assert one.packet_limit_bytes == 8_192
        for _ in range(19):
            one.publish(Publish(OWN, b"{}"))
        with pytest.raises(Retryable, match="no packet id is free"):
            one.publish(Publish(OWN, b"{}"))
        one.abort()


async def test_the_token_is_in_no_log_and_no_repr(server, caplog):
    caplog.set_level(logging.DEBUG)
    one = session(server.port, client_id="Zähler-Gateway")
    await one.open()
    one.publish(Publish(OWN, b'{"a":1}'))
    await acks_of(one, 1)
    await one.close()
    server.contract.rules.refuse_login = ReasonCode.NOT_AUTHORIZED
    with pytest.raises(Rejected) as refusal:
        await session(server.port).open()
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("moat")]
    assert TOKEN not in " ".join([*ours, repr(one), str(refusal.value)])
    assert any(connection for connection in ours) or ours == []


async def test_nothing_of_a_session_stays(server):
    gc.collect()
    before = len(asyncio.all_tasks())
    for _ in range(5):
        one = session(server.port)
        await one.open()
        one.abort()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) <= before + 1


# ---- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, a server certificate of it for localhost, and a CA of somebody else."""
    place = tmp_path_factory.mktemp("tls")

    def run(*words):
        subprocess.run(["openssl", *words], cwd=place, check=True, capture_output=True)

    for name in ("ca", "stranger"):
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (place / "ext").write_text("subjectAltName=DNS:localhost\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "server.pem")
    return place


@pytest.mark.parametrize(("ca", "host", "error"), [
    ("ca", "localhost", None), ("stranger", "localhost", "certificate that uplink.ca_file does not vouch for"),
    ("ca", "127.0.0.1", "certificate for another host; uplink.host must be a name that stands in it, 127.0.0.1 does not"),
])
async def test_tls_with_a_pinned_ca(server, certificates, ca, host, error):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")

    relays = set()

    async def relay(reader, writer):
        relays.add(asyncio.current_task())
        back, forth = await asyncio.open_connection("127.0.0.1", server.port)

        async def pump(source, sink):
            try:
                while data := await source.read(4096):
                    sink.write(data)
            except OSError:
                pass
            sink.close()
        await asyncio.gather(pump(reader, forth), pump(back, writer))
        for sink in (forth, writer):
            with suppress(OSError):
                await sink.wait_closed()

    front = await asyncio.start_server(relay, "localhost", 0, family=2, ssl=context)
    port = front.sockets[0].getsockname()[1]
    one = session(port, host=host, tls=True, ca_file=str(certificates / f"{ca}.pem"))
    if error:
        with pytest.raises(Rejected, match=error):
            await one.open()
    else:
        await one.open()
        one.publish(Publish(OWN, b'{"a":1}'))
        assert [ack.reason for ack in await acks_of(one, 1)] == [0]
        await one.close()
    front.close()
    await asyncio.gather(*relays)


def test_tls_settings(tmp_path):
    with pytest.raises(ConfigError, match=r"uplink\.ca_file: missing"):
        tls_context(settings(1, tls=True))
    bad = tmp_path / "no.pem"
    bad.write_text("nonsense")
    with pytest.raises(ConfigError, match="no readable PEM certificate"):
        tls_context(settings(1, tls=True, ca_file=str(bad)))
    with pytest.raises(ConfigError, match="no readable PEM certificate"):
        tls_context(settings(1, tls=True, ca_file=str(tmp_path / "absent.pem")))
    assert tls_context(settings(1)) is None

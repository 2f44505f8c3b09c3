"""What a server may send that MQTT 5 does not allow: the connection ends, as a fault that passes, and nothing spins."""

import asyncio
import logging
import random
from contextlib import asynccontextmanager, suppress

import pytest
from uplink_bench import TOKEN, settings

from edge.credentials import Login
from edge.errors import Rejected, UplinkError
from edge.model import Publish
from edge.uplink.mqtt import Session

OWN = "v1/devices/me/telemetry"
CONNACK = b"\x20\x03\x00\x00\x00"


class Hostile:
    """Sends `greeting` at once on CONNECT and `then` on the next bytes; closes when the client does."""

    def __init__(self, greeting, then=b"", *, closes=False):
        self.greeting, self.then, self.closes = greeting, then, closes
        self.accepted = self.gone = 0
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        async with asyncio.timeout(2):
            await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.accepted += 1
        with suppress(OSError):
            await reader.read(1_000)
            writer.write(self.greeting)
            if self.then:
                await reader.read(1_000)
                writer.write(self.then)
            while not self.closes and await reader.read(65_536):
                pass
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self.gone += 1


def session(port, **changes):
    made = settings(port, **({"connect_timeout_s": 0.3} | changes))
    return Session(made, client_id="gw", login=Login("a test", TOKEN), activity=asyncio.Event())


@asynccontextmanager
async def opened(port, **changes):
    one = session(port, **changes)
    try:
        await one.open()
        yield one
    finally:
        one.abort()
        await asyncio.sleep(0)


async def lost(one):
    async with asyncio.timeout(1):
        while one.loss is None:
            await one.activity.wait()
            one.activity.clear()
    return one.loss


@pytest.mark.parametrize("packet", [
    b"\x40\x00", b"\x40\x01\x01",                          # PUBACK without a whole packet id
    b"\x20\x03\x00\x00\x00", b"\x20\x02\x00\x01",          # a second CONNACK
    b"\x30\x00", b"\x30\x02\x00\x09", b"\x90\x01\x00",     # PUBLISH and SUBACK that end too early
    b"\x00\x00", b"\x30\x05\x00\x01a\xff\xff",
], ids=lambda packet: packet.hex())
async def test_a_malformed_packet_ends_the_connection(packet, caplog):
    async with Hostile(CONNACK, packet * 50) as server, opened(server.port) as one:
        packet_id = one.publish(Publish(OWN, b"{}"))
        assert packet_id == 1
        assert "MQTT" in (await lost(one)).text
        assert one.take_acks() == [], "nothing was acknowledged"
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 1, "no flood"


async def test_a_packet_without_end_is_not_collected():
    async with Hostile(CONNACK, b"\x30\xff\xff\xff\x7f" + b"x" * 3_000_000) as server, opened(server.port) as one:
        one.publish(Publish(OWN, b"{}"))
        assert "MQTT" in (await lost(one)).text


async def test_a_host_name_that_cannot_be_one():
    for host in ("a..b", "x" * 70):
        with pytest.raises(Rejected, match=r"uplink\.host"):
            await session(1, host=host).open()


@pytest.mark.parametrize(("says", "pings_every_s"), [(b"\x13\x00\x00", 1), (b"\x13\xff\xff", 1), (b"\x13\x00\x02", 1)])
async def test_the_server_cannot_make_our_pings_rarer(says, pings_every_s):
    """Silence is judged by our own keep alive, so pings must keep to it; the server may only shorten it."""
    async with Hostile(b"\x20\x06\x00\x00\x03" + says) as server, opened(server.port, keepalive_s=pings_every_s) as one:
        assert one._client._connection.keepalive == pings_every_s


async def test_cancelling_at_every_step_of_a_connection_leaves_no_socket():
    """A ResourceWarning or a connection that stays fails this."""
    async with Hostile(CONNACK) as server:
        before = len(asyncio.all_tasks())
        for steps in range(24):
            one = session(server.port)

            async def life(one=one):
                try:
                    await one.open()
                    one.publish(Publish(OWN, b"{}"))
                    await asyncio.sleep(0)
                finally:
                    await one.close()

            task = asyncio.ensure_future(life())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task}, timeout=2)
            assert task.done()
            async with asyncio.timeout(2):
                while server.gone < server.accepted:
                    await asyncio.sleep(0.001)
        assert server.accepted > 5
        # In one step, between TCP and the first line of gmqtt's connection, its reading task is left waiting; the socket is not.
        async with asyncio.timeout(2):
            while len(asyncio.all_tasks()) > before + 3:
                await asyncio.sleep(0.001)


async def talk(seed):
    """One connection against a server that sends damaged answers. Returns how it ended."""
    rng = random.Random(seed)
    good = [CONNACK, b"\x20\x0b\x00\x00\x08\x21\x00\x14\x27\x00\x00\x20\x00", b"\x40\x02\x00\x01", b"\x40\x04\x00\x02\x97\x00",
            b"\x90\x04\x00\x01\x00\x01", b"\x32\x0a\x00\x03a/b\x00\x07\x00{}", b"\xd0\x00", b"\xe0\x02\x8e\x00", b"\xf0\x00"]

    def damaged(data):
        data = bytearray(data)
        for _ in range(rng.choice([0, 1, 1, 2, 5])):
            what, at = rng.randrange(3), rng.randrange(len(data) or 1)
            if what == 0 and data:
                data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            elif what == 1:
                data[at:at] = rng.randbytes(rng.randrange(4))
            else:
                del data[at:at + rng.randrange(1, 3)]
        return bytes(data)

    greeting = damaged(good[0]) if rng.random() < 0.4 else rng.choice(good[:2])
    then = b"".join(damaged(rng.choice(good)) for _ in range(rng.randrange(1, 6)))
    async with Hostile(greeting, then, closes=rng.random() < 0.7) as server:
        one = session(server.port, connect_timeout_s=0.1, keepalive_s=1)
        try:
            await one.open()
            one.subscribe("a/+")
            for _ in range(3):
                one.publish(Publish(OWN, b"{}"))
            async with asyncio.timeout(0.1):
                while one.loss is None:
                    await one.activity.wait()
                    one.activity.clear()
            assert all(ack.packet_id for ack in one.take_acks())
        except TimeoutError:
            return "open"
        except UplinkError as error:
            return type(error).__name__
        else:
            return "lost"
        finally:
            await one.close()


async def test_damaged_answers_of_any_kind():
    """Nothing but UplinkError comes out, whatever the bytes; a longer run of the same is done by hand."""
    ends = [await talk(seed) for seed in range(40)]
    assert set(ends) <= {"open", "lost", "Retryable", "ClosedAtOnce", "Rejected", "OtherVersion"}
    assert {"lost", "Retryable"} <= set(ends)

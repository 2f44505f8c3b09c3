"""Which MQTT a server is spoken to in, and what a PUBACK is worth in 3.1.1."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mosquitto_broker import free_port
from oldbroker import BY_CLOSING, BY_CONNACK, BY_CONNACK_OF_5, OldBroker
from test_uplink_mosquitto import PLAIN_TOPIC, WINDOW, drained, judge
from uplink_bench import TOKEN, settings, until
from wiretap import WireTap

from edge.credentials import Login
from edge.errors import Rejected, Retryable
from edge.model import Batch, Publish, SeqSpan, Stream
from edge.uplink.arrivals import Ack, ClosedAtOnce, OtherVersion
from edge.uplink.flight import Flight, InFlight, Pending
from edge.uplink.mqtt import Session
from edge.uplink.opening import opened, versions_of
from edge.uplink.settling import Settling
from edge.uplink.source import Lane
from edge.uplink.versions import GUESSED_FOR_S, REFUSED_FOR_S, Versions

SERVER = ("broker", 1883)
CONNACK, PINGRESP = b"\x20\x02\x00\x00", b"\xd0\x00"


# ---- what is remembered of a server


def test_a_refusal_is_remembered_for_a_day_and_of_that_server_only():
    versions = Versions("auto", by_closing=False)
    assert versions.refused(SERVER, "5", now=10.0)
    assert versions.next(SERVER, 10.0) == "3.1.1"
    assert versions.next(("another", 1883), 10.0) == "5"
    assert versions.next(SERVER, 9.0 + REFUSED_FOR_S) == "3.1.1"
    assert versions.next(SERVER, 10.0 + REFUSED_FOR_S) == "5"


def test_a_guess_is_made_of_two_and_lasts_an_hour_or_until_it_is_closed_too():
    versions = Versions("auto", by_closing=True)
    versions.closed(SERVER, "5", now=0.0)
    assert versions.next(SERVER, 0.0) == "5", "one is no sign"
    versions.closed(SERVER, "5", now=1.0)
    assert versions.next(SERVER, 1.0) == "3.1.1"
    versions.taken(SERVER, "3.1.1")
    assert versions.next(SERVER, GUESSED_FOR_S) == "3.1.1"
    assert versions.next(SERVER, 1.0 + GUESSED_FOR_S) == "5"
    versions.closed(SERVER, "3.1.1", now=2.0)
    versions.taken(SERVER, "3.1.1")
    versions.closed(SERVER, "3.1.1", now=2.0)
    assert versions.next(SERVER, 2.0) == "3.1.1"
    versions.closed(SERVER, "3.1.1", now=2.0)
    assert versions.next(SERVER, 2.0) == "5", "it closes whatever is spoken"


def test_a_server_that_says_so_is_not_guessed_about():
    versions = Versions("auto", by_closing=False)
    for _ in range(9):
        versions.closed(SERVER, "5", now=0.0)
    assert versions.next(SERVER, 0.0) == "5"


def test_a_refusal_of_3_1_1_and_a_login_by_5_end_what_was_known():
    versions = Versions("auto", by_closing=True)
    versions.refused(SERVER, "5", now=0.0)
    versions.refused(SERVER, "3.1.1", now=1.0)
    assert versions.next(SERVER, 1.0) == "5"
    versions.closed(SERVER, "5", now=1.0)
    versions.taken(SERVER, "5")
    versions.closed(SERVER, "5", now=1.0)
    assert versions.next(SERVER, 1.0) == "5"


@pytest.mark.parametrize("wanted", ["5", "3.1.1"])
def test_a_version_that_is_set_stays(wanted):
    versions = Versions(wanted, by_closing=True)
    for _ in range(3):
        versions.closed(SERVER, wanted, now=0.0)
    assert not versions.refused(SERVER, wanted, now=0.0)
    assert versions.next(SERVER, 0.0) == wanted


# ---- PUBACKs without a reason


@example("apra pppaarrr").via("a ping of the keep alive, between")
@given(st.text("apr", max_size=60))
def test_a_puback_counts_once_a_later_ping_is_answered_and_in_order(events):
    """a: a PUBACK comes, p: gmqtt's own keep alive pings, r: the server answers the oldest ping."""
    settling, came, counted, pings = Settling(), [], [], []

    def ping():
        settling.pinged()
        pings.append(len(came))

    for event in events:
        if event == "a":
            came.append(len(came) + 1)
            settling.acked(len(came))
        elif event == "p":
            ping()
        elif event == "r" and pings:
            counted += settling.answered()
            assert counted == came[:max(len(counted), pings.pop(0))], "what came before the ping, all of it, nothing else"
        if settling.wants_ping:
            ping()
        assert not settling.unsettled or pings, "somebody has to ask"
    assert settling.unsettled == set(came) - set(counted)
    while pings:
        pings.pop(0)
        counted += settling.answered()
        if settling.wants_ping:
            ping()
    assert counted == came
    with pytest.raises(ValueError, match="PINGRESP"):
        settling.answered()


class By311:
    """A server by hand: answers CONNECT, keeps what comes, sends what it is told to."""

    async def __aenter__(self):
        self.heard, self.news, self.done = b"", asyncio.Event(), asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.writer.transport.abort()
        await self.done.wait()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.writer = writer
        with suppress(OSError):
            self.connect = await reader.read(1_000)
            writer.write(CONNACK)
            while data := await reader.read(1_000):
                self.heard += data
                self.news.set()
        self.done.set()

    async def until_heard(self, what, count=1):
        async with asyncio.timeout(5):
            while self.heard.count(what) < count:
                self.news.clear()
                await self.news.wait()


async def test_nothing_is_acknowledged_before_its_ping_is_answered():
    async with By311() as server:
        made = settings(server.port)
        session = Session(made, client_id="gw", login=Login("a test", TOKEN), activity=asyncio.Event(), version="3.1.1")
        await session.open()
        assert server.connect[2:9] == b"\x00\x04MQTT\x04"
        assert session.receive_maximum is None
        assert session.packet_limit_bytes is None
        first, second = (session.publish(Publish("t", b"%d" % n)) for n in range(2))
        server.writer.write(b"\x40\x02" + first.to_bytes(2, "big"))
        await server.until_heard(b"\xc0\x00")
        assert session.take_acks() == []
        assert session.unsettled == {first}
        assert (session.awaited(first), session.awaited(second)) == ("answer to the ping behind a PUBACK", "PUBACK")
        server.writer.write(b"\x40\x02" + second.to_bytes(2, "big") + PINGRESP)
        await server.until_heard(b"\xc0\x00", 2)
        assert session.take_acks() == [Ack(first, 0)], "the ping was sent before the second came"
        server.writer.write(PINGRESP)
        async with asyncio.timeout(5):
            while not (acks := session.take_acks()):
                await session.activity.wait()
                session.activity.clear()
        assert acks == [Ack(second, 0)]
        session.abort()


async def test_a_puback_before_the_end_of_the_connection_does_not_count(ring, feed, run_uplink):
    """ThingsBoard over a rate limit, in 3.1.1: a PUBACK, then the end. What it did not take stays in the ring."""
    refused = asyncio.Event()

    async def serve(reader, writer):
        with suppress(OSError):
            await reader.read(1_000)
            writer.write(CONNACK)
            data = b""
            while (at := data.find(b"telemetry")) < 0 and (more := await reader.read(65_536)):
                data += more
            if at >= 0:
                writer.write(b"\x40\x02" + data[at + 9:at + 11])
                refused.set()
            writer.close()

    front = await asyncio.start_server(serve, "127.0.0.1", 0)
    await feed.readings(20)
    async with run_uplink(front.sockets[0].getsockname()[1], dialect="mqtt", topic="telemetry", mqtt="3.1.1") as uplink:
        async with asyncio.timeout(10):
            await refused.wait()
        await until(lambda: not uplink.state().connected)
        assert ring.backlog(Stream.INSTANT).records == 20
    front.close()


def test_a_publication_whose_puback_does_not_count_yet_is_not_blamed_for_the_end():
    flying = InFlight(1.0, now=0.0)
    flights = [Flight(Batch(SeqSpan(Stream.INSTANT, n, n), ()), Lane.FRESH, 1, own=False, devices=True) for n in range(2)]
    for number, flight in enumerate(flights):
        flying.add(7 + number, Pending(10, 0.0, flight))
    assert flying.head(besides={7}).flight is flights[1]
    assert flying.head(besides=set()).flight is flights[0]


# ---- finding out


@pytest.mark.parametrize(("refusal", "dialect"), [(BY_CONNACK, "thingsboard"), (BY_CONNACK_OF_5, "mqtt"), (BY_CLOSING, "mqtt")])
async def test_a_broker_without_5_is_drained_by_3_1_1_over_cuts(mosquitto, ring, feed, run_uplink, refusal, dialect):
    """Every way of refusing 5; the broker killed, the link cut with and without FIN, all in the middle of the work."""
    async with OldBroker(("127.0.0.1", mosquitto.port), refusal) as old, WireTap(("127.0.0.1", old.port)) as tap, \
            run_uplink(tap.port, dialect=dialect, topic=PLAIN_TOPIC, window_messages=WINDOW, batch_bytes=1_000,
                       ack_timeout_s=0.5) as uplink:
        await until(lambda: uplink.state().connected)
        assert uplink.state().mqtt == "3.1.1"
        for cut in ("reset", "kill", "blackhole"):
            begun = len(tap.acked)
            feeding = asyncio.create_task(feed.readings(400))
            await until(lambda begun=begun: len(tap.acked) >= begun + 5)
            if cut == "kill":
                await mosquitto.kill()
                await feeding
                await mosquitto.start()
            else:
                getattr(tap, cut)()
                await feeding
                await until(lambda: not uplink.state().connected)
                tap.heal()
        await drained(uplink)
        state = uplink.state()
    judge(tap, feed, cuts=3)
    assert state.quarantined == 0
    tries = 1 if refusal else 2
    assert tap.levels[:tries + 2] == [5] * tries + [4, 4], "remembered over the reset"
    assert tap.levels[-1] == 4


async def test_a_version_that_is_set_is_the_only_one(mosquitto):
    async with OldBroker(("127.0.0.1", mosquitto.port)) as old:
        with pytest.raises(OtherVersion, match=r"does not speak MQTT 5; see uplink\.mqtt"):
            await opening(settings(old.port, mqtt="5"))
    session = await opening(settings(mosquitto.port, mqtt="3.1.1"))
    assert session.version == "3.1.1"
    await session.close()


async def test_a_server_that_speaks_neither():
    async def serve(reader, writer):
        await reader.read(1_000)
        writer.write(BY_CONNACK)
        writer.close()

    front = await asyncio.start_server(serve, "127.0.0.1", 0)
    with pytest.raises(Rejected, match=r"speaks neither MQTT 5 nor MQTT 3\.1\.1"):
        await opening(settings(front.sockets[0].getsockname()[1]))
    front.close()


@pytest.mark.parametrize("dialect", ["mqtt", "thingsboard"])
async def test_a_server_that_just_starts_is_found_by_5_again(mosquitto, dialect):
    """It closes twice, takes 3.1.1 as a guess where guesses are made, and is asked for 5 later."""
    async with OldBroker(("127.0.0.1", mosquitto.port), BY_CLOSING) as old:
        made = settings(old.port, dialect=dialect)
        versions = versions_of(made)
        for _ in range(2):
            with pytest.raises(ClosedAtOnce, match="closed the connection before its CONNACK"):
                await opening(made, versions)
        old.refusal = None
        session = await opening(made, versions)
        assert session.version == ("3.1.1" if dialect == "mqtt" else "5")
        await session.close()
        session = await opening(made, versions, now=GUESSED_FOR_S)
        assert session.version == "5"
        await session.close()


async def test_nobody_there_says_nothing_of_versions():
    made = settings(free_port(), dialect="mqtt")
    versions = versions_of(made)
    for _ in range(3):
        with pytest.raises(Retryable, match="cannot reach"):
            await opening(made, versions)
    assert versions.next((made.host, made.port), 0.0) == "5"


async def opening(made, versions=None, now=0.0):
    return await opened(made, versions or versions_of(made), now, client_id="gw", login=Login("a test", TOKEN),
                        activity=asyncio.Event(), tls=None)

"""What the tests of the listener share: free ports, a handler that keeps a book, TCP and UDP senders."""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from poll_bench import QUICK

from edge.clock import SystemClock
from edge.config import PushSettings, RingSettings
from edge.daemon.enrolment import Enrolment
from edge.daemon.pushes import Pushes
from edge.demo.meter_apdu import Manners, Secured
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.health.promise import Promises
from edge.meters.library import Library
from edge.meters.profile import load_profiles
from edge.model import Keys, Learned, Meter, Record, Stream
from edge.poll.fleet import Change, Fleet
from edge.push.listener import Listener
from edge.push.receiver import Message
from edge.ring.store import Ring
from edge.store.registry import FILE_NAME, Registry

PLAIN = bytes.fromhex("0fc00000010002031208fd12090106075bcd15")


def free_port() -> int:
    """A port that is free for TCP and UDP just now."""
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        with contextlib.suppress(OSError):
            udp.bind(tcp.getsockname())
            return tcp.getsockname()[1]
    return free_port()


class Told(Listener):
    """A listener that also tells its book when a connection has ended."""

    def leave(self, connection: Any, address: str) -> None:
        super().leave(connection, address)
        self.handler.news.set()


class Book:
    """A handler that admits everybody, or so many, and writes down what comes."""

    def __init__(self, room: int = 1_000_000, *meters: str) -> None:
        self.room = room
        self.meters = meters
        self.taken: list[tuple[bytes, str]] = []
        self.damage: list[tuple[str, str]] = []
        self.turned_away = 0
        self.news = asyncio.Event()

    def knows(self, address: str) -> bool:
        return address in self.meters

    def admit(self, address: str) -> bool:
        self.room -= 1
        self.turned_away += self.room < 0
        self.news.set()
        return self.room >= 0

    def take(self, message: Message, address: str) -> None:
        self.taken.append((message.apdu, address))
        self.news.set()

    def spoiled(self, reason: str, address: str) -> None:
        self.damage.append((reason, address))
        self.news.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()


@contextlib.asynccontextmanager
async def listening(book: Book, **settings: Any) -> AsyncIterator[tuple[Listener, int]]:
    """A listener on a free port for both."""
    port = free_port()
    listener = Told(PushSettings(**{"enabled": True, "tcp_port": port, "udp_port": port, "listen": "::"} | settings), book)
    await listener.open()
    try:
        yield listener, port
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def connected(port: int, host: str = "127.0.0.1") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def send_udp(port: int, *datagrams: bytes, host: str = "127.0.0.1") -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for datagram in datagrams:
            sock.sendto(datagram, (host, port))


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the other side has closed."""
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


# -- a daemon's part of it: registry, ring, listener -------------------------------------------------------------------

RING = RingSettings(size_mib=16, slot_mib=1, instant_commit_window_s=0.02, alarm_commit_window_s=0.02, billing_commit_window_s=0.02)
EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
TITLE = b"HGW\0\0\0\0\1"
GENERIC = load_profiles()["generic-three-phase"]
_SCALERS = {"voltage": (-1, 35), "current": (-2, 33), "frequency": (-2, 44), "active_power": (0, 27), "active_energy": (0, 30)}
LEARNED = Learned(scalers={spec.learned_key: _SCALERS[spec.key.split("_l")[0]] for spec in GENERIC.objects})


def simulated(framing: str = "wrapper", *, serial: str = "0000123456") -> SimulatedMeter:
    """A meter that pushes, with the keys above; its time stands still."""
    client = Secured(5, b"highlevelsecret!", 0, encryption_key=EK, authentication_key=AK)
    manners = Manners(passwords={16: None}, secured={3: client}, system_title=TITLE)
    now = float(int(time.time()))
    return SimulatedMeter("m", MeterModel(serial=serial, seed=3), MeterSettings(framing=framing, manners=manners), now=lambda: now)


def row(name: str = "m", host: str = "127.0.0.1", *, ciphered: bool = False, **more: Any) -> Meter:
    """A registered meter. It is paused: nobody polls it."""
    return Meter(name, host, 4059, authentication="none", paused=True, security="both" if ciphered else "none", **more)


class Idle:
    """A fleet without pollers."""

    async def apply(self, enrolled: Any) -> Change:
        return Change()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Site:
    """Registry, ring and push listener, as the daemon has them; `put` and time may be replaced."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.port = free_port()
        self.settings = PushSettings(**{"enabled": True, "listen": "::" if has_ipv6() else "0.0.0.0", "tcp_port": self.port,
                                        "udp_port": self.port} | settings)
        self.clock = SystemClock(trust_wall=True)
        self.news = asyncio.Event()

    def register(self, meter: Meter, learned: Learned = LEARNED, keys: Keys = Keys()) -> None:  # noqa: B008 - frozen
        with Registry.open(self.directory / FILE_NAME) as registry:
            registry.add(meter, keys=keys)
            registry.keep_learned(meter.name, learned)

    @contextlib.asynccontextmanager
    async def running(self, *, polls: bool = False) -> AsyncIterator[Pushes]:
        """The worker, listening; with pollers where asked for."""
        library = Library(self.directory / "profiles")
        enrolment = self.enrolment = Enrolment(self.directory / FILE_NAME, library)
        async with Ring.open(self.directory / "ring", RING, self.clock) as ring:
            self.ring = ring
            pushes = self.pushes = Pushes(self.settings, enrolment, library, self.put, self.clock)
            fleet = Idle() if not polls else Fleet(
                library, settings=QUICK, sink=self.sink, on_learned=enrolment.keep_learned, reserve=enrolment.reserve_counters,
                clock=self.clock, promises=Promises(), rng=random.Random(1), on_push=pushes.polled)
            tasks = [asyncio.create_task(self.following(enrolment, fleet)),
                     asyncio.create_task(pushes.run(lambda _within_s: self.news.set()))]
            try:
                yield pushes
            finally:
                for task in reversed(tasks):
                    task.cancel()
                    await asyncio.wait({task})
                await enrolment.close()
                for task in tasks:
                    assert task.cancelled(), task

    @staticmethod
    async def following(enrolment: Enrolment, fleet: Any) -> None:
        async with fleet:
            await enrolment.run(fleet, lambda _within_s: None)

    async def sink(self, record: Record) -> int:
        return self.put(Stream.INSTANT, record).seq

    def put(self, stream: Stream, record: Record) -> Any:
        self.news.set()
        return self.ring.put(stream, record)

    async def until(self, condition: Any) -> dict[str, Any]:
        """Wait until the worker's state fulfils it; looked at whenever something moves, and now and then."""
        async with asyncio.timeout(30):
            while not condition(state := self.pushes.state()):
                self.news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self.news.wait()
        return state

    async def records(self) -> dict[Stream, list[Record]]:
        """What the ring holds, once it is durable."""
        found = {}
        for stream in Stream:
            async with asyncio.timeout(30):
                while (status := self.ring.status().streams[stream.name.lower()]).durable_seq < status.newest_seq:
                    await asyncio.sleep(0.02)
            if stored := await self.ring.read(stream):
                found[stream] = [each.record for each in stored]
        return found


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


def values(record: Record) -> dict[str, Any]:
    return {field.key: value for field, value in zip(record.schema.fields, record.values, strict=True)}

"""The clients that `poll_vs_gurux.py` compares, each with one kept association, and the meters they read.

Ways: the TCP wrapper, HDLC, and the wrapper with GMAC and every APDU authenticated and encrypted (AES-128-GCM).
"""

import asyncio
import itertools
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gurux_dlms.enums import Authentication
from gurux_dlms.enums import Security as GuruxSecurity
from gurux_dlms.objects import GXDLMSRegister

from edge.demo.meter_manners import Manners, Secured
from edge.demo.meter_model import MeterModel
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms import apdu, wrapper
from edge.dlms.acse import aarq
from edge.dlms.association import AssociationSettings, Security
from edge.dlms.conformance import OFFERED
from edge.meters.profile import load_profiles
from edge.poll.counters import CounterDesk
from edge.poll.session import MeterSession
from edge.poll.transport import TcpTransport

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "demo"))
from gurux_client import GuruxReader
from gurux_secure import KEYS, TITLE, Access, SecureReader

PASSWORD = b"12345678"
NINE = tuple(spec.target for spec in load_profiles()["generic-three-phase"].objects)
WAYS = ("wrapper", "HDLC", "GMAC+AES")
ANSWER_BYTES = 54           # of the nine values over the wrapper
_numbers = itertools.count(1, 1 << 20)      # where each association's invocation counters begin


async def be_meters() -> None:
    """One meter per way; print their ports, end with the standard input."""
    ports = []
    meters = []
    for way in WAYS:
        secured = {3: Secured(5, encryption_key=KEYS[0][0], authentication_key=KEYS[0][1])}
        meters.append(SimulatedMeter(way, MeterModel(serial="1", seed=1), MeterSettings(
            framing="hdlc" if way == "HDLC" else "wrapper", manners=Manners(passwords={1: PASSWORD}, secured=secured))))
        ports.append((await meters[-1].start())[1])
    print(*ports, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


REST_S = 0.0005             # more than a meter's process is awake for without work


class Watch:
    """Adds up the CPU time of this process over polls that are rests apart; the rests are not counted."""

    def __init__(self) -> None:
        self.cpu_s = self._began = 0.0

    def start(self) -> None:
        """Let both sides come to rest, as they do in the field, and begin."""
        time.sleep(REST_S)
        self._began = time.process_time()

    def stop(self) -> None:
        self.cpu_s += time.process_time() - self._began


class NoRest:
    """Polls back to back: whoever is fast finds the meter's process still awake."""

    def start(self) -> None:
        """Go on at once."""

    def stop(self) -> None:
        """Nothing to add up."""


Pace = Watch | NoRest


class Ours:
    """The gateway's own session on an event loop."""

    def __init__(self, way: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.session = loop.run_until_complete(self._open(settings(way), port))

    async def _open(self, asked: AssociationSettings, port: int) -> MeterSession:
        async def reserve(_scope: str, _count: int, _at_least: int) -> int:
            return next(_numbers)

        session = MeterSession(lambda: TcpTransport.connect("127.0.0.1", port, timeout_s=5.0), asked,
                               counters=CounterDesk("m", "s", reserve) if asked.security else None)
        await session.open()
        return session

    def polls(self, count: int, pace: Pace) -> list[int]:
        return self.loop.run_until_complete(self._polls(count, pace))

    async def _polls(self, count: int, pace: Pace) -> list[int]:
        for _ in range(count):
            pace.start()
            results = await self.session.get(NINE)
            pace.stop()
        return [int(result.data) for result in results]

    def close(self) -> None:
        self.loop.run_until_complete(self.session.close())
        self.loop.close()


def settings(way: str) -> AssociationSettings:
    """How this gateway reads a way's meter."""
    if way == "GMAC+AES":
        return AssociationSettings("wrapper", 3, 1, authentication="hls-gmac", security=Security(TITLE, *KEYS[0]),
                                   conformance=OFFERED | 0x40_00_00)
    return AssociationSettings("hdlc" if way == "HDLC" else "wrapper", 1, 1, authentication="lls", password=PASSWORD)


class Theirs:
    """gurux-dlms on a blocking socket; its register objects are made once."""

    def __init__(self, way: str, port: int) -> None:
        if way == "GMAC+AES":
            access = Access(Authentication.HIGH_GMAC, GuruxSecurity.AUTHENTICATION_ENCRYPTION, counter=next(_numbers))
            self.reader: GuruxReader = SecureReader("127.0.0.1", port, "wrapper", access)
        else:
            self.reader = GuruxReader("127.0.0.1", port, "hdlc" if way == "HDLC" else "wrapper", client_sap=1,
                                      server_address=1, password=PASSWORD)
        self.reader.connect()
        self.wanted = [(GXDLMSRegister(str(target.obis).replace("-", ".").replace(":", ".")), 2) for target in NINE]

    def polls(self, count: int, pace: Pace) -> list[int]:
        for _ in range(count):
            values: list[int] = []
            pace.start()
            for request in self.reader.client.readList(self.wanted):
                values += self.reader._requests(request).value
            pace.stop()
        return [int(value) for value in values]

    def close(self) -> None:
        self.reader.close()


AARQ = wrapper.encode(1, 1, aarq(conformance=OFFERED, max_pdu=1024, mechanism=1, value=PASSWORD))
REQUEST = wrapper.encode(1, 1, apdu.get_request(NINE, 1))


class LoopFloor(asyncio.Protocol):
    """What no client on this event loop can be below: always the same octets out, and as many back, not looked at."""

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.heard = b""
        self.due = 0
        self.waiter: asyncio.Future[None] | None = None
        self.transport, _ = loop.run_until_complete(loop.create_connection(lambda: self, "127.0.0.1", port))
        loop.run_until_complete(self.ask(AARQ, 1))

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if self.waiter is not None and len(self.heard) >= self.due:
            self.waiter.set_result(None)
            self.waiter = None

    async def ask(self, request: bytes, due: int) -> None:
        self.heard, self.due = b"", due
        self.waiter = self.loop.create_future()
        self.transport.write(request)
        await self.waiter

    async def _polls(self, count: int, pace: Pace) -> None:
        for _ in range(count):
            pace.start()
            await self.ask(REQUEST, ANSWER_BYTES)
            pace.stop()

    def polls(self, count: int, pace: Pace) -> list[int]:
        self.loop.run_until_complete(self._polls(count, pace))
        return list(self.heard[-9:])

    def close(self) -> None:
        self.transport.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


class DeadlineFloor:
    """The same octets over the gateway's own transport, each answer with a deadline."""

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport = loop.run_until_complete(self._open(port))

    async def _open(self, port: int) -> TcpTransport:
        transport = await TcpTransport.connect("127.0.0.1", port, timeout_s=5.0)
        transport.write(AARQ)
        await transport.read(self.loop.time() + 8.0)
        return transport

    async def _polls(self, count: int, pace: Pace) -> bytes:
        for _ in range(count):
            pace.start()
            self.transport.write(REQUEST)
            heard = await self.transport.read(self.loop.time() + 8.0)
            while len(heard) < ANSWER_BYTES:
                heard += await self.transport.read(self.loop.time() + 8.0)
            pace.stop()
        return heard

    def polls(self, count: int, pace: Pace) -> list[int]:
        return list(self.loop.run_until_complete(self._polls(count, pace))[-9:])

    def close(self) -> None:
        self.loop.run_until_complete(self.transport.close(1.0))
        self.loop.close()


class SocketFloor:
    """The same on a blocking socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(AARQ)
        self.socket.recv(4096)

    def polls(self, count: int, pace: Pace) -> list[int]:
        for _ in range(count):
            pace.start()
            self.socket.sendall(REQUEST)
            heard = b""
            while len(heard) < ANSWER_BYTES:
                heard += self.socket.recv(4096)
            pace.stop()
        return list(heard[-9:])

    def close(self) -> None:
        self.socket.close()


Client = Ours | Theirs | LoopFloor | DeadlineFloor | SocketFloor


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Event loops that are installed."""
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return found
    return found | {"uvloop": uvloop.new_event_loop}


def makers(ports: dict[str, int]) -> dict[tuple[str, str], Callable[[], Client]]:
    """(way, client) -> what makes it, associated."""
    made: dict[tuple[str, str], Callable[[], Client]] = {}
    for way in WAYS:
        made[way, "gurux-dlms"] = lambda way=way: Theirs(way, ports[way])
        for name, loop in loops().items():
            made[way, f"ours, {name}"] = lambda way=way, loop=loop: Ours(way, ports[way], loop())
    made["wrapper", "floor, sockets"] = lambda: SocketFloor(ports["wrapper"])
    for name, loop in loops().items():
        made["wrapper", f"floor, {name}"] = lambda loop=loop: LoopFloor(ports["wrapper"], loop())
        made["wrapper", f"deadline, {name}"] = lambda loop=loop: DeadlineFloor(ports["wrapper"], loop())
    return made

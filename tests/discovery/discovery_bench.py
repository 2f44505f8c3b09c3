"""What the discovery tests share: meters and impostors on loopback, and a pace that makes tests short."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from poll_bench import PASSWORD, meter_model, meter_settings

from edge.demo.bridge import Quirks
from edge.demo.meter_manners import Secured
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.discovery.contact import Dial
from edge.discovery.pace import Pace
from edge.poll.transport import TcpTransport

QUICK = Pace(connect_s=5.0, settle_s=0.05, answer_s=0.3, tail_s=1.0, gap_s=0.01, quiet_s=5.0, limit_s=60.0)
HASTY = replace(QUICK, answer_s=0.05, tail_s=0.1)      # where silence is what is expected
KEY = bytes(range(16))
NAME = bytes((0, 0, 42, 0, 0, 255))


def hdlc(physical: int | None, size: int, *, logical: int = 1) -> MeterSettings:
    settings = meter_settings("hdlc")
    settings.server_logical, settings.server_physical, settings.address_bytes = logical, physical, size
    return settings


def ciphered(settings: MeterSettings) -> MeterSettings:
    """Client 1 by GMAC and ciphered APDUs; the public client is told the name and nothing else."""
    manners = settings.manners
    manners.passwords = {16: None}
    manners.secured = {1: Secured(suite=0, encryption_key=KEY, authentication_key=KEY, policy=0x30)}
    manners.public_reads = frozenset({NAME})
    return settings


@asynccontextmanager
async def standing(settings: MeterSettings, quirks: Quirks | None = None, *, serial: str = "1234567890", seed: int = 1, microstar: bool = False,
                   host: str = "127.0.0.1", port: int = 0, **more: object) -> AsyncIterator[SimulatedMeter]:
    """A running simulated meter."""
    meter = SimulatedMeter(serial, meter_model(serial, seed, microstar=microstar), settings, quirks, seed=seed, **more)
    await meter.start(host, port)
    try:
        yield meter
    finally:
        await meter.close()


@dataclass
class Impostor:
    """An open port that is no meter, and what it has heard."""

    port: int = 0
    host: str = "127.0.0.1"
    heard: bytes = b""
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def impostor(says: bytes = b"", *, answers: bytes = b"", hangs_up: bool = False, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Impostor]:
    """Greet with `says`, swallow what comes and answer each piece with `answers`."""
    found = Impostor(host=host)
    writers: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        found.at_once += 1
        found.most_at_once = max(found.most_at_once, found.at_once)
        writers.add(writer)
        writer.write(says)
        try:
            while not hangs_up and (data := await reader.read(1000)):
                found.heard += data
                writer.write(answers)
        except ConnectionError:
            pass
        finally:
            found.at_once -= 1
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(talk, host, port)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for writer in list(writers):
            writer.transport.abort()
        await server.wait_closed()


def dial(place: SimulatedMeter | Impostor) -> Dial:
    host, port = place.address if isinstance(place, SimulatedMeter) else (place.host, place.port)
    return partial(TcpTransport.connect, host, port, timeout_s=5.0)


__all__ = ["HASTY", "KEY", "NAME", "PASSWORD", "QUICK", "Impostor", "ciphered", "dial", "hdlc", "impostor", "standing"]

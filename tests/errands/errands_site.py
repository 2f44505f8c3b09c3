"""What the tests of errands share: a clock that can be set, simulated meters that live by it, a session to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from poll_bench import PASSWORD, PROFILES, QUICK, brisk

from edge.demo.meter_apdu import MICROSTAR as MICROSTAR_CONFORMANCE
from edge.demo.meter_apdu import Manners, Secured
from edge.demo.meter_device import Fittings
from edge.demo.meter_model import MeterModel
from edge.demo.meter_objects import GENERIC, MICROSTAR
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.errands.means import Means, Subject
from edge.errors import RegistryError
from edge.model import Keys, Kind, Meter, Record, Stamp, Stream
from edge.poll.addressing import association_settings
from edge.poll.counters import counter_desk
from edge.poll.errand import Errand
from edge.poll.session import MeterSession
from edge.poll.transport import TcpTransport

KINDS = ["wrapper", "hdlc", "ciphered"]
NOW_S = 1_772_368_505.0           # 2026-03-01 12:35:05 UTC
KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
TITLE = b"HGWclnt1"


class SetClock:
    """A clock of a test: wall and monotonic time go on only when told to; both in seconds."""

    def __init__(self, wall_s: float = NOW_S) -> None:
        self.wall_s = wall_s
        self.is_synchronised = True
        self._started_s = wall_s
        self._stamps = 0

    def wall(self) -> float:
        return self.wall_s

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds

    def monotonic(self) -> float:
        return self.wall_s - self._started_s

    def stamp(self) -> Stamp:
        self._stamps += 1
        return Stamp(self._stamps, round(self.wall_s * 1000), "boot", self.is_synchronised)

    def synchronised(self) -> bool:
        return self.is_synchronised


class Site:
    """One simulated meter and what an errand on it needs. `told()` is what it recorded."""

    def __init__(self, kind: str = "wrapper", fittings: Fittings | None = None, *, clock_drift_s: float = 0.0,
                 clock: SetClock | None = None, serial: str = "1234567890") -> None:
        self.clock = clock or SetClock()
        self.kind = kind
        microstar = kind == "microstar"
        model = MeterModel(serial=serial, seed=7, registers=MICROSTAR if microstar else GENERIC, clock_drift_s=clock_drift_s,
                           fittings=fittings)
        self.meter = SimulatedMeter("m1", model, _settings(kind), seed=7, now=self.clock.wall)
        self.profile = brisk(PROFILES["microstar" if microstar else "generic-three-phase"])
        self.subject = Subject("m1", self.profile.name)
        self.records: list[tuple[Stream, Record]] = []
        self.notes: dict[tuple[str, str], str] = {}
        self.registry_fails = False
        self.means = Means(lambda stream, record: self.records.append((stream, record)), self._progress, self._keep, self.clock)
        self._counters: dict[str, int] = {}

    async def _progress(self, meter: str, duty: str) -> str:
        return self.notes.get((meter, duty), "")

    async def _keep(self, meter: str, duty: str, text: str) -> None:
        if self.registry_fails:
            raise RegistryError("the disk is full")
        self.notes[meter, duty] = text

    async def _reserve(self, scope: str, count: int, at_least: int) -> int:
        first = max(self._counters.get(scope, 0), at_least)
        self._counters[scope] = first + count
        return first

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Site"]:
        await self.meter.start()
        try:
            yield self
        finally:
            await self.meter.close()

    def row(self) -> Meter:
        host, port = self.meter.address
        row = Meter("m1", host, port, self.profile.name, framing="wrapper" if self.kind in ("wrapper", "ciphered") else "hdlc",
                    client_sap=1, server_logical=1, server_physical=17 if self.kind == "hdlc" else None,
                    address_bytes=4 if self.kind == "hdlc" else 1, authentication="lls")
        if self.kind == "ciphered":
            return replace(row, client_sap=3, authentication="hls-gmac", security="both", client_title=TITLE.hex())
        return row

    @asynccontextmanager
    async def session(self, **changes: Any) -> AsyncIterator[MeterSession]:
        """An open association, as an errand's step gets it."""
        row = replace(self.row(), **changes)
        password = PASSWORD if row.authentication == "lls" else b""
        associate = association_settings(row, self.profile, password, QUICK, KEYS, TITLE)
        session = MeterSession(lambda: TcpTransport.connect(row.host, row.port, timeout_s=2.0), associate,
                               counters=counter_desk("m1", associate, self._reserve))
        async with session:
            yield session

    async def steps(self, errand: Errand, count: int = 1, **changes: Any) -> None:
        """Let it do so many steps on one association. What a step raises is given to `failed`, as a poller does."""
        async with self.session(**changes) as session:
            for _ in range(count):
                async with asyncio.timeout(20):
                    await errand.step(session)

    def told(self, kind: Kind = Kind.EVENT) -> list[dict[str, Any]]:
        """The records of one kind, as dictionaries without what was empty."""
        return [{field.key: value for field, value in zip(record.schema.fields, record.values, strict=True) if value is not None}
                for _, record in self.records if record.schema.kind is kind]

    def events(self) -> list[str]:
        return [str(event["event"]) for event in self.told()]


def _settings(kind: str) -> MeterSettings:
    manners = Manners(passwords={16: None, 1: PASSWORD})
    if kind == "wrapper":
        return MeterSettings(manners=manners)
    if kind == "ciphered":
        manners.secured = {3: Secured(5, b"", 0, KEYS.encryption, KEYS.authentication)}
        return MeterSettings(manners=manners)
    if kind == "hdlc":
        return MeterSettings(framing="hdlc", server_physical=17, address_bytes=4, manners=manners)
    manners.conformance, manners.max_pdu, manners.announce_own_pdu = MICROSTAR_CONFORMANCE, 6_400, True
    return MeterSettings(framing="hdlc", server_physical=1234, address_bytes=4, also_one_byte=True, manners=manners)

"""What the poll tests share: simulated meters over real TCP, a poller on the bench, a sink that can be awaited."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from edge.clock import SystemClock
from edge.config import PollSettings
from edge.demo.bridge import Quirks
from edge.demo.meter_apdu import MICROSTAR as MICROSTAR_CONFORMANCE
from edge.demo.meter_apdu import Manners
from edge.demo.meter_model import MeterModel
from edge.demo.meter_objects import GENERIC, MICROSTAR
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.dlms.association import GetResult
from edge.errors import RingError
from edge.meters.profile import Profile, load_profiles
from edge.model import Kind, Learned, Meter, Record
from edge.poll.addressing import association_settings
from edge.poll.budget import Gate
from edge.poll.poller import Poller
from edge.poll.session import MeterSession
from edge.poll.transport import connect_for

PROFILES = load_profiles()
PASSWORD = b"24681357"
QUICK = PollSettings(interval_s=0.05, connect_timeout_s=2.0, exchange_timeout_s=0.5, backoff_first_s=0.02, backoff_max_s=0.1,
                     breaker_failures=5, breaker_open_s=0.3, breaker_open_max_s=1.0)


def brisk(profile: Profile, **timing: Any) -> Profile:
    """The profile without the waits that real meters need, and with whatever a test wants of its timing."""
    return replace_struct(profile, timing=replace_struct(profile.timing, **{
        "exchange_timeout_s": None, "request_gap_s": 0.0, "settle_s": 0.0, "keep_alive_s": 0.0, "inactivity_s": 0.0, **timing}))


def replace_struct(struct: Any, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(struct, **changes)


GENERIC_PROFILE = brisk(PROFILES["generic-three-phase"])
MICROSTAR_PROFILE = brisk(PROFILES["microstar"])


def meter_model(serial: str = "1234567890", seed: int = 1, *, microstar: bool = False) -> MeterModel:
    return MeterModel(serial=serial, seed=seed, registers=MICROSTAR if microstar else GENERIC)


def meter_settings(kind: str) -> MeterSettings:
    manners = Manners(passwords={16: None, 1: PASSWORD})
    if kind == "wrapper":
        return MeterSettings(manners=manners)
    if kind == "hdlc":
        return MeterSettings(framing="hdlc", server_physical=17, address_bytes=4, manners=manners)
    manners.conformance, manners.max_pdu, manners.announce_own_pdu = MICROSTAR_CONFORMANCE, 6_400, True
    return MeterSettings(framing="hdlc", server_physical=1234, address_bytes=4, also_one_byte=True, manners=manners)


@asynccontextmanager
async def simulated(kind: str = "wrapper", quirks: Quirks | None = None, *, serial: str = "1234567890", seed: int = 1,
                    name: str = "m1") -> AsyncIterator[tuple[SimulatedMeter, Meter]]:
    """One running meter and its registry row."""
    meter = SimulatedMeter(name, meter_model(serial, seed, microstar=kind == "microstar"), meter_settings(kind), quirks, seed=seed)
    host, port = await meter.start()
    row = Meter(name=name, host=host, port=port, profile="microstar" if kind == "microstar" else "generic-three-phase",
                framing="wrapper" if kind == "wrapper" else "hdlc", client_sap=1, server_logical=1,
                server_physical=17 if kind == "hdlc" else None, address_bytes=4 if kind == "hdlc" else 1, authentication="lls")
    try:
        yield meter, row
    finally:
        await meter.close()


def profile_of(row: Meter) -> Profile:
    return MICROSTAR_PROFILE if row.profile == "microstar" else GENERIC_PROFILE


def session_to(row: Meter, *, settings: PollSettings = QUICK, password: bytes = PASSWORD, **options: Any) -> MeterSession:
    """A session to a simulated meter."""
    associate = association_settings(row, profile_of(row), password, settings)
    options.setdefault("settle_s", 0.0)
    return MeterSession(lambda: connect_for(row, settings.connect_timeout_s), associate, **options)


class Sink:
    """Keeps records; tests wait for a number of them, or for one that fits."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.full = False
        self._news = asyncio.Event()

    async def __call__(self, record: Record) -> int:
        if self.full:
            raise RingError("the disk is full")
        self.records.append(record)
        self._news.set()
        return len(self.records)

    async def until(self, condition: Callable[[list[Record]], Any], timeout_s: float = 15.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition(self.records):
                self._news.clear()
                await self._news.wait()

    def readings(self) -> list[Record]:
        return [record for record in self.records if record.schema.kind is Kind.READING]

    def reasons(self) -> list[str]:
        return [str(record.values[0]) for record in self.records if record.schema.kind is Kind.FAILURE]


class Bench:
    """One poller with everything around it."""

    def __init__(self, row: Meter, *, profile: Profile | None = None, password: bytes = PASSWORD, learned: Learned | None = None,
                 settings: PollSettings = QUICK, gate: Gate | None = None, **poller: Any) -> None:
        self.sink = Sink()
        self.kept: list[Learned] = []
        self.promises: list[float] = []
        self.gate = gate or Gate(settings.at_once)
        self.poller = Poller(
            row, password, profile or profile_of(row), learned or Learned(), settings=settings, gate=self.gate, sink=self.sink,
            on_learned=self._learned, clock=SystemClock(trust_wall=True), promise=self.promises.append, rng=random.Random(1), **poller)

    async def _learned(self, name: str, learned: Learned) -> None:
        assert name == self.poller.meter.name
        self.kept.append(learned)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        task = asyncio.create_task(self.poller.run())
        try:
            yield self
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def shown(record: Record) -> dict[str, Any]:
    """A reading's raw values by key."""
    return {field.key: value for field, value in zip(record.schema.fields, record.values, strict=True)}


def held(meter: SimulatedMeter, values: dict[str, int]) -> None:
    """Pin registers of a simulated meter, by telemetry key, to raw values."""
    registers = meter.model.registers
    for spec in registers.specs:
        if spec.key in values:
            meter.model.hold(registers.obis(spec), values[spec.key])


def raw(results: tuple[GetResult, ...]) -> list[Any]:
    return [result.data for result in results]


def slower(settings: PollSettings = QUICK, **changes: Any) -> PollSettings:
    return replace_struct(settings, **changes)


def moved(row: Meter, **changes: Any) -> Meter:
    return replace(row, **changes)

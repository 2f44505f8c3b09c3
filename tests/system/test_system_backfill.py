"""The promise of the backfill: three days without a gateway, a power cut in the catch-up, and every interval is upstream.

Twenty simulated meters (real TCP; six of them behind two serial bridges) live by a clock of the test,
so three days pass in a moment. The gateway is a process; upstream is a server with ThingsBoard's contract, which keeps
one value per device, key and time. Meanwhile every meter is polled, and no poll is later than one period.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gateway_process import TOKEN, GatewayProcess

from edge.control import NoDaemon, ask
from edge.daemon.ledgers import KEEP_LEAST_S, KEEP_ROWS
from edge.demo import meter_objects as objects
from edge.demo.meter_apdu import Manners
from edge.demo.meter_device import Fittings
from edge.demo.meter_model import MeterModel, key
from edge.demo.meter_physics import SupplyData
from edge.demo.meter_settings import MeterSettings
from edge.demo.meter_tcp import SimulatedMeter
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules

WRAPPERS, BRIDGES, ON_A_BRIDGE = 14, 2, 3
INTERVAL_S = 4.0
DAYS_OFF, DAYS_BEFORE = 3, 0.1
QUARTER, DAY = 900, 86_400
PASSWORD = b"12345678"
VOLTAGE, ENERGY = bytes((1, 0, 32, 7, 0, 255)), bytes((1, 0, 1, 8, 0, 255))

READ_MEANWHILE = 1_000
"""Rows that may come between two writes of the ledgers, and between the last look at upstream and the kill."""

pytestmark = [pytest.mark.system, pytest.mark.slow]


@dataclass
class Yard:
    """The meters, and the time that they live by."""

    shift_s: float = 0.0

    def __post_init__(self) -> None:
        self.models: dict[str, MeterModel] = {}
        self.sockets: list[SimulatedMeter] = []
        self.rows: list[str] = []

    def now(self) -> float:
        return time.time() + self.shift_s

    async def start(self) -> None:
        """Fourteen meters with a socket each, three behind each of two bridges."""
        rng = random.Random(5)
        for number in range(WRAPPERS):
            meter = SimulatedMeter(f"w{number:02}", self.model(f"w{number:02}", rng), MeterSettings(manners=manners()), now=self.now)
            self.sockets.append(meter)
            host, port = await meter.start()
            self.rows.append(f"w{number:02},{host},{port},wrapper,,1,{PASSWORD.decode()}")
        for bridge in range(BRIDGES):
            names = [f"b{bridge}{place}" for place in range(ON_A_BRIDGE)]
            line = [(self.model(name, rng), MeterSettings(framing="hdlc", server_physical=100 + place, address_bytes=4, manners=manners()))
                    for place, name in enumerate(names)]
            meter = SimulatedMeter(names[0], *line[0], now=self.now, neighbours=line[1:])
            self.sockets.append(meter)
            host, port = await meter.start()
            self.rows += [f"{name},{host},{port},hdlc,{100 + place},4,{PASSWORD.decode()}" for place, name in enumerate(names)]

    def model(self, name: str, rng: random.Random) -> MeterModel:
        begun = self.now() - DAYS_BEFORE * DAY
        supply = SupplyData(mean_power_w=rng.uniform(200, 9_000), energy_wh=float(rng.randrange(10**8)), started_at=begun)
        self.models[name] = MeterModel(serial=f"{rng.randrange(10**10):010}", seed=rng.randrange(2**32), supply=supply,
                                       fittings=Fittings(null_time=name[-1] in "13", null_same=name[-1] in "12", load_status=True))
        return self.models[name]

    def truth(self, name: str, until: float) -> dict[int, tuple[float, int]]:
        """What a meter captured: ms of the interval's end -> voltage in V, energy in Wh."""
        model = self.models[name]
        profile: Any = model._objects[key(7, objects.LOAD_PROFILE, 0)[:8]]
        found = {}
        for capture, _ in profile.rows(0, profile.total(until) - 1, until):
            raw = model.raw_values(capture.true)
            found[round(capture.shown * 1000)] = (raw[VOLTAGE] / 10, raw[ENERGY])
        return found


def manners() -> Manners:
    return Manners(passwords={16: None, 1: PASSWORD})


@asynccontextmanager
async def yard() -> AsyncIterator[Yard]:
    made = Yard()
    await made.start()
    try:
        yield made
    finally:
        for meter in made.sockets:
            await meter.close()


def intervals(store: Any) -> dict[str, dict[int, tuple[object, object]]]:
    """What upstream has of load profiles: device -> ts -> (voltage, energy)."""
    found: dict[str, dict[int, tuple[object, object]]] = {}
    for (device, name, ts), value in store.points.items():
        if name == "load_active_energy":
            found.setdefault(device, {})[ts] = (store.points.get((device, "load_voltage_l1", ts)), value)
    return found


def upstream_rows(store: Any) -> int:
    return sum(1 for _, name, _ in store.points if name == "load_active_energy")


async def asked(gateway: GatewayProcess, request: str) -> dict[str, Any]:
    return await asyncio.to_thread(ask, gateway.directory / "run", request, timeout_s=30.0)


async def until_complete(gateway: GatewayProcess, names: list[str], within_s: float = 90) -> dict[str, Any]:
    """Wait until no meter misses an interval and upstream has everything."""
    deadline = time.monotonic() + within_s
    while True:
        assert gateway.process is not None
        assert gateway.process.poll() is None, gateway.tail()
        with suppress(NoDaemon):
            status = await asked(gateway, "status")
            states = [(meter.get("backfill") or {}).get("state") for meter in status["meters"]]
            if states == ["complete"] * len(names) and not any(status["ring"]["backlog"].values()):
                return status
            assert time.monotonic() < deadline, f"{states}\n{gateway.tail()}"
        await asyncio.sleep(0.2)


async def until(condition: Any, what: str, within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_three_days_off_and_a_power_cut_in_the_catch_up(tmp_path: Path) -> None:
    rules = Rules(token=TOKEN)
    async with yard() as meters, ThingsBoard(rules) as server:
        store = server.contract.store
        names = sorted(meters.models)
        gateway = GatewayProcess(
            tmp_path, poll={"interval_s": INTERVAL_S, "at_once": 16},
            backfill={"enabled": True, "history_days": DAYS_OFF + 1, "line_share": 1.0},
            uplink={"enabled": True, "host": "127.0.0.1", "port": server.port, "backoff_first_s": 0.2, "backoff_max_s": 1.0})
        with gateway:
            gateway.token(TOKEN)
            csv = "name,host,port,framing,server_physical,address_bytes,password\n" + "\n".join(meters.rows) + "\n"
            await asyncio.to_thread(gateway.register, csv)

            began = time.monotonic()
            gateway.start()
            await until_complete(gateway, names)
            before = intervals(store)
            assert await asyncio.to_thread(gateway.stop) == 0
            first_run_s = time.monotonic() - began

            meters.shift_s += DAYS_OFF * DAY
            have = sum(len(rows) for rows in before.values())
            missing = sum(len(meters.truth(name, meters.now())) for name in names) - have
            assert missing >= len(names) * DAYS_OFF * 96 - len(names)
            began = time.monotonic()
            gateway.start()
            await until(lambda: upstream_rows(store) > have + missing * 0.75, "three quarters of it")
            cut_s = time.monotonic() - began
            cut = await asked(gateway, "status")
            gateway.kill()
            at_cut = upstream_rows(store) - have
            assert at_cut < missing, "the power cut came too late to mean anything"
            gateway.start()
            status = await until_complete(gateway, names)
            catch_up_s = time.monotonic() - began
            read = sum(meter["rows"] for meter in (await asked(gateway, "backfill"))["meters"])
            assert await asyncio.to_thread(gateway.stop) == 0

        for name in names:
            truth, upstream = meters.truth(name, meters.now()), intervals(store)[name]
            late = max(truth)      # an interval may end while this test looks
            assert {ts: upstream.get(ts) for ts in truth if ts != late} == {ts: values for ts, values in truth.items() if ts != late}, name
            assert upstream.keys() <= truth.keys(), f"{name}: rows that the meter never had"
        assert store.conflicts == [], "two values for one device, key and time"

        worst = {}
        for when in (cut, status):
            for meter in when["meters"]:
                assert (meter["failed"], meter["skipped"]) == (0, 0), meter
                worst[meter["name"]] = max(worst.get(meter["name"], 0.0), meter["lateness_max_s"] or 0.0)
        assert max(worst.values()) <= INTERVAL_S, worst
        polled = sum(1 for _, name, _ in store.points if name == "poll_ok")
    again = read - (missing - at_cut)
    # ledgers are kept KEEP_LEAST_S apart: on a fast machine that is more rows than KEEP_ROWS
    assert again <= KEEP_ROWS + READ_MEANWHILE + at_cut / cut_s * KEEP_LEAST_S, "progress did not survive the power cut"
    assert again < at_cut, "nothing of it survived"
    print(f"\n{len(names)} meters, {missing} intervals missing after {DAYS_OFF} days, power cut after {at_cut}: none missing now, {again} read "
          f"again; {polled} polls, latest {max(worst.values()):.2f} s of {INTERVAL_S:g} s; first run {first_run_s:.0f} s, catch-up {catch_up_s:.0f} s")

"""The soak's stage: meters, gateway, wire tap and Mosquitto, and everything that may happen to them."""

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway_process import GatewayProcess
from mosquitto_broker import Mosquitto
from soak_account import Boot, Disturbance
from soak_clock import Time
from wiretap import WireTap

from edge.demo.population import Population

HOUR_MS, YEAR_MS = 3_600_000.0, 31_557_600_000.0
LAUNCHER = Path(__file__).with_name("soak_clock.py")
LATE_S = 6.0            # a busy machine may be so late between a meter's answer and its record's commit, at most
SEEN_S = 4.0            # and so late to see that the wall clock has changed


class DirectedGateway(GatewayProcess):
    """The gateway of tests/system, with a clock that is directed."""

    def start(self, *, env=None, prefix=()) -> None:
        """Start it by the launcher that puts the clock in."""
        launch = [sys.executable, str(LAUNCHER), str(self.directory / "clock.json"), "--config", str(self.config), "run"]
        self.run(launch)


class Stage:
    """What the soak acts with. Each act is a coroutine method; what it may cost is in `disturbances` and `wrong`."""

    def __init__(self, gateway: DirectedGateway, broker: Mosquitto, tap: WireTap, population: Population, clock: Time,
                 rng: random.Random, window_s: float) -> None:
        self.gateway, self.broker, self.tap, self.population = gateway, broker, tap, population
        self.clock, self.rng, self.window_s = clock, rng, window_s
        self.disturbances: list[Disturbance] = []
        self.wrong: list[tuple[float, float]] = []
        self.boots = [Boot(time.monotonic(), time.monotonic())]
        self.acts: Counter[str] = Counter()
        self._late: set[asyncio.Task[None]] = set()

    def publish_clock(self) -> None:
        self.clock.write(self.gateway.directory / "clock.json")

    def _all(self, kind: str, start: float, end: float) -> None:
        self.disturbances.append(Disturbance(kind, start - self.window_s - LATE_S, end))

    # ---- the gateway

    async def kill_gateway(self) -> None:
        """SIGKILL; as often as not it is a power cut: another boot, perhaps in 1970."""
        at = time.monotonic()
        await asyncio.to_thread(self.gateway.kill)
        self._all("kill", at, time.monotonic())
        if self.rng.random() < 0.6:
            self._boot()
        await asyncio.sleep(self.rng.uniform(0, 3))
        self.gateway.start()

    def _boot(self) -> None:
        self.clock.boot()
        self.boots.append(Boot(time.monotonic(), time.monotonic()))
        self.acts["boots"] += 1
        if self.rng.random() < 0.5:
            self.acts["boots in 1970"] += 1
            self.clock.synchronised, self.boots[-1].told = False, None
            self.clock.error_ms = -self.clock.true_ms(self.clock.booted_ms)
            # one in five is killed before it ever hears the time
            self._later(self.rng.choice((2, 5, 8, 12, 60)), self._hear_the_time, self.clock.boot_id)
        self.publish_clock()

    def _later(self, delay_s: float, act: Callable[..., None], *arguments: object) -> None:
        async def wait() -> None:
            await asyncio.sleep(delay_s)
            act(*arguments)

        task = asyncio.create_task(wait())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _hear_the_time(self, boot_id: str = "") -> None:
        if boot_id in ("", self.clock.boot_id):
            self.clock.error_ms = 0.0
            self._call_it_right()

    def _call_it_right(self) -> None:
        self.clock.synchronised = True
        if self.boots[-1].told is None:
            self.boots[-1].told = time.monotonic()
        self.publish_clock()

    async def stop_gateway(self) -> None:
        """SIGTERM, and again."""
        at = time.monotonic()
        # it may not have come so far as to take the signal for itself
        assert await asyncio.to_thread(self.gateway.stop, 30) in (0, -signal.SIGTERM), self.gateway.tail()
        self._all("stop", at, time.monotonic())
        self.gateway.start()

    # ---- the way up

    async def kill_broker(self) -> None:
        """kill -9 of Mosquitto, which forgets everything."""
        await self.broker.kill()
        await asyncio.sleep(self.rng.uniform(0.5, 5))
        await self.broker.start()

    async def black_hole(self) -> None:
        """Nothing passes, nobody is told."""
        self.tap.blackhole()
        await asyncio.sleep(self.rng.uniform(2, 15))
        self.tap.heal()

    async def reset(self) -> None:
        """RST to both sides."""
        self.tap.reset()

    async def outage(self, duration_s: float = 0.0) -> None:
        """The broker is away for longer."""
        await self.broker.kill()
        await asyncio.sleep(duration_s or self.rng.uniform(8, 25))
        await self.broker.start()

    # ---- the meters

    def _some(self) -> list:
        return self.rng.sample(self.population.members, max(1, len(self.population.members) // self.rng.choice((4, 10, 30))))

    async def cut_meters(self) -> None:
        """Some connections are cut, by RST or by FIN."""
        for member in self._some():
            at = time.monotonic()
            member.simulated.drop_connections(reset=self.rng.random() < 0.5)
            self.disturbances.append(Disturbance("cut", at - LATE_S, at + LATE_S, member.row.name))

    async def meters_without_power(self) -> None:
        """Some meters are gone for a while."""
        some, at = self._some(), time.monotonic()
        for member in some:
            await member.simulated.power_off()
        await asyncio.sleep(self.rng.uniform(1, 6))
        for member in some:
            await member.simulated.power_on()
            self.disturbances.append(Disturbance("power", at - LATE_S, time.monotonic() + LATE_S, member.row.name))

    # ---- the clock

    async def step_clock(self) -> None:
        """The wall clock is wrong, by an hour or by fifty years, and calls itself right; then it is mended."""
        # a boot that never had another clock is dated by this one from its beginning: nothing can tell
        at = time.monotonic() if self.clock.synchronised else self.boots[-1].start
        self.clock.error_ms = self.rng.choice((1, -1)) * self.rng.choice((HOUR_MS, 50 * YEAR_MS))
        self._call_it_right()
        await asyncio.sleep(self.rng.uniform(2, 8))
        self._hear_the_time()
        self.wrong.append((at - LATE_S, time.monotonic() + SEEN_S))

    # ---- all of it

    def choices(self) -> list[tuple[Callable[[], Awaitable[None]], int]]:
        """Every act with its weight."""
        return [(self.kill_gateway, 6), (self.stop_gateway, 1), (self.kill_broker, 3), (self.black_hole, 3), (self.reset, 2),
                (self.outage, 1), (self.cut_meters, 2), (self.meters_without_power, 1), (self.step_clock, 2)]

    async def act(self) -> None:
        """Let one thing happen."""
        acts, weights = zip(*self.choices(), strict=True)
        act = self.rng.choices(acts, weights)[0]
        self.acts[act.__name__.replace("_", " ")] += 1
        await act()

    async def close(self) -> None:
        """End what was to come later, with the time as it is."""
        for task in list(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        self._hear_the_time()

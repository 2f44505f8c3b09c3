"""`make demo`: the real gateway as a process, simulated meters over real TCP, a radio trace, a server like ThingsBoard.

The director opens the stage, plays the acts of `story` on time, kills the gateway in the middle, and at the end
compares what the ring promised with what the server received. Whatever happens, it ends within two minutes.
"""

import asyncio
import contextlib
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edge.control import ask
from edge.demo import story
from edge.demo.bridge import esp32
from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules, Store
from edge.demo.verdict import POLL, Verdict, judge
from edge.errors import EdgeError

GATEWAY = (sys.executable, "-m", "edge")
READY_S, STOP_S, COMMAND_S = 20.0, 15.0, 30.0
LOOK_S = 0.5


class DemoFault(EdgeError):
    """The demo could not be played to its end; the text says where it stopped and where the log is."""


@dataclass
class Ledger(Store):
    """The server's store, which also counts how often each poll arrived, and knows each key's newest time stamp."""

    arrivals: Counter[tuple[str, int]] = field(default_factory=Counter)
    latest_of: dict[tuple[str, str], int] = field(default_factory=dict)

    def keep(self, device: str, ts: int, values: dict[str, Any]) -> None:
        """Store one element."""
        if POLL in values:
            self.arrivals[device, ts] += 1
        for key in values:
            self.latest_of[device, key] = max(ts, self.latest_of.get((device, key), ts))
        super().keep(device, ts, values)


@dataclass
class View:
    """What there is to show at a moment."""

    t_s: float
    act: str
    ledger: Ledger
    status: dict[str, Any] | None      # None while no gateway answers


Show = Callable[[View], None]
Say = Callable[[float, str], None]


class Director:
    """One performance. `play` does everything and cleans up behind itself, also when it is cancelled."""

    def __init__(self, show: Show, say: Say) -> None:
        """`show` is called twice a second with what there is to see, `say` once per act."""
        self._show = show
        self._say = say
        self._ledger = Ledger()
        self._gateway: asyncio.subprocess.Process | None = None
        self._status: dict[str, Any] | None = None
        self._looked = asyncio.Event()
        self._durable_seq = 0
        self._act = ""

    async def play(self) -> Verdict:
        """Play all acts; return the account. DemoFault if the gateway does not do its part."""
        with tempfile.TemporaryDirectory(prefix="halow-demo-") as name:
            directory = Path(name)
            async with contextlib.AsyncExitStack() as stage:
                server = await stage.enter_async_context(
                    ThingsBoard(Rules(token=secrets.token_hex(10)), store=self._ledger))
                population = Population(story.METERS, quirks=lambda: esp32(latency_s=(0.02, 0.06)), seed=7)
                await population.start()
                stage.push_async_callback(population.close)
                await self._furnish(directory, server, population)
                stage.push_async_callback(self._end_gateway)
                try:
                    async with asyncio.timeout(story.END_S):
                        return await self._perform(directory, server)
                except TimeoutError as error:
                    raise DemoFault(f"not over after {story.END_S:g} s, in the act {self._act!r}\n"
                                    + _tail(directory)) from error

    async def _furnish(self, directory: Path, server: ThingsBoard, population: Population) -> None:
        (directory / "state").mkdir(mode=0o700)
        token = directory / "state" / "uplink.token"
        token.touch(mode=0o600)
        token.write_text(server.contract.rules.token)
        (directory / "radio.csv").write_text(story.radio_trace())
        (directory / "gateway.toml").write_text(story.settings(str(directory), server.port))
        meters = directory / "meters.csv"
        meters.touch(mode=0o600)
        meters.write_text(story.with_peers(population.csv_text()))
        await self._command(directory, "meter", "import", str(meters))

    async def _perform(self, directory: Path, server: ThingsBoard) -> Verdict:
        await self._start_gateway(directory)
        loop = asyncio.get_running_loop()
        began = loop.time()
        watcher = asyncio.create_task(self._watch(directory, began), name="demo view")
        try:
            for act in story.ACTS:
                await asyncio.sleep(max(0.0, began + act.at_s - loop.time()))
                self._act = act.name
                self._say(loop.time() - began, act.says)
                await self._enact(act.name, directory, server)
            await self._until(at_rest)
            self._say(loop.time() - began, "nothing waits any more; SIGTERM, and the account")
        finally:
            watcher.cancel()
            await asyncio.wait({watcher})
        self._act = "account"
        await self._end_gateway()
        dump = await self._command(directory, "ring", "dump", "--all")
        return judge(map(msgspec.json.decode, dump.splitlines()), self._ledger.arrivals,
                     durable_seq=self._durable_seq, conflicts=len(self._ledger.conflicts))

    async def _enact(self, name: str, directory: Path, server: ThingsBoard) -> None:
        if name == "outage":
            server.blackhole()
        elif name == "kill":
            await self._look(directory)
            self._durable_seq = (self._status or {})["ring"]["durable_seq"]["instant"]
            await self._kill_gateway()
            await server.outage()      # from silence to refusal: the other kind of outage
        elif name == "restart":
            await self._start_gateway(directory)
        elif name == "restored":
            await server.restore()
        elif name == "pause":
            names = [meter["name"] for meter in (self._status or {})["meters"]]
            await self._command(directory, "meter", "pause", *names)

    # -- the gateway process -----------------------------------------------------------------------------------------

    async def _start_gateway(self, directory: Path) -> None:
        with (directory / "gateway.log").open("ab") as log:
            self._gateway = await asyncio.create_subprocess_exec(
                *GATEWAY, "--config", str(directory / "gateway.toml"), "run", stdin=asyncio.subprocess.DEVNULL,
                stdout=log, stderr=log)
        deadline = asyncio.get_running_loop().time() + READY_S
        while not await self._look(directory):
            if self._gateway.returncode is not None or asyncio.get_running_loop().time() > deadline:
                raise DemoFault(f"the gateway did not start\n{_tail(directory)}")
            await asyncio.sleep(0.1)

    async def _kill_gateway(self) -> None:
        if self._gateway is not None and self._gateway.returncode is None:
            self._gateway.kill()
            await self._gateway.wait()

    async def _end_gateway(self) -> None:
        if self._gateway is None or self._gateway.returncode is not None:
            return
        self._gateway.terminate()
        try:
            await asyncio.wait_for(self._gateway.wait(), STOP_S)
        except TimeoutError:
            await self._kill_gateway()

    async def _command(self, directory: Path, *words: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *GATEWAY, "--config", str(directory / "gateway.toml"), *words, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        try:
            out, complaint = await asyncio.wait_for(process.communicate(), COMMAND_S)
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise DemoFault(f"halow-gateway {' '.join(words)}: {complaint.decode(errors='replace').strip()}")
        return out

    # -- looking -----------------------------------------------------------------------------------------------------

    async def _look(self, directory: Path) -> bool:
        try:
            self._status = await asyncio.to_thread(ask, directory / "run", "status", timeout_s=2.0)
        except EdgeError:
            self._status = None
        self._looked.set()
        return self._status is not None

    async def _watch(self, directory: Path, began: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._look(directory)
            self._show(View(loop.time() - began, self._act, self._ledger, self._status))
            await asyncio.sleep(LOOK_S)

    async def _until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        while self._status is None or not holds(self._status):
            self._looked.clear()
            await self._looked.wait()


def at_rest(status: dict[str, Any]) -> bool:
    """Tell whether everything that was taken is on flash and acknowledged, and nothing more comes.

    All of it in one answer: one that was under way when the meters were paused may know of no reading yet. What waits
    for its commit window to close is no backlog.
    """
    ring = status["ring"]
    waits = any(ring["backlog"].values()) or any(stream["in_memory"] for stream in ring["streams"].values())
    return not waits and all(meter["state"] == "paused" for meter in status["meters"])


def _tail(directory: Path) -> str:
    log = directory / "gateway.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "(it wrote no log)"

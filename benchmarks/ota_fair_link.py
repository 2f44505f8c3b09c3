"""An update over a fair radio link, cut three times: does it come through, and do the meters' polls notice?

    python benchmarks/ota_fair_link.py [--mb 40] [--meters 20] [--interval 10] [--link fair] [--before 120]
        [--link-share 0.5] [--shared-air]

The whole gateway as a process; simulated meters and a stand-in for ThingsBoard in another, all behind links of the
named profile: the meters each behind one of their own, or with --shared-air all of them and the uplink on one channel.
After `before` seconds of polling alone a package is assigned. At a quarter the uplink's link is down for 30 s, at half
its connection is reset, at three quarters the gateway is killed (SIGKILL) and started again.

Told: how long it took, what was fetched twice, and how far the polls' own times, as they arrive at the server, are from
the schedule before and meanwhile. Exit status 1 when the installed file is not the assigned one, or a poll is missing.
"""

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "system"))

from gateway_process import GatewayProcess

from edge.demo.linkprofile import PROFILES, Medium
from edge.demo.linkproxy import LinkProxy
from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules, Store
from edge.demo.thingsboard_ota import Package

TOKEN = "of-a-benchmark"
OUTAGE_S = 30.0
RESTART_SPARE_S = 45.0      # polls around the killed gateway's start are not judged by their distance


@dataclass
class Result:
    """What the run showed. `apart`: how far a meter's polls are from one interval after the one before, in seconds."""

    package_bytes: int
    seconds: float = 0.0
    requests: int = 0
    fetched_twice_bytes: int = 0
    installed: bool = False
    polls_before: int = 0
    polls_meanwhile: int = 0
    polls_failed: int = 0
    polls_missing: int = 0
    apart_p50_before_s: float = 0.0
    apart_p99_before_s: float = 0.0
    apart_p50_s: float = 0.0
    apart_p99_s: float = 0.0
    apart_max_s: float = 0.0

    @property
    def good(self) -> bool:
        return self.installed and not self.polls_missing


class Run:
    """One update from assignment to installation."""

    def __init__(self, directory: Path, *, size_bytes: int, meters: int, interval_s: float, link: str, before_s: float,
                 link_share: float = 0.5, shared_air: bool = False, outage_s: float = OUTAGE_S,
                 chunk_bytes: int = 16_384, cuts: tuple[str, ...] = ("outage", "reset", "kill")) -> None:
        self._interval_s, self._before_s, self._outage_s = interval_s, before_s, outage_s
        self._chunk_bytes = chunk_bytes
        self._planned = [getattr(self, f"_{cut}") for cut in cuts]
        self._data = random.Random(1).randbytes(size_bytes)
        self._link = LinkProxy(PROFILES[link], seed=1, medium=Medium() if shared_air else None)
        self._population = Population(meters, link=link, shared_air=shared_air)
        if shared_air:
            self._population._medium = self._link._medium
        self._server = ThingsBoard(Rules(token=TOKEN))
        self._installed = directory / "installed"
        script = directory / "install"
        script.write_text(f'#!/bin/sh\ncp "$1" {self._installed}.part && mv {self._installed}.part {self._installed}\n')
        script.chmod(0o755)
        self._directory = directory
        self._ota = {"firmware_command": str(script), "link_share": link_share, "chunk_bytes": chunk_bytes}
        self.result = Result(size_bytes)
        self.killed_at = 0.0

    async def run(self) -> Result:
        """Poll alone, update, account."""
        async with self._server as server:
            port = (await self._link.start(("127.0.0.1", server.port)))[1]
            members = await self._population.start()
            try:
                uplink = {"enabled": True, "host": "127.0.0.1", "port": port}
                gateway = GatewayProcess(self._directory / "gateway", uplink=uplink, ota=self._ota,
                                         poll={"interval_s": self._interval_s})
                with gateway:
                    gateway.token(TOKEN)
                    csv = self._directory / "meters.csv"
                    csv.write_text(self._population.csv_text())
                    await asyncio.to_thread(gateway.command, "meter", "import", str(csv))
                    await self._update(gateway, [member.row.name for member in members])
                    await asyncio.to_thread(gateway.stop)
            finally:
                await self._population.close()
                await self._link.close()
        return self.result

    async def _update(self, gateway: GatewayProcess, names: list[str]) -> None:
        gateway.start()
        store, packages = self._server.contract.store, self._server.contract.rules.packages
        await self._until(lambda: all(store.latest.get(name) for name in names), 120)
        began_ms = time.time() * 1000
        await asyncio.sleep(self._before_s)
        package = Package("gw", "9.9.9", self._data)
        packages.assigned["fw"] = package
        started = time.monotonic()
        assigned_ms = time.time() * 1000
        self._server.publish("v1/devices/me/attributes", json.dumps(packages.shared()).encode())
        await self._cuts(gateway, packages)
        await self._until(lambda: self._installed.exists() and "UPDATED" in [
            value for (_, key, _), value in store.points.items() if key == "fw_state"], 7200)
        self.result.seconds = round(time.monotonic() - started, 1)
        ended_ms = time.time() * 1000
        await asyncio.sleep(2 * self._interval_s)      # what is under way arrives
        self._account(store, names, began_ms, assigned_ms, ended_ms)
        self.result.requests = len(packages.requests)
        distinct = len(self._data) / self._chunk_bytes
        self.result.fetched_twice_bytes = int(max(0, self.result.requests - distinct) * self._chunk_bytes)
        self.result.installed = self._installed.exists() and (
            hashlib.sha256(self._installed.read_bytes()).digest() == hashlib.sha256(self._data).digest())

    async def _cuts(self, gateway: GatewayProcess, packages) -> None:
        whole = len(self._data) // self._chunk_bytes
        for number, cut in enumerate(self._planned, 1):
            share = number / (len(self._planned) + 1)
            await self._until(lambda at=share: packages.requests and packages.requests[-1][2] >= at * whole, 7200)
            print(f"  {time.strftime('%H:%M:%S')} at {share:.0%}: {cut.__name__.strip('_')}", flush=True)
            await cut(gateway)

    async def _outage(self, _gateway: GatewayProcess) -> None:
        self._link.down()
        await asyncio.sleep(self._outage_s)
        self._link.restore()

    async def _reset(self, _gateway: GatewayProcess) -> None:
        self._link.reset()

    async def _kill(self, gateway: GatewayProcess) -> None:
        self.killed_at = time.time()
        await asyncio.to_thread(gateway.kill)
        gateway.start()

    def _account(self, store: Store, names: list[str], began_ms: float, assigned_ms: float, ended_ms: float) -> None:
        before, during = [], []
        killed_ms = self.killed_at * 1000
        for name in names:
            taken = {ts: value for (device, key, ts), value in store.points.items()
                     if (device, key) == (name, "poll_ok")}
            times = sorted(ts for ts in taken if began_ms <= ts <= ended_ms)
            self.result.polls_before += sum(ts < assigned_ms for ts in times)
            self.result.polls_meanwhile += sum(ts >= assigned_ms for ts in times)
            self.result.polls_failed += sum(taken[ts] is False for ts in times)
            for early, late in itertools.pairwise(times):
                gap_s = (late - early) / 1000
                if early <= killed_ms + RESTART_SPARE_S * 1000 and late >= killed_ms - 1000:
                    continue
                self.result.polls_missing += max(0, round(gap_s / self._interval_s) - 1)
                (before if late < assigned_ms else during).append(abs(gap_s - self._interval_s))
        for where, found in (("_before", sorted(before)), ("", sorted(during))):
            if found:
                for share in (50, 99):
                    setattr(self.result, f"apart_p{share}{where}_s", round(found[(len(found) - 1) * share // 100], 3))
        self.result.apart_max_s = round(max(during, default=0.0), 3)

    async def _until(self, condition, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, default=40.0)
    parser.add_argument("--meters", type=int, default=20)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--link", default="fair")
    parser.add_argument("--before", type=float, default=120.0)
    parser.add_argument("--link-share", type=float, default=0.5)
    parser.add_argument("--shared-air", action="store_true", help="meters and uplink share the air of one channel")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(Path(__file__).parent.parent):
        result = asyncio.run(Run(Path(directory), size_bytes=int(options.mb * 1_000_000), meters=options.meters,
                                 interval_s=options.interval, link=options.link, before_s=options.before,
                                 link_share=options.link_share, shared_air=options.shared_air).run())
    print(json.dumps(asdict(result), indent=2))
    print("it came through, and every poll is there" if result.good else "NOT GOOD: see installed, polls_missing")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())

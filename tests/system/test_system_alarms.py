"""An alarm from the meter to the server and back to quiet, through every place that shows it, over a kill -9.

Simulated meters and radio -> gateway (a process) -> ring -> a server that was away meanwhile; page and command beside it.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from api_site import PASSWORD, Site
from gateway_process import TOKEN
from page_site import WEAK, trace

from edge.control import ask
from edge.demo.population import Member, Population
from edge.demo.thingsboard import ThingsBoard
from edge.demo.thingsboard_contract import Rules

pytestmark = [pytest.mark.system, pytest.mark.slow]

OWN = """
[[alarm]]
name = "over_voltage"
device = "meter"
figures = ["voltage_l1", "voltage_l2", "voltage_l3"]
above = 110.0
clear_at = 105.0
of = "nominal_voltage_v"
for_s = 1
severity = "major"

[[alarm]]
name = "meter_silent"
device = "meter"
figures = ["silent_s"]
above = 8.0
severity = "major"
"""
LOUD, QUIET, SILENT = "sim-0001", "sim-0002", "sim-0003"
BELOW_THE_LIMIT_V = 246.0      # of 253; cleared below 241.5, and the simulated supply swings by two per cent


def supply(member: Member, volts: float) -> None:
    physics = member.simulated.model.supply
    physics.data = replace(physics.data, nominal_v=volts)


class Alarms:
    """The alarms as the control socket tells them, over a restart too."""

    def __init__(self, site: Site) -> None:
        self.run = site.gateway.directory / "run"

    async def told(self) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.run, "alarms", timeout_s=30)

    async def standing(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(alarm["device"], alarm["name"]): alarm for alarm in (await self.told())["standing"]}

    async def until(self, *wanted: tuple[str, str], gone: bool = False) -> dict[tuple[str, str], dict[str, Any]]:
        async with asyncio.timeout(60):
            while True:
                standing = await self.standing()
                if all((each in standing) != gone for each in wanted):
                    return standing
                await asyncio.sleep(0.2)


async def readings(site: Site, meter: str) -> int:
    status = await asyncio.to_thread(ask, site.gateway.directory / "run", "status", timeout_s=30)
    return next(int(each.get("readings", 0)) for each in status["meters"] if each["name"] == meter)


@pytest.mark.timeout(240)
async def test_an_alarm_reaches_everybody_survives_a_kill_and_clears(tmp_path: Path) -> None:
    (tmp_path / "alarms.toml").write_text(OWN)
    (tmp_path / "radio.csv").write_text(trace())
    population = Population(3, framing="wrapper", seed=5)
    await population.start()
    loud, _, silent = population.members
    async with ThingsBoard(Rules(token=TOKEN)) as server:
        points = server.contract.store.points
        await server.outage()
        site = Site(tmp_path, alarms={"file": str(tmp_path / "alarms.toml")}, poll={"interval_s": 0.5, "connect_timeout_s": 1.0},
                    radio={"kind": "simulated", "trace": str(tmp_path / "radio.csv"), "interval_s": 0.5, "record_interval_s": 1.0},
                    uplink={"enabled": True, "host": "127.0.0.1", "port": server.port, "backoff_first_s": 0.1, "backoff_max_s": 0.3})
        alarms = Alarms(site)
        with site.gateway:
            site.gateway.token(TOKEN)
            await asyncio.to_thread(site.gateway.register, population.csv_text())
            await asyncio.to_thread(site.gateway.command, "meter", "edit", QUIET, "--mac", WEAK)
            await asyncio.to_thread(site.start)
            admin = await asyncio.to_thread(site.admin)

            # Raised: over-voltage at one, silence of another, a poor link to the third. Nobody upstream hears of it yet.
            supply(loud, 262.0)
            await silent.simulated.close()
            raised = (LOUD, "over_voltage"), (QUIET, "link_poor"), (SILENT, "meter_silent")
            standing = await alarms.until(*raised)
            assert standing[raised[0]]["detail"].startswith("voltage_l")
            page = await asyncio.to_thread(admin.call, "GET", "alarms")
            assert set(raised) <= {(alarm["device"], alarm["name"]) for alarm in page.json["standing"]}
            assert points == {}

            async with asyncio.timeout(30):      # kept, and so on flash
                while len([change for change in (await alarms.told())["history"] if (change["alarm"]["device"], change["alarm"]["name"]) in raised]) < 3:
                    await asyncio.sleep(0.1)

            # A kill -9 between raising and acknowledging: they stand, and are not raised again.
            await asyncio.to_thread(site.gateway.kill)
            await asyncio.to_thread(site.start)
            await alarms.until(*raised)
            before = await readings(site, LOUD)
            while await readings(site, LOUD) < before + 3:
                await asyncio.sleep(0.2)
            told = await alarms.told()
            assert [change["state"] for change in told["history"] if (change["alarm"]["device"], change["alarm"]["name"]) in raised] == ["raised"] * 3
            assert {place: alarm["raised_ms"] for place, alarm in (await alarms.standing()).items() if place in raised} == {
                place: standing[place]["raised_ms"] for place in raised}

            # Acknowledged on the page: the command tells by whom.
            await asyncio.to_thread(admin.call, "POST", "session", {"password": PASSWORD})
            answer = await asyncio.to_thread(admin.call, "POST", "alarms/acknowledge", {"device": LOUD, "name": "over_voltage"})
            assert answer.status == 200, answer
            assert (await alarms.standing())[raised[0]]["acknowledged_by"] == "admin at 127.0.0.1"
            listed = (await asyncio.to_thread(site.gateway.command, "alarms", "list")).stdout.splitlines()
            (line,) = [line for line in listed if line.startswith(LOUD)]
            assert "over_voltage" in line
            assert "acknowledged by admin at 127.0.0.1" in line

            # The server is back: it hears of the alarms before any of the backlog.
            await server.restore()
            async with asyncio.timeout(60):
                while sum(key == "poll_ok" for _, key, _ in points) < 20:
                    await asyncio.sleep(0.1)
            arrived = list(points)
            first_poll = next(place for place, (_, key, _) in enumerate(arrived) if key == "poll_ok")
            sent = [(device, points[device, "alarm", ts], points[device, "alarm_state", ts], points.get((device, "alarm_by", ts)))
                    for device, key, ts in arrived[:first_poll] if key == "alarm"]
            for device, name in raised:
                assert sent.count((device, name, "raised", None)) == 1
            assert (LOUD, "over_voltage", "acknowledged", "admin at 127.0.0.1") in sent

            # Hysteresis: below the limit it still stands; back at the nominal voltage it is cleared, upstream too.
            supply(loud, BELOW_THE_LIMIT_V)
            before = await readings(site, LOUD)
            while await readings(site, LOUD) < before + 4:
                await asyncio.sleep(0.2)
            assert raised[0] in await alarms.standing()
            supply(loud, 230.0)
            await alarms.until(raised[0], gone=True)
            async with asyncio.timeout(30):
                while not any(key == "alarm_state" and value == "cleared" and device == LOUD and points[device, "alarm", ts] == "over_voltage"
                              for (device, key, ts), value in dict(points).items()):
                    await asyncio.sleep(0.1)
            page = await asyncio.to_thread(admin.call, "GET", "alarms")
            assert raised[0] not in {(alarm["device"], alarm["name"]) for alarm in page.json["standing"]}
            assert page.json["history"][0]["state"] in ("cleared", "raised")
            assert await asyncio.to_thread(site.gateway.stop) == 0
            assert "Traceback" not in site.gateway.log.read_text()
    await population.close()

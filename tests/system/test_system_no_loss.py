"""The promise, end to end: 20,000 readings through real TCP and Mosquitto, five cuts, and nothing lost.

Meters (simulated, real TCP) -> gateway (a process) -> wire tap -> Mosquitto. The broker is killed twice, the link is cut
once without FIN, the gateway is killed twice. Judged on the wire, because Mosquitto forgets what it acknowledged when
it is killed: every record that the ring held must be in a PUBLISH that got a PUBACK with a success code.
"""

import asyncio
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from judge import Judge
from mosquitto_broker import Mosquitto
from wiretap import WireTap

from edge.demo.population import Population

READINGS = int(os.environ.get("HALOW_READINGS", "20000"))
METERS, INTERVAL_S = 60, 0.2
WINDOW_MESSAGES = 16
ORDINALS = (1 << 40) - 1

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.mark.timeout(400)
async def test_nothing_is_lost_over_broker_kills_a_silent_cut_and_gateway_kills(tmp_path: Path) -> None:
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(binary).exists():
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    judge, broker = Judge(), Mosquitto(binary, tmp_path)
    await broker.start()
    population = Population(METERS, framing="wrapper", seed=3)
    await population.start()
    durable: list[int] = []
    async with WireTap(("127.0.0.1", broker.port), on_packet=judge.packet) as tap:
        gateway = GatewayProcess(
            tmp_path, uplink={"enabled": True, "host": "127.0.0.1", "port": tap.port, "ack_timeout_s": 4.0,
                              "window_messages": WINDOW_MESSAGES, "backoff_first_s": 0.2, "backoff_max_s": 1.0},
            poll={"interval_s": INTERVAL_S, "at_once": 16})
        with gateway:
            gateway.token("token-of-the-test")
            await asyncio.to_thread(gateway.register, population.csv_text())

            async def newest() -> int:
                status = await asyncio.to_thread(gateway.await_status, lambda _status: True)
                return status["ring"]["durable_seq"]["instant"] & ORDINALS

            async def kill_broker() -> None:
                await broker.kill()
                await asyncio.sleep(3)
                await broker.start()

            async def cut_silently() -> None:
                tap.blackhole()
                await asyncio.sleep(8)
                tap.heal()

            async def kill_gateway() -> None:
                durable.append(await newest())
                await asyncio.to_thread(gateway.kill)
                gateway.start()

            gateway.start()
            for share, cut in ((0.2, kill_broker), (0.35, kill_gateway), (0.5, cut_silently), (0.65, kill_broker), (0.8, kill_gateway)):
                await asyncio.wait_for(judge.until_acked(int(READINGS * share)), 120)
                await cut()
            await asyncio.wait_for(judge.until_acked(READINGS), 120)
            await asyncio.to_thread(gateway.command, "meter", "pause", *(member.row.name for member in population.members))
            await asyncio.to_thread(
                gateway.await_status, lambda status: not any(status["ring"]["backlog"].values()) and not any(
                    stream["in_memory"] for stream in status["ring"]["streams"].values()))
            assert await asyncio.to_thread(gateway.stop) == 0
            dump = await asyncio.to_thread(gateway.dump, "--stream", "instant")
    await population.close()
    await broker.kill()

    kept = {(row["device"], row["ts_ms"]) for row in dump if row["kind"] in ("reading", "failure")}
    ordinals = {row["seq"] & ORDINALS for row in dump}
    places = Counter((row["device"], row["ts_ms"]) for row in dump if row["kind"] in ("reading", "failure"))
    assert len(kept) >= READINGS
    assert max(places.values()) == 1, "two polls of one device share a time stamp: the server would merge them"
    for seq in durable:
        assert set(range(1, seq + 1)) <= ordinals, "called durable before a kill, and not on flash after it"
    assert kept - judge.acked == set(), "kept on flash and never acknowledged"
    assert judge.published.keys() - kept == set(), "published and never kept"
    assert all(row["acked"] for row in dump)
    assert judge.altered == [], "published again with other bytes"
    failures = Counter(row["values"].get("reason") for row in dump if row["kind"] == "failure")
    window = WINDOW_MESSAGES * judge.largest
    twice = sum(times - 1 for times in judge.published.values())
    print(f"\n{len(kept)} polls kept ({dict(failures)} failed), {len(judge.acked)} acknowledged, 0 lost; {twice} published twice over "
          f"{tap.connections} connections, most on one {max(judge.again.values(), default=0)}, window {window} records")
    assert max(judge.again.values(), default=0) <= window, "more than what was in flight was sent again after a cut"

"""The two ends of test_netns_paths.py, each in its namespace. Orders come by standard input, answers go out as JSON lines.

    paths_ends.py server PLACE    a Mosquitto, and whoever hears all of it; at the end of its input tells what came
    paths_ends.py gateway PLACE   ring, feeder, paths v1 and v2, uplink: feed N | drained | path NAME | end
"""

import asyncio
import json
import random
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import gmqtt
from mosquitto_broker import Mosquitto
from paths_site import SERVER
from uplink_bench import QUICK, TOKEN, Feeder, settings, until

from edge.clock import SystemClock
from edge.config import PathSettings, PathsSettings
from edge.credentials import Login
from edge.ring.store import Ring
from edge.uplink.pathwatch import PathWatch
from edge.uplink.uplink import Uplink

PORT = 1883


async def lines():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


def answer(**told):
    print(json.dumps(told), flush=True)


class Broker(Mosquitto):
    """On the server's own address, seen from both ways and from here."""

    def __init__(self, place):
        super().__init__("/usr/sbin/mosquitto", place, user="root")
        text = self._config.read_text().replace(f"listener {self.port} 127.0.0.1", f"listener {self.port} 127.0.0.1\nlistener {PORT} {SERVER}")
        self._config.write_text(text)


async def server(place):
    broker, heard = Broker(place), Counter()
    await broker.start()
    ear = gmqtt.Client("ear")

    def hear(_client, _topic, payload, _qos, _properties):
        for elements in json.loads(payload).values():
            heard.update(element["values"]["active_energy"] for element in elements)
        return 0

    ear.on_message = hear
    await ear.connect("127.0.0.1", broker.port)
    ear.subscribe("v1/gateway/telemetry", qos=1)
    answer(ready=True)
    async for _ in lines():
        pass
    answer(numbers=sorted(heard), twice=sum(heard.values()) - len(heard))
    await ear.disconnect()
    await broker.kill()


async def gateway(place):
    uplink = settings(PORT, host=SERVER, keepalive_s=2, ack_timeout_s=2.0, connect_timeout_s=2.0, window_messages=8, batch_bytes=1_000)
    paths = PathsSettings(dead_after_s=4.0, return_after_s=3.0, probe_interval_s=0.5,
                          path=(PathSettings(name="lan", interface="v1"), PathSettings(name="modem", interface="v2")))
    clock, events = SystemClock(trust_wall=True), []
    async with Ring.open(place / "ring", QUICK, clock) as ring:
        feed = Feeder(ring, clock)
        watch = PathWatch(uplink, paths, clock, random.Random(2), lambda record: events.append(record.values[1]), lambda _record: None)
        made = Uplink(ring, uplink, gateway_name="gw", login=Login("a test", TOKEN), clock=clock, promise=lambda _within_s: None,
                      rng=random.Random(1), paths=watch)
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(made.run())]
        await until(lambda: made.state().connected, 60)
        answer(ready=True)
        async for order in lines():
            match order:
                case ["feed", count]:
                    await feed.readings(int(count))
                    answer(written=feed.written)
                case ["drained"]:
                    async with asyncio.timeout(60):
                        await made.drained()
                    answer(acked=made.state().acked_records)
                case ["path", name]:
                    await until(lambda name=name: made.state().path == name and made.state().connected, 90)
                    answer(connections=made.state().connections)
                case _:
                    break
        state = made.state()
        bytes_by = {one.name: one.sent_bytes_today for one in state.paths}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    answer(events=events, takeovers=state.takeovers, quarantined=state.quarantined, bytes=bytes_by, written=feed.written)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run({"server": server, "gateway": gateway}[sys.argv[1]](Path(sys.argv[2])))

"""Who empties a backlog of readings to a broker, each as a process of its own: `benchmarks/drain.py` watches them.

gateway        the whole program on a ring that holds the backlog
gmqtt          the same publications, packed before, through bare gmqtt with the same window
paho           the same through paho-mqtt's own loop, the same window

All of them stay when they are through, until they are killed: of a process that is gone nobody can tell what it took.
The fourth, the ThingsBoard IoT Gateway, is in benchmarks/drain_incumbent.py.
"""

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "system"))

from gateway_process import EDGE, toml
from ring_stores import CLOCK, FIELDS, SCHEMA

from edge.config import RingSettings, UplinkSettings
from edge.model import Record, Stamp, Stream
from edge.ring.store import Ring

METERS = 20
TURN_MS = 100                      # between two readings of a meter
WINDOW = UplinkSettings().window_messages
RING = RingSettings(size_mib=64, slot_mib=1.0, instant_commit_window_s=0.05)
LENGTH_BYTES = 4


def readings(count: int) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """Yield (turn, meter, nine exact values of one decimal), the meters in turns."""
    for n in range(count):
        yield n // METERS, f"meter-{n % METERS:03d}", (
            2301 + n % 40, 2299 + n % 37, 2310 + n % 31, 512 + n % 900, 498 + n % 800, 505 + n % 700, 5000 + n % 7,
            353_212 + n % 9000, 123_456_789 + 97 * n)


class Gateway:
    """Ours: `halow-gateway run` with no meter in its registry."""

    name = "gateway"

    def __init__(self, place: Path, count: int) -> None:
        self._place, self._count = place, count

    def fill(self) -> None:
        """Put the readings into the ring, dated over the past minutes."""
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        now = CLOCK.stamp()
        turns = -(-self._count // METERS)
        async with Ring.open(self._place / "state" / "ring", RING, CLOCK) as ring:
            ticket = None
            for turn, meter, values in readings(self._count):
                age_ms = (turns - turn) * TURN_MS
                stamp = Stamp(now.boottime_ms - age_ms, now.wall_ms - age_ms, now.boot_id, now.synchronised)
                ticket = ring.put(Stream.INSTANT, Record(SCHEMA, meter, stamp, values))
                if turn % 50 == 0 and meter == "meter-000":
                    await ticket               # what waits for the flash stays small
            assert ticket is not None
            await ticket

    def command(self, port: int) -> list[str]:
        config = self._place / "gateway.toml"
        state = self._place / "state"
        config.write_text(toml({
            "gateway": {"name": "bench", "state_dir": str(state), "runtime_dir": str(self._place / "run")},
            "clock": {"trust_wall": True}, "radio": {"kind": "none"}, "ring": {"size_mib": 64, "slot_mib": 1.0},
            "uplink": {"enabled": True, "host": "127.0.0.1", "port": port}}))
        (state / "uplink.token").write_text("benchmark")
        (state / "uplink.token").chmod(0o600)
        return [*EDGE, "--config", str(config), "run"]


class Replay:
    """Publications that were recorded from ours, sent again by a bare client."""

    def __init__(self, name: str, recording: Path) -> None:
        self.name, self._recording = name, recording

    def fill(self) -> None:
        """Nothing: the recording is what it sends."""

    def command(self, port: int) -> list[str]:
        return [sys.executable, __file__, self.name, str(port), str(self._recording)]


def as_events(count: int) -> Iterator[str]:
    """Yield the readings as the IoT Gateway stores them, JSON."""
    for turn, meter, values in readings(count):
        keyed = {field.key: value / 10 for field, value in zip(FIELDS, values, strict=True)}
        yield json.dumps({"deviceName": meter, "deviceType": "default", "attributes": [],
                          "telemetry": [{"ts": 1_780_000_000_000 + turn * TURN_MS, "values": keyed}]})


def write_recording(path: Path, publications: Iterable[tuple[str, bytes]]) -> None:
    """Keep (topic, payload) for the bare clients."""
    with path.open("wb") as file:
        for topic, payload in publications:
            for part in (topic.encode(), payload):
                file.write(len(part).to_bytes(LENGTH_BYTES, "big") + part)


def read_recording(path: Path) -> list[tuple[str, bytes]]:
    """Read what `write_recording` wrote."""
    data, parts, at = path.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at:at + LENGTH_BYTES], "big")
        parts.append(data[at + LENGTH_BYTES:at + LENGTH_BYTES + size])
        at += LENGTH_BYTES + size
    return [(topic.decode(), payload) for topic, payload in zip(parts[::2], parts[1::2], strict=True)]


class _Window:
    """gmqtt's message store: what it holds is in flight."""

    is_empty = True

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.room = asyncio.Event()

    def push_message(self, packet_id: int, _package: bytes) -> None:
        self.open.add(packet_id)

    def remove_message_by_mid(self, packet_id: int) -> None:
        self.open.discard(packet_id)
        self.room.set()

    async def wait_empty(self) -> None:
        """Return at once: nothing is left from before."""

    def clear(self) -> None:
        self.open.clear()

    def get_all(self) -> list[tuple[int, bytes]]:
        return []


async def _by_gmqtt(port: int, publications: list[tuple[str, bytes]]) -> None:
    import gmqtt

    window = _Window()
    client = gmqtt.Client("bench", clean_session=True, persistent_storage=window)
    await client.connect("127.0.0.1", port)
    for topic, payload in publications:
        while len(window.open) >= WINDOW:
            window.room.clear()
            await window.room.wait()
        client.publish(topic, payload, qos=1)
    await asyncio.Event().wait()


def _by_paho(port: int, publications: list[tuple[str, bytes]]) -> None:
    import paho.mqtt.client as paho

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(WINDOW)
    waiting = iter(publications)
    open_ids: set[int] = set()

    def more() -> None:
        for topic, payload in waiting:
            open_ids.add(client.publish(topic, payload, qos=1).mid)
            if len(open_ids) >= WINDOW:
                return

    def answered(_client: object, _data: object, mid: int, *_rest: object) -> None:
        open_ids.discard(mid)
        more()

    client.on_connect = lambda *_arguments: more()
    client.on_publish = answered
    client.connect("127.0.0.1", port)
    client.loop_forever()


def main(name: str, port: int, path: Path) -> None:
    """Be one of the bare clients."""
    if name == "gmqtt":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_by_gmqtt(port, read_recording(path)))
    else:
        _by_paho(port, read_recording(path))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

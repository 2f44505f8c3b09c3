"""How fast a backlog leaves for the broker, and what it costs: the gateway, bare clients, the ThingsBoard IoT Gateway.

    python benchmarks/drain.py [--readings N] [--rounds N] [--rtt-ms MS [--mbit N]] [--iot-gateway PYTHON]

A backlog of nine-value readings of twenty meters goes to Mosquitto on loopback, QoS 1, one sender after the other, each
a process of its own (benchmarks/drain_senders.py). A subscriber counts what arrived; rate, processor time and resident
memory are of the sender between its first and its last reading there, so that starting up counts for nobody. The bare
clients send the very publications that the gateway sent, packed before. `data points` are values. All of it runs in a
network namespace of its own: the IoT Gateway reports to its vendor when it starts, which reaches nobody from there.
"""

import argparse
import contextlib
import getpass
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
from daemon_memory import await_port, cpu_s, free_port, memory_kib, mosquitto
from drain_incumbent import IotGateway
from drain_senders import Gateway, Replay, as_events, write_recording

VALUES = 9
TOPIC = "v1/gateway/telemetry"
REQUESTS = "v1/devices/me/rpc/request/+"
LIMITS = b'{"maxPayloadSize":65536,"maxInflightMessages":100,"rateLimits":{}}'
USERS = ("benchmark", "YOUR_ACCESS_TOKEN")       # ours, and what the IoT Gateway ships with
STALL_S = 60.0
PYTHON = Path(__file__).parent.parent / "build" / "incumbent-service" / "bin" / "python"


@dataclass
class Watch:
    """Counts readings that arrive of the process `pid`, and looks at it at the first and at the last of `total`."""

    total: int
    pid: int = 0
    arrived: int = 0
    began: tuple[float, float] = (0.0, 0.0)       # when, processor time
    ended: tuple[float, float] = (0.0, 0.0)
    last: float = field(default_factory=time.monotonic)
    rss_kib: list[int] = field(default_factory=list)
    publications: list[tuple[str, bytes]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def heard(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        if self.done.is_set() or not self.pid:
            return
        self.last = time.monotonic()
        if not self.arrived:
            self.began = self.last, cpu_s(self.pid)
        self.arrived += message.payload.count(b'"ts":')
        self.publications.append((message.topic, message.payload))
        if self.arrived >= self.total:
            self.ended = time.monotonic(), cpu_s(self.pid)
            self.done.set()

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        """Sample the memory until all arrived."""
        while not self.done.wait(0.1):
            if process.poll() is not None:
                raise SystemExit(f"the sender ended ({process.returncode}) after {self.arrived:,} of {self.total:,}")
            if self.arrived:
                self.rss_kib.append(memory_kib(self.pid)[0])
            if time.monotonic() - self.last > STALL_S:
                raise SystemExit(f"nothing arrived for {STALL_S:g} s; {self.arrived:,} of {self.total:,} did")


@dataclass(frozen=True)
class Result:
    """What one drain showed."""

    points_per_s: float
    us_per_point: float
    rss_mib: float
    rss_span_mib: float
    publications: int


def drained(sender, count: int, port: int, watch: Watch) -> Result:
    """Run a sender until the backlog has arrived."""
    process = subprocess.Popen(sender.command(port), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        watch.last, watch.pid = time.monotonic(), process.pid
        watch.follow(process)
    finally:
        process.kill()
        process.wait()
    took_s, used_s = (end - begin for begin, end in zip(watch.began, watch.ended, strict=True))
    points, rss = count * VALUES, watch.rss_kib or [0]
    return Result(points / took_s, 1e6 * used_s / points, max(rss) / 1024, (max(rss) - min(rss)) / 1024,
                  len(watch.publications))


@contextlib.contextmanager
def broker(directory: Path) -> Iterator[int]:
    """Run Mosquitto and give its port. As at ThingsBoard, a device hears answers only, not what it publishes itself.

    Nothing is dropped for a subscriber that is behind, as the one that counts is on a busy machine.
    """
    port = free_port()
    rules = "".join(f"user {user}\ntopic write #\ntopic read v1/devices/me/rpc/response/+\n" for user in USERS)
    (directory / "acl").write_text(f"topic readwrite #\n{rules}")
    (directory / "acl").chmod(0o600)
    (directory / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {directory}/acl\nuser {getpass.getuser()}\n"
        "max_queued_messages 0\n")
    process = subprocess.Popen([mosquitto(), "-c", str(directory / "mosquitto.conf")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def server(port: int, watch: Watch) -> Iterator[None]:
    """Be what stands behind the broker: count telemetry, and say that the session has no limits."""
    client, subscribed = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="server"), threading.Event()
    client.on_connect = lambda *_arguments: client.subscribe([(TOPIC, 0), (REQUESTS, 0)])
    client.on_subscribe = lambda *_arguments: subscribed.set()
    client.message_callback_add(TOPIC, watch.heard)
    client.message_callback_add(REQUESTS, lambda _client, _data, message: client.publish(
        message.topic.replace("request", "response"), LIMITS))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert subscribed.wait(10), "the broker does not answer"
        yield
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def way_to(port: int, options: argparse.Namespace) -> Iterator[int]:
    """Give the port through which senders reach the broker: its own, or that of a link in a process of its own."""
    if not options.rtt_ms:
        yield port
        return
    link = Path(__file__).parent / "drain_link.py"
    command = [sys.executable, link, str(port), str(options.rtt_ms), str(options.mbit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def measured(sender, base: Path, options: argparse.Namespace) -> tuple[Result, list[tuple[str, bytes]]]:
    """Fill a sender's backlog and drain it to a broker of its own."""
    sender.fill()
    watch = Watch(options.readings)
    with broker(base) as port, server(port, watch), way_to(port, options) as door:
        result = drained(sender, options.readings, door, watch)
    return result, watch.publications


def one_round(options: argparse.Namespace, base: Path) -> dict[str, Result]:
    """Let every sender drain once."""
    recording, results = base / "recording", {}
    senders = [Gateway(base / "gateway", options.readings), Replay("gmqtt", recording), Replay("paho", recording)]
    if options.iot_gateway.exists():
        senders.append(IotGateway(base / "iot", as_events(options.readings), options.iot_gateway))
    for sender in senders:
        for name in ("gateway", "gateway/state", "iot"):
            (base / name).mkdir(exist_ok=True, mode=0o700)
        results[sender.name], publications = measured(sender, base, options)
        if sender.name == "gateway":
            write_recording(recording, publications)
    return results


def report(rounds: list[dict[str, Result]]) -> None:
    """Print medians over the rounds, and the ratios to ours in the same round."""
    print("sender         data points/s   to ours   CPU us/point   to ours   RSS MiB   span MiB   publications")
    figures = ("points_per_s", "us_per_point", "rss_mib", "rss_span_mib", "publications")
    for name in rounds[0]:
        rate, cost, rss, span, sent = (
            statistics.median(getattr(results[name], figure) for results in rounds) for figure in figures)
        faster, dearer = (statistics.median(getattr(results[name], figure) / getattr(results["gateway"], figure)
                                            for results in rounds) for figure in ("points_per_s", "us_per_point"))
        print(f"{name:12} {rate:15,.0f} {faster:9.2f} {cost:14.2f} {dearer:9.2f} {rss:9.1f} {span:10.1f} {sent:14,.0f}")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rtt-ms", type=float, default=0, help="put a link of this round trip in between")
    parser.add_argument("--mbit", type=float, default=20, help="its rate each way, with --rtt-ms")
    parser.add_argument("--iot-gateway", type=Path, default=PYTHON, help="its environment's Python; left out if absent")
    options = parser.parse_args()
    if os.environ.get("DRAIN_ALONE") != "1":
        unshare = shutil.which("unshare")
        if unshare is None or mosquitto() is None:
            raise SystemExit("needs unshare (util-linux) and mosquitto")
        command = [unshare, *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "sh", "-c",
                   'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(command, env={**os.environ, "DRAIN_ALONE": "1"}, check=False).returncode)
    if not options.iot_gateway.exists():
        print(f"without the IoT Gateway: {options.iot_gateway} is not there (make incumbent fetches it)")
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            rounds.append(one_round(options, Path(name)))
    report(rounds)


if __name__ == "__main__":
    main()

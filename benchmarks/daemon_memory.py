"""Memory of the whole daemon with 1, 10 and 100 meters: real processes, simulated meters, an MQTT broker to drain to.

    python benchmarks/daemon_memory.py [--meters 1 10 100] [--seconds 60]

Prints VmRSS and PSS of the gateway process after it has polled for the given time (interval 10 s, half wrapper, half
HDLC) and drained to Mosquitto where that is installed, beside a Python process that only imports asyncio. CPU is the
gateway's own, as a share of one core. On a machine with nl80211 the radio's decoder adds 12 to 14 MiB (not counted).
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "system"))

from gateway_process import EDGE, GatewayProcess

TICKS = os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int) -> tuple[int, int]:
    """Return (VmRSS, PSS) of a process in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return rss, pss


def cpu_s(pid: int) -> float:
    """Return user and system seconds of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def bare_interpreter_kib() -> int:
    """Return the RSS of Python with asyncio imported and nothing else."""
    script = "import asyncio; print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')))"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def mosquitto() -> str | None:
    """Return the broker's path, None where it is not installed."""
    return shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when `process` listens there."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, f"{process.args} ended"
        time.sleep(0.05)


@contextlib.contextmanager
def broker(directory: Path) -> Iterator[dict[str, object]]:
    """Run Mosquitto on a free port and give the uplink's settings for it; without Mosquitto the uplink is off."""
    binary = mosquitto()
    if binary is None:
        yield {"enabled": False}
        return
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([binary, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield {"enabled": True, "host": "127.0.0.1", "port": port}
    finally:
        process.terminate()
        process.wait(10)


def measure(meters: int, seconds: float) -> tuple[int, int, float, int]:
    """Run the daemon with so many meters; return RSS and PSS in KiB, CPU share, readings."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        csv = directory / "meters.csv"
        meters_process = subprocess.Popen(
            [*EDGE, "simulate", "--meters", str(meters), "--port-base", "0", "--csv", str(csv)],
            stdout=subprocess.PIPE, text=True)
        try:
            while "meters; stop" not in meters_process.stdout.readline():
                pass
            with broker(directory) as uplink, GatewayProcess(
                    directory, poll={"interval_s": 10.0}, uplink=uplink) as gateway:
                gateway.token("benchmark")
                gateway.command("meter", "import", str(csv))
                gateway.start()
                gateway.await_status(lambda status: len(status["meters"]) == meters)
                pid, began, before_s = gateway.process.pid, time.monotonic(), cpu_s(gateway.process.pid)
                time.sleep(seconds)
                share = (cpu_s(pid) - before_s) / (time.monotonic() - began)
                rss, pss = memory_kib(pid)
                readings = sum(meter.get("readings", 0) for meter in gateway.status()["meters"])
                gateway.stop()
                return rss, pss, share, readings
        finally:
            meters_process.terminate()
            meters_process.communicate()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    print(f"uplink: {'Mosquitto' if mosquitto() else 'off (no mosquitto here)'}")
    print(f"python with asyncio alone: {bare_interpreter_kib() / 1024:.1f} MiB RSS")
    print("meters  RSS MiB  PSS MiB  CPU % of a core  readings")
    for meters in options.meters:
        rss, pss, share, readings = measure(meters, options.seconds)
        print(f"{meters:6}  {rss / 1024:7.1f}  {pss / 1024:7.1f}  {100 * share:15.2f}  {readings:8}", flush=True)


if __name__ == "__main__":
    main()

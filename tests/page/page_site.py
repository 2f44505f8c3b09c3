"""What a technician finds: a gateway with its page on, simulated meters, and a simulated radio whose signal moves."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from api_site import Site
from gateway_process import EDGE

NEAR, FAR, WEAK = "02:00:5e:10:00:01", "02:00:5e:10:00:02", "02:00:5e:10:00:03"
PERIOD_S = 40


def trace() -> str:
    """The near peer's signal rises and falls as if somebody turned the antenna; the far one is fair and steady, a third is poor."""
    lines = ["t_s,mac,signal_dbm,inactive_ms,tx_packets,rx_packets"]
    for second in range(PERIOD_S):
        swing = abs(second % PERIOD_S - PERIOD_S // 2)
        lines += [f"{second},{NEAR},{-58 - swing - second % 3},200,{100 + second},{100 + second}",
                  f"{second},{FAR},{-86 + second % 2},400,{100 + second},{100 + second}",
                  f"{second},{WEAK},-94,400,{100 + second},{100 + second}"]
    return "\n".join([*lines, f"{PERIOD_S},{NEAR},-58,200,200,200"]) + "\n"


def free_base(count: int) -> int:
    """Neighbouring ports that are free now."""
    for base in range(21_000 + os.getpid() % 500 * 20, 60_000, count):
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


class Meters:
    """Simulated meters as a process that can be stopped and started again on the same ports."""

    def __init__(self, directory: Path, count: int) -> None:
        self.csv, self.count, self.base = directory / "meters.csv", count, free_base(count)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*EDGE, "simulate", "--meters", str(self.count), "--port-base", str(self.base), "--framing", "wrapper", "--csv", str(self.csv)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        while (line := self.process.stdout.readline()) and b"stop with" not in line:
            pass
        assert line, "the simulated meters did not start"

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=20)
            self.process = None

    def rows(self) -> list[dict[str, str]]:
        header, *lines = self.csv.read_text().splitlines()
        return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


class Box:
    """All of it."""

    def __init__(self, directory: Path, count: int = 6) -> None:
        (directory / "radio.csv").write_text(trace())
        self.meters = Meters(directory, count)
        self.site = Site(
            directory, poll={"interval_s": 2.0, "backoff_first_s": 0.5, "backoff_max_s": 2.0, "breaker_open_s": 2.0, "breaker_open_max_s": 4.0, "connect_timeout_s": 2.0},
            radio={"kind": "simulated", "trace": str(directory / "radio.csv"), "interval_s": 1.0, "record_interval_s": 2.0})
        self.url = f"http://127.0.0.1:{self.site.port}"

    def start(self) -> None:
        self.meters.start()
        self.site.start()

    def stop(self) -> None:
        self.meters.stop()
        assert self.site.gateway.stop() == 0, self.site.gateway.tail()

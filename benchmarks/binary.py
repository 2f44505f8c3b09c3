"""The single binary beside the same program from source: size, start to READY, memory. Both in the same run, in turns.

    python benchmarks/binary.py [--binary build/binary/halow-gateway] [--rounds 7] [--seconds 20]

warm    exec to READY=1, files in the page cache
cold    the same after the program's own files were dropped from the page cache (the C library's stay: others use them)
RSS     of the process, one second after READY, and after polling ten meters; VmHWM is its highest
memory files    libraries in anonymous memory: what is mapped and touched is in RSS, the rest is memory all the same
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/system"))      # which lends the process

import gateway_process
from gateway_process import GatewayProcess

ROOT = Path(__file__).resolve().parent.parent
SOURCE = [sys.executable, "-m", "edge"]
MIB = 1024 * 1024


@dataclass
class Memory:
    """In MiB."""

    rss: float
    peak: float
    anonymous: float
    pss: float
    files: float


def memory(pid: int) -> Memory:
    """Return what the kernel says of a process."""
    text = Path(f"/proc/{pid}/status").read_text() + Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(value) / 1024 for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    files = [link.stat().st_size for link in Path(f"/proc/{pid}/fd").iterdir() if "/memfd:" in str(link.readlink())]
    return Memory(kib["VmRSS"], kib["VmHWM"], kib["RssAnon"], kib["Pss"], sum(files) / MIB)


def files_of(command: list[str]) -> Iterator[Path]:
    """Yield the program's own files: the binary, or sources, packages and the interpreter's library."""
    if command != SOURCE:
        yield Path(command[0])
        return
    for folder in (ROOT / "edge", ROOT / "halow", Path(sys.prefix) / "lib", Path(os.__file__).parent):
        yield from (path for path in folder.rglob("*") if path.suffix in {".py", ".pyc", ".so", ".toml"})
    yield Path(sys.executable).resolve()


def drop(command: list[str]) -> None:
    """Drop the program's files from the page cache."""
    for path in files_of(command):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def start(command: list[str], *, cold: bool) -> tuple[float, Memory]:
    """Start the gateway without meters; return seconds to READY and its memory a second later."""
    gateway_process.EDGE = command
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, \
            GatewayProcess(Path(name)) as gateway:
        systemd.bind(f"{name}/notify")
        systemd.settimeout(60)
        if cold:
            drop(command)
        began = time.monotonic()
        gateway.start(env={"NOTIFY_SOCKET": f"{name}/notify"})
        while b"READY=1" not in systemd.recv(4096):
            pass
        ready_s = time.monotonic() - began
        time.sleep(1)
        seen = memory(gateway.process.pid)
        assert gateway.stop() == 0
        return ready_s, seen


def at_work(command: list[str], seconds: float) -> Memory:
    """Return the gateway's memory after it has polled ten meters for so long."""
    with tempfile.TemporaryDirectory() as name:
        csv = Path(name) / "meters.csv"
        meters = subprocess.Popen([*SOURCE, "simulate", "--meters", "10", "--port-base", "0", "--csv", str(csv)],
                                  stdout=subprocess.PIPE, text=True)
        try:
            while "meters; stop" not in meters.stdout.readline():
                pass
            gateway_process.EDGE = command
            with GatewayProcess(Path(name), poll={"interval_s": 2.0}) as gateway:
                gateway.command("meter", "import", str(csv))
                gateway.start()
                gateway.await_status(lambda status: len(status["meters"]) == 10
                                     and all(meter.get("readings", 0) for meter in status["meters"]))
                time.sleep(seconds)
                seen = memory(gateway.process.pid)
                assert gateway.stop() == 0
                return seen
        finally:
            meters.terminate()
            meters.communicate()


def main() -> None:
    """Measure in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=ROOT / "build" / "binary" / "halow-gateway")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    ways = {"source": SOURCE, "binary": [str(options.binary.resolve(strict=True))]}
    print(f"size of the binary: {options.binary.stat().st_size / 1e6:.1f} MB (target 25)")
    warm: dict[str, list[float]] = {way: [] for way in ways}
    cold: dict[str, list[float]] = {way: [] for way in ways}
    idle: dict[str, list[Memory]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, command in ways.items():
            cold[way].append(start(command, cold=True)[0])
            ready_s, seen = start(command, cold=False)
            warm[way].append(ready_s)
            idle[way].append(seen)
    work = {way: at_work(command, options.seconds) for way, command in ways.items()}
    print("ms, MiB      warm   cold    RSS   peak   anon    PSS  memory files  RSS with 10 meters")
    for way in ways:
        middle = sorted(idle[way], key=lambda seen: seen.rss)[len(idle[way]) // 2]
        warm_ms, cold_ms = 1000 * statistics.median(warm[way]), 1000 * statistics.median(cold[way])
        print(f"{way:9} {warm_ms:7.0f} {cold_ms:6.0f} {middle.rss:6.1f} {middle.peak:6.1f} {middle.anonymous:6.1f} "
              f"{middle.pss:6.1f} {middle.files:13.1f} {work[way].rss:19.1f}")
    rss = {way: statistics.median(seen.rss for seen in idle[way]) for way in ways}
    print(f"RSS of the binary / from source: {rss['binary'] / rss['source']:.2f} after start, "
          f"{work['binary'].rss / work['source'].rss:.2f} with ten meters (target 1.3)")


if __name__ == "__main__":
    main()

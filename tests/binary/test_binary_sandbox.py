"""The binary as the unit runs it, as far as a machine without systemd goes: a user without any right, a root that cannot be
written, private /dev and /proc, no memory both writable and executable, few tasks; first `init`, then the gateway at work.
"""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from binary_site import uplink
from gateway_process import TOKEN, toml

from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard

pytestmark = pytest.mark.system

USER = "780"
SANDBOX = """
set -e
mount -t tmpfs -o mode=755 image /mnt
cp "$1/halow-gateway" "$1/gateway.toml" "$1/meters.csv" "$1/token" /mnt
chmod 755 /mnt/halow-gateway; chmod 644 /mnt/gateway.toml /mnt/meters.csv /mnt/token
mkdir /mnt/state /mnt/run
mount -t tmpfs -o noexec,nosuid,nodev,mode=700,uid=780,gid=780 state /mnt/state
mount -t tmpfs -o noexec,nosuid,nodev,mode=700,uid=780,gid=780 runtime /mnt/run
mount -t proc -o hidepid=invisible proc /proc
mount -t tmpfs -o mode=755,noexec,nosuid devices /dev
mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9; mknod -m 666 /dev/random c 1 8
mount -o remount,ro /mnt; mount -o remount,ro /dev; mount -o remount,bind,ro /
! touch /mnt/written 2>/dev/null; ! touch /written 2>/dev/null
umask 077
sandbox="prlimit --nproc=48 --nofile=4096 --core=0 setpriv --reuid=780 --regid=780 --clear-groups --inh-caps=-all --ambient-caps=-all
         --bounding-set=-all --no-new-privs /usr/bin/python3.11 -c"
no_exec='import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])'
$sandbox "$no_exec" /mnt/halow-gateway -c /mnt/gateway.toml init --meters /mnt/meters.csv --token /mnt/token
exec $sandbox "$no_exec" /mnt/halow-gateway -c /mnt/gateway.toml run
"""


def hear(systemd: socket.socket, wanted: bytes) -> None:
    while wanted not in systemd.recv(4096):
        pass


async def test_the_units_sandbox_is_enough_for_it(binary: Path, tmp_path: Path, population: Population, server: ThingsBoard) -> None:
    namespaces = ["unshare", "--mount", "--propagation", "private", "--ipc", "--uts", "--pid", "--fork"]
    if os.geteuid() != 0 or subprocess.run([*namespaces, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a root of its own needs root")
    shutil.copy(binary, tmp_path / "halow-gateway")
    (tmp_path / "meters.csv").write_text(population.csv_text())
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "gateway.toml").write_text(toml({
        "gateway": {"state_dir": "/mnt/state", "runtime_dir": "/mnt/run"}, "clock": {"trust_wall": True},
        "ring": {"size_mib": 24, "slot_mib": 1.0, "instant_commit_window_s": 0.2}, "poll": {"interval_s": 0.5},
        "radio": {"kind": "auto"}, "uplink": uplink(server)}))
    name = f"halow-gateway-sandbox-{os.getpid()}"      # abstract: it crosses the mount name space
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, (tmp_path / "log").open("wb") as log:
        systemd.bind(f"\0{name}")
        systemd.settimeout(30)
        process = subprocess.Popen([*namespaces, "sh", "-c", SANDBOX, "sh", str(tmp_path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "3000000"})
        try:
            await asyncio.to_thread(hear, systemd, b"READY=1")
            await asyncio.to_thread(hear, systemd, b"WATCHDOG=1")
            (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            kernel = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE))
            assert (kernel["Uid"].split()[0], kernel["NoNewPrivs"]) == (USER, "1")
            assert {kernel[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0000000000000000"}
            assert int(kernel["Threads"]) <= 12
            async with asyncio.timeout(30):
                while len({device for device, key, _ in server.contract.store.points if key == "poll_ok"}) < 2:
                    await asyncio.sleep(0.05)
            asked = await asyncio.to_thread(subprocess.run, ["nsenter", "-t", child, "-m", "-p", "/mnt/halow-gateway", "-c", "/mnt/gateway.toml", "status", "--json"],
                                            check=True, capture_output=True, text=True, timeout=30)
            status = json.loads(asked.stdout)
            assert status["ring"]["healthy"] is True
            assert status["gateway"]["name"] == f"halow-gateway-{status['gateway']['id']}"
            assert all(stream["size_bytes"] == stream["quota_bytes"] for stream in status["ring"]["streams"].values())
            os.kill(int(child), 15)
            assert await asyncio.to_thread(process.wait, 15) == 0, (tmp_path / "log").read_text()
        finally:
            if process.poll() is None:      # the first process of its name space: with it all others go
                for first in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                    os.kill(int(first), 9)
                process.wait(10)
            print((tmp_path / "log").read_text())
    said = (tmp_path / "log").read_text()
    assert "made   meters: 2 added" in said
    assert "Traceback" not in said
    assert "Operation not permitted" not in said

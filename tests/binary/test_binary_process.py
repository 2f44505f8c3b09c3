"""The daemon as the binary: one process that systemd can watch, polls, drains, writes only where it may, ends with 0."""

import asyncio
import os
import re
import signal
import socket
import struct
import time
from pathlib import Path

import pytest
from binary_site import uplink, work
from gateway_process import GatewayProcess

from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard

pytestmark = pytest.mark.system

WRITES = "creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,truncate,chmod,fchmodat,unlink,unlinkat,rmdir"
TRACED = f"open,openat,openat2,bind,execve,fork,vfork,clone,clone3,memfd_create,{WRITES}"
# openssl.cnf: where Debian's libcrypto looks for its settings; none there is fine.
READS_OUTSIDE = re.compile(
    r"/etc/(ld\.so\.cache|ld\.so\.preload|localtime|hosts|host\.conf|resolv\.conf|nsswitch\.conf|gai\.conf|passwd|group|services|ssl/.*|os-release)"
    r"|/lib\S*/(libc|libm|libdl|libpthread|librt|ld-linux\S*|libnss_\w+|libresolv)\.so\.\d+|/proc/\S*|/sys/\S*|/dev/(null|urandom)|/usr/share/zoneinfo\S*|/usr/lib/ssl/openssl\.cnf|/")


async def test_the_process_that_was_started_is_the_gateway(
    gateways_are_binaries: Path, tmp_path: Path, population: Population, server: ThingsBoard,
) -> None:
    """NotifyAccess=main: READY and WATCHDOG come from the very process that was started, and it has no children."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, \
            GatewayProcess(tmp_path, uplink=uplink(server), poll={"interval_s": 0.25}) as gateway:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        systemd.settimeout(20)
        heard: set[str] = set()
        senders: set[int] = set()

        def hear(message: str) -> None:
            while message not in heard:
                text, ancillary, _, _ = systemd.recvmsg(4096, socket.CMSG_SPACE(12))
                heard.update(text.decode().splitlines())
                senders.add(struct.unpack("iII", ancillary[0][2])[0])

        await work(gateway, population, server, env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"})
        pid = gateway.process.pid
        await asyncio.to_thread(hear, "READY=1")
        await asyncio.to_thread(hear, "WATCHDOG=1")
        assert Path(f"/proc/{pid}/exe").resolve() == gateways_are_binaries
        assert Path(f"/proc/{pid}/comm").read_text() == "halow-gateway\n"
        children = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
        assert children
        assert not any(children)
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(hear, "STOPPING=1")
        assert await asyncio.to_thread(gateway.process.wait, 15) == 0
        assert senders == {pid}
        assert "Traceback" not in gateway.log.read_text()
        assert {row["device"] for row in gateway.dump("--stream", "instant") if row["kind"] == "reading"} == {member.row.name for member in population.members}


async def test_libraries_are_in_memory_sealed_and_loaded_once(
    gateways_are_binaries: Path, tmp_path: Path, population: Population, server: ThingsBoard,
) -> None:
    with GatewayProcess(tmp_path, uplink=uplink(server), poll={"interval_s": 0.25}) as gateway:
        await work(gateway, population, server)
        pid = gateway.process.pid
        mapped = Path(f"/proc/{pid}/maps").read_text()
        names = re.findall(r"/memfd:(\S+)", mapped)
        assert {"libcrypto.so.3", "libssl.so.3", "_ssl.so", "uvloop.loop.so", "msgpack._cmsgpack.so"} <= set(names)
        executable = {line.split(maxsplit=5)[5] for line in mapped.splitlines() if line.split()[1][2] == "x" and "/" in line}
        outside = {path for path in executable if not path.startswith("/memfd:")} - {str(gateways_are_binaries)}
        assert all(re.fullmatch(r"/usr/lib\S*/(libc|libm|libdl|libpthread|librt|ld-linux\S*)\.so\.\d+", path) for path in outside), outside
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if "/memfd:" in str(link.readlink()):
                descriptor = os.open(link, os.O_RDWR)
                with pytest.raises(PermissionError):
                    os.write(descriptor, b"x")
                os.close(descriptor)
        assert gateway.stop() == 0


async def test_it_writes_only_in_its_state_and_runtime_directories(
    gateways_are_binaries: Path, tmp_path: Path, population: Population, server: ThingsBoard, strace: str,
) -> None:
    """Every call that opens for writing, makes, renames or removes a name, from the first to the last instruction."""
    trace = tmp_path / "trace"
    with GatewayProcess(tmp_path, uplink=uplink(server), poll={"interval_s": 0.25}) as gateway:
        prefix = (strace, "-D", "-f", "-q", "-s", "512", "-e", f"trace={TRACED}", "-o", str(trace))
        await work(gateway, population, server, prefix=prefix)
        pid = gateway.process.pid
        assert gateway.stop(30) == 0
    deadline = time.monotonic() + 20
    while f"{pid} +++ exited with 0 +++" not in re.sub(" +", " ", trace.read_text()):
        assert time.monotonic() < deadline, "no end in the trace"
        await asyncio.sleep(0.05)
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines() if "(" in line and "resumed>" not in line]
    may = (str(gateway.state) + "/", str(tmp_path / "run") + "/")
    written = [call for call in calls if call.startswith(tuple(f"{name}(" for name in WRITES.split(","))) or re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", call)]
    strangers = [call for call in written if not all(f"{name}/".startswith(may) for name in re.findall(r'"([^"]*)"', call)) and '"/dev/null"' not in call]
    assert strangers == []
    assert len(written) > 5, "the trace has missed the ring"
    assert [call for call in calls if call.startswith(("fork(", "vfork(", "execve("))][1:] == [], "a process besides the first"
    assert all("CLONE_THREAD" in call for call in calls if call.startswith("clone"))
    assert any(call.startswith("memfd_create(") for call in calls)
    read = {name for call in calls if call.startswith("open") and ") = -1" not in call for name in re.findall(r'"([^"]*)"', call)}
    own = (*may, str(gateways_are_binaries), str(gateway.config))
    assert sorted(name for name in read if not f"{name}/".startswith(own) and not READS_OUTSIDE.fullmatch(name)) == []

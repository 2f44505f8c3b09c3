"""The binary where no Python is: in a root of nothing but the C library, read-only; and over TLS with its own OpenSSL."""

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from binary_site import uplink, work
from gateway_process import GatewayProcess, toml

from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard

pytestmark = pytest.mark.system

IN_THE_ROOT = """
set -e
mount --bind "$1" "$1"
mount --bind /dev/null "$1/dev/null"
mount --bind /dev/urandom "$1/dev/urandom"
mount -t proc -o hidepid=invisible proc "$1/proc"
mount -t tmpfs -o noexec,mode=700 state "$1/data"
mount -t tmpfs -o noexec,mode=700 runtime "$1/run"
mount -o remount,bind,ro "$1"
! touch "$1/written" 2>/dev/null
chroot "$1" /halow-gateway-probe >&2
chroot "$1" /halow-gateway -c /etc/gateway.toml run >&2 &
gateway=$!
tries=0
until chroot "$1" /halow-gateway -c /etc/gateway.toml status --json 2>/dev/null; do
    tries=$((tries + 1)); [ $tries -lt 50 ]; sleep 0.2
done
kill -TERM $gateway
wait $gateway
"""


def bare_root(binary: Path, root: Path) -> None:
    """Make a tree with the binary, the C library as the binary and its libraries name it, and mount points."""
    for name in ("proc", "dev", "etc", "data", "run"):
        (root / name).mkdir(parents=True)
    for name in ("dev/null", "dev/urandom"):
        (root / name).touch()
    maps = subprocess.run(["ldd", str(binary)], check=True, capture_output=True, text=True).stdout
    loader, library = Path(re.search(r"(/\S*ld-linux\S*)", maps)[1]), Path(re.search(r"(/\S*libc\.so\.6)", maps)[1])
    for file in (loader, *(library.with_name(name) for name in ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"))):
        (root / file.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / file.relative_to("/"))
    for name in ("halow-gateway", "halow-gateway-probe"):
        shutil.copy(binary.with_name(name), root / name)
    (root / "etc" / "gateway.toml").write_text(toml({
        "gateway": {"name": "gw-bare", "state_dir": "/data", "runtime_dir": "/run"}, "ring": {"size_mib": 64, "slot_mib": 1.0},
        "radio": {"kind": "auto"}, "uplink": {"enabled": False}}))


def test_a_root_with_nothing_but_the_c_library_is_enough(binary: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a root of its own needs root")
    bare_root(binary, tmp_path / "root")
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "sh", "-c", IN_THE_ROOT, "sh", str(tmp_path / "root")],
                          check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["ring"]["healthy"] is True
    assert status["radio"]["present"] is False
    assert "Traceback" not in done.stderr


def test_no_memory_is_ever_writable_and_executable(binary: Path) -> None:
    """MemoryDenyWriteExecute=, by the kernel's own switch (prctl 65 is PR_SET_MDWE, Linux 6.3): every module still loads."""
    refuse = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) and sys.exit(75); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", refuse, f"{binary}-probe"], check=False, capture_output=True, text=True, timeout=60)
    if done.returncode == 75:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert json.loads(done.stdout)["failed"] == {}


async def test_the_uplink_over_tls(gateways_are_binaries: Path, tmp_path: Path, population: Population, server: ThingsBoard) -> None:
    """OpenSSL as carried, the pinned CA as the only trust: telemetry arrives through a TLS front."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", "key.pem",
                    "-out", "ca.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    relays: set[asyncio.Task[None]] = set()
    versions: set[str] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(4096):
                sink.write(data)
        except OSError:
            pass      # the other side hung up first
        sink.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.add(asyncio.current_task())
        versions.add(writer.get_extra_info("ssl_object").version())
        back, forth = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pump(reader, forth), pump(back, writer))

    front = await asyncio.start_server(relay, "localhost", 0, family=2, ssl=context)
    settings = {**uplink(server), "host": "localhost", "port": front.sockets[0].getsockname()[1], "tls": True, "ca_file": str(tmp_path / "ca.pem")}
    with GatewayProcess(tmp_path, uplink=settings, poll={"interval_s": 0.25}) as gateway:
        await work(gateway, population, server)
        assert await asyncio.to_thread(gateway.stop) == 0
    front.close()
    await asyncio.gather(*relays)
    assert versions == {"TLSv1.3"}

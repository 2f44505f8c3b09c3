"""READY=1 whatever is missing: a board that waits for its network, its token or its clock would never poll a meter."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import GatewayProcess

pytestmark = pytest.mark.system

READY_WITHIN_S = 20
NOWHERE = {"enabled": True, "host": "127.0.0.1", "port": 9, "backoff_first_s": 0.2}

EPOCH = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>
/* The wall clock of a board without a battery: it begins at 0, boot time and all others are right. */
static long behind;
static int real(clockid_t id, struct timespec *ts) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return next(id, ts);
}
int clock_gettime(clockid_t id, struct timespec *ts) {
    int status = real(id, ts);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        if (!behind) behind = ts->tv_sec - 3;
        ts->tv_sec -= behind;
    }
    return status;
}
int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    struct timespec ts; (void)zone;
    int status = clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec; tv->tv_usec = ts.tv_nsec / 1000;
    return status;
}
time_t time(time_t *at) {
    struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts);
    if (at) *at = ts.tv_sec;
    return ts.tv_sec;
}
"""


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(READY_WITHIN_S)
        yield systemd


def becomes_ready(gateway: GatewayProcess, systemd: socket.socket, **start: object) -> dict[str, object]:
    """Start it, wait for READY=1, ask it how it is, and end it with status 0."""
    env = {"NOTIFY_SOCKET": systemd.getsockname(), **dict(start.pop("env", {}))}
    gateway.start(env=env, **start)
    while b"READY=1" not in systemd.recv(4096):
        pass
    status = gateway.status()
    assert status["gateway"]["overdue"] == []
    assert status["gateway"]["ready_after_boot_s"] <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert status["gateway"]["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert gateway.stop() == 0
    assert "Traceback" not in gateway.log.read_text()
    return status


def test_with_nothing_at_all(tmp_path: Path, notified: socket.socket) -> None:
    """No meter, no token, nobody at the other end, a state directory that is not there yet."""
    with GatewayProcess(tmp_path, uplink=NOWHERE, clock={"trust_wall": False}) as gateway:
        gateway.state.rmdir()
        status = becomes_ready(gateway, notified)
    assert status["meters"] == []
    assert "no access token" in status["uplink"]["last_error"]


@pytest.mark.parametrize(("token", "says"), [(b"", "holds no access token"), (b"\xff\xfe\x00", "not ASCII"), (b"two words\n", "must be one word")])
def test_with_a_token_that_is_none(tmp_path: Path, notified: socket.socket, token: bytes, says: str) -> None:
    with GatewayProcess(tmp_path, uplink=NOWHERE) as gateway:
        (gateway.state / "uplink.token").write_bytes(token)
        status = becomes_ready(gateway, notified)
    assert says in status["uplink"]["last_error"]


def test_with_a_token_that_is_a_directory_and_a_ca_that_is_not_there(tmp_path: Path, notified: socket.socket) -> None:
    with GatewayProcess(tmp_path, uplink={**NOWHERE, "tls": True, "ca_file": "/none/ca.pem"}) as gateway:
        (gateway.state / "uplink.token").mkdir()
        assert "cannot be read: Is a directory" in becomes_ready(gateway, notified)["uplink"]["last_error"]
        (gateway.state / "uplink.token").rmdir()
        gateway.token("A1_TEST_TOKEN")
        assert "/none/ca.pem" in becomes_ready(gateway, notified)["uplink"]["last_error"]


def test_with_meters_and_a_server_but_no_network(tmp_path: Path, notified: socket.socket) -> None:
    """In a network name space of its own, where not even the loopback is up; a name that nobody resolves."""
    alone = ("unshare", "--net") if subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode == 0 else ("unshare", "-r", "--net")
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to a network name space")
    with GatewayProcess(tmp_path, uplink={**NOWHERE, "host": "thingsboard.invalid"}, radio={"kind": "auto"}, poll={"interval_s": 0.5}) as gateway:
        gateway.token("A1_TEST_TOKEN")
        gateway.command("meter", "add", "m1", "10.0.0.1", "--authentication", "none")
        status = becomes_ready(gateway, notified, prefix=alone)
    assert status["meters"][0]["name"] == "m1"
    assert status["uplink"]["connected"] is False
    assert status["radio"]["present"] is False


def test_with_a_clock_that_stands_at_1970(tmp_path: Path, notified: socket.socket) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing: apt install gcc")
    (tmp_path / "epoch.c").write_text(EPOCH)
    library = tmp_path / "epoch.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "epoch.c"), "-ldl"], check=True)
    with GatewayProcess(tmp_path, uplink=NOWHERE, clock={"trust_wall": False}) as gateway:
        gateway.token("A1_TEST_TOKEN")
        becomes_ready(gateway, notified, env={"LD_PRELOAD": str(library)})
        assert " 1970-01-01T00:00:" in " " + gateway.log.read_text()
        assert next(row["kind"] for row in gateway.dump("--stream", "alarm")) == "event"


def test_with_a_damaged_identity_or_none_that_can_be_kept(tmp_path: Path, notified: socket.socket) -> None:
    with GatewayProcess(tmp_path, gateway={"name": "halow-gateway-{id}"}) as gateway:
        made = becomes_ready(gateway, notified)
        assert made["gateway"]["name"] == f"halow-gateway-{made['gateway']['id']}"
        assert becomes_ready(gateway, notified)["gateway"]["id"] == made["gateway"]["id"]
        (gateway.state / "device.id").write_bytes(b"\0\0")
        assert becomes_ready(gateway, notified)["gateway"]["id"] != made["gateway"]["id"]
        assert "the gateway's identity cannot be kept: " in gateway.log.read_text()


def test_on_slots_that_init_made(tmp_path: Path, notified: socket.socket) -> None:
    with GatewayProcess(tmp_path) as gateway:
        gateway.command("init")
        before = sorted(path.name for path in gateway.state.rglob("*.slot"))
        status = becomes_ready(gateway, notified)
        assert sorted(path.name for path in gateway.state.rglob("*.slot")) == before
        assert status["ring"]["streams"]["instant"]["size_bytes"] == status["ring"]["streams"]["instant"]["quota_bytes"]
        gateway.start()
        gateway.await_status(lambda _: True)
        assert "ring: the running gateway has it open" in gateway.command("init").stdout
        assert gateway.stop() == 0

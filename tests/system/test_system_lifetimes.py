"""How a gateway lives and ends, seen from outside: signals at every moment, things that hang, two of a kind."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from gateway_process import EDGE, GatewayProcess

from edge.control import NoDaemon, ask
from edge.demo.population import Population
from edge.errors import EdgeError

pytestmark = pytest.mark.system

END_S = 10.0


def ends(gateway: GatewayProcess, *, status: int = 0) -> None:
    began = time.monotonic()
    assert gateway.stop(END_S) == status, gateway.tail()
    assert time.monotonic() - began < END_S
    assert "Traceback" not in gateway.log.read_text(), gateway.tail(60)


def slot_that_hangs(gateway: GatewayProcess, name: str) -> dict[str, str]:
    """Return the environment in which the ring's writer hangs in open(2) when it makes this slot, as on a card that is dead.

    What it opens instead is a pipe that nobody reads. A pipe in the slot's place would be cleared away at the start.
    """
    lab = gateway.state.parent / "hangs"
    lab.mkdir(parents=True)
    os.mkfifo(lab / "pipe")
    (lab / "sitecustomize.py").write_text(f"""import os
real = os.open
def hangs(path, *arguments, **named):
    if str(path).endswith("ring/alarm/{name}.slot.tmp"):
        real({str(lab / 'pipe')!r}, os.O_WRONLY)
    return real(path, *arguments, **named)
os.open = hangs
""")
    return {"PYTHONPATH": str(lab)}


@pytest.mark.slow
def test_a_writer_that_hangs_withholds_the_watchdog_is_named_and_does_not_keep_the_process(tmp_path: Path) -> None:
    """Also one that hangs before the gateway is ready: the second gateway here, at the same time."""
    early = GatewayProcess(tmp_path / "early")
    dead_at_once = slot_that_hangs(early, "00000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, GatewayProcess(tmp_path) as gateway, early:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(35)
        dead_later = slot_that_hangs(gateway, "00001")
        gateway.start(env={**dead_later, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"})
        early.start(env={**dead_at_once, "NOTIFY_SOCKET": ""})
        fed, stuck = 0, ""
        while not stuck:
            lines = systemd.recv(4096).decode().splitlines()
            fed += "WATCHDOG=1" in lines
            stuck = next((line for line in lines if line.startswith("STATUS=stuck")), "")
        assert stuck.startswith("STATUS=stuck: ring ("), stuck
        assert fed > 5, "the loop was alive and fed systemd until the promise was broken"
        assert gateway.status()["gateway"]["overdue"] == ["ring"]
        early.process.send_signal(signal.SIGTERM)
        gateway.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert gateway.process.wait(END_S) == 0
        assert early.process.wait(END_S) == 1, "cut short while it started"
        assert time.monotonic() - began < END_S
        systemd.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert b"WATCHDOG=1" not in systemd.recv(4096)
        assert "storage does not answer" in gateway.tail(3)
        assert "still at work" in early.tail(3)
        assert "ring_0 in hangs (sitecustomize.py:" in early.tail(3), "the thread and its line"
        for one in (gateway, early):
            assert "Traceback" not in one.log.read_text()


def test_a_stop_is_heeded_at_every_moment_of_the_start(tmp_path: Path) -> None:
    """Before the handlers are there the signal ends the process as any other; from then on the status is 0."""
    seen = set()
    with GatewayProcess(tmp_path) as gateway:
        gateway.start()
        began = time.monotonic()
        gateway.await_status(lambda _status: True)
        whole_s = time.monotonic() - began
        ends(gateway)
        for share in (0.3, 0.6, 0.8, 0.95):
            gateway.start()
            time.sleep(whole_s * share)      # the moment is the matter here; none of them has an event of its own
            gateway.process.send_signal(signal.SIGTERM)
            seen.add(gateway.process.wait(END_S))
            assert "Traceback" not in gateway.log.read_text(), gateway.tail(60)
    assert seen <= {0, -signal.SIGTERM}


class Silent:
    """Takes every connection and says nothing, for ever: a meter that hangs, a broker behind a dead link."""

    async def __aenter__(self):
        self._writers = []
        self.called = asyncio.Event()
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _take(self, _reader, writer):
        self._writers.append(writer)
        self.called.set()

    async def __aexit__(self, *_exc):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()


async def test_neither_meters_nor_a_broker_that_hang_hold_up_the_end(tmp_path: Path) -> None:
    population = Population(1, framing="hdlc", seed=3)
    async with Silent() as meter, Silent() as broker:
        await population.start()
        uplink = {"enabled": True, "host": "127.0.0.1", "port": broker.port}
        with GatewayProcess(tmp_path, uplink=uplink, poll={"interval_s": 0.5}) as gateway:
            gateway.token("token")
            await asyncio.to_thread(gateway.register, population.csv_text())
            await asyncio.to_thread(gateway.command, "meter", "add", "mute", "127.0.0.1", "--port", str(meter.port),
                                    "--authentication", "none")
            gateway.start()
            await asyncio.wait_for(asyncio.gather(meter.called.wait(), broker.called.wait()), 30)
            await asyncio.to_thread(gateway.await_status, lambda status: any(one.get("readings") for one in status["meters"]))
            population.members[0].simulated.quirks.meter_silent = True      # its goodbye is never answered
            await asyncio.to_thread(ends, gateway)
        await population.close()


def test_a_second_gateway_on_one_state_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path) as gateway, GatewayProcess(tmp_path / "second") as second:
        second.config.write_text(second.config.read_text().replace(str(second.state), str(gateway.state)))
        gateway.start()
        gateway.await_status(lambda _status: True)
        for config in (gateway.config, second.config):
            done = subprocess.run([*EDGE, "--config", str(config), "run"], check=False, capture_output=True, text=True, timeout=20)
            assert done.returncode == 1
            assert len(done.stderr.splitlines()) == 1, done.stderr
            assert "is open in another process; stop it first" in done.stderr
        assert gateway.status()["ring"]["healthy"]
        ends(gateway)


async def test_requests_while_it_ends_and_a_registry_that_is_locked_hold_nobody_up(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path) as gateway:
        gateway.start()
        await asyncio.to_thread(gateway.await_status, lambda _status: True)
        other = sqlite3.connect(gateway.state / "registry.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        runtime = tmp_path / "run"
        began = time.monotonic()
        with pytest.raises(EdgeError, match=r"registry\.db: another program has held it"):
            await asyncio.to_thread(ask, runtime, "reload", timeout_s=15)
        assert time.monotonic() - began < 15
        assert (await asyncio.to_thread(ask, runtime, "status"))["gateway"]["overdue"] == []

        def pester() -> None:
            while True:
                try:
                    ask(runtime, "reload", timeout_s=15)
                except NoDaemon:
                    return
                except EdgeError:
                    continue      # refused, or cut off by the end

        pestering = [asyncio.create_task(asyncio.to_thread(pester)) for _ in range(3)]
        await asyncio.sleep(0.3)      # the requests are under way, and the registry's thread waits for the lock
        await asyncio.to_thread(ends, gateway)
        await asyncio.gather(*pestering)
        other.close()

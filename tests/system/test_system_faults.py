"""What goes wrong around a gateway nobody visits: each gives one clear line, or work goes on and says so. No traceback."""

import asyncio
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from gateway_process import EDGE, TOKEN, GatewayProcess

from edge.demo.population import Population
from edge.demo.thingsboard import ThingsBoard

pytestmark = pytest.mark.system


def no_traceback(gateway: GatewayProcess) -> str:
    text = gateway.log.read_text()
    assert "Traceback" not in text, text
    assert TOKEN not in text
    return text


def polls_received(server: ThingsBoard) -> set[tuple[str, int]]:
    return {(device, ts) for device, key, ts in server.contract.store.points if key == "poll_ok"}


def polls_kept(gateway: GatewayProcess) -> set[tuple[str, int]]:
    return {(row["device"], row["ts_ms"]) for row in gateway.dump("--stream", "instant") if row["kind"] in ("reading", "failure")}


async def wait(gateway: GatewayProcess, condition, timeout_s: float = 30):
    return await asyncio.to_thread(gateway.await_status, condition, timeout_s)


def to(server: ThingsBoard) -> dict[str, object]:
    return {"enabled": True, "host": "127.0.0.1", "port": server.port, "ack_timeout_s": 3.0, "backoff_first_s": 0.2, "backoff_max_s": 0.5}


FAST = {"interval_s": 0.25}


@pytest.mark.parametrize(("text", "expected"), [
    ("[poll]\nintervall_s = 5\n", r"gateway\.toml: .*poll\.intervall_s.*interval_s"),
    ("[poll]\ninterval_s = -5\n", r"gateway\.toml: .*poll\.interval_s = -5"),
    ('[ring]\nsize_mib = "big"\n', r"gateway\.toml: .*ring\.size_mib = .*big"),
    ("[uplink]\ntls = true\n", r"gateway\.toml: .*uplink\.tls.*ca_file"),
    ("[poll\n", r"gateway\.toml: not TOML: .*line 1"),
    ("\xff\xfe", r"gateway\.toml: .*UTF-8"),
])
def test_wrong_configuration_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    config = tmp_path / "gateway.toml"
    config.write_bytes(text.encode("latin-1"))
    done = subprocess.run([*EDGE, "--config", str(config), "run"], check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 78, "EX_CONFIG: no restart mends it"
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert re.search(expected, done.stderr), done.stderr


async def test_a_state_directory_that_cannot_be_written_is_told_and_survived(tmp_path: Path) -> None:
    """An SD card that did not mount: the gateway is up, keeps in memory what it can, and says what is wrong."""
    with GatewayProcess(tmp_path) as gateway:
        gateway.config.write_text(gateway.config.read_text().replace(str(gateway.state), "/proc/nothing"))
        gateway.start()
        status = await wait(gateway, lambda status: not status["ring"]["healthy"] and status["gateway"]["registry"] != "ok")
        assert "/proc/nothing" in status["ring"]["problem"]
        assert "/proc/nothing" in status["gateway"]["registry"]
        assert await asyncio.to_thread(gateway.stop) == 0
        log = no_traceback(gateway)
    assert len([line for line in log.splitlines() if "ERROR" in line]) <= 3, log


async def test_an_unreadable_registry_stops_neither_the_drain_nor_the_daemon(tmp_path: Path, population, server) -> None:
    with GatewayProcess(tmp_path, uplink=to(server), poll=FAST) as gateway:
        gateway.token("wrong-token-so-that-a-backlog-grows")
        await asyncio.to_thread(gateway.register, population.csv_text())
        gateway.start()
        await wait(gateway, lambda status: status["ring"]["backlog"]["instant"] >= 10)
        assert await asyncio.to_thread(gateway.stop) == 0
        registry = gateway.state / "registry.db"
        good = registry.read_bytes()
        registry.write_bytes(os.urandom(20_000))
        damaged = registry.read_bytes()
        gateway.token(TOKEN)
        gateway.start()
        status = await wait(gateway, lambda status: status["gateway"]["registry"] != "ok" and not any(status["ring"]["backlog"].values()))
        assert "registry.db" in status["gateway"]["registry"]
        assert registry.read_bytes() == damaged, "a damaged registry is evidence: it is never changed"
        assert polls_received(server) == await asyncio.to_thread(polls_kept, gateway), "the backlog drained all the same"
        before = len(polls_received(server))
        registry.write_bytes(good)
        assert await asyncio.to_thread(gateway.stop) == 0
        gateway.start()
        await wait(gateway, lambda status: all(meter.get("readings", 0) > 2 for meter in status["meters"]) and status["meters"] != [])
        assert await asyncio.to_thread(gateway.stop) == 0
        assert len(polls_received(server)) > before
        log = no_traceback(gateway)
    assert len([line for line in log.splitlines() if "registry" in line and "ERROR" in line]) == 1


@pytest.mark.parametrize("kind", ["random", "truncated", "empty", "foreign"])
async def test_slot_files_of_anything_are_survived_and_told(tmp_path: Path, population, server, kind: str) -> None:
    with GatewayProcess(tmp_path, uplink=to(server), poll=FAST) as gateway:
        gateway.token(TOKEN)
        await asyncio.to_thread(gateway.register, population.csv_text())
        for stream in ("alarm", "billing", "instant"):
            directory = gateway.state / "ring" / stream
            directory.mkdir(parents=True)
            if kind == "foreign":
                donor = GatewayProcess(tmp_path / f"donor-{stream}")
                with donor:
                    donor.start()
                    await wait(donor, lambda _status: True)
                    await asyncio.to_thread(donor.stop)
                for slot in (donor.state / "ring" / stream).glob("*.slot"):
                    shutil.copy(slot, directory / slot.name)
            else:
                size = {"random": 1 << 20, "truncated": 5_000, "empty": 0}[kind]
                (directory / "00000.slot").write_bytes(os.urandom(size))
                (directory / "00001.slot").write_bytes(os.urandom(size))
            (directory / "notes.txt").write_text("not a slot")
        gateway.start()
        await wait(gateway, lambda status: status["ring"]["healthy"] and all(meter.get("readings", 0) >= 4 for meter in status["meters"]) and status["meters"] != [])
        await asyncio.to_thread(gateway.command, "meter", "pause", *(member.row.name for member in population.members))
        await wait(gateway, lambda status: not any(status["ring"]["backlog"].values()) and not status["ring"]["streams"]["instant"]["in_memory"])
        assert await asyncio.to_thread(gateway.stop) == 0
        kept = await asyncio.to_thread(polls_kept, gateway)
        no_traceback(gateway)
    assert len(kept) >= 8
    assert kept <= polls_received(server)


def tiny_disk(path: Path, size_kib: int) -> bool:
    """Mount a small tmpfs on `path`, where this user may; the gateway's own user namespace cannot be shared with the test."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kib}k,mode=700", "tmpfs", str(path)], check=False, capture_output=True)
    return done.returncode == 0


@pytest.mark.parametrize("when", ["while it runs", "before the first start"])
async def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, population, server, when: str) -> None:
    if not tiny_disk(tmp_path / "state", 6_144):
        pytest.skip("mounting a tmpfs needs root")
    try:
        with GatewayProcess(tmp_path, uplink=to(server), poll=FAST) as gateway:
            gateway.token(TOKEN)
            await asyncio.to_thread(gateway.register, population.csv_text())
            filler = gateway.state / "filler"

            def fill() -> None:
                with filler.open("ab", buffering=0) as file:
                    for size in (1 << 16, 1 << 12, 1):
                        try:
                            while True:
                                file.write(b"x" * size)
                        except OSError:
                            continue

            if when == "before the first start":
                fill()
            gateway.start()
            await wait(gateway, lambda status: all(meter.get("readings", 0) >= 4 for meter in status["meters"]) and status["meters"] != [])
            if when == "while it runs":
                fill()
            else:
                status = await wait(gateway, lambda status: not status["ring"]["healthy"])
                assert "space" in status["ring"]["problem"].lower()
            await wait(gateway, lambda status: all(meter["readings"] >= 20 for meter in status["meters"]))
            received = len(polls_received(server))
            assert received >= 8, "polls reach the server although the disk is full"
            filler.unlink()
            await wait(gateway, lambda status: all(meter["readings"] >= 30 for meter in status["meters"]))
            await asyncio.to_thread(gateway.command, "meter", "pause", *(member.row.name for member in population.members))
            status = await wait(gateway, lambda status: not any(status["ring"]["backlog"].values()) and not status["ring"]["streams"]["instant"]["in_memory"], 60)
            assert {name: stream["lost"] for name, stream in status["ring"]["streams"].items()} == {"alarm": 0, "billing": 0, "instant": 0}
            assert await asyncio.to_thread(gateway.stop) == 0
            log = no_traceback(gateway)
            assert await asyncio.to_thread(polls_kept, gateway) <= polls_received(server)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "state")], check=False)
    if when == "before the first start":
        assert len([line for line in log.splitlines() if "storage failed" in line]) == 1, log
    assert server.contract.store.conflicts == []
    per_meter = {name: sorted(ts for device, ts in polls_received(server) if device == name) for name in ("sim-0001", "sim-0002")}
    for stamps in per_meter.values():
        gaps = [late - early for early, late in itertools.pairwise(stamps)]
        assert max(gaps) < 1_500, "a poll is missing in the server's rows"


async def test_the_token_may_come_later(tmp_path: Path, population, server) -> None:
    with GatewayProcess(tmp_path, uplink=to(server), poll=FAST) as gateway:
        await asyncio.to_thread(gateway.register, population.csv_text())
        gateway.start()
        status = await wait(gateway, lambda status: "no access token" in status["uplink"]["last_error"])
        assert "uplink.token" in status["uplink"]["last_error"]
        gateway.token(TOKEN)
        await wait(gateway, lambda status: status["uplink"]["connected"])
        assert await asyncio.to_thread(gateway.stop) == 0
        no_traceback(gateway)
    assert polls_received(server)


async def test_a_wrong_token_is_mended_by_writing_the_right_one(tmp_path: Path, population, server) -> None:
    with GatewayProcess(tmp_path, uplink=to(server), poll=FAST) as gateway:
        gateway.token("of-another-gateway")
        await asyncio.to_thread(gateway.register, population.csv_text())
        gateway.start()
        status = await wait(gateway, lambda status: "refused" in status["uplink"]["last_error"].lower())
        assert "of-another-gateway" not in status["uplink"]["last_error"], "a token is a secret, also a wrong one"
        gateway.token(TOKEN)
        await wait(gateway, lambda status: status["uplink"]["connected"])
        assert await asyncio.to_thread(gateway.stop) == 0
        no_traceback(gateway)
    assert polls_received(server)


async def test_a_pause_takes_effect_at_once_and_an_edit_moves_the_meter(tmp_path: Path, population) -> None:
    meter = population.members[0].simulated
    other = Population(1, framing="wrapper", seed=5)
    await other.start()
    with GatewayProcess(tmp_path, poll=FAST) as gateway:
        await asyncio.to_thread(gateway.register, population.csv_text())
        gateway.start()
        await wait(gateway, lambda status: all(meter.get("readings", 0) > 2 for meter in status["meters"]) and status["meters"] != [])
        said = await asyncio.to_thread(gateway.command, "meter", "pause", "sim-0001")
        asked = meter.counters.requests
        assert "taken it up" in said.stdout + said.stderr
        await wait(gateway, lambda status: status["meters"][0]["state"] == "paused" and status["meters"][1]["readings"] >= 12)
        assert meter.counters.requests == asked, "not one request after the command returned"
        await asyncio.to_thread(gateway.command, "meter", "edit", "sim-0001", "--port", str(other.members[0].row.port))
        await asyncio.to_thread(gateway.command, "meter", "resume", "sim-0001")
        await wait(gateway, lambda status: status["meters"][0].get("readings", 0) > 2)
        assert meter.counters.requests == asked
        assert other.members[0].simulated.counters.requests > 2
        assert await asyncio.to_thread(gateway.stop) == 0
        no_traceback(gateway)
    await other.close()


def test_systemd_hears_ready_status_watchdog_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, GatewayProcess(tmp_path) as gateway:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        gateway.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"})
        heard: list[str] = []

        def hear(message: str) -> None:
            while not any(line.startswith(message) for line in heard):
                heard.extend(systemd.recv(4096).decode().splitlines())

        hear("READY=1")
        hear("STATUS=0 of 0 meters read")
        hear("WATCHDOG=1")
        gateway.process.send_signal(signal.SIGTERM)
        hear("STOPPING=1")
        assert gateway.process.wait(10) == 0
        no_traceback(gateway)


async def test_a_second_signal_ends_at_once(tmp_path: Path, population) -> None:
    """A meter that never answers its polite goodbye must not keep a person at the keyboard."""
    with GatewayProcess(tmp_path, poll=FAST) as gateway:
        await asyncio.to_thread(gateway.register, population.csv_text())
        gateway.start()
        await wait(gateway, lambda status: all(meter.get("readings", 0) for meter in status["meters"]) and status["meters"] != [])
        gateway.process.send_signal(signal.SIGSTOP)      # both signals are there before it can act on the first
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.send_signal(signal.SIGINT)
        gateway.process.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(gateway.process.wait, 5) == 130


async def test_no_radio_is_a_stated_condition(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, radio={"kind": "auto", "interface": "wlan-that-is-not-there"}) as gateway:
        gateway.start()
        status = await wait(gateway, lambda status: status["radio"].get("reason"))
        assert status["radio"]["present"] is False
        assert status["radio"]["reason"] in ("no_nl80211", "no_interface", "not_permitted")
        assert await asyncio.to_thread(gateway.stop) == 0
        no_traceback(gateway)

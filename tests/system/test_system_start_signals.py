"""Signals while the gateway starts: a reload is honoured, a stop closes the ring, a cut at any stage costs nothing.

The signal comes from inside, at a named stage of the start: nothing depends on how fast the machine is.
"""

import signal
import sys
from pathlib import Path

import pytest
from gateway_process import GatewayProcess

pytestmark = pytest.mark.system

PROGRAM = """
import importlib, os, sys
module, _, path = sys.argv.pop(1).partition(":")
number = int(sys.argv.pop(1))
owner, names = importlib.import_module(module), path.split(".")
for name in names[:-1]:
    owner = getattr(owner, name)
whole = getattr(owner, names[-1])

def struck(*args, **kwargs):
    os.kill(os.getpid(), number)
    return whole(*args, **kwargs)

setattr(owner, names[-1], struck)
from edge.cli import main
main()
"""
SETTINGS = "edge.commands.context:State.load"      # before anything but the command line is read
RING = "edge.ring.store:_opened"                   # in the ring's own thread
SOCKET = "edge.app:serve"                          # everything is open
WORK = "edge.app:_work"


def start(gateway: GatewayProcess, stage: str, number: int) -> None:
    gateway.run([sys.executable, "-c", PROGRAM, stage, str(int(number)), "--config", str(gateway.config), "run"])


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayProcess:
    return GatewayProcess(tmp_path, ring={"size_mib": 8, "slot_mib": 0.25})


def test_a_reload_that_is_asked_for_while_it_starts_is_honoured(gateway: GatewayProcess) -> None:
    with gateway:
        start(gateway, SETTINGS, signal.SIGHUP)
        gateway.await_status(lambda status: True)
        assert gateway.stop() == 0
    log = gateway.log.read_text()
    assert "Traceback" not in log
    assert log.count("settings are read again, asked for by signal: 0 changed") == 1


@pytest.mark.parametrize("stage", [RING, SOCKET])
def test_a_stop_that_is_asked_for_while_it_starts_ends_it_with_everything_closed(gateway: GatewayProcess, stage: str) -> None:
    with gateway:
        start(gateway, stage, signal.SIGTERM)
        assert gateway.process is not None
        assert gateway.process.wait(30) == 0, gateway.tail()
    log = gateway.log.read_text()
    assert "cut short" not in log
    assert "Traceback" not in log
    gateway.dump()      # nobody has the ring open


def test_a_cut_at_any_stage_of_the_start_costs_nothing(gateway: GatewayProcess) -> None:
    with gateway:
        for stage in (RING, WORK):
            start(gateway, stage, signal.SIGKILL)
            assert gateway.process is not None
            assert gateway.process.wait(30) == -signal.SIGKILL
        gateway.start()
        status = gateway.await_status(lambda status: not status["alarms"])
        assert [stream["lost"] for stream in status["ring"]["streams"].values()] == [0, 0, 0]
        assert gateway.stop() == 0
    assert "Traceback" not in gateway.log.read_text()

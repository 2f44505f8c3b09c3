"""A gateway whose radio was taken away by its settings: what stood over it is over, here and at the server."""

import sys
from pathlib import Path

import msgspec
import pytest
from gateway_process import GatewayProcess

from edge.alarms.engine import Standing
from edge.store.registry import Registry

pytestmark = pytest.mark.system

PROGRAM = "import edge.daemon.alarms; edge.daemon.alarms.LOOK_S = 0.2; from edge.cli import main; main()"      # not ten seconds


def test_alarms_of_a_radio_that_the_settings_want_no_longer_are_over(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, ring={"size_mib": 8, "slot_mib": 0.25})
    (gateway.state / "radio.seen").touch()
    gone = Standing("", "radio_absent", "critical", "no such interface", 1_700_000_000_000)
    with Registry.open(gateway.state / "registry.db") as registry:
        registry.keep_alarms([msgspec.json.encode(gone).decode()], [])
    losses = gateway.state / "ring.losses"
    with gateway:
        gateway.run([sys.executable, "-c", PROGRAM, "--config", str(gateway.config), "run"])
        gateway.await_status(lambda status: losses.exists() and not status["alarms"])
        assert gateway.stop() == 0
    told = [(record["kind"], record["values"]) for record in gateway.dump()]
    alarms = [values for kind, values in told if kind == "alarm"]
    assert [(values["alarm"], values["state"], values["standing"], values["names"]) for values in alarms if values.get("alarm")] == [
        ("radio_absent", "cleared", "0", "none")]
    assert [values["link_radio_state"] for kind, values in told if kind == "link"] == ["none"]
    assert losses.read_text() == "0\n"

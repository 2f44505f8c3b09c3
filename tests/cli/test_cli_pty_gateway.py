"""Every command in a real terminal beside a gateway that runs in another one, with simulated meters in a third."""

import csv
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pty_cases_gateway import BESIDE
from pty_site import Case, Terminal, Zygote, memory, play

from edge.control import ask

CASES = [case for cases in BESIDE.values() for case in cases]
ALARM = '[[alarm]]\nname = "voltage_there"\ndevice = "meter"\nfigures = ["voltage_l1"]\nabove = 1.0\nfor_s = 0\nseverity = "minor"\n'


class Yard(NamedTuple):
    zygote: Zygote
    config: Path
    places: dict[str, str]
    gateway: Terminal
    meters: Terminal


def both_read(runtime_dir: Path) -> bool:
    return sum(meter.get("readings", 0) > 0 for meter in ask(runtime_dir, "status")["meters"]) == 2


@pytest.fixture(scope="module")
def yard() -> Iterator[Yard]:
    with memory() as base:
        yield from opened(base)


def opened(base: Path) -> Iterator[Yard]:
    config, trace, rows, own = base / "gateway.toml", base / "trace.csv", base / "meters.csv", base / "alarms.toml"
    trace.write_text("t_s,mac,signal_dbm\n0,02:00:00:00:00:01,-71\n600,02:00:00:00:00:01,-71\n")
    own.write_text(ALARM)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config.write_text(
        f'[gateway]\nname = "gate-7"\nstate_dir = "{base}/state"\nruntime_dir = "{base}/run"\n[clock]\ntrust_wall = true\n'
        f'[ring]\nsize_mib = 8\nslot_mib = 1\n[poll]\ninterval_s = 1.0\n[uplink]\nenabled = false\n[alarms]\nfile = "{own}"\n'
        f'[radio]\nkind = "simulated"\ntrace = "{trace}"\n[orders]\nallow_set = true\nallow_action = true\n[image]\nallow = true\n'
        f'[relay]\nallow = true\nload_limit_w = 100000.0\n[api]\nenabled = true\nport = {port}\n')
    with Zygote(base) as zygote:
        meters = zygote.terminal(["simulate", "--meters", "4", "--framing", "wrapper", "--host", "127.0.0.2", "--port-base", "0", "--csv", str(rows)])
        meters.until("stop with Ctrl-C")
        with rows.open(newline="") as file:
            free_meter = list(csv.DictReader(file))[2]
        for words in (["meter", "import", str(rows)], ["meter", "pause", "sim-0002"], ["meter", "remove", "--yes", "sim-0003"]):
            status, out, err = zygote.piped(["-c", str(config), *words], base)
            assert status == 0, out + err
        gateway = zygote.terminal(["-c", str(config), "run"])
        gateway.until("runs as gate-7")
        while not both_read(base / "run"):
            time.sleep(0.05)      # no event crosses the border between the processes
        yield Yard(zygote, config, {
            "state": str(base / "state"), "host": free_meter["host"], "free_port": free_meter["port"], "free": f"{free_meter['host']}:{free_meter['port']}",
            "free_password": free_meter["password"]}, gateway, meters)
        meters.type("\x03")
        assert meters.end() == 0
        assert "all " in meters.text


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_person_beside_the_gateway(case: Case, yard: Yard, tmp_path: Path) -> None:
    play(case, yard.zygote, yard.config, tmp_path, yard.places)


def test_ctrl_c_ends_the_gateway_in_its_terminal(yard: Yard) -> None:
    yard.gateway.type("\x03")
    assert yard.gateway.end() == 0
    assert "stopping on SIGINT" in yard.gateway.text
    assert "Traceback" not in yard.gateway.text

"""Many meters: the registry's CSV leads a foreign client to every one of them; the command counts what they were asked."""

import asyncio
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gurux_client import GuruxReader, hdlc_address

from edge.demo import bridge
from edge.demo.meter_device import Fittings
from edge.demo.meter_objects import REGISTER_SETS
from edge.demo.population import Population
from edge.model import Meter
from edge.store import csvio


def read_voltage(row: Meter, password: bytes) -> float:
    registers = REGISTER_SETS["microstar" if row.profile == "microstar" else "generic"]
    code = f"1.{registers.b}.32.7.0.255"
    assert row.framing is not None
    address = hdlc_address(1, row.server_physical, row.address_bytes or 1) if row.framing == "hdlc" else 1
    long_form = 4 if row.address_bytes == 4 else 0
    with GuruxReader(row.host, row.port, row.framing, 1, address, password, address_bytes=long_form) as reader:
        (value,), ((scaler, unit),) = reader.read_values([code]), reader.read_scalers([code])
    assert unit == 35
    return value * 10.0**scaler


def read_rows_in_use(row: Meter, password: bytes) -> int:
    assert row.framing is not None
    address = hdlc_address(1, row.server_physical, row.address_bytes or 1) if row.framing == "hdlc" else 1
    long_form = 4 if row.address_bytes == 4 else 0
    with GuruxReader(row.host, row.port, row.framing, 1, address, password, address_bytes=long_form) as reader:
        return reader.raw(7, "1.0.99.1.0.255", 7)


async def test_every_member_answers_at_its_row() -> None:
    population = Population(8, framing="mixed", seed=5)
    members = await population.start()
    rows = csvio.parse(population.csv_text())
    assert [row.meter for row in rows] == [member.row for member in members]
    assert {row.meter.framing for row in rows} == {"wrapper", "hdlc"}
    assert {row.meter.profile for row in rows} == {"generic-three-phase", "microstar"}
    assert len({row.password for row in rows}) == 8
    try:
        for row in rows:
            assert row.password is not None
            volts = await asyncio.to_thread(read_voltage, row.meter, row.password)
            assert 120 < volts < 240
    finally:
        await population.close()
    assert all(member.simulated.counters.associations == 1 for member in members)
    assert all(member.password.decode() not in repr(member) for member in members)


async def test_over_links_and_bridges_too() -> None:
    population = Population(4, quirks=lambda: bridge.esp32((0.0, 0.01)), link="good", shared_air=True, seed=6)
    members = await population.start()
    try:
        assert members[0].simulated.quirks.second_client == "served"       # a wrapper meter has no bridge
        assert members[2].simulated.quirks.chunk_bytes == 127
        volts = await asyncio.gather(*(
            asyncio.to_thread(read_voltage, member.row, member.password) for member in members))
        assert all(120 < value < 240 for value in volts)
        assert all(member.link is not None and member.link.counters.down_bytes > 60 for member in members)
    finally:
        await population.close()


async def test_the_same_seed_makes_the_same_meters() -> None:
    rows = []
    for seed in (1, 1, 2):
        population = Population(5, seed=seed)
        await population.start()
        rows.append([line.split(",")[-1] for line in population.csv_text().splitlines()])
        await population.close()
    assert rows[0] == rows[1] != rows[2]


@contextmanager
def simulate(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", "simulate", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"ended without {pattern!r}: {lines}")


def test_the_command_serves_until_terminated_and_counts(tmp_path: Path) -> None:
    file = tmp_path / "meters.csv"
    with simulate("--meters", "3", "--port-base", "0", "--framing", "mixed", "--csv", str(file)) as process:
        lines = lines_until(process, "stop with Ctrl-C")
        assert len(lines) == 4
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        rows: list[Any] = csvio.parse(file.read_bytes().decode())
        for row in rows:
            read_voltage(row.meter, row.password)
            assert any(f"{row.meter.name}  {row.meter.host}:{row.meter.port}" in line for line in lines)
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert rest.splitlines()[-1].split() == ["all", "3", "0", "3", "0", "6", "6", "6"]
    assert not errors


def test_a_taken_port_is_one_clear_line() -> None:
    with simulate("--meters", "1", "--port-base", "0") as first:
        port = re.findall(r":(\d+)", lines_until(first, "stop with")[0])[0]
        with simulate("--meters", "2", "--port-base", port) as second:
            _, errors = second.communicate(timeout=10)
    assert second.returncode == 1
    assert len(errors.splitlines()) == 1
    assert f"ports from {port}" in errors


async def test_days_pass_for_a_population_as_the_test_says() -> None:
    now = [1_767_225_600.0 + 86_400]
    population = Population(4, framing="mixed", seed=5, now=lambda: now[0], fittings=lambda: Fittings(load_entries=500))
    members = await population.start()
    rows: list[list[int]] = []
    try:
        for _ in range(2):
            rows.append([await asyncio.to_thread(read_rows_in_use, member.row, member.password) for member in members])
            now[0] += 3 * 86_400
    finally:
        await population.close()
    assert rows == [[97] * 4, [97 + 288] * 4]
    assert len({member.simulated.settings.manners.system_title for member in members}) == 4

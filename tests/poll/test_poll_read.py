"""`halow-gateway read`: one poll from the command line, against simulated meters."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from poll_bench import PASSWORD, held, moved, simulated
from serial_site import serial_line

from edge.commands.context import State
from edge.commands.read import exact_text, read
from edge.demo.bridge import Quirks
from edge.errors import ConfigError, EdgeError
from edge.model import Learned, Meter
from edge.store.registry import FILE_NAME, Registry

VALUES = {"voltage_l1": 2301, "voltage_l2": 2302, "voltage_l3": 2303, "current_l1": 131, "current_l2": 132, "current_l3": 133,
          "frequency": 4999, "active_power": 905, "active_energy": 56_352}


@pytest.fixture
def state(tmp_path: Path) -> State:
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    config = tmp_path / "gateway.toml"
    config.write_text(f'[gateway]\nstate_dir = "{directory}"\nruntime_dir = "{tmp_path}"\n[poll]\nexchange_timeout_s = 1.0\n')
    state = State()
    state.config = config
    return state


def registry(state: State) -> Registry:
    return Registry.open(Path(state.load().gateway.state_dir) / FILE_NAME)


def enrol(state: State, row: Meter, password: bytes = PASSWORD) -> None:
    with registry(state) as opened:
        opened.add(row, password)


async def command(state: State, *words: str, stdin: str | None = None) -> Result:
    """Run it beside the meters' loop: it brings a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, read, list(words), obj=state, input=stdin)


async def test_a_meter_on_a_serial_line_is_read_as_any_other_and_its_device_named(state: State) -> None:
    with serial_line() as (_, [row]):
        enrol(state, row)
        result = await command(state, row.name)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"m17 at {row.host.removeprefix('serial:')}, HGWSN17: 1 request, ")
        result = await command(state, row.name, "--host", "serial:/dev/ttyUSB9?baud=300")
        assert str(result.exception).startswith("m17 at /dev/ttyUSB9: unreachable: /dev/ttyUSB9: is not there: is the adapter plugged in?")
        result = await command(state, row.name, "--host", "10.0.0.1x y")
        assert isinstance(result.exception, ConfigError)


def ad_hoc(row: Meter) -> list[str]:
    return ["--host", row.host, "--port", str(row.port)]


async def test_a_registered_meter_is_printed_with_exact_values_units_and_obis(state: State) -> None:
    async with simulated() as (meter, row):
        held(meter, VALUES)
        enrol(state, row)
        result = await command(state, "m1")
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[0].startswith(f"m1 at {row.host}:{row.port}, HGW1234567890: 1 request,")
        assert lines[2].split() == ["voltage_l1", "230.1", "V", "1-0:32.7.0.255"]
        assert lines[5].split() == ["current_l1", "1.31", "A", "1-0:31.7.0.255"]
        assert lines[10].split() == ["active_energy", "56352", "Wh", "1-0:1.8.0.255"]
        with registry(state) as opened:
            assert opened.learned("m1").identity == "HGW1234567890"
            assert len(opened.learned("m1").scalers) == 9
        before = meter.counters.attributes
        await command(state, "m1")
        assert meter.counters.attributes - before == 10, "scalers are in the registry now"


async def test_json_has_exact_numbers(state: State) -> None:
    async with simulated("hdlc") as (meter, row):
        held(meter, VALUES)
        enrol(state, row)
        result = await command(state, "m1", "--json")
        told = json.loads(result.stdout)
        assert told["identity"] == "HGW1234567890"
        assert told["values"][0] == {"key": "voltage_l1", "value": 230.1, "unit": "V", "obis": "1-0:32.7.0.255", "raw": 2301, "scaler": -1}
        assert '"value": 230.1,' in result.stdout


async def test_a_meter_that_is_not_registered_with_a_password_from_a_file_or_standard_input(state: State, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(PASSWORD + b"\n")
    async with simulated() as (meter, row):
        held(meter, VALUES)
        result = await command(state, *ad_hoc(row), "--password-file", str(secret))
        assert "230.1" in result.stdout
        result = await command(state, *ad_hoc(row), "--password-file", "-", stdin=PASSWORD.decode() + "\n")
        assert "230.1" in result.stdout
        assert PASSWORD.decode() not in result.output
        result = await command(state, *ad_hoc(row), "--client-sap", "16", "--authentication", "none")
        assert "230.1" in result.stdout
    async with simulated("microstar") as (meter, row):
        held(meter, VALUES)
        result = await command(state, *ad_hoc(row), "--profile", "microstar", "--password-file", str(secret))
        assert "23.01" in result.stdout, "scaler -2 there"
    async with simulated("hdlc") as (_, row):
        result = await command(state, *ad_hoc(row), "--framing", "hdlc", "--server", "1", "--server-physical", "17", "--address-bytes", "4",
                               "--password-file", str(secret))
        assert result.exit_code == 0, result.output


async def test_the_trace_masks_the_password(state: State) -> None:
    async with simulated() as (_, row):
        enrol(state, row)
        result = await command(state, "m1", "--trace")
        assert "TX 00 01 00 01" in result.stderr
        assert "** ** ** ** ** ** ** **" in result.stderr
        assert PASSWORD.hex(" ") not in result.output


async def test_failures_are_one_line_with_the_reason_and_what_to_do(state: State) -> None:
    async with simulated() as (meter, row):
        enrol(state, row, b"87654321")
        result = await command(state, "m1")
        assert result.exit_code != 0
        assert isinstance(result.exception, EdgeError)
        text = str(result.exception)
        assert text.startswith(f"m1 at {row.host}:{row.port}: association_refused: ")
        assert "do not just try again" in text
        assert "\n" not in text
        assert "87654321" not in text
        result = await command(state, "m1", "--json")
        assert json.loads(result.stdout)["reason"] == "association_refused"
        await meter.power_off()
        assert ": unreachable: " in str((await command(state, "m1")).exception)


async def test_a_replaced_meter_is_refused_until_it_is_adopted(state: State) -> None:
    async with simulated(serial="1") as (meter, row):
        enrol(state, row)
        await command(state, "m1")
        meter.model.become("2")
        text = str((await command(state, "m1")).exception)
        assert "wrong_meter" in text
        assert "halow-gateway read m1 --adopt" in text
        result = await command(state, "m1", "--adopt")
        assert result.exit_code == 0, result.output
        assert "Adopted HGW2 as m1." in result.stderr
        with registry(state) as opened:
            assert opened.learned("m1").identity == "HGW2"
        assert (await command(state, "m1")).exit_code == 0


async def test_options_override_the_registry_without_changing_what_is_known(state: State) -> None:
    async with simulated() as (_, row):
        enrol(state, moved(row, port=1))
        result = await command(state, "m1", "--port", str(row.port))
        assert result.exit_code == 0, result.output
        with registry(state) as opened:
            assert opened.learned("m1") == Learned()
            assert opened.get("m1").port == 1


async def test_wrong_usage(state: State) -> None:
    assert (await command(state)).exit_code == 2
    assert (await command(state, "--host", "127.0.0.1", "--adopt")).exit_code == 2
    assert isinstance((await command(state, "--host", "127.0.0.1", "--profile", "none-such")).exception, ConfigError)
    assert isinstance((await command(state, "unknown")).exception, EdgeError)
    assert not any("password" in option and "file" not in option for parameter in read.params for option in parameter.opts)


@pytest.mark.parametrize(("raw", "scaler", "text"), [(2301, -1, "230.1"), (2300, -1, "230.0"), (15, 2, "1500"), (-5, -3, "-0.005"), (0, -2, "0.00"),
                                                     (2**64 - 1, 0, "18446744073709551615"), (1, -10, "0.0000000001")])
def test_numbers_are_written_in_full(raw: int, scaler: int, text: str) -> None:
    assert exact_text(raw, scaler) == text


@pytest.mark.parametrize(("options", "line"), [
    (("--port", "99999"), "port = 99999: must be from 1 to 65535"),
    (("--port", "0"), "port = 0: must be from 1 to 65535"),
    (("--client-sap", "70000"), "client_sap = 70000: must be from 1 to 65535"),
    (("--host", "a b"), "host = 'a b': must be an IP address, a host name, or serial: and a device"),
])
async def test_options_that_no_meter_could_have_are_named(state: State, options: tuple[str, ...], line: str) -> None:
    result = await command(state, "--host", "127.0.0.1", "--port", "1", "--authentication", "none", *options)
    assert isinstance(result.exception, EdgeError), result.exception
    assert str(result.exception) == line
    enrol(state, Meter("m1", "127.0.0.1", 1))
    result = await command(state, "m1", "--authentication", "none", *options)
    assert str(result.exception) == line


async def test_without_a_terminal_nobody_is_asked_for_a_password(state: State) -> None:
    result = await command(state, "--host", "127.0.0.1", "--port", "1", stdin="secret\n")
    assert result.exit_code == 2
    assert "no terminal to ask at; give --password-file FILE" in result.stderr
    assert "Password for" not in result.output


async def test_silence_says_what_to_look_at_behind_a_bridge(state: State) -> None:
    async with simulated(quirks=Quirks(meter_silent=True)) as (_meter, row):
        result = await command(state, *ad_hoc(row), "--authentication", "none")
    assert "no_answer" in str(result.exception)
    assert "--server-physical" in str(result.exception)


async def test_no_hint_names_a_meter_that_is_not_registered(state: State) -> None:
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"Port already in use\r\n")
        writer.close()

    server = await asyncio.start_server(busy, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await command(state, "--host", "127.0.0.1", "--port", str(port), "--framing", "hdlc", "--authentication", "none")
    assert "bridge_busy" in str(result.exception)
    assert str(result.exception).endswith("halow-gateway meter pause NAME")

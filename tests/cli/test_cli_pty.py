"""Every command in a real terminal, as a person uses it without a gateway, right and wrong; that each has its cases."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pty_cases_alone import ALONE
from pty_cases_gateway import BESIDE
from pty_site import COLUMNS, Case, Zygote, memory, play

from edge.cli import root

ELSEWHERE = {
    "demo": "a minute: tests/system/test_system_demo.py",
    "run": "the gateway of test_cli_pty_gateway.py itself, ended by Ctrl-C",
    "claim": "wants a server: tests/cli/test_cli_claim.py, tests/uplink",
}
"""Whose right use is no case."""

CASES = [case for cases in ALONE.values() for case in cases]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield each command that does something, by its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


EVERY = tuple(commands(root))


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("home")) as zygote:
        yield zygote


def test_every_command_has_its_cases() -> None:
    """One right and one wrong use at least; who adds a command adds them to pty_cases_alone.py or _gateway.py."""
    cases = {name: (*ALONE.get(name, ()), *BESIDE.get(name, ())) for name in {*ALONE, *BESIDE}}
    assert set(cases) == set(EVERY)
    for name, mine in cases.items():
        assert all(name in case.words or not case.words for case in mine), name
        assert any(case.status == 2 for case in mine), f"{name}: no wrong usage"
        assert any(case.status in (0, 130) for case in mine) != (name in ELSEWHERE), f"{name}: no right use"


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_person_without_a_gateway(case: Case, zygote: Zygote) -> None:
    with memory() as base:
        alone(case, zygote, base)


def alone(case: Case, zygote: Zygote, tmp_path: Path) -> None:
    state = tmp_path / "state"
    config, trace = tmp_path / "gateway.toml", tmp_path / "trace.csv"
    trace.write_text("t_s,mac,signal_dbm\n0,02:00:00:00:00:01,-71\n600,02:00:00:00:00:01,-71\n")
    config.write_text(
        f'[gateway]\nname = "gate-7"\nstate_dir = "{state}"\nruntime_dir = "{tmp_path}/run"\n[ring]\nsize_mib = 8\nslot_mib = 1\n'
        f'[uplink]\nenabled = false\n[radio]\nkind = "simulated"\ntrace = "{trace}"\n')
    play(case, zygote, config, tmp_path, {"state": str(state)})


def test_help_fits_the_terminal() -> None:
    for name in EVERY:
        result = CliRunner().invoke(root, [*name.split(), "--help"], prog_name="halow-gateway", terminal_width=COLUMNS)
        assert result.exit_code == 0
        lines = result.output.splitlines()
        assert lines[0].startswith(f"Usage: halow-gateway {name}")
        assert max(len(line) for line in lines) <= COLUMNS, name


def test_nothing_and_nonsense_are_wrong_usage(zygote: Zygote, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("")
    for case in (Case("", ("Missing command",), 2), Case("stauts", ("No such command 'stauts'",), 2), Case("--frob", ("No such option",), 2),
                 Case("meter frobnicate", ("No such command 'frobnicate'",), 2)):
        play(case, zygote, config, tmp_path, {})

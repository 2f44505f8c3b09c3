"""`halow-gateway link`: the radio link to each peer, looked at directly, with or without a running gateway."""

import asyncio
from typing import TYPE_CHECKING

import click

from edge.commands.context import State, pass_state, told_on_screen
from edge.commands.linkconfig import config
from edge.commands.linkplan import plan
from edge.commands.linksurvey import survey
from edge.commands.radio import chosen_radio, radio_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from halow.base import Radio
    from halow.model import LinkState, RadioState

    Show = Callable[[tuple[LinkState, ...], RadioState], None]


@click.group()
def link() -> None:
    """Show the radio link to each peer; survey, plan and configure it."""


@link.command()
@radio_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def show(state: State, /, as_json: bool, **options: str | None) -> int:
    """Look once and print a table of the peers. Status 1 when there is no radio."""
    import msgspec

    from halow import look, table

    radio, settings = chosen_radio(state, options)
    states, found = asyncio.run(look.look_once(radio, width_mhz=settings.width_mhz))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(table.as_json(states, found))).decode())
    else:
        click.echo("\n".join([table.radio_line(found), *table.table(states)]))
    return 0 if found.present else 1


@link.command(short_help="Print one line per peer at every look.")
@radio_options
@click.option("--interval", "interval_s", type=click.FloatRange(0.2, 60), default=1.0, show_default=True,
              help="Seconds between two looks.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many looks.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one line per look.")
@pass_state
def watch(      # click passes flags by name
    state: State, /, interval_s: float, count: int | None, as_json: bool, **options: str | None,
) -> int:
    """Print one line per peer at every look, until interrupted: for a person turning an antenna.

    A radio that is away is waited for; a trace that cannot be read ends it with status 1.
    """
    told_on_screen(state, "halow.monitor")
    radio, settings = chosen_radio(state, options)
    return asyncio.run(_watch(radio, settings.width_mhz, interval_s, count, _print_json if as_json else _print))


@link.command(short_help="Say what radio this is, and what runs it.")
@radio_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def info(state: State, /, as_json: bool, **options: str | None) -> int:
    """Print driver, module, firmware, board file, country and kernel. Status 1 when there is no radio."""
    import msgspec

    from halow import inventory, look, table

    radio, settings = chosen_radio(state, options)
    _, found = asyncio.run(look.look_once(radio, width_mhz=settings.width_mhz))
    there = inventory.take(found.facts.interface, found.facts.country) if found.facts is not None else (
        inventory.take(""))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(
            {"radio": table.as_json((), found)["radio"], "inventory": there})).decode())
    else:
        told = table.told_by(found.facts) if found.facts is not None else []
        rows = [f"{name:22} {value}" for name, value in [*there.lines(), *told]]
        click.echo("\n".join([table.radio_line(found), *rows]))
    return 0 if found.present else 1


link.add_command(config)
link.add_command(plan)
link.add_command(survey)


async def _watch(radio: "Radio", width_mhz: int, interval_s: float, count: int | None, show: "Show") -> int:
    from halow.errors import AbsentReason
    from halow.monitor import Monitor, MonitorSettings

    looks = status = 0
    enough = asyncio.Event()

    def print_lines(states: "tuple[LinkState, ...]", found: "RadioState") -> None:
        nonlocal looks, status
        looks += 1
        show(states, found)
        status = int(found.reason == AbsentReason.NO_TRACE.value)
        if looks == count or status:
            enough.set()

    monitor = Monitor(radio, print_lines, MonitorSettings(interval_s=interval_s, width_mhz=width_mhz))
    task = asyncio.create_task(monitor.run(lambda _within_s: None), name="link watch")
    counted = asyncio.create_task(enough.wait(), name="link watch count")
    try:
        await asyncio.wait({task, counted}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        counted.cancel()
        await asyncio.wait({task, counted})
    if not task.cancelled():
        task.result()
    return status


def _print(states: "tuple[LinkState, ...]", found: "RadioState") -> None:
    from datetime import datetime

    from halow.table import radio_line, table

    clock = datetime.now().astimezone().strftime("%H:%M:%S")
    lines = table(states)[1:] if found.present else [radio_line(found)]
    click.echo("\n".join(f"{clock}  {line}" for line in lines or ["no peer"]))


def _print_json(states: "tuple[LinkState, ...]", found: "RadioState") -> None:
    from datetime import UTC, datetime

    import msgspec

    from halow.table import as_json

    told = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **as_json(states, found)}
    click.echo(msgspec.json.encode(told))

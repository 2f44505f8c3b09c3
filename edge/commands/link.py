"""`halow-gateway link`: the radio link to each peer, looked at directly, with or without a running gateway."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge.commands.context import State, pass_state
from edge.commands.linkplan import plan

if TYPE_CHECKING:
    from edge.config import RadioSettings
    from halow.base import Radio
    from halow.model import LinkState, RadioState

    Show = Callable[[tuple[LinkState, ...], RadioState], None]

Command = TypeVar("Command", bound=Callable[..., Any])


def radio_options(function: Command) -> Command:
    """Add the options that say which radio; where one is left out, the settings file decides."""
    for option in reversed((
        click.option("--interface", help="Interface name, e.g. wlan1."),
        click.option("--driver", help='Driver name or pattern, e.g. "morse*".'),
        click.option("--mac", help="The radio's own MAC address."),
        click.option("--simulated", "trace", metavar="TRACE", help="Replay a trace file instead of a radio."),
    )):
        function = option(function)
    return function


@click.group()
def link() -> None:
    """Show the radio link to each peer."""


@link.command()
@radio_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def show(state: State, /, as_json: bool, **options: str | None) -> int:      # noqa: FBT001 - click passes flags by name
    """Look once and print a table of the peers. Status 1 when there is no radio."""
    import msgspec

    from halow import look, table

    radio, settings = _radio(state, options)
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
    state: State, /, interval_s: float, count: int | None, as_json: bool, **options: str | None,      # noqa: FBT001
) -> None:
    """Print one line per peer at every look, until interrupted: for a person turning an antenna."""
    radio, settings = _radio(state, options)
    asyncio.run(_watch(radio, settings.width_mhz, interval_s, count, _print_json if as_json else _print))


link.add_command(plan)


def _radio(state: State, options: dict[str, str | None]) -> "tuple[Radio, RadioSettings]":
    from halow.interfaces import Wanted
    from halow.look import radio_for

    settings = state.settings().radio
    # One option given means this radio and no other: the file's answers would only contradict it.
    given = any(options[name] is not None for name in ("interface", "driver", "mac", "trace"))
    if given:
        wanted = Wanted(options["interface"] or "", options["driver"] or "", options["mac"] or "")
        trace = options["trace"] or ""
    else:
        wanted = Wanted(settings.interface, settings.driver, settings.mac)
        trace = settings.trace if settings.kind == "simulated" else ""
    return radio_for(wanted, trace, width_mhz=settings.width_mhz, control_dir=settings.control_dir), settings


async def _watch(radio: "Radio", width_mhz: int, interval_s: float, count: int | None, show: "Show") -> None:
    from halow.monitor import Monitor, MonitorSettings

    looks = 0
    enough = asyncio.Event()

    def print_lines(states: "tuple[LinkState, ...]", found: "RadioState") -> None:
        nonlocal looks
        looks += 1
        show(states, found)
        if looks == count:
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

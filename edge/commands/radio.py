"""Which radio a command means: its options, else the settings file."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge.commands.context import State

if TYPE_CHECKING:
    from edge.config import RadioSettings
    from halow.base import Radio

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


def chosen_radio(state: State, options: dict[str, str | None]) -> "tuple[Radio, RadioSettings]":
    """Return the radio to look at, and the settings' section about it."""
    from halow.interfaces import Wanted
    from halow.look import radio_for, radio_of

    settings = state.load().radio      # the radio's tools may want root's rights
    # One option given means this radio and no other: the file's answers would only contradict it.
    given = any(options[name] is not None for name in ("interface", "driver", "mac", "trace"))
    if not given:
        return radio_of(settings), settings
    wanted = Wanted(options["interface"] or "", options["driver"] or "", options["mac"] or "")
    return radio_for(wanted, options["trace"] or "", width_mhz=settings.width_mhz, control_dir=settings.control_dir,
                     vendor_tool=settings.vendor_tool), settings

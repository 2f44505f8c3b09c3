"""The tree of commands, walked for pages about it (pure)."""

from collections.abc import Iterator
from typing import NamedTuple

import click

EXIT_STATUS = (
    ("0", "done; for a command that looks for something: found"),
    ("1", "refused or failed: one line on standard error, or what was found wrong on standard output"),
    ("2", "wrong usage: a line on how it is used, and one on what is wrong"),
    ("78", "the settings file is wrong (EX_CONFIG of sysexits.h); no restart mends that"),
    ("130", "interrupted, or a question answered with no"),
)


class Leaf(NamedTuple):
    """A command that does something. `usage` stands behind `halow-gateway NAME`; `about` has a text per paragraph."""

    name: str
    usage: str
    about: tuple[str, ...]
    options: tuple[tuple[str, str], ...]


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Yield every command below a group, in the order of its table; what this build leaves out is not there."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield _leaf(command, " ".join((*path, name)))


def options_of(command: click.Command) -> tuple[tuple[str, str], ...]:
    """Return (how it is written, what it means) of each option, --help left out."""
    context = click.Context(command)
    records = [parameter.get_help_record(context) for parameter in command.params]
    return tuple(record for record in records if record is not None)


def _leaf(command: click.Command, name: str) -> Leaf:
    options = options_of(command)
    usage = command.collect_usage_pieces(click.Context(command))
    pieces = [piece for piece in usage if options or piece != "[OPTIONS]"]
    about = tuple(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    return Leaf(name, " ".join(pieces), about, options)

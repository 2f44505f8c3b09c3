"""Names of registered meters, completed in the shell: quickly, silently, and never making anything."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from edge.commands.context import State
from edge.rights import as_owner


class MeterName(click.types.StringParamType):
    """A meter's name: any text, which the command itself looks up; completed from the registry."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the registered names that begin so; none where the registry cannot be read."""
        del param
        given = set(_given(ctx))
        return [CompletionItem(each) for each in _registered(ctx) if each.startswith(incomplete) and each not in given]


METER = MeterName()


def _given(ctx: click.Context) -> list[Any]:
    """Return what stands on the line already: `meter pause` takes several, each once."""
    names = ctx.params.get("names")
    return list(names) if isinstance(names, tuple) else []


def _registered(ctx: click.Context) -> list[str]:
    from edge.errors import EdgeError
    from edge.store.registry import FILE_NAME, Registry

    state = State()      # while a line is completed nobody has called the program's own function
    config = ctx.find_root().params.get("config")
    state.config = Path(config) if config is not None else None
    try:
        path = Path(state.load().gateway.state_dir) / FILE_NAME
        if not path.exists():      # opening would make it
            return []
        with as_owner(path), Registry.open(path) as registry:
            return [meter.name for meter in registry.list()]
    except (EdgeError, OSError):      # whoever presses a key wants no lecture; the command will give it
        return []

"""`halow-gateway run`: the daemon."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands.context import State, pass_state

if TYPE_CHECKING:
    from edge.config import Settings


def finished(settings: "Settings") -> bool:
    """Put the rest of a restore in place that the power cut; tell whether there was one."""
    state_dir = Path(settings.gateway.state_dir)
    if not (state_dir / "restoring").exists():      # nothing of it is loaded then
        return False
    from edge.support.restore import finish

    left = finish(state_dir)
    for line in left or ():
        click.echo(f"halow-gateway: a restore was cut, not in place: {line}; restore again as root", err=True)
    return left is not None


@click.command()
@pass_state
def run(state: State) -> int:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C; a second signal ends it at once."""
    from edge.health.hangup import hold

    hold()      # before the half second of imports, which is several on a small board
    from edge.logs import output

    settings = state.load()      # before the imports as well: what is wrong is told at once
    if finished(settings):
        settings = state.load()
    output.configure("debug" if state.debug else settings.gateway.log_level)
    from edge.app import run as run_app

    return run_app(settings, state.config_path())

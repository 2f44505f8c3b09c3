"""`halow-gateway run`: the daemon."""

import click

from edge.commands.context import State, pass_state


@click.command()
@pass_state
def run(state: State) -> int:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C; a second signal ends it at once."""
    from edge import log
    from edge.app import run as run_app

    settings = state.settings()
    log.configure("debug" if state.debug else settings.gateway.log_level)
    return run_app(settings)

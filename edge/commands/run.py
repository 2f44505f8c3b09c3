"""`halow-gateway run`: the daemon."""

import click

from edge.commands.context import State, pass_state


@click.command()
@pass_state
def run(state: State) -> int:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C; a second signal ends it at once."""
    from edge import log

    settings = state.settings()      # before the half second of imports: what is wrong is told at once
    log.configure("debug" if state.debug else settings.gateway.log_level)
    from edge.app import run as run_app

    return run_app(settings, state.config_path())

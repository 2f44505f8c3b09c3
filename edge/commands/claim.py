"""`halow-gateway claim`: a customer may take the gateway over at ThingsBoard, by its name and a secret."""

from pathlib import Path

import click

from edge.commands.context import State, pass_state, read_input
from edge.errors import EdgeError

SECRET_LIMIT_BYTES = 1_024


@click.command()
@click.option("--secret-from", "source", metavar="FILE",
              help="What the customer types; - is standard input. Else one is drawn.")
@click.option("--minutes", type=click.FloatRange(0, 527_040), default=0.0,
              help="How long it counts; else the server says.")
@pass_state
def claim(state: State, source: str | None, minutes: float) -> None:
    """Let a customer claim this gateway, and print what has to be typed there: device name and secret."""
    from edge.control import ask
    from edge.credentials import new_secret
    from edge.identity import identify, named

    settings = state.settings()
    if source is None:
        secret = new_secret()[:12]
    else:
        secret = read_input(source, SECRET_LIMIT_BYTES).decode("utf-8", "replace").strip()
        if not secret:
            raise EdgeError(f"{source}: holds no secret")
    ask(Path(settings.gateway.runtime_dir), "claim", timeout_s=20.0, secret=secret, duration_s=minutes * 60)
    name = named(settings, identify(Path(settings.gateway.state_dir))).gateway.name
    click.echo(f"Device name: {name}")
    click.echo(f"Secret key:  {secret if source is None else 'the one that was given'}")

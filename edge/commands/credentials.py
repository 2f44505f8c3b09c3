"""`halow-gateway credentials`: new ones beside those in use, until the server took them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands.context import State, pass_state, read_input
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.config import Settings

ANSWER_TIMEOUT_S = 25.0      # a trial is a login, and the end of the session before it
_TOLD = {"accepted": "The server took them; they are in use.",
         "waiting": "The server cannot be asked now; they are tried as soon as it can."}


@click.group()
def credentials() -> None:
    """Change what ThingsBoard knows the gateway by."""


@credentials.command()
@click.option("--from", "source", metavar="FILE", help="The new token, password or certificate; - is standard input.")
@click.option("--drop", is_flag=True, help="Forget new ones that were not accepted.")
@pass_state
def rotate(state: State, source: str | None, drop: bool) -> int:
    """Give the gateway new credentials, of the kind that uplink.credentials says.

    They are tried at once; those in use go on until the server takes the new ones, and longer where it does not.
    Exits with 1 when they were refused; they stay for the moment in which the server refuses the old ones.
    """
    from edge import candidate
    from edge.credentials import limit_bytes

    if (source is None) != drop:
        raise click.UsageError("one of --from FILE and --drop")
    settings = state.settings()
    try:
        if source is None:
            click.echo("Forgotten." if candidate.drop(settings) else "There are no new credentials.")
            return 0
        candidate.put(settings, read_input(source, limit_bytes(settings.uplink.credentials) + 1))
    except OSError as error:
        raise EdgeError(f"{candidate.beside(settings)}: {error.strerror}; run this as the gateway's user") from error
    return _tried(settings)


def _tried(settings: "Settings") -> int:
    from edge.control import NoDaemon, ask

    try:
        told = ask(Path(settings.gateway.runtime_dir), "credentials", timeout_s=ANSWER_TIMEOUT_S)
    except NoDaemon:
        click.echo("No gateway is running; they are tried at the next start.")
        return 0
    outcome = str(told.get("outcome"))
    click.echo(_TOLD.get(outcome) or f"Not taken, the old ones stay in use: {told.get('detail')}")
    return int(outcome == "refused")

"""`halow-gateway ota`: how an update from ThingsBoard goes, and another try at one that has failed."""

from pathlib import Path

import click

from edge.commands import table
from edge.commands.context import State, pass_state

_NAMES = {"fw": "firmware", "sw": "software"}


@click.command()
@click.option("--retry", is_flag=True, help="Try again what has failed, as if ThingsBoard had offered it anew.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: by fw and sw, state, error, bytes and size_bytes.")
@pass_state
def ota(state: State, retry: bool, as_json: bool) -> None:
    """Show how an update from ThingsBoard goes."""
    from edge.control import ask

    told = ask(Path(state.settings().gateway.runtime_dir), "ota", retry=retry)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    elif retry:
        click.echo("What has failed is tried again.")
    elif not told:
        click.echo("No update since the gateway's start.")
    else:
        for what, now in told.items():
            size = int(now["size_bytes"])
            share = f", {table.size(int(now['bytes']))} of {table.size(size)}" if size else ""
            click.echo(f"{_NAMES.get(what, what)}: {now['state']}{share}{': ' + now['error'] if now['error'] else ''}")

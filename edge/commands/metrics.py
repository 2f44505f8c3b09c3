"""`halow-gateway metrics`: the running gateway's metrics, for node_exporter's textfile collector or for a look."""

from pathlib import Path

import click

from edge.commands.context import State, pass_state


@click.command()
@pass_state
def metrics(state: State) -> None:
    """Print the running gateway's metrics in Prometheus' text format, also where the local page is off.

    For node_exporter: halow-gateway metrics > DIR/halow.prom.new && mv DIR/halow.prom.new DIR/halow.prom
    """
    from edge.control import ask

    click.echo(ask(Path(state.settings().gateway.runtime_dir), "metrics")["text"], nl=False)

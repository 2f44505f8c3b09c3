"""`halow-gateway demo`: the main job end to end on this machine, in a minute."""

import asyncio

import click

from edge.errors import EdgeError


@click.command()
def demo() -> int:
    """Watch the gateway work: simulated meters, an outage of the uplink, a kill -9, and an account of every reading.

    Exits with 0 only when nothing was lost.
    """
    try:
        from edge.demo.director import Director
        from edge.demo.screen import screen
    except ImportError as error:
        raise EdgeError(f"the demo's own packages are missing ({error.name}); install halow-gateway[demo]") from error
    click.echo("Eight simulated meters (TCP wrapper, and HDLC behind serial bridges), a radio trace, a server that\n"
               "keeps ThingsBoard's contract. Everything runs on loopback and ends by itself.\n")
    with screen() as view:
        verdict = asyncio.run(Director(view.show, view.say).play())
    click.echo("\n" + "\n".join(verdict.lines()))
    click.echo("\nNothing was lost." if verdict.good else "\nThe account does not balance.")
    return 0 if verdict.good else 1

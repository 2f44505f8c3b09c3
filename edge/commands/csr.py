"""`halow-gateway csr`: what a certificate authority needs to make the gateway's certificate."""

from pathlib import Path

import click

from edge.commands.context import State, pass_state


@click.command()
@pass_state
def csr(state: State) -> None:
    """Print a certificate signing request (PKCS #10, PEM) for the gateway's key and name.

    The private key stays where it is. Put the certificate, its issuers behind it, into device.pem in the state
    directory, and set credentials = "x509" under [uplink].
    """
    from edge.credentials import signing_request
    from edge.identity import identify, named

    settings = state.settings()
    state_dir = Path(settings.gateway.state_dir)
    click.echo(signing_request(state_dir, named(settings, identify(state_dir)).gateway.name), nl=False)

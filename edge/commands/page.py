"""`halow-gateway page`: a one-time code that sets the local page's password, and tokens for scripts."""

from pathlib import Path
from typing import Any

import click

from edge.commands import table
from edge.commands.context import State, pass_state


@click.group()
def page() -> None:
    """Get into the local page: a code for its password, tokens for scripts."""


@page.command(short_help="Print a one-time code that sets the page's password.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def code(state: State, as_json: bool) -> None:
    """Print a one-time code that sets the page's password: the first one, or another for one that is forgotten.

    Whoever may run this on the box may set the password; nobody else can. The code before it is void.
    """
    answer = _ask(state, do="code")
    if as_json:
        _print_json(answer)
        return
    click.echo(f"Open {answer['url']} and give this code, within {answer['minutes']:g} minutes:\n")
    click.echo(f"    {answer['code']}\n")
    if answer["fingerprint"]:
        click.echo("The browser does not know the gateway's own certificate. It is the right one if its SHA-256 is\n"
                   f"{answer['fingerprint']}")
    if answer["problem"]:
        click.echo(f"The page is not served yet: {answer['problem']}")


@page.command("card-code", short_help="Draw a code for the card of a board to come.")
def card_code() -> None:
    """Draw a code for a card: as `page.code` in its provision folder it sets the page's password of that board, once.

    Needs no gateway, and nothing is kept here. A code for each board: who has it owns the page of a board without a
    password.
    """
    from edge.api import passwords

    click.echo(passwords.new_code())


@page.group()
def token() -> None:
    """Tokens for scripts: list, add, remove."""


@token.command("list", short_help="List the tokens.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def list_(state: State, as_json: bool) -> None:
    """List the tokens, without their secrets."""
    tokens = _ask(state, do="tokens")["tokens"]
    if as_json:
        _print_json(tokens)
    elif not tokens:
        click.echo("No tokens. `halow-gateway page token add NAME` makes one.")
    else:
        click.echo(table.render(("NAME", "ROLE"), [(each["name"], each["role"]) for each in tokens]))


@token.command(short_help="Make a token and print it, this once.")
@click.argument("name")
@click.option("--role", type=click.Choice(["view", "admin"]), default="view", show_default=True,
              help="view: look at everything; admin: change meters too.")
@pass_state
def add(state: State, name: str, role: str) -> None:
    """Make a token and print it, this once. A script sends it as `Authorization: Bearer TOKEN`."""
    click.echo(_ask(state, do="add", name=name, role=role)["token"])


@token.command(short_help="Remove a token.")
@click.argument("name")
@pass_state
def remove(state: State, name: str) -> None:
    """Remove a token; who uses it is out at once."""
    _ask(state, do="remove", name=name)
    click.echo(f"Removed the token {name}.")


def _ask(state: State, **words: str) -> dict[str, Any]:
    from edge.control import ask

    arguments: dict[str, Any] = dict(words)
    return ask(Path(state.settings().gateway.runtime_dir), "page", **arguments)


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())

"""`halow-gateway config`: look at the settings."""

from pathlib import Path

import click

from edge.commands.context import State, pass_state
from edge.errors import EdgeError


@click.group()
def config() -> None:
    """Show, check or print default settings."""


@config.command(short_help="Print the settings in force.")
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of TOML.")
@pass_state
def show(state: State, as_json: bool) -> None:      # noqa: FBT001 - click passes flags by name
    """Print the settings in force: the file's, and the defaults for what it leaves out."""
    import msgspec

    from edge.configfile import to_toml

    settings = state.settings()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(settings)).decode())
    else:
        click.echo(f"# from {state.config_path() or 'the built-in defaults'}")
        click.echo(to_toml(settings), nl=False)


@config.command(short_help="Print single settings in force, for scripts.")
@click.argument("keys", nargs=-1, required=True, metavar="SECTION.KEY...")
@pass_state
def get(state: State, keys: tuple[str, ...]) -> None:
    """Print the value of each SECTION.KEY in force, one to a line: text as it is, everything else as in JSON."""
    import msgspec

    known: dict[str, dict[str, object]] = msgspec.to_builtins(state.settings())
    for key in keys:
        section, _, name = key.partition(".")
        if name not in known.get(section, {}):
            raise EdgeError(f"there is no setting {key!r}; halow-gateway config default prints all of them")
        value = known[section][name]
        click.echo(value if isinstance(value, str) else msgspec.json.encode(value).decode())


@config.command(short_help="Print the default settings with comments.")
def default() -> None:
    """Print the default settings with comments, to start a gateway.toml from."""
    from edge.configfile import default_toml

    click.echo(default_toml(), nl=False)


@config.command(short_help="Validate a settings file.")
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@pass_state
def check(state: State, file: Path | None) -> None:
    """Validate a settings file (default: the one in force) and name every problem in it."""
    from edge.configfile import load

    path = file or state.config_path()
    load(path)
    click.echo(f"{path}: good" if path else "No settings file; the built-in defaults are in force.")

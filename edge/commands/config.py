"""`halow-gateway config`: look at the settings, have the running gateway take them up, see who changed what."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands.context import State, pass_state
from edge.errors import ConfigError, EdgeError
from edge.rights import as_started

if TYPE_CHECKING:
    from edge.confighistory import Entry

RELOAD_TIMEOUT_S = 20.0      # meters whose time-outs have changed are left and connected anew


@click.group()
def config() -> None:
    """Show, check and reload settings; see who changed them; print the defaults."""


@config.command(short_help="Print the settings in force.")
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of TOML.")
@pass_state
def show(state: State, as_json: bool) -> None:
    """Print the settings in force: ThingsBoard's over the file's, and the defaults for what both leave out.

    Behind what is no default stands where it comes from; as JSON under "origins".
    """
    import msgspec

    from edge.configfile import to_toml, written

    look, path = state.in_force(), state.config_path()
    remote = "ThingsBoard, on trial" if look.trial else "ThingsBoard"
    with as_started():
        keys = written(path)
    origins = dict.fromkeys(keys, "file") | {
        f"{section}.{key}": remote for section, keys in look.layer.settings.items() for key in keys}
    if look.problem:
        click.echo(f"What ThingsBoard has set is left out: {look.problem}", err=True)
    if as_json:
        shown = {**msgspec.to_builtins(look.settings), "origins": origins}
        click.echo(msgspec.json.format(msgspec.json.encode(shown)).decode())
    else:
        click.echo(f"# from {path or 'the built-in defaults'}{f' and {remote}' if look.layer.settings else ''}")
        click.echo(to_toml(look.settings, origins), nl=False)


@config.command(short_help="Print single settings in force, for scripts.")
@click.argument("keys", nargs=-1, required=True, metavar="SECTION.KEY...")
@pass_state
def get(state: State, keys: tuple[str, ...]) -> None:
    """Print the value of each SECTION.KEY in force, one to a line: text as it is, everything else as in JSON."""
    import msgspec

    known: dict[str, dict[str, object]] = msgspec.to_builtins(state.in_force().settings)
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
    """Validate a settings file (default: the one in force) and name every problem in it.

    The file of alarm conditions that it names is read, too: without it the gateway does not start. Everything else
    that has to be there is looked for by `halow-gateway check`.
    """
    from edge.commands.checkalarms import conditions_of
    from edge.configfile import load

    path = file or state.config_path()
    alarms = load(path).alarms
    if alarms.enabled:
        try:
            conditions_of(alarms)
        except ConfigError as error:
            raise type(error)("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    click.echo(f"{path}: good" if path else "No settings file; the built-in defaults are in force.")


@config.command(short_help="Have the running gateway take up the settings file.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: what has changed and what needs a restart.")
@pass_state
def reload(state: State, as_json: bool) -> None:
    """Have the running gateway read its settings file again, without a restart.

    Connections go on where nothing of theirs has changed. A file with a problem changes nothing. What only a restart
    can change is named, and stays as it is until then.
    """
    import msgspec

    from edge.commands.who import who
    from edge.control import ask

    answer = ask(Path(state.settings().gateway.runtime_dir), "config_reload", timeout_s=RELOAD_TIMEOUT_S, by=who())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
        return
    for change in answer["changed"]:
        click.echo(f"{change['key']}: {_value(change['before'])} -> {_value(change['after'])}")
    if answer["restarted"]:
        click.echo(f"Connected anew: {', '.join(answer['restarted'])}")
    if answer["objection"]:
        click.echo(f"What ThingsBoard has set is left out: {answer['objection']}")
    if not answer["changed"]:
        click.echo("Nothing else is in force than before.")
    for change in answer["needs_restart"]:
        before, after = _value(change["before"]), _value(change["after"])
        click.echo(f"{change['key']}: {after} needs a restart; {before} is in force")


@config.command(short_help="Show who changed which setting, and when.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: a list of changes, oldest first.")
@pass_state
def history(state: State, as_json: bool) -> None:
    """Show the newest changes of settings in force: reloads, and what ThingsBoard set. Secrets are in none of them."""
    import msgspec

    from edge.confighistory import read

    entries = read(Path(state.settings().gateway.state_dir))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(entries)).decode())
        return
    for entry in entries:
        click.echo(f"{_when(entry)}  {entry.outcome}  by {entry.by}: {entry.words()}")
    if not entries:
        click.echo("No setting has been changed while the gateway ran.")


def _when(entry: "Entry") -> str:
    when = datetime.fromtimestamp(entry.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{when}{' ' if entry.synchronised else '?'}"


def _value(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()

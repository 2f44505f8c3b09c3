"""`halow-gateway bundle`: a support archive without secrets, also where the gateway is dead."""

import time
from pathlib import Path
from typing import Any

import click

from edge.commands import table
from edge.commands.check import examine
from edge.commands.context import State, pass_state, work_as_owner
from edge.errors import ConfigError


@click.command()
@click.argument("out", required=False, metavar="[OUT.tar.gz]", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON: path, size_bytes, sha256, missing.")
@pass_state
def bundle(state: State, out: Path | None, as_json: bool) -> None:
    """Make a support archive: settings, status, events, ring, radio, board, log; without passwords, keys and tokens.

    Works beside a running gateway and without one; its README.txt says what is missing. Only you may read the file. It
    holds names, addresses and serial numbers of meters: look it over before you pass it on.
    """
    from edge.config import Settings
    from edge.control import ask
    from edge.identity import board_serial
    from edge.support import known
    from edge.support.archive import make
    from edge.support.pieces import Piece, pieces

    wrong = ""
    try:
        settings = state.settings()
    except ConfigError as error:      # what it says is worth more than nothing
        settings, wrong = Settings(), str(error)
        work_as_owner(Path(settings.gateway.state_dir))
    runtime_dir = Path(settings.gateway.runtime_dir)
    name = _name(settings.gateway.name, Path(settings.gateway.state_dir)) or board_serial() or "unnamed"
    path = out or Path(f"halow-gateway-{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz")
    source = f"{state.config_path() or 'the built-in defaults'}{f', NOT USED: {wrong}' if wrong else ''}"
    everything = [Piece("check.txt", lambda: "".join(f"{each.level:4}  {each.text}\n" for each in examine(state))),
                  *pieces(settings, lambda request: ask(runtime_dir, request), source=" ".join(source.split()))]
    made = make(path, name, everything, known.secrets(settings))
    told: dict[str, Any] = {"path": str(made.path), "size_bytes": made.size_bytes, "sha256": made.sha256,
                            "missing": made.missing}
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
        return
    click.echo(f"{made.path}: {table.size(made.size_bytes)}, SHA-256 {made.sha256}")
    for line in made.missing:
        click.echo(f"Missing: {line}")
    click.echo("No secrets are in it; names, addresses and serial numbers of meters are.")


def _name(wanted: str, state_dir: Path) -> str:
    """Return the gateway's name as part of a file's name."""
    from edge.config import IDENTITY
    from edge.identity import ID_FILE

    identity = ""
    if IDENTITY in wanted:
        try:
            identity = (state_dir / ID_FILE).read_text(errors="replace").strip()
        except OSError:      # not made yet
            return ""
    word = wanted.replace(IDENTITY, identity)
    return "".join(char if char.isalnum() or char in "-_." else "-" for char in word)[:64]

"""`halow-gateway backup` and `restore`: registry, settings, keys of this gateway in one file, and back."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands import table
from edge.commands.context import DEFAULT_CONFIG, State, pass_state, read_input
from edge.errors import ConfigError, EdgeError, RingBusy
from edge.rights import as_owner, as_started

if TYPE_CHECKING:
    from edge.config import Settings
    from edge.support.sealing import Header

PASSPHRASE_LIMIT_BYTES = 1_024


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--passphrase-file", metavar="FILE", help="Take the passphrase from FILE; - is standard input.")
@click.option("--without-secrets", is_flag=True, help="Leave passwords, keys, tokens out; the file is not encrypted.")
@pass_state
def backup(state: State, out: Path, passphrase_file: str | None, without_secrets: bool) -> None:
    """Write meters, settings and keys of this gateway into one file, also while it runs.

    Passwords and keys of meters are in it, so it is encrypted with a passphrase, which is asked for; nobody opens it
    without. What waits in the ring for the server is not in it.
    """
    if without_secrets and passphrase_file:
        raise click.UsageError("--without-secrets and --passphrase-file exclude each other")
    from edge.durable import write_file
    from edge.support.backup import take
    from edge.support.sealing import seal

    if out.exists():
        raise EdgeError(f"{out}: is there already; a backup replaces nothing")
    settings = state.settings()
    try:
        taken = take(settings, state.config_path(), with_secrets=not without_secrets)
    except OSError as error:
        raise EdgeError(f"{error.filename}: {error.strerror}; run this as the gateway's user or as root") from error
    phrase = "" if without_secrets else _passphrase(passphrase_file, twice=True)
    sealed = seal(taken.header, taken.body, phrase)
    try:
        with as_started():
            write_file(out, sealed)
    except OSError as error:
        raise EdgeError(f"{out}: cannot be written: {error.strerror}") from error
    kept = "without secrets, not encrypted" if without_secrets else "encrypted; without its passphrase nobody opens it"
    click.echo(f"{out}: {taken.header.meters} meters, {len(taken.files)} files, {table.size(len(sealed))}, {kept}.")
    for name in taken.elsewhere:
        click.echo(f"Not in it, as it lies elsewhere or is public: {name}")


@click.command()
@click.argument("file", metavar="IN", type=click.Path(path_type=Path))
@click.option("--passphrase-file", metavar="FILE", help="Take the passphrase from FILE; - is standard input.")
@click.option("--adopt", is_flag=True, help="It is another gateway's: be that one from now on.")
@click.option("--keep-settings", is_flag=True, help="Leave the settings file here as it is.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_state
def restore(state: State, file: Path, passphrase_file: str | None, adopt: bool, keep_settings: bool,
            yes: bool) -> None:
    """Put a backup in place: all of it, or nothing, whenever the power fails. The gateway must be stopped.

    What is here and not in the backup stays. Invocation counters of ciphered meters go on far ahead, never back. The
    gateway that the backup is of must not run any more, if it is another one.
    """
    from edge.support.sealing import header_of, unseal

    raw = read_input(str(file), _limit())
    try:
        header = header_of(raw)
        body = unseal(raw, _passphrase(passphrase_file, twice=False) if header.salt else "")
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    files = _files(file, body)
    settings, settings_file = _target(state, files, keep_settings=keep_settings)
    if settings_file is None and not keep_settings:
        click.echo("It holds no settings file; the one here stays.")
    _is_ours(header, Path(settings.gateway.state_dir), adopt=adopt)
    _confirm(header, yes=yes)
    _do(header, files, settings, settings_file)


def _do(header: "Header", files: dict[str, bytes], settings: "Settings", settings_file: Path | None) -> None:
    from edge.support.restore import restore as put

    try:
        done = put(files, settings, settings_file, age_s=time.time() - header.made_ms / 1000)
    except RingBusy as error:
        raise EdgeError(f"the gateway runs: {error}") from error
    except OSError as error:
        raise EdgeError(f"{error.filename}: {error.strerror}; what was begun is ended at the next start") from error
    click.echo(f"Restored {header.gateway}: {done.meters} meters, {len(done.files)} files.")
    for line in done.kept:
        click.echo(f"Kept {line}.")
    if done.left:
        raise EdgeError(f"not all of it is in place; restore again as root: {'; '.join(done.left)}")


def _limit() -> int:
    from edge.support.backup import BODY_LIMIT_BYTES

    return BODY_LIMIT_BYTES


def _files(file: Path, body: bytes) -> dict[str, bytes]:
    from edge.support.backup import unpacked

    try:
        return unpacked(body)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _target(state: State, files: dict[str, bytes], *, keep_settings: bool) -> "tuple[Settings, Path | None]":
    """Return the settings that will be in force, and the file they go into; None where it stays."""
    from edge.configfile import examine_text
    from edge.support.backup import SETTINGS_FILE

    if keep_settings or SETTINGS_FILE not in files:
        return state.load(), None
    settings, problems = examine_text(files[SETTINGS_FILE].decode("utf-8", "replace"))
    if problems:
        raise EdgeError("\n".join([*problems[:5], "these are the backup's settings; --keep-settings leaves yours"]))
    return settings, state.config_path() or DEFAULT_CONFIG


def _is_ours(header: "Header", state_dir: Path, *, adopt: bool) -> None:
    from edge.identity import ID_FILE

    try:
        with as_owner(state_dir):
            ours = (state_dir / ID_FILE).read_text(errors="replace").strip()
    except OSError:      # a fresh board is nobody yet
        return
    if ours != header.id and not adopt:
        raise EdgeError(f"it is the backup of another gateway ({header.gateway}, {header.id}; this is {ours}); --adopt "
                        "makes this one that one, which must not run any more")


def _confirm(header: "Header", *, yes: bool) -> None:
    made = datetime.fromtimestamp(header.made_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    secrets = "" if header.secrets else ", without secrets"
    click.echo(f"Backup of {header.gateway} ({header.id}), made {made} UTC by version {header.version}: "
               f"{header.meters} meters{secrets}.")
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at; give --yes")
    click.confirm("Put it in place of what is here?", abort=True)


def _passphrase(file: str | None, *, twice: bool) -> str:
    """Return the passphrase of a file or a person; one line end after it is an editor's."""
    if file is not None:
        raw = read_input(file, PASSPHRASE_LIMIT_BYTES)
        try:
            phrase = raw.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:      # from None: the cause holds it
            raise EdgeError(f"{file}: the passphrase is not UTF-8 text") from None
        if not phrase:
            raise EdgeError(f"{file}: holds no passphrase")
        return phrase
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at; give --passphrase-file FILE, or --without-secrets"
                               if twice else "no terminal to ask at; give --passphrase-file FILE")
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice))

"""`halow-cloud`: the commands, and how each of them ends.

0    done; diff: nothing differs              2    wrong usage
1    refused or failed: one line each         3    diff: something differs
130  interrupted
"""

import os
import ssl
import sys
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from cloud import check as checking
from cloud import templates
from cloud.dashboards import build, spec
from cloud.errors import CloudError
from cloud.fleet import Source
from cloud.fleet import load as load_fleet
from cloud.provision import export as exporting
from cloud.provision import tokens
from cloud.provision.bootstrap import bootstrap
from cloud.provision.files import read_files
from cloud.provision.reconcile import Outcome, Reconciler, destroy
from cloud.provision.rest import Rest
from cloud.provision.server import Server
from cloud.provision.wanted import everything, families

DIFFERS = 3
KNOWN_VERSIONS = ("4.2.",)  # alarm rules moved out of device profiles with 4.3
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Group(click.Group):
    """Errors become lines, statuses become the process's."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command line and exit."""
        try:
            result = super().main(*args, **{**extra, "standalone_mode": False})
            status = result if isinstance(result, int) else 0
        except click.ClickException as error:
            error.show()
            status = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            status = 130
        except CloudError as error:
            for line in str(error).splitlines():
                click.echo(f"halow-cloud: {line}", err=True)
            status = 1
        except BrokenPipeError:  # `halow-cloud diff fleet.toml | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 1
        sys.exit(status)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def root() -> None:
    """Make a ThingsBoard server hold what a fleet file says."""


def address_options(function: _Function) -> _Function:
    """Add where the server is and how it is trusted."""
    for option in (
        click.option(
            "--plain-http", is_flag=True, help="Allow http://, by which the password crosses the network in clear."
        ),
        click.option(
            "--ca",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            envvar="HALOW_CLOUD_CA",
            show_envvar=True,
            help="The authority that signed the server's certificate, PEM; without it, those of this machine.",
        ),
        click.option(
            "--url",
            envvar="HALOW_CLOUD_URL",
            required=True,
            show_envvar=True,
            help="Where the server is: https://things.example.org.",
        ),
    ):
        function = option(function)
    return function


def server_options(function: _Function) -> _Function:
    """Add what is needed for a login."""
    for option in (
        click.option(
            "--password-file",
            type=click.Path(path_type=Path),
            envvar="HALOW_CLOUD_PASSWORD_FILE",
            show_envvar=True,
            help="File whose first line is the password; without it you are asked.",
        ),
        click.option(
            "--user", envvar="HALOW_CLOUD_USER", required=True, show_envvar=True, help="A tenant administrator."
        ),
    ):
        function = option(function)
    return address_options(function)


fleet_name_option = click.option(
    "--fleet", "fleet_name", default="", help="Name of a CSV file's fleet; without it, the file's name up to .csv."
)


def fleet_options(function: _Function) -> _Function:
    """Add the fleet file."""
    return fleet_name_option(click.argument("file", type=click.Path(path_type=Path))(function))


def _login(url: str, user: str, password_file: Path | None, ca: Path | None, *, plain_http: bool) -> Rest:
    return Rest(url, user, _password(user, password_file), context=_context(ca), allow_plain=plain_http)


def _context(ca: Path | None) -> ssl.SSLContext | None:
    try:
        return None if ca is None else ssl.create_default_context(cafile=str(ca))
    except (ssl.SSLError, OSError):
        raise CloudError(f"{ca}: holds no certificate in PEM") from None


def _password(user: str, path: Path | None) -> str:
    if path is None:
        return str(click.prompt(f"Password of {user}", hide_input=True, err=True))
    try:
        return path.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise CloudError(
            f"{path}: the password cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None


@root.command("bootstrap")
@address_options
@click.option("--tenant", required=True, help="Title of the tenant to be made.")
@click.option("--operator", required=True, metavar="EMAIL", help="Its administrator: the --user of everything else.")
@click.option(
    "--passwords",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for EMAIL.password files; what is not there is drawn (mode 0600).",
)
def bootstrap_command(
    url: str, ca: Path | None, tenant: str, operator: str, passwords: Path, *, plain_http: bool
) -> None:
    """Give a server that was just installed passwords of its own, a tenant and an administrator."""

    def login(user: str, password: str) -> Rest:
        return Rest(url, user, password, context=_context(ca), allow_plain=plain_http)

    for line in bootstrap(login, passwords, tenant, operator) or ["nothing was left to do"]:
        click.echo(line)


@root.command()
@server_options
@fleet_options
@click.option("--yes", is_flag=True, help="Do it. Without this, apply only tells what it would do.")
@click.option(
    "--adopt", is_flag=True, help="Take up what somebody else made under one of the names; destroy leaves it."
)
@click.option("--prune", is_flag=True, help="Remove what this fleet made and the file has no longer, with its data.")
@click.option(
    "--tokens",
    "tokens_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each gateway's access token to a file of its own here (mode 0600).",
)
def apply(
    file: Path, fleet_name: str, tokens_dir: Path | None, *, yes: bool, adopt: bool, prune: bool, **login: Any
) -> int:
    """Make, change and relate what the fleet file says. Run again, it does only what is left to do."""
    source = load_fleet(file, fleet_name)
    with _login(**login) as rest:
        server = Server(rest)
        outcome = _reconciled(server, source, act=yes, adopt=adopt, prune=prune)
        written = tokens.write(server, source.fleet, outcome, tokens_dir) if yes and tokens_dir is not None else ()
    _show(outcome, done=yes)
    if written:
        click.echo(f"{len(written)} token files in {tokens_dir}")
    return 1 if outcome.failures else 0


@root.command()
@server_options
@fleet_options
@click.option(
    "--adopt", is_flag=True, help="Compare what somebody else made under one of the names, as apply --adopt would."
)
def diff(file: Path, fleet_name: str, *, adopt: bool, **login: Any) -> int:
    """Tell what differs between the file and the server, and change nothing. Status 3: something does."""
    source = load_fleet(file, fleet_name)
    with _login(**login) as rest:
        outcome = _reconciled(Server(rest), source, act=False, adopt=adopt, prune=False)
    _show(outcome, done=False)
    if outcome.failures:
        return 1
    return DIFFERS if outcome.changes else 0


@root.command("destroy")
@server_options
@fleet_options
@click.option("--yes", is_flag=True, help="Do it. Without this, destroy only tells what it would remove.")
def destroy_command(file: Path, fleet_name: str, *, yes: bool, **login: Any) -> int:
    """Remove what this fleet made, with its telemetry; what it found and took up stays."""
    source = load_fleet(file, fleet_name)
    outcome = Outcome()
    with _login(**login) as rest:
        try:
            destroy(Server(rest), source.fleet.fleet.name, act=yes, outcome=outcome)
        finally:
            _show(outcome, done=yes)
    return 1 if outcome.failures else 0


@root.command("export")
@server_options
@fleet_options
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def export_command(file: Path, fleet_name: str, folder: Path, **login: Any) -> None:
    """Write the fleet's dashboards, profiles and rule chains as normalised JSON into FOLDER: no ids, no secrets."""
    source = load_fleet(file, fleet_name)
    with _login(**login) as rest:
        written = exporting.export(Server(rest), source.fleet.fleet.name, folder)
    click.echo(f"{len(written)} files in {folder}")


@root.command()
@fleet_name_option
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check(file: Path | None, fleet_name: str) -> int:
    """Hold dashboards, alarm rules and rule chain against the contract of keys; offline.

    With FILE also look at that fleet file, and at the certificates and the secret that it names.
    """
    shipped = templates.load()
    found = checking.problems(shipped)
    if file is not None:
        source = load_fleet(file, fleet_name)
        click.echo(f"{file}: {_count('gateway', source.fleet.gateway)}, {_count('meter', source.fleet.meter)}")
        try:
            read_files(source.fleet, source.folder)
        except CloudError as error:
            found += [f"{file}: {line}" for line in str(error).splitlines()]
    for line in found:
        click.echo(f"halow-cloud: {line}", err=True)
    if not found:
        click.echo(
            f"good; {_count('dashboard', shipped.dashboards)} and {_count('alarm rule', shipped.alarms)} fit the keys"
        )
    return 1 if found else 0


@root.command("build")
@click.argument(
    "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=templates.HERE / "dashboards"
)
def build_command(folder: Path) -> None:
    """Write the dashboards' JSON from boards.toml and states/*.toml of FOLDER, in a clone of the repository."""
    for board in spec.load(folder):
        path = folder / f"{board.file}.json"
        path.write_text(templates.normal(build.dashboard(board)))
        click.echo(str(path))


def _reconciled(server: Server, source: Source, *, act: bool, adopt: bool, prune: bool) -> Outcome:
    version = server.version()
    if version[:1].isdigit() and not version.startswith(KNOWN_VERSIONS):  # "unknown" is a build of somebody's own
        raise CloudError(
            f"the server is ThingsBoard {version}; this was written for {KNOWN_VERSIONS[0]}x, whose device "
            "profiles hold the alarm rules"
        )
    fleet = source.fleet
    wanted = everything(fleet, templates.load(), read_files(fleet, source.folder))
    reconciler = Reconciler(server, fleet.fleet.name, act=act, adopt=adopt)
    try:
        return reconciler.run(wanted, families(fleet), prune=prune)
    except CloudError:
        _show(reconciler.outcome, done=act)
        raise


def _count(what: str, them: Sized) -> str:
    return f"{len(them)} {what}{'' if len(them) == 1 else 's'}"


def _show(outcome: Outcome, *, done: bool) -> None:
    for change in outcome.changes:
        click.echo(str(change))
    for failure in outcome.failures:
        click.echo(f"halow-cloud: {failure}", err=True)
    changed = sum(1 for change in outcome.changes if change.sign != "?")
    kept = f", {outcome.kept} as they should be" if outcome.kept else ""
    click.echo(
        f"{changed} changes{'' if done or not changed else ' to make (nothing was done; --yes does it)'}{kept}"
        f"{f', {len(outcome.failures)} failures' if outcome.failures else ''}"
    )


def main() -> NoReturn:
    """Start the program: what the console script calls."""
    root.main(prog_name="halow-cloud")

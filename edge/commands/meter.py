"""`halow-gateway meter`: the registered meters. Every change is told to the running gateway."""

import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from edge.commands import image, orders, table
from edge.commands.context import State, pass_state, poke, read_input
from edge.commands.discover import discover
from edge.commands.names import METER
from edge.commands.password import from_file, from_prompt, key_from_file, key_from_prompt, password_options
from edge.commands.scan import scan
from edge.endpoint import is_serial
from edge.errors import EdgeError, RegistryError
from edge.meters.profile import Profile
from edge.meters.registering import TEXTS, changed_meter, new_meter, wanting
from edge.model import Keys, Meter

# The settings that a profile answers where the meter leaves them out.
FROM_PROFILE = ("framing", "client_sap", "server_logical", "server_physical", "address_bytes", "authentication",
                "security", "security_suite", "ciphering", "opening")
KEY_KINDS = ("encryption", "authentication")
AUTHENTICATIONS = ("none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256")
CSV_LIMIT_BYTES = 16_777_216
PROBLEMS_SHOWN = 20
UNSETTABLE = (*FROM_PROFILE, "interval_s", *TEXTS)

_Function = TypeVar("_Function", bound=Callable[..., Any])


@click.group()
def meter() -> None:
    """Add, list, edit and pause meters; find them on the network; ask and switch them; import, export."""


meter.add_command(discover)
meter.add_command(scan)


def meter_options(function: _Function) -> _Function:
    """Add one option per setting of a meter; each is None where it is not given."""
    for option in (
        click.option("--mac", help="Radio peer that the meter stands behind, where the network does not tell."),
        click.option("--interval", "interval_s", type=float, metavar="SECONDS", help="One poll in this time."),
        click.option("--counter-obis", metavar="OBIS", help="Object that tells our invocation counter to all clients."),
        click.option("--meter-title", metavar="HEX", help="The meter's system title, where another is to be refused."),
        click.option("--client-title", metavar="HEX", help="Our system title for this meter, not the gateway's own."),
        click.option("--ciphering", type=click.Choice(["general-glo", "glo", "general-ded", "ded"]),
                     help="Kind of ciphered messages: by global or dedicated key."),
        click.option("--security-suite", type=click.Choice(["0", "1", "2"]), help="0 and 1: AES-128, 2: AES-256."),
        click.option("--security", type=click.Choice(["none", "authenticated", "encrypted", "both"]),
                     help="How messages are protected; its keys: meter set-key."),
        click.option("--authentication", type=click.Choice(AUTHENTICATIONS),
                     help="none, lls or hls-...: password, secret or keys."),
        click.option("--address-bytes", type=click.Choice(["1", "2", "4"]), help="Size of the HDLC server address."),
        click.option("--server-physical", type=int, help="Lower HDLC address of the meter."),
        click.option("--server-logical", type=int, help="Logical device; upper HDLC address."),
        click.option("--client-sap", type=int, help="Client address; 16 is the public client."),
        click.option("--device-address", metavar="TEXT", help="Whom a mode E sign-on means, with several on one line."),
        click.option("--opening", type=click.Choice(["direct", "mode-e"]),
                     help="mode-e: a sign-on of IEC 62056-21 before HDLC (optical heads)."),
        click.option("--framing", type=click.Choice(["wrapper", "hdlc"]), help="hdlc: behind a serial bridge."),
        click.option("--profile", help="Meter type: the name of a profile."),
        click.option("--port", type=int, help="TCP port; a serial line has none."),
    ):
        function = option(function)
    return function


@meter.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def list_(state: State, as_json: bool) -> None:
    """List all meters."""
    with state.registry(state.settings()) as registry:
        meters, secret = registry.list(), registry.with_password()
    if as_json:
        _print_json([dataclasses.asdict(each) | {"password_set": each.name in secret} for each in meters])
    elif not meters:
        click.echo("No meters yet. `halow-gateway meter add NAME HOST` registers one.")
    else:
        columns = ("NAME", "HOST", "PORT", "PROFILE", "INTERVAL", "PASSWORD", "STATE")
        click.echo(table.render(columns, [
            (each.name, each.host, each.port or None, each.profile, each.interval_s and f"{each.interval_s:g} s",
             "set" if each.name in secret else None, "paused" if each.paused else "active")
            for each in meters
        ]))


@meter.command(short_help="Show one meter, and where each setting comes from.")
@click.argument("name", type=METER)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def show(state: State, name: str, as_json: bool) -> None:
    """Show one meter: what is set, what its profile answers, what was learned about it."""
    settings = state.settings()
    with state.registry(settings) as registry:
        found, learned = registry.get(name), registry.learned(name)
        secret, keys = name in registry.with_password(), registry.with_keys().get(name, frozenset())
        own_title, permitted = registry.client_title().hex(), sorted(registry.permitted().get(name, ()))
    if as_json:
        _print_json(dataclasses.asdict(found) | {"password_set": secret, "learned": learned} | {
            f"{kind}_key_set": f"{kind}_key" in keys for kind in KEY_KINDS} | {"permitted": permitted})
        return
    profile = state.library(settings).get(found.profile)
    for key, value in dataclasses.asdict(found).items():
        note = "  (no such profile)" if key == "profile" and profile is None else ""
        if value is None and profile is not None and key in FROM_PROFILE:
            value, note = getattr(profile.association, key), "  (profile)"      # noqa: PLW2901 - the answer in force
        if key == "framing" and is_serial(found.host):
            value, note = "hdlc", "  (serial line)"      # noqa: PLW2901 - same
        if key == "interval_s" and value is None and profile is not None:
            own = profile.timing.interval_s
            value, note = own or settings.poll.interval_s, "  (profile)" if own else "  (settings)"      # noqa: PLW2901 - same
        if key == "client_title" and not value:
            value, note = own_title, "  (gateway)"      # noqa: PLW2901 - same
        click.echo(f"{key:16} {table.cell(value)}{note}")
    click.echo(f"{'password':16} {'set' if secret else 'not set'}")
    for label, kind in zip(("encryption key", "authentic. key"), KEY_KINDS, strict=True):
        click.echo(f"{label:16} {'set' if f'{kind}_key' in keys else 'not set'}")
    click.echo(f"{'permitted':16} {', '.join(permitted) or 'nothing but reading'}")
    click.echo(f"{'identity':16} {table.cell(learned.identity)}")
    click.echo(f"{'list limit':16} {'not tried' if learned.list_limit is None else learned.list_limit}")
    click.echo(f"{'scalers known':16} {len(learned.scalers)}")


@meter.command(short_help="Register a meter.")
@click.argument("name")
@click.argument("host")
@meter_options
@click.option("--paused", is_flag=True, help="Register it, but do not poll it yet.")
@click.option("--encryption-key-file", metavar="FILE", help="Take the encryption key from FILE; - is standard input.")
@click.option("--authentication-key-file", metavar="FILE", help="Take the authentication key from FILE.")
@password_options
@pass_state
def add(
    state: State, /, name: str, host: str, paused: bool,
    password_file: str | None, as_hex: bool, encryption_key_file: str | None,
    authentication_key_file: str | None, **given: Any,
) -> None:
    """Register a meter: its name in ThingsBoard, and its address or that of its serial bridge.

    A meter on a serial line of this board has a HOST like serial:/dev/serial/by-id/usb-...?baud=9600&format=8N1
    """
    if as_hex and not password_file:
        raise click.UsageError("--hex says how --password-file is written; there is none")
    settings = state.settings()
    new, profile = new_meter({"name": name, "host": host, "paused": paused} | _given(given),
                             state.library(settings).find)
    if [password_file, encryption_key_file, authentication_key_file].count("-") > 1:
        raise click.UsageError("only one secret can come from standard input")
    password = from_file(password_file, as_hex=as_hex) if password_file else b""
    keys = Keys(*(key_from_file(file) if file else b"" for file in (encryption_key_file, authentication_key_file)))
    with state.registry(settings) as registry:
        registry.add(new, password, keys)
    click.echo(f"Added {name}. {poke(settings, name)}")
    for line in _wanting(new, profile, password, keys):
        click.echo(line)


@meter.command()
@click.argument("name", type=METER)
@click.option("--host", help="Address of the meter or its serial bridge.")
@meter_options
@click.option("--unset", multiple=True, type=click.Choice(UNSETTABLE), metavar="SETTING",
              help=f"Back to what the profile says; again for more. One of {', '.join(UNSETTABLE)}.")
@pass_state
def edit(state: State, /, name: str, host: str | None, unset: tuple[str, ...], **given: Any) -> None:
    """Change settings of a meter; what is not named stays."""
    settings = state.settings()
    changes = _given(given) | ({"host": host} if host is not None else {})
    if both := set(changes) & set(unset):
        raise click.UsageError(f"{', '.join(sorted(both))}: set and unset at once")
    changes |= dict.fromkeys(unset)
    if not changes:
        raise click.UsageError("nothing to change; `halow-gateway meter edit --help` lists the settings")
    find = state.library(settings).find
    with state.registry(settings) as registry:
        registry.update(changed_meter(registry.get(name), changes, find))
    click.echo(f"Changed {name}. {poke(settings, name)}")


@meter.command()
@click.argument("name", type=METER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_state
def remove(state: State, name: str, yes: bool) -> None:
    """Remove a meter, its password and what was learned. Readings in the ring are still sent."""
    settings = state.settings()
    with state.registry(settings) as registry:
        registry.get(name)
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("no terminal to ask at; give --yes")
            click.confirm(f"Remove {name} and its password?", abort=True)
        registry.remove(name)
    click.echo(f"Removed {name}. {poke(settings)}")


@meter.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=METER)
@pass_state
def pause(state: State, names: tuple[str, ...]) -> None:
    """Stop polling meters; they stay registered."""
    _set_paused(state, names, paused=True)


@meter.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=METER)
@pass_state
def resume(state: State, names: tuple[str, ...]) -> None:
    """Poll paused meters again."""
    _set_paused(state, names, paused=False)


@meter.command("set-password")
@click.argument("name", type=METER)
@password_options
@click.option("--clear", is_flag=True, help="Remove the password.")
@pass_state
def set_password(
    state: State, name: str, password_file: str | None, as_hex: bool, clear: bool,
) -> None:
    """Set a meter's password: asked for, or from --password-file."""
    if clear and password_file:
        raise click.UsageError("--clear and --password-file exclude each other")
    settings = state.settings()
    with state.registry(settings) as registry:
        registry.get(name)
        if clear:
            password = b""
        else:
            password = from_file(password_file, as_hex=as_hex) if password_file else from_prompt(
                f"Password of {name}", as_hex=as_hex)
        registry.set_password(name, password)
    click.echo(f"{'Removed' if clear else 'Set'} the password of {name}. {poke(settings, name)}")


@meter.command("set-key", short_help="Set an encryption or authentication key.")
@click.argument("name", type=METER)
@click.argument("kind", type=click.Choice(KEY_KINDS))
@click.option("--file", metavar="FILE", help="Take the key from FILE; - is standard input.")
@click.option("--clear", is_flag=True, help="Remove the key.")
@pass_state
def set_key(state: State, name: str, kind: str, file: str | None, clear: bool) -> None:
    """Set one of a meter's keys: asked for, or from --file; in hexadecimal digits, or the bytes themselves."""
    if clear and file:
        raise click.UsageError("--clear and --file exclude each other")
    settings = state.settings()
    with state.registry(settings) as registry:
        registry.get(name)
        key = b"" if clear else key_from_file(file) if file else key_from_prompt(f"The {kind} key of {name}")
        registry.set_keys(name, **{kind: key})
    click.echo(f"{'Removed' if clear else 'Set'} the {kind} key of {name}. {poke(settings, name)}")


@meter.command("import", short_help="Register the meters of a CSV file.")
@click.argument("file")
@click.option("--update", is_flag=True, help="Let lines replace registered meters of the same name.")
@pass_state
def import_(state: State, file: str, update: bool) -> None:
    """Register the meters of a CSV file (- is standard input): all of them, or none and the reasons.

    The first line names the columns; name, host and port must be there. A column `password` is taken.
    """
    settings = state.settings()
    profiles = state.library(settings)
    text = csv_text(file, read_input(file, CSV_LIMIT_BYTES))
    with state.registry(settings) as registry:
        try:
            done = registry.import_csv(text, update=update, profiles=profiles)
        except RegistryError as error:
            raise EdgeError(shortened(str(error))) from None
    click.echo(f"Added {len(done.added)}, updated {len(done.updated)}. {poke(settings, *done.added, *done.updated)}")


@meter.command(short_help="Write all meters as CSV, without passwords.")
@pass_state
def export(state: State) -> None:
    """Write all meters as CSV to standard output, without passwords."""
    with state.registry(state.settings()) as registry:
        click.echo(registry.export_csv().encode(), nl=False)


def _set_paused(state: State, names: tuple[str, ...], *, paused: bool) -> None:
    settings = state.settings()
    with state.registry(settings) as registry:
        names = tuple(dict.fromkeys(names))      # each once
        for name in names:      # all known before the first is changed
            registry.get(name)
        changed = [name for name in names if registry.set_paused(name, paused)]
    word = "paused" if paused else "active"
    for name in names:
        click.echo(f"{name} is {word}." if name in changed else f"{name} was {word} already.")
    if changed:
        click.echo(poke(settings, *changed))


def csv_text(name: str, raw: bytes) -> str:
    """Return the text of a CSV file. Raises EdgeError."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:      # from None: the cause holds the whole text, passwords and all
        raise EdgeError(f"{name}: byte {error.start} is not UTF-8; save it as UTF-8 CSV") from None


def shortened(text: str) -> str:
    """Keep the first problems: a column that is wrong is wrong in every line."""
    lines = text.splitlines()
    if len(lines) <= PROBLEMS_SHOWN:
        return text
    return "\n".join([*lines[:PROBLEMS_SHOWN], f"and {len(lines) - PROBLEMS_SHOWN} problems more"])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    chosen = {key: value for key, value in options.items() if value is not None}
    for key in ("address_bytes", "security_suite"):
        if key in chosen:
            chosen[key] = int(chosen[key])
    return chosen


def _wanting(new: Meter, profile: Profile, password: bytes, keys: Keys) -> Iterator[str]:
    """Yield what is to be given before it can be polled."""
    name = shlex.quote(new.name)
    for want in wanting(new, profile, keys, password=bool(password)):
        if want in KEY_KINDS:
            yield f"It wants a key: halow-gateway meter set-key {name} {want}"
        else:
            yield f"It wants a {want}: halow-gateway meter set-password {name}"


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


for command in (*orders.COMMANDS, image.image):
    meter.add_command(command)

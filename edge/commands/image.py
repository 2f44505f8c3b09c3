"""`halow-gateway meter image`: a firmware image into a meter, through the running gateway."""

import datetime as dt
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands.context import State, pass_state, read_input
from edge.commands.names import METER
from edge.commands.orders import print_json
from edge.commands.who import who
from edge.errors import ConfigError, EdgeError

if TYPE_CHECKING:
    from edge.config import Settings

TIMEOUT_S = 20.0


@click.command("image", short_help="Send a firmware image, activate it, show how far it is.")
@click.argument("name", metavar="METER", type=METER)
@click.option("--file", metavar="FILE", help="Transfer this image and let the meter verify it.")
@click.option("--identifier", metavar="ID", help="How the maker names it: text, or hex:0011aa.")
@click.option("--sha256", metavar="HEX", help="Refuse the file unless it has this digest.")
@click.option("--activate", is_flag=True, help="Let the meter run it, once it is verified.")
@click.option("--at", "at", metavar="TIME", help="Activate at this time: 2026-12-01T02:00:00+01:00.")
@click.option("--abort", is_flag=True, help="Give the transfer up.")
@click.option("--yes", is_flag=True, help="Do not ask for the meter's name before activating.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def image(
    state: State, /, name: str, file: str | None, identifier: str | None, sha256: str | None,
    activate: bool, at: str | None, abort: bool, yes: bool, as_json: bool,
) -> None:
    """Send a firmware image to a meter in the time between its polls; without an option show how far it is.

    It goes on after restarts of the gateway, cuts of the link and of the meter's power, from where the meter is. The
    meter verifies it; running it is an order of its own (--activate). Needs [image] allow = true. Recorded.
    """
    if file is not None and identifier is None:
        raise click.UsageError("--file needs --identifier, the maker's name of the image")
    if abort and (file or activate or at):
        raise click.UsageError("--abort goes alone")
    if (identifier or sha256) and file is None:
        raise click.UsageError("--identifier and --sha256 belong to --file")
    settings = state.settings()
    do = "start" if file else "abort" if abort else "activate" if activate or at else "status"
    request: dict[str, Any] = {"do": do}
    if file is not None:
        request |= _stored(settings, file, identifier or "", sha256)
    if activate or at:
        request |= {"at_ms": _unix_ms(at) if at else 0, "confirm": name if yes else _confirmation()}
    answer = _ask(settings, name, request)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{name}: {text(answer)}")


def text(answer: dict[str, Any]) -> str:
    """Return how a transfer stands, on one line."""
    phase = answer["phase"]
    if phase == "none":
        return "no image was sent to it"
    what = f"{answer['identifier']} ({answer['size_bytes']} bytes)"
    told = {"transfer": f"is being sent: {what}", "verify": f"is verifying {what}", "verified": f"has verified {what}",
            "activate": f"is activating {what}", "active": f"runs {what}", "failed": f"did not take {what}",
            "aborted": f"was to get {what}, given up"}[phase]
    if "blocks" in answer:
        told += f", {answer['blocks'] - answer['blocks_missing']} of {answer['blocks']} blocks"
    at_ms = answer.get("activate_at_ms")
    if phase == "verified" and at_ms:
        told += f", to be activated at {dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat()}"
    return told + "".join(f"; {answer[key]}" for key in ("why", "trouble") if answer.get(key))


def _ask(settings: "Settings", name: str, request: dict[str, Any]) -> dict[str, Any]:
    from edge.control import ask

    return ask(Path(settings.gateway.runtime_dir), "image", meter=name, by=who(), timeout_s=TIMEOUT_S, **request)


def _stored(settings: "Settings", file: str, identifier: str, expected: str | None) -> dict[str, Any]:
    """Put the image where the gateway reads it. It stays there until no meter waits for it."""
    from edge.errands.image_store import LIMIT_BYTES, ImageStore

    data = read_input(file, LIMIT_BYTES + 1)
    if not 1 <= len(data) <= LIMIT_BYTES:
        raise ConfigError(f"{file}: is {'empty' if not data else f'larger than {LIMIT_BYTES} bytes'}; this is no image")
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and digest != expected.strip().lower():
        raise ConfigError(f"{file}: its SHA-256 is {digest}, not the one that was given")
    octets = identifier[4:] if identifier.startswith("hex:") else identifier.encode().hex()
    if not settings.image.allow:      # nothing is put on flash for nothing
        raise EdgeError("this gateway sends no images: [image] allow = true lets it")
    try:
        ImageStore(Path(settings.gateway.state_dir)).put(data)
    except OSError as error:
        raise EdgeError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return {"identifier": octets, "sha256": digest, "size_bytes": len(data)}


def _unix_ms(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--at {text}: write it like 2026-12-01T02:00:00+01:00") from None
    if moment.tzinfo is None:
        raise click.UsageError(f"--at {text}: with its distance from UTC, like +01:00 or Z")
    return round(moment.timestamp() * 1000)


def _confirmation() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at; give --yes")
    return str(click.prompt("Type the meter's name to let it run another firmware", default="", show_default=False))

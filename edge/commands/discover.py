"""`halow-gateway meter discover`: finds out how a meter is spoken to, what it has, and which type it is."""

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands import adopt
from edge.commands.context import State, pass_state
from edge.commands.names import METER
from edge.commands.password import from_file, password_options
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.config import Settings
    from edge.discovery.discover import Discovery, Place
    from edge.discovery.doors import Search
    from edge.discovery.knock import Note
    from edge.discovery.pace import Pace
    from edge.meters.library import Library

USUAL_PORTS = (4059, 3333)


@click.command(short_help="Find out how a meter is spoken to and what it has.")
@click.argument("address", required=False, metavar="[ADDRESS[:PORT] | serial:DEVICE]")
@click.option("--as", "registered", metavar="NAME", type=METER,
              help="With address, password and keys of a registered meter.")
@click.option("--framing", type=click.Choice(["wrapper", "hdlc"]), help="Try this one only.")
@click.option("--server-logical", type=click.IntRange(0, 0x3FFF), default=1, show_default=True, help="Logical device.")
@click.option("--server-physical", "physical", metavar="N[-M]", help="Lower HDLC address, or a range of them.")
@click.option("--serial", default="", metavar="DIGITS", help="Serial number; its last four digits are tried early.")
@click.option("--client-sap", type=click.IntRange(1, 0x7F), default=1, show_default=True,
              help="Client that the password belongs to.")
@password_options
@click.option("--save", metavar="FILE.toml", type=click.Path(path_type=Path),
              help="Write a profile with what was found.")
@click.option("--add", metavar="NAME", help="Register the meter under this name.")
@click.option("--answer", "answer_s", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, metavar="SECONDS",
              help="Wait so long for an answer before the next address.")
@click.option("--gap", "gap_s", type=click.FloatRange(0, 60), default=0.5, show_default=True, metavar="SECONDS",
              help="Rest between two connections.")
@click.option("--within", "limit_s", type=click.FloatRange(1, 3600), default=300.0, metavar="SECONDS",
              help="End after so long, with what was found by then.", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def discover(
    state: State, /, address: str | None, registered: str | None, password_file: str | None, as_hex: bool,
    save: Path | None, add: str | None, as_json: bool, client_sap: int, **given: Any,
) -> int:
    """Find out how a meter is spoken to, what it has, and which type it is.

    Tries framings and addresses one after the other as the public client, which needs no password and locks nothing.
    A password from --password-file is sent once. Exits with 0 when a meter was found, 1 when not, with why.
    """
    if (address is None) == (registered is None):
        raise click.UsageError("give ADDRESS, or --as NAME")
    if as_hex and not password_file:
        raise click.UsageError("--hex says how --password-file is written; there is none")
    if registered is not None and (password_file or add):
        raise click.UsageError("--as takes what is registered; no --password-file and no --add go with it")
    settings = state.settings()
    library = state.library(settings)
    wanted = adopt.Wanted(save, add)
    with state.registry(settings) as registry:
        adopt.check_wanted(wanted, library, registry)
    job = _Job(state, settings, library, pace=_pace(settings, given), note=lambda line: click.echo(line, err=True))
    if registered is not None:
        found = job.as_registered(registered)
    else:
        assert address is not None
        password = from_file(password_file, as_hex=as_hex) if password_file else None
        found = job.at(address, _search(given), password, client_sap)
    _show(found, as_json=as_json)
    if not found.found:
        return 1
    adopt.use(state, settings, library, found, wanted, password if registered is None else None)
    return 0


def _show(found: "Discovery", *, as_json: bool) -> None:
    from edge.commands import discoverview

    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(discoverview.plain(found))).decode())
    else:
        click.echo(discoverview.report(found))
    for problem in found.problems:
        click.echo(problem, err=True)


class _Job:
    """One discovery, with what it needs of the gateway."""

    def __init__(self, state: State, settings: "Settings", library: "Library", *, pace: "Pace", note: "Note") -> None:
        self._state, self._settings, self._library, self._pace, self._note = state, settings, library, pace, note

    def at(self, address: str, search: "Search", password: bytes | None, client_sap: int) -> "Discovery":
        """Discover an address; without a port, the usual ones in turn."""
        from edge.discovery.contact import Verdict
        from edge.discovery.discover import Entry, Place, discover

        host, port = split_address(address)
        entry = None if password is None else Entry(password, client_sap)
        ports = (port,) if port is not None else USUAL_PORTS
        for each in ports:
            place = Place(host, each)
            self._free(place)
            self._note(f"{place}: looking for a meter")
            found = asyncio.run(discover(place, search, self._pace, list(self._library.values()), self._note, entry))
            if found.contact is None or found.contact.verdict is not Verdict.UNREACHABLE:
                break
        return found

    def as_registered(self, name: str) -> "Discovery":
        """Discover a registered meter, as the gateway speaks to it."""
        from edge.discovery.discover import Place, discover_registered
        from edge.poll.addressing import association_settings
        from edge.poll.counters import counter_desk

        with self._state.registry(self._settings) as registry:
            meter, password, keys = registry.get(name), registry.password(name), registry.keys(name)
            title = registry.client_title()
        profile = self._library.find(meter.profile)
        associate = association_settings(meter, profile, password, self._settings.poll, keys, title)
        place = Place(meter.host, meter.port)
        self._free(place)

        async def reserve(scope: str, count: int, at_least: int) -> int:
            with self._state.registry(self._settings) as registry:
                return registry.reserve_counters(scope, count, at_least)

        return asyncio.run(discover_registered(
            place, associate, counter_desk(name, associate, reserve), self._pace, list(self._library.values()),
            self._note, request_gap_s=profile.timing.request_gap_s))

    def _free(self, place: "Place") -> None:
        """Refuse a place that the running gateway polls: meters and bridges serve one client."""
        for name, address in polled(self._settings, self._note).items():
            if address == str(place):
                raise EdgeError(f"{place}: the running gateway polls {shlex.quote(name)} there, and it serves one "
                                f"client; halow-gateway meter pause {shlex.quote(name)} first")


def polled(settings: "Settings", note: "Note") -> dict[str, str]:
    """Return the meters that a running gateway polls, and their places; {} where none runs."""
    from edge.control import NoDaemon, ask

    try:
        answer = ask(Path(settings.gateway.runtime_dir), "status")
    except NoDaemon:
        return {}
    except EdgeError as error:
        note(f"the running gateway does not say what it polls: {error}")
        return {}
    return {str(meter.get("name")): str(meter.get("address")) for meter in answer.get("meters", ())
            if meter.get("state") not in ("paused", "refused")}


def _pace(settings: "Settings", given: dict[str, Any]) -> "Pace":
    from edge.discovery.pace import Pace

    return Pace(connect_s=settings.poll.connect_timeout_s, answer_s=given["answer_s"], gap_s=given["gap_s"],
                tail_s=max(given["answer_s"], settings.poll.exchange_timeout_s), limit_s=given["limit_s"],
                settle_s=min(Pace().settle_s, given["answer_s"]), quiet_s=2 * settings.poll.exchange_timeout_s)


def _search(given: dict[str, Any]) -> "Search":
    from edge.discovery.doors import Search

    framing = given["framing"]
    return Search(framings=(framing,) if framing else (), logical=given["server_logical"],
                  physical=physical_range(given["physical"]), serial=given["serial"])


def split_address(text: str) -> tuple[str, int | None]:
    """Read `host`, `host:port`, `[v6]:port`, a bare IPv6 address, or `serial:/dev/...`. Raises UsageError."""
    from edge.endpoint import is_serial, normal_host, parse_serial
    from edge.store.validate import valid_host

    if is_serial(text):
        try:
            parse_serial(text)
        except ValueError as error:
            raise click.UsageError(f"{text!r}: {error}") from None
        return normal_host(text), 0
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not valid_host(host):
        raise click.UsageError(f"{text!r}: {host!r} is neither an IP address nor a host name")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise click.UsageError(f"{text!r}: a port is a number from 1 to 65535")
    return host, int(port)


def physical_range(text: str | None) -> tuple[int, ...]:
    """Read `17` or `1000-1040`. Raises UsageError."""
    from edge.discovery.doors import MOST_PHYSICAL

    if not text:
        return ()
    first, _, last = text.partition("-")
    try:
        numbers = range(int(first), int(last or first) + 1)
    except ValueError:
        numbers = range(0)
    if not numbers or not 0 <= numbers[0] <= numbers[-1] <= 0x3FFF:
        raise click.UsageError(f"--server-physical {text}: must be a number from 0 to 16383, or a range of them")
    if len(numbers) > MOST_PHYSICAL:
        raise click.UsageError(f"--server-physical {text}: {len(numbers)} addresses; at most {MOST_PHYSICAL} at a time")
    return tuple(numbers)

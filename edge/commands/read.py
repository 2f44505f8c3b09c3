"""`halow-gateway read`: one poll of one meter, printed with units."""

import asyncio
import dataclasses
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands import recording
from edge.commands.context import State, pass_state, poke
from edge.commands.names import METER
from edge.commands.password import from_file, from_prompt
from edge.endpoint import port_at, where
from edge.errors import ConfigError, EdgeError, FailReason, MeterError
from edge.meters.exact import exact_text
from edge.model import Keys, Kind, Learned, Meter, Record

if TYPE_CHECKING:
    from edge.capture.recorder import Recorder
    from edge.config import Settings
    from edge.dlms.settings import AssociationSettings
    from edge.meters.profile import Profile
    from edge.poll.counters import Reserve
    from edge.poll.link import Link
    from edge.poll.state import Counters

AD_HOC = "ad-hoc"

HINTS = {
    FailReason.WRONG_METER: " (halow-gateway read {name} --adopt)",
    FailReason.NO_ANSWER: "; behind a serial bridge check --server-physical, --address-bytes, baud rate, wires",
    FailReason.BRIDGE_BUSY: "; if the gateway itself polls it: halow-gateway meter pause {name}",
    FailReason.SECURITY: "; check keys, secret and titles: halow-gateway meter show {name}",
    FailReason.ASSOCIATION_REFUSED: "; meters lock themselves after a few wrong passwords: do not just try again",
}
"""What an operator can do about it, after the reason."""


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One poll to make."""

    meter: Meter
    profile: "Profile"
    password: bytes = dataclasses.field(repr=False)
    learned: Learned
    settings: "Settings"
    trace: bool
    keys: Keys = dataclasses.field(default=Keys(), repr=False)
    client_title: bytes = b""
    reserve: "Reserve | None" = None
    recorder: "Recorder | None" = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What it brought."""

    record: Record
    learned: Learned
    round_trips: int
    seconds: float


@click.command()
@click.argument("name", required=False, metavar="[METER]", type=METER)
@click.option("--trace", is_flag=True, help="Show all bytes in hexadecimal on standard error; the password is masked.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--adopt", is_flag=True, help="Another meter stands there now: learn it in place of the former one.")
@click.option("--record", metavar="FILE.json", type=click.Path(path_type=Path),
              help="Write the exchange to FILE, in the form of tests/captures, without secrets and serial numbers.")
@click.option("--keep-identity", is_flag=True, help="Leave serial numbers and system titles in the recording.")
@click.option("--host", help="Read a meter that is not registered, or a registered one elsewhere; also serial:/dev/...")
@click.option("--port", type=int, help="TCP port; a serial line has none.")
@click.option("--profile", help="Meter type: the name of a profile.")
@click.option("--opening", type=click.Choice(["direct", "mode-e"]), help="mode-e: a sign-on of IEC 62056-21 first.")
@click.option("--device-address", metavar="TEXT", help="Whom a mode E sign-on means, with several on one line.")
@click.option("--framing", type=click.Choice(["wrapper", "hdlc"]))
@click.option("--client-sap", type=int, help="Client address; 16 is the public client.")
@click.option("--server-logical", "--server", type=int, help="Logical device; upper HDLC address.")
@click.option("--server-physical", type=int, help="Lower HDLC address of the meter.")
@click.option("--address-bytes", type=click.Choice(["1", "2", "4"]), help="Size of the HDLC server address.")
@click.option("--authentication", type=click.Choice(["none", "lls"]))
@click.option("--password-file", metavar="FILE", help="Take the password from FILE; - is standard input.")
@click.option("--hex", "as_hex", is_flag=True, help="The password is given in hexadecimal digits.")
@pass_state
def read(
    state: State, /, name: str | None, trace: bool, as_json: bool, adopt: bool,
    password_file: str | None, as_hex: bool, record: Path | None, keep_identity: bool, **given: Any,
) -> None:
    """Poll one meter once and print its values with units.

    METER is a registered name. Without it, --host names any meter; its password is asked for or taken from
    --password-file. Exits with 0 when there are values, 1 with the reason when there are none.
    """
    changes = {key: value for key, value in given.items() if value is not None}
    if "address_bytes" in changes:
        changes["address_bytes"] = int(changes["address_bytes"])
    _check_usage(name, changes, adopt=adopt, hex_of_nothing=as_hex and name is not None and not password_file)
    recorder = recording.begin(record, keep_identity=keep_identity)
    settings = state.settings()
    given_password = from_file(password_file, as_hex=as_hex) if password_file else None
    if name is not None:
        task = registered(state, settings, name, changes, given_password, trace=trace)
    else:
        task = _unregistered(state, settings, changes, given_password, trace, as_hex=as_hex)
    task = dataclasses.replace(task, recorder=recorder, learned=Learned() if adopt else task.learned)
    outcome = asyncio.run(_poll(task))
    try:
        _tell(task, outcome, name, as_json=as_json, elsewhere=bool(changes))
    finally:      # an exchange that failed is what one wants to look at
        if recorder is not None and record is not None:
            recording.write(record, recorder, _associate(task), profile=task.profile.name, keep_identity=keep_identity,
                            identities=(outcome.learned.identity, task.learned.identity))
    if name is not None and not changes and outcome.learned != task.learned:
        with state.registry(settings) as registry:
            registry.keep_learned(name, outcome.learned)
    if adopt:
        click.echo(f"Adopted {outcome.learned.identity or 'a meter without identity'} as {name}. {poke(settings)}",
                   err=True)


def _tell(task: Task, outcome: Outcome, name: str | None, *, as_json: bool, elsewhere: bool) -> None:
    """Print what came of it. Raises EdgeError with the reason when there are no values."""
    if as_json:
        click.echo(json_text(task.meter, outcome))
    if outcome.record.schema.kind is Kind.FAILURE:
        reason, detail = (str(value) for value in outcome.record.values)
        raise EdgeError(f"{task.meter.name} at {where(task.meter.host, task.meter.port)}: {reason}: {detail}"
                        f"{_hint(FailReason(reason), name, elsewhere=elsewhere)}")
    if not as_json:
        click.echo(table_text(task.meter, outcome))


def _hint(reason: FailReason, name: str | None, *, elsewhere: bool) -> str:
    if reason is FailReason.WRONG_METER and elsewhere:      # adopting reads it where it is registered
        return ""
    return HINTS.get(reason, "").format(name="NAME" if name is None else shlex.quote(name))


def _check_usage(name: str | None, changes: dict[str, Any], *, adopt: bool, hex_of_nothing: bool) -> None:
    if name is None and "host" not in changes:
        raise click.UsageError("which meter? Give a registered name, or --host")
    if adopt and (name is None or changes):
        raise click.UsageError("--adopt is for a registered meter, read as it is registered")
    if hex_of_nothing:
        raise click.UsageError("--hex says how --password-file is written; there is none")


def registered(state: State, settings: "Settings", name: str, changes: dict[str, Any], password: bytes | None, *,
               trace: bool) -> Task:
    """Return the way to a registered meter, with `changes` to how it is registered. Raises EdgeError."""
    with state.registry(settings) as registry:
        before = registry.get(name)
        profile = state.library(settings).find(changes.get("profile", before.profile))
        if "host" in changes:
            changes = {"port": port_at(changes["host"], before.port or profile.association.port)} | changes
        meter = _possible(dataclasses.replace(before, **changes))
        secret = registry.password(name) if password is None else password
        # At another address the identity tells whether it is the same meter; all else it may have changed.
        learned = registry.learned(name)
        keys, title = registry.keys(name), registry.client_title()

    async def reserve(scope: str, count: int, at_least: int) -> int:
        """Set counters aside as the gateway does; the file is opened for that moment only."""
        with state.registry(settings) as registry:
            return registry.reserve_counters(scope, count, at_least)

    return Task(meter, profile, secret,
                learned if not changes else Learned(learned.identity), settings, trace, keys, title, reserve)


def _unregistered(state: State, settings: "Settings", changes: dict[str, Any], password: bytes | None,
                  trace: bool, *, as_hex: bool) -> Task:
    profile = state.library(settings).find(changes.get("profile", Meter.__dataclass_fields__["profile"].default))
    fields: dict[str, Any] = {"name": AD_HOC, "port": port_at(changes["host"], profile.association.port)}
    meter = _possible(Meter(**(fields | changes)))
    if (meter.authentication or profile.association.authentication) == "none":
        password = b""
    elif password is None:
        password = from_prompt(f"Password for {meter.host}", as_hex=as_hex, twice=False)
    return Task(meter, profile, password, Learned(), settings, trace)


def _possible(meter: Meter) -> Meter:
    """Refuse what no meter can have, in the registry's words. Raises ConfigError."""
    from edge.store.validate import problems

    if wrong := list(problems(meter)):
        raise ConfigError("\n".join(wrong))
    return meter


async def _poll(task: Task) -> Outcome:
    """Make one poll as the gateway would; a failed one is a record too. Raises ConfigError."""
    from edge.clock import SystemClock
    from edge.meters import reading
    from edge.poll.state import Counters

    counters = Counters()
    link = link_to(task, counters)
    began = time.monotonic()
    clock = SystemClock(trust_wall=task.settings.clock.trust_wall)
    try:
        answers = await link.poll()
        record = reading.record(answers.plan, answers.results, clock.stamp(), task.meter.name)
        return Outcome(record, link.learned, counters.round_trips, time.monotonic() - began)
    except MeterError as error:
        record = reading.failure(task.meter.name, task.profile, error.reason, str(error), clock.stamp())
        return Outcome(record, task.learned, counters.round_trips, time.monotonic() - began)
    finally:
        await link.close()


def _associate(task: Task) -> "AssociationSettings":
    from edge.poll.addressing import association_settings

    return association_settings(
        task.meter, task.profile, task.password, task.settings.poll, task.keys, task.client_title)


def link_to(task: Task, counters: "Counters") -> "Link":
    """Return the way to its meter, not open yet. Raises ConfigError."""
    from edge.poll.counters import counter_desk
    from edge.poll.link import Link
    from edge.poll.trace import HexTrace
    from edge.poll.transport import Transport, connect_for

    meter, poll = task.meter, task.settings.poll

    async def connect() -> Transport:
        return await connect_for(meter, poll.connect_timeout_s)

    async def keep(_name: str, _learned: Learned) -> None:
        """Nothing is kept before the poll has succeeded."""

    associate = _associate(task)
    way = connect if task.recorder is None else task.recorder.connecting(connect)
    show = HexTrace(task.password, lambda line: click.echo(line, err=True)) if task.trace else None
    return Link(meter.name, task.profile, task.learned, associate, way, counters=counters, on_learned=keep,
                pulse=lambda _seconds: None, trace=show, desk=counter_desk(meter.name, associate, task.reserve),
                counter_obis=meter.counter_obis)


def table_text(meter: Meter, outcome: Outcome) -> str:
    """Lay a reading out for people: key, value, unit, OBIS."""
    from edge.commands import table

    rows, notes = [], []
    for field, value in zip(outcome.record.schema.fields, outcome.record.values, strict=True):
        if not field.obis:
            notes.append(f"not read: {value}")
        else:
            text = exact_text(value, field.scaler) if isinstance(value, int) else table.cell(value)
            rows.append((field.key, text.rjust(14), field.unit, field.obis))
    who = f"{meter.name} at {where(meter.host, meter.port)}, {outcome.learned.identity or 'without identity'}"
    cost = f"{outcome.round_trips} request{'s' if outcome.round_trips != 1 else ''}, {outcome.seconds:.3f} s"
    return "\n".join([f"{who}: {cost}", table.render(("KEY", "VALUE", "UNIT", "OBIS"), rows), *notes])


def json_text(meter: Meter, outcome: Outcome) -> str:
    """Write a reading or a failure as JSON; numbers are exact decimals."""
    import msgspec

    record = outcome.record
    told: dict[str, Any] = {
        "meter": meter.name, "host": meter.host, "port": meter.port, "profile": record.schema.profile,
        "identity": outcome.learned.identity, "ts": record.stamp.wall_ms, "synchronised": record.stamp.synchronised,
        "requests": outcome.round_trips, "seconds": round(outcome.seconds, 3)}
    values = []
    for field, value in zip(record.schema.fields, record.values, strict=True):
        if not field.obis:
            told[field.key] = value
        else:
            number = msgspec.Raw(exact_text(value, field.scaler).encode()) if isinstance(value, int) else value
            values.append({"key": field.key, "value": number, "unit": field.unit, "obis": field.obis, "raw": value,
                           "scaler": field.scaler})
    return msgspec.json.format(msgspec.json.encode(told | ({"values": values} if values else {}))).decode()

"""Orders to one meter: `halow-gateway meter relay`, `get`, `set`, `action`; what may be ordered: `permit`, `forbid`.

They go through the running gateway, which has the meter's one connection; where none runs, straight to the meter.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands.context import State, pass_state
from edge.commands.names import METER
from edge.commands.who import who
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.config import Settings

OPEN = ("waiting", "running")
WAIT_S = 10.0
SPARE_S = 10.0
PERMISSIONS = ("relay",)


@click.command(short_help="Switch a meter's supply, or show its relay.")
@click.argument("name", metavar="METER", type=METER)
@click.argument("order", type=click.Choice(["on", "off", "status"]))
@click.option("--yes", is_flag=True, help="Do not ask for the meter's name once more.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def relay(state: State, name: str, order: str, yes: bool, as_json: bool) -> None:
    """Switch a meter's supply off or on, or show the state of its relay.

    Needs [relay] allow = true in the settings and `meter permit METER relay`. Every order is recorded, also a refused
    one.
    """
    request = {"kind": "relay", "order": order}
    if order != "status":
        request["confirm"] = name if yes else _confirmation(order)
    result = give(state, name, request)
    if as_json:
        print_json(result)
    elif order == "status":
        click.echo(f"{name}: {result['state']}")
    else:
        click.echo(f"{name}: {result['state']}{'' if result['changed'] else ', as it was'}")


@click.command(short_help="Read attributes of a meter, typed and with units.")
@click.argument("name", metavar="METER", type=METER)
@click.argument("targets", nargs=-1, required=True, metavar="[CLASS/]OBIS[@ATTRIBUTE]...")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def get(state: State, name: str, targets: tuple[str, ...], as_json: bool) -> None:
    """Read any attributes of a meter: 3/1-0:1.8.0@2. Attribute 2 where none is given.

    The class may be left out where the meter's profile names the object, or its OBIS code tells. Exits with 1 where
    nothing could be read.
    """
    values = give(state, name, {"kind": "get", "targets": targets})["values"]
    if as_json:
        print_json(values)
    else:
        for value in values:
            click.echo(_value_line(value))
    if all("error" in value for value in values):
        raise EdgeError(f"{name}: nothing could be read")


@click.command("set", short_help="Write one attribute of a meter.")
@click.argument("name", metavar="METER", type=METER)
@click.argument("target", metavar="[CLASS/]OBIS[@ATTRIBUTE]")
@click.argument("value", metavar="TYPE:VALUE")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def set_(state: State, name: str, target: str, value: str, as_json: bool) -> None:
    """Write one attribute of a meter: 70/0-0:96.3.10@4 enum:4.

    Types: null, bool, i8 to i64, u8 to u64, enum, float32, float64, octets (hexadecimal), text, utf8, bits, date-time,
    and axdr for anything else, encoded. Needs [orders] allow_set = true. Recorded.
    """
    _told(name, give(state, name, {"kind": "set", "target": target, "value": value}), as_json=as_json)


@click.command(short_help="Call one method of a meter's object.")
@click.argument("name", metavar="METER", type=METER)
@click.argument("target", metavar="[CLASS/]OBIS@METHOD")
@click.argument("value", required=False, metavar="[TYPE:VALUE]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_state
def action(state: State, name: str, target: str, value: str | None, as_json: bool) -> None:
    """Call one method: 7/1-0:99.1.0@1 i8:0. Needs [orders] allow_action = true. Recorded.

    The relay and firmware images have commands of their own, with interlocks; they are not called from here.
    """
    _told(name, give(state, name, {"kind": "action", "target": target, "value": value or ""}), as_json=as_json)


@click.command(short_help="Permit what changes a meter: relay.")
@click.argument("name", metavar="METER", type=METER)
@click.argument("what", type=click.Choice(PERMISSIONS))
@pass_state
def permit(state: State, name: str, what: str) -> None:
    """Let this meter's supply be switched from here, where the settings let any be ([relay] allow)."""
    _permit(state, name, what, allowed=True)


@click.command(short_help="Take a permission back.")
@click.argument("name", metavar="METER", type=METER)
@click.argument("what", type=click.Choice(PERMISSIONS))
@pass_state
def forbid(state: State, name: str, what: str) -> None:
    """Take back what `permit` gave."""
    _permit(state, name, what, allowed=False)


COMMANDS = (relay, get, set_, action, permit, forbid)


def give(state: State, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Have an order done and return what came of it. EdgeError: it was refused, or went wrong, and why."""
    from edge.control import NoDaemon

    settings = state.settings()
    try:
        answer = _through_the_gateway(settings, name, request)
    except NoDaemon:
        from edge.commands.alone import carry_out

        answer = carry_out(state, settings, name, request, who())
    if answer["phase"] != "done":
        raise EdgeError(f"{name}: {answer['error']}")
    result: dict[str, Any] = answer["result"]
    return result


def print_json(value: object) -> None:
    """Print a value as JSON."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _through_the_gateway(settings: "Settings", name: str, request: dict[str, Any]) -> dict[str, Any]:
    from edge.control import ask

    runtime_dir = Path(settings.gateway.runtime_dir)
    number = ask(runtime_dir, "order", meter=name, by=who(), ask=request, timeout_s=SPARE_S)["order"]
    while True:
        answer = ask(runtime_dir, "order_state", order=number, wait_s=WAIT_S, timeout_s=WAIT_S + SPARE_S)
        if answer["phase"] not in OPEN:
            return answer


def _confirmation(order: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask at; give --yes")
    return str(click.prompt(f"Type the meter's name to switch its supply {order}", default="", show_default=False))


def _told(name: str, result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    from edge.meters.typed import line

    click.echo(f"{name}: {result['summary']}")
    if "data" in result:
        click.echo(line(result["data"]))


def _value_line(value: dict[str, Any]) -> str:
    from edge.meters.typed import line

    head = f"{value['class']}/{value['obis']}@{value['attribute']}"
    if "error" in value:
        return f"{head}  not read: {value['error']}"
    scaled = f"  = {value['scaled']} {value['unit']}".rstrip() if "scaled" in value else ""
    return f"{head}  {line(value)}{scaled}"


def _permit(state: State, name: str, what: str, *, allowed: bool) -> None:
    settings = state.settings()
    with state.registry(settings) as registry:
        changed = registry.permit(name, what, allowed=allowed)
    word = "permitted" if allowed else "forbidden"
    click.echo(f"{name}: {what} is {word}{'' if changed else ' already'}.")
    if allowed and what == "relay" and not settings.relay.allow:
        click.echo("It takes effect when the settings allow any switching: [relay] allow = true.")

"""`halow-gateway alarms`: which alarms stand, what came before, and acknowledging one."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edge.commands import table
from edge.commands.context import State, pass_state
from edge.commands.names import METER

COLUMNS = ("DEVICE", "ALARM", "SEVERITY", "SINCE (UTC)", "STATE", "DETAIL")


@click.group()
def alarms() -> None:
    """Alarms that the running gateway judges by itself."""


@alarms.command("list", short_help="Show which alarms stand.")
@click.option("--history", is_flag=True, help="The newest changes instead: raised, cleared, acknowledged.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: both, times in Unix milliseconds.")
@pass_state
def list_(state: State, history: bool, as_json: bool) -> None:
    """Show the alarms that stand at the running gateway, oldest first."""
    from edge.control import ask

    answer = ask(Path(state.settings().gateway.runtime_dir), "alarms")
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
        return
    if history:
        rows = [_row(one["alarm"], one["at_ms"], one["state"]) for one in answer.get("history") or []]
    else:
        rows = [_row(one, one["raised_ms"], _state(one)) for one in answer.get("standing") or []]
    click.echo(table.render(COLUMNS, rows) if rows else "none" if history else "no alarm stands")


@alarms.command(short_help="Acknowledge an alarm that stands.")
@click.argument("name")
@click.option("--meter", default="", metavar="METER", type=METER, help="Whose it is; without it the gateway's own.")
@click.option("--by", default="", metavar="WHO", help="Who has seen it; your user name if without.")
@pass_state
def ack(state: State, name: str, meter: str, by: str) -> None:
    """Note that somebody has seen the alarm NAME. A latched one that is over is cleared by it."""
    from edge.control import ask

    answer = ask(Path(state.settings().gateway.runtime_dir), "alarm_ack", device=meter, name=name,
                 by=by or getpass.getuser())
    changes = answer.get("changes") or []
    click.echo(f"{name}: {' and '.join(changes)}." if changes else f"{name}: was acknowledged already.")


def _state(alarm: dict[str, Any]) -> str:
    seen = f"acknowledged by {alarm['acknowledged_by']}" if alarm.get("acknowledged_by") else "new"
    return seen if alarm.get("holds") else f"over, {seen}"


def _row(alarm: dict[str, Any], at_ms: int, state: str) -> list[object]:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return [alarm["device"] or "(gateway)", alarm["name"], alarm["severity"], at, state, alarm["detail"]]

"""`halow-gateway backfill`: what of the meters' load profiles is missing upstream, and reading some of it again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edge.commands import table
from edge.commands.context import State, pass_state
from edge.commands.names import METER
from edge.errors import EdgeError

COUNTS = ("expected", "present", "missing", "absent")
COLUMNS = ("METER", "STATE", *(count.upper() for count in COUNTS), "OLDEST MISSING (UTC)", "ROWS/S", "LEFT", "WHY")


@click.group()
def backfill() -> None:
    """Backfill from the meters' load profiles: what is missing upstream, and reading some of it again."""


@backfill.command(short_help="Show how many intervals each meter has, and how many are missing upstream.")
@click.argument("meter", required=False, type=METER)
@click.option("--json", "as_json", is_flag=True, help="As JSON: times in Unix seconds of the meter's clock.")
@pass_state
def status(state: State, meter: str | None, as_json: bool) -> None:
    """Show, for METER or for all: intervals expected, present upstream or on flash, missing, absent at the meter.

    An absent interval is one for which the meter itself has no row: it was off, or its buffer has forgotten it.
    """
    from edge.control import ask

    answer = ask(Path(state.settings().gateway.runtime_dir), "backfill", meter=meter)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
        return
    meters = answer.get("meters") or []
    rows = [_row(one) for one in meters]
    click.echo(table.render(COLUMNS, rows) if rows else "no meter's type names a load profile")


@backfill.command(short_help="Read the intervals between two times again.")
@click.argument("meter", type=METER)
@click.option("--from", "begin", required=True, metavar="TIME", help="ISO 8601, as 2026-03-01T00:00Z; UTC if without.")
@click.option("--to", "end", required=True, metavar="TIME", help="The same.")
@pass_state
def again(state: State, meter: str, begin: str, end: str) -> None:
    """Forget what is known of METER's intervals between two times, so that they are read and sent once more."""
    from edge.control import ask

    first, last = _seconds("--from", begin), _seconds("--to", end)
    answer = ask(Path(state.settings().gateway.runtime_dir), "backfill_again", meter=meter, from_s=first, to_s=last)
    click.echo(f"{answer.get('intervals')} intervals of {meter} are read again.")


def _row(meter: dict[str, Any]) -> list[object]:
    oldest, eta_s, rate = meter.get("oldest_missing_s"), meter.get("eta_s"), meter.get("rows_per_s")
    not_read = "; ".join(f"{key}: {why}" for key, why in (meter.get("not_read") or {}).items())
    return [
        meter.get("meter"), meter.get("state"), *(meter.get(count) for count in COUNTS),
        None if oldest is None else datetime.fromtimestamp(oldest, UTC).strftime("%Y-%m-%d %H:%M"),
        None if rate is None else round(rate, 1), None if eta_s is None else table.duration(eta_s),
        meter.get("problem") or not_read,
    ]


def _seconds(option: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise EdgeError(f"{option} {text}: is no time; write it as 2026-03-01T00:00Z") from None
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())

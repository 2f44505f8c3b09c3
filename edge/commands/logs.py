"""`halow-gateway logs`: the newest lines of the running gateway's log; `halow-gateway log level`: how much it says."""

import getpass
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edge.commands import table
from edge.commands.context import State, pass_state
from edge.commands.durations import duration_s, moment_ms
from edge.logs.parts import DEFAULT, PARTS

LEVELS = ("debug", "info", "warning", "error")
WAIT_S = 10.0      # of one request, where lines are followed: the gateway answers within 20
RETRY_S = 1.0


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C; also over a restart.")
@click.option("--level", type=click.Choice(LEVELS), default="debug", show_default=True, help="At least so important.")
@click.option("--meter", default="", metavar="METER", help="Only what is about this meter.")
@click.option("--since", callback=moment_ms, default="", metavar="WHEN",
              help="Not older: 10m (ago), or 2026-01-31 12:00 (UTC).")
@click.option("-n", "--lines", "most", type=click.IntRange(1, 500), default=200, show_default=True,
              help="So many at most.")
@click.option("--json", "as_json", is_flag=True,
              help="As JSON, times in Unix milliseconds; with --follow one object per line.")
@pass_state
def logs(state: State, follow: bool, level: str, meter: str, since: int, most: int, as_json: bool) -> None:
    """Show the newest lines of the running gateway's log, from its memory (1,000 lines).

    What was said before the gateway was started is the journal's: `journalctl -u halow-gateway`. There the fields
    HALOW_METER, HALOW_PEER and HALOW_PATH say what a line is about.
    """
    from edge.control import ask

    where = Path(state.settings().gateway.runtime_dir)
    wanted: dict[str, Any] = {"level": level, "meter": meter, "since_ms": since}
    answer = ask(where, "logs", **wanted, most=most)
    if as_json and not follow:
        click.echo(_json({"lines": answer["lines"]}))
        return
    for line in answer["lines"]:
        click.echo(_json(line) if as_json else _text(line))
    if not follow:
        return
    for line in _following(where, wanted, answer):
        click.echo(_json(line) if as_json else _text(line))
        sys.stdout.flush()


def _following(where: Path, wanted: dict[str, Any], answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield lines as they come. A gateway that ends is waited for."""
    from edge.control import NoDaemon, ask
    from edge.errors import EdgeError

    seen, away = {"run": answer["run"], "after": answer["last_no"]}, False
    while True:
        try:
            answer = ask(where, "logs", timeout_s=2 * WAIT_S, **wanted, **seen, wait_s=WAIT_S)
        except (NoDaemon, EdgeError) as error:
            if not away:
                click.echo(f"{error}; waiting for it", err=True)
            away = True
            time.sleep(RETRY_S)
            continue
        away = False
        if answer["missed"]:
            click.echo(f"{answer['missed']} lines came too fast and are only in the journal", err=True)
        yield from answer["lines"]
        seen = {"run": answer["run"], "after": answer["last_no"]}


@click.group()
def log() -> None:
    """How much the running gateway's log says."""


@log.command("level", short_help="Show or change how much the log says.")
@click.argument("wanted", metavar="[LEVEL]", type=click.Choice((*LEVELS, DEFAULT)), required=False)
@click.option("--part", type=click.Choice(tuple(PARTS)), help="Only of what has to do with these.")
@click.option("--for", "for_s", callback=duration_s, default="30m", show_default=True, metavar="TIME",
              help="Then as the settings say again; up to 1d.")
@click.option("--keep", is_flag=True, help="Until the gateway is started anew, instead.")
@click.option("--by", default="", metavar="WHO", help="Who wants it, for the log; your user name if without.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: what is in force.")
@pass_state
def log_level(
        state: State, wanted: str | None, part: str | None, for_s: float, keep: bool, by: str, as_json: bool) -> None:
    """Show the level that is in force, or have LEVEL for a while: debug, info, warning or error.

    The level default is the way back, at once.
    """
    from edge.control import ask

    change: dict[str, Any] = {}
    if wanted is not None:
        change = {"level": wanted, "for_s": 0.0 if keep else for_s, "by": by or getpass.getuser(), "part": part or ""}
    answer = ask(Path(state.settings().gateway.runtime_dir), "log_level", **change)
    if as_json:
        click.echo(_json(answer))
        return
    for name, usual, own in [("", answer["settled"], answer),
                             *((f" of {own['part']}", "as the rest", own) for own in answer["parts"])]:
        then = "" if own["left_s"] is None else f", {usual} again in {table.duration(own['left_s'])}"
        click.echo(f"log level{name} {own['level']}{then}")


def _text(line: dict[str, Any]) -> str:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(line["at_ms"] / 1000))
    return f"{at} {line['level'].upper():7} {line['source']}: {line['text']}"


def _json(what: dict[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode(what).decode()

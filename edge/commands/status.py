"""`halow-gateway status`: what the running gateway says of itself, on one screen."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edge.commands import table
from edge.commands.context import State, pass_state
from edge.commands.statusview import compact

LABEL_WIDTH = 10

# the end of a key's name -> what stands behind its figure; durations and sizes choose their own unit
_UNITS = {"s": "", "bytes": "", "ms": "ms", "db": "dB", "dbm": "dBm", "khz": "kHz", "mhz": "MHz", "kbps": "kbit/s",
          "percent": "%", "mib": "MiB", "celsius": "°C"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON: durations in seconds, sizes in bytes.")
@pass_state
def status(state: State, as_json: bool) -> None:
    """Show what the running gateway is doing, on one screen.

    Exits with 1 when no gateway runs here.
    """
    from edge.control import ask

    answer = ask(Path(state.settings().gateway.runtime_dir), "status")
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        click.echo(render(compact(answer), width=width))


def render(answer: Mapping[str, Any], *, width: int | None = None) -> str:
    """Lay a status out as text (pure): one paragraph per section, one table per list; figures with their units.

    The unit comes from the end of a key's name (`_s`, `_ms`, `_bytes`, `_dbm`, ...). What is None is left out.
    `width` cuts tables at the terminal's edge; None lets them be as wide as they are.
    """
    parts: list[str] = []
    for key, value in answer.items():
        if isinstance(value, Mapping):
            parts.append(_paragraph(key, list(_pairs(value)), width))
        elif _is_table(value):
            parts.append(f"\n{_words(key)} ({len(value)})\n{_table(value, width)}")
        else:
            parts.append(_paragraph(key, [figure(key, value)], width))
    return "\n".join(parts)


def figure(key: str, value: object) -> str:
    """Write one value in the unit that its key's name ends with."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        unit = key.rpartition("_")[2]
        if unit == "s":
            return table.duration(value)
        if unit == "bytes":
            return table.size(value)
        if unit in _UNITS:
            return f"{table.cell(value)} {_UNITS[unit]}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(table.cell(each) for each in value) or "-"
    return table.cell(value)


def _pairs(section: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{prefix}{_words(key)} ")
        elif _is_table(value):
            yield f"{prefix}{_words(key)} {len(value)}"
        elif value not in (None, "", []):
            yield f"{prefix}{_words(key)} {figure(key, value)}"


def _paragraph(key: str, texts: Sequence[str], width: int | None) -> str:
    # a pair never breaks at its own spaces
    joined = " · ".join(text.replace(" ", "\u00a0") for text in texts) or "-"
    lines = textwrap.wrap(
        joined, max((width or 100) - LABEL_WIDTH, 20), break_long_words=False, break_on_hyphens=False) or [""]
    label = _words(key).ljust(LABEL_WIDTH - 1) + " "
    text = label + f"\n{' ' * LABEL_WIDTH}".join(lines)
    return text.replace("\u00a0", " ")


def _table(rows: Sequence[Mapping[str, Any]], width: int | None) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    keys = [key for key in keys if any(row.get(key) not in (None, "", []) for row in rows)]      # no empty columns
    cells = [[_cell(key, row.get(key)) for key in keys] for row in rows]
    return table.render([_words(key).upper() for key in keys], cells, width=width)


def _cell(key: str, value: Any) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(name)} {figure(name, each)}" for name, each in value.items()) or None
    plain = isinstance(value, int | float) and not isinstance(value, bool) and _words(key) == key.replace("_", " ")
    return value if plain or value is None else figure(key, value)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _words(key: str) -> str:
    """Turn a key into words, without the unit that its figure carries."""
    head, _, unit = key.rpartition("_")
    return (head if head and unit in _UNITS else key).replace("_", " ")

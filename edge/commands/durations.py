"""Durations and moments on a command line, as callbacks of options: "90s", "30m", "2h"; "2026-01-31 12:00" in UTC."""

import time
from datetime import UTC, datetime

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration_s(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Return the seconds of a number with a unit; without one it is seconds."""
    seconds = _seconds(text)
    if seconds is None:
        raise click.BadParameter(f"{text!r} is no duration; write it like 90s, 30m, 2h, 1d")
    return seconds


def moment_ms(_context: click.Context, _option: click.Parameter, text: str) -> int:
    """Return a time in Unix milliseconds: how long ago, or a time in UTC; 0 for ""."""
    if not text:
        return 0
    ago_s = _seconds(text)
    if ago_s is not None:
        return int((time.time() - ago_s) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time; write it like 10m (ago), or 2026-01-31 12:00 (UTC)") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _seconds(text: str) -> float | None:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS_S else (text, "s")
    if not number.replace(".", "", 1).isdecimal() or not number.isascii():
        return None
    return float(number) * _UNITS_S[unit]

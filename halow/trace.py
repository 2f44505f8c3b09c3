"""Traces: what a radio looked like over time, as a table that can be replayed (pure).

One line per change: from `t_s` on, the peer `mac` looks like this. CSV with a header line, or one JSON object per line.
Columns: t_s, mac, signal_dbm, and any other integer field of LinkSample (inactive_ms, tx_packets, tx_retries, ...).
A line with an empty signal takes the peer away. The mac "*" speaks of the radio: an empty signal takes it away, any
number (its noise floor in dBm) brings it back. The last `t_s` is the length of the trace; it can be replayed in a loop.
"""

import csv
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from halow.model import LinkSample

RADIO = "*"
COUNTS = tuple(one.name for one in fields(LinkSample) if one.name not in ("mac", "signal_dbm", "tx_rate", "rx_rate"))


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that is true from `t_s` on. `noise_dbm` is None while the radio is absent."""

    t_s: float
    present: bool
    noise_dbm: int | None
    peers: tuple[LinkSample, ...]


class Trace:
    """A parsed trace."""

    def __init__(self, moments: Sequence[Moment], length_s: float) -> None:
        """Take moments in ascending order; the first one is at 0."""
        self._moments = tuple(moments)
        self._starts = [moment.t_s for moment in moments]
        self.length_s = length_s

    def at(self, t_s: float) -> Moment:
        """Return what is true `t_s` seconds after the start; the trace begins again at its end."""
        within = t_s % self.length_s if self.length_s > 0 else 0.0
        return self._moments[bisect_right(self._starts, within) - 1]

    def next_change_s(self, t_s: float) -> float:
        """Return the seconds from `t_s` until something changes (the length of the trace when nothing ever does)."""
        within = t_s % self.length_s if self.length_s > 0 else 0.0
        index = bisect_right(self._starts, within)
        return (self._starts[index] if index < len(self._starts) else self.length_s) - within


def parse(text: str) -> Trace:
    """Read a trace. ValueError names the line and what is wrong with it."""
    peers: dict[str, LinkSample] = {}
    present, noise_dbm = True, None
    moments: dict[float, Moment] = {}
    latest = 0.0
    for number, row in _rows(text):
        try:
            t_s, mac = float(row["t_s"]), str(row["mac"]).lower()
            signal_dbm = _integer(row.get("signal_dbm"))
            unknown = set(row) - {"t_s", "mac", "signal_dbm", *COUNTS}
            if unknown:
                raise KeyError(f"unknown column {sorted(map(str, unknown))}")  # noqa: TRY301 - told like the others, with the line
            counts: dict[str, Any] = {key: _integer(row.get(key)) for key in COUNTS}
            sample = LinkSample(mac, signal_dbm, **counts)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"trace line {number}: {error}: needs t_s, mac and signal_dbm as numbers") from error
        if not 0 <= t_s < float("inf") or t_s < latest:
            raise ValueError(f"trace line {number}: t_s {t_s} is before the line above it ({latest})")
        latest = t_s
        if mac == RADIO:
            present, noise_dbm = signal_dbm is not None, signal_dbm
        elif signal_dbm is None:
            peers.pop(mac, None)
        else:
            peers[mac] = sample
        moments[t_s] = Moment(t_s, present, noise_dbm, tuple(peers.values()) if present else ())
    if not moments:
        raise ValueError("trace: there is no line in it")
    first = Moment(0.0, present=True, noise_dbm=None, peers=())
    ordered = sorted(moments.values(), key=lambda moment: moment.t_s)
    return Trace(ordered if ordered[0].t_s == 0 else [first, *ordered], latest)


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if lines and lines[0][1].lstrip().startswith("{"):
        for number, line in lines:
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"trace line {number}: no JSON: {error}") from error
            yield number, row
        return
    reader = csv.DictReader([line for _, line in lines], strict=True)
    for (number, _), row in zip(lines[1:], reader, strict=False):
        yield number, row


def _integer(value: Any) -> int | None:
    if value is None or value == "":
        return None
    return int(value)

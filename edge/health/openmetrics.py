"""Samples as text for Prometheus (pure): OpenMetrics 1.0, or the older text format 0.0.4 that everything else reads.

    Family("halow_ring_lost_records", COUNTER, "Records lost.")   + samples ({"stream": "alarm"}, 0)
    ->  # HELP halow_ring_lost_records Records lost.
        # TYPE halow_ring_lost_records counter
        halow_ring_lost_records_total{stream="alarm"} 0

The two differ in a counter's family name (0.0.4 has `_total` there too), in UNIT, in the type "info", and in `# EOF`.
Source: OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec); Prometheus "Exposition formats".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNITS = ("seconds", "bytes", "ratio", "celsius", "dbm")

Kind = Literal["counter", "gauge", "histogram", "info"]
Number = int | float
_SUFFIX: Mapping[str, str] = {"counter": "_total", "info": "_info"}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its samples as lines. `name` is without `_total` and `_info`; the unit is its last word."""

    name: str
    kind: Kind
    about: str
    lines: list[str] = field(default_factory=list)

    def add(self, value: Number | None, **labels: str) -> None:
        """Add a sample; None is not known, and has none."""
        if value is not None:
            self.lines.append(f"{self.name}{_SUFFIX.get(self.kind, '')}{_labels(labels)} {number(value)}")

    def add_histogram(self, bounds: Sequence[float], counts: Sequence[int], total: float, **labels: str) -> None:
        """Add the samples of a histogram: `counts` by bucket, the one above all bounds last; `total` of all values."""
        reached = 0
        for bound, count in zip((*map(number, map(float, bounds)), "+Inf"), counts, strict=True):
            reached += count
            self.lines.append(f"{self.name}_bucket{_labels({**labels, 'le': bound})} {reached}")
        self.lines.append(f"{self.name}_sum{_labels(labels)} {number(total)}")
        self.lines.append(f"{self.name}_count{_labels(labels)} {reached}")


def render(families: Iterable[Family], *, openmetrics: bool) -> str:
    """Return the whole text. Families without a sample are left out."""
    parts: list[str] = []
    for family in families:
        if not family.lines:
            continue
        name, kind = family.name, str(family.kind)
        if not openmetrics:
            name += _SUFFIX.get(family.kind, "")
            kind = "gauge" if kind == "info" else kind
        parts.append(f"# HELP {name} {_escaped(family.about)}")
        parts.append(f"# TYPE {name} {kind}")
        unit = name.rpartition("_")[2]
        if openmetrics and unit in UNITS:
            parts.append(f"# UNIT {name} {unit}")
        parts += family.lines
    parts.append("# EOF\n" if openmetrics else "")
    return "\n".join(parts)


def wants_openmetrics(accept: str) -> bool:
    """Tell by an `Accept` header whether OpenMetrics is preferred to plain text (RFC 9110 clause 12.5.1)."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        if media in weights:
            given = next((word[2:] for word in parameters if word.startswith("q=")), "1")
            weights[media] = max(weights[media], _weight(given))
    return weights["application/openmetrics-text"] > 0 and (
        weights["application/openmetrics-text"] >= weights["text/plain"])


def number(value: Number) -> str:
    """Write a number: whole ones without a point where they are integers, floats as short as they are exact."""
    return repr(value) if isinstance(value, float) else str(int(value))


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quoted=True)}"' for name, value in labels.items()) + "}"


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text

"""From a load profile's rows to records (pure).

    Columns.wanted ──► scaler_unit of each captured register, read once ──► Columns.learn
    Row ──► Columns.record ──► Record of Kind.INTERVAL, dated by the meter

As with polled values nothing is guessed: a column whose scaler cannot be read, or whose unit is not the one that the
meter type says, has no values, and `Columns.problems` tells why.
"""

from collections import Counter
from collections.abc import Iterable

from edge.dlms.axdr import AxdrValue, Integer
from edge.dlms.cosem import Attribute
from edge.dlms.get import GetResult
from edge.meters.exact import PLAIN_NUMBERS, Exact, exact, other_unit, scaler_unit, steady
from edge.meters.layout import TIME_DOUBT
from edge.meters.loadrows import Layout, Row
from edge.meters.objectspec import ColumnSpec
from edge.meters.reading import SCHEMAS_KEPT, TEXT_LIMIT
from edge.model import Field, Kind, Record, Scalar, Schema, Stamp

REFUSALS = 2
"""So often a scaler is asked for that the meter refuses."""


class Columns:
    """The mapped columns of one meter's profile, with what was learned of their scalers."""

    def __init__(self, layout: Layout, meter_type: str) -> None:
        """`meter_type` is the profile's name, as records carry it."""
        self.problems: dict[str, str] = {}       # key -> why it has no values
        self._mapped = layout.mapped
        self._meter_type = meter_type
        self._scalers = {spec.key: spec.scaler or 0 for _, spec in layout.mapped if spec.scaler_target is None}
        self._schemas: dict[tuple[int, ...], Schema] = {}
        self._fractions: dict[int, int] = {}
        self._refused: Counter[str] = Counter()

    @property
    def wanted(self) -> tuple[Attribute, ...]:
        """The scaler_unit attributes that are not known yet."""
        return tuple(spec.scaler_target for spec in self._unknown() if spec.scaler_target is not None)

    def learn(self, results: Iterable[GetResult]) -> None:
        """Take answers to `wanted`, all or some of them; what is refused for now, or for the first time, stays wanted.

        Some meters refuse the rest of a list behind the first item that they refuse, whatever is behind.
        """
        answers = {result.attribute: result for result in results}
        for spec in tuple(self._unknown()):
            result = answers.get(spec.scaler_target) if spec.scaler_target is not None else None
            if result is None:
                continue
            if result.error is not None:
                self._refused[spec.key] += not result.error.temporary
                if self._refused[spec.key] < REFUSALS:
                    continue
            pair = scaler_unit(result.data)
            if pair is None:
                why = f"scaler_unit {result.error.text if result.error is not None else 'is malformed'}"
            else:
                self._scalers[spec.key], why = pair[0], other_unit(pair[1], spec.unit)
            if why:
                self.problems[spec.key] = why

    def record(self, row: Row, taken: Stamp, device: str) -> Record:
        """Build the record of a row that has a date; `taken` is when it was read, the meter says when it happened."""
        assert row.at_ms is not None
        values: list[Scalar] = []
        scalers: list[int] = []
        for place, spec in self._mapped:
            value, scaler = self._value(place, spec, row.cells[place])
            values.append(value)
            scalers.append(scaler)
        if row.doubt:
            values.append(row.doubt)
        stamp = taken.dated_by_meter(row.at_ms, trusted=not row.doubt)
        return Record(self._schema(tuple(scalers), doubtful=bool(row.doubt)), device, stamp, tuple(values))

    def _unknown(self) -> Iterable[ColumnSpec]:
        return (spec for _, spec in self._mapped if spec.key not in self._scalers and spec.key not in self.problems)

    def _value(self, place: int, spec: ColumnSpec, cell: AxdrValue) -> tuple[Scalar, int]:
        scaler = self._scalers.get(spec.key, 0)
        if spec.key in self.problems or spec.key not in self._scalers:
            return None, scaler
        if isinstance(cell, Integer) and cell.tag in PLAIN_NUMBERS:
            return int(cell), scaler
        number = exact(cell)
        if not isinstance(number, Exact):
            return None, scaler
        if isinstance(number.raw, str):
            wrong = spec.scaler_target is not None or len(number.raw) > TEXT_LIMIT
            return (None, scaler) if wrong else (number.raw, 0)
        kept, scaler, _ = steady(self._fractions, place, number.raw, number.shift + scaler)
        return kept, scaler

    def _schema(self, scalers: tuple[int, ...], *, doubtful: bool) -> Schema:
        memo = (*scalers, int(doubtful))
        schema = self._schemas.get(memo)
        if schema is None:
            fields = [Field(spec.key, scaler, spec.unit, spec.canonical)
                      for (_, spec), scaler in zip(self._mapped, scalers, strict=True)]
            schema = Schema(Kind.INTERVAL, (*fields, *([Field(TIME_DOUBT)] if doubtful else [])), self._meter_type)
            if len(self._schemas) >= SCHEMAS_KEPT:
                self._schemas.clear()
            self._schemas[memo] = schema
        return schema

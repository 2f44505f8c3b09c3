"""The newest reading of each meter: what interlocks and people ask for without asking the meter."""

from collections.abc import Iterable
from dataclasses import dataclass

from edge.clock import Clock
from edge.model import Kind, Record


@dataclass(frozen=True, slots=True)
class Newest:
    """A reading and how old it is."""

    record: Record
    age_s: float


class Latest:
    """Keeps them in memory; after a start there is none until the meter has been polled."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._readings: dict[str, tuple[Record, float]] = {}

    def heard(self, record: Record) -> None:
        """Take a record on its way to the ring."""
        if record.schema.kind is Kind.READING:
            self._readings[record.device] = (record, self._clock.monotonic())

    def forget(self, meters: Iterable[str]) -> None:
        """Forget what was read under these names: interlocks must not take one meter's load for another's."""
        for meter in meters:
            self._readings.pop(meter, None)

    def of(self, meter: str) -> Newest | None:
        """Return a meter's newest reading."""
        kept = self._readings.get(meter)
        return None if kept is None else Newest(kept[0], self._clock.monotonic() - kept[1])

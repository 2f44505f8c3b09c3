"""What is on its way over one connection, and until when it must be answered (pure)."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from edge.model import Batch, Stored
from edge.uplink.source import Lane
from edge.uplink.talk import Said

PATIENCE = 4               # ack time-outs for a publication while others are answered


@dataclass(slots=True)
class Flight:
    """A batch on its way: `open` publications are not answered yet; `own` and `devices` tell on which topics it is.

    `entries` and `points` are what it is in the server's books.
    """

    batch: Batch
    lane: Lane
    open: int
    own: bool
    devices: bool
    entries: int = 0
    points: int = 0
    refused: str = ""


@dataclass(slots=True)
class Pending:
    """One publication on its way: part of `flight`, `device`'s connect or disconnect, its `attributes`, or `said`."""

    size_bytes: int
    sent_at: float
    flight: Flight | None = None
    device: str = ""
    connects: bool = False
    attributes: bool = False
    said: Said | None = None
    delivered_before: int = 0      # bytes acknowledged on the connection when it was handed over


class InFlight:
    """Publications by packet id, in the order of sending. Times are monotonic seconds."""

    def __init__(self, ack_timeout_s: float, now: float) -> None:
        """Nothing is on its way."""
        self._ack_timeout_s = ack_timeout_s
        self._pending: dict[int, Pending] = {}
        self._last_ack_at = now
        self.delivered_bytes = 0       # acknowledged so far

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def size_bytes(self) -> int:
        """Payload bytes on their way."""
        return sum(pending.size_bytes for pending in self._pending.values())

    def held(self, records: Sequence[Stored]) -> set[int]:
        """Return the numbers of those of `records` (one stream, ascending) that are in a batch on its way."""
        first, last = records[0], records[-1]
        spans = [pending.flight.batch.span for pending in self._pending.values() if pending.flight]
        spans = [span for span in spans
                 if span.stream is first.stream and span.first <= last.seq and span.last >= first.seq]
        if not spans:
            return set()
        return {one.seq for one in records if any(span.first <= one.seq <= span.last for span in spans)}

    def head(self, besides: AbstractSet[int]) -> Pending | None:
        """Return the oldest publication of a batch that is none of `besides`, which are packet ids."""
        return next((pending for packet_id, pending in self._pending.items()
                     if pending.flight and packet_id not in besides), None)

    def add(self, packet_id: int, pending: Pending) -> None:
        """Note what was handed over."""
        pending.delivered_before = self.delivered_bytes
        self._pending[packet_id] = pending

    def answered(self, packet_id: int, now: float) -> Pending | None:
        """Take out what a PUBACK answers."""
        self._last_ack_at = now
        pending = self._pending.pop(packet_id, None)
        if pending is not None:
            self.delivered_bytes += pending.size_bytes
        return pending

    @property
    def oldest_id(self) -> int:
        """The packet id of the oldest publication; 0 where nothing is on its way."""
        return next(iter(self._pending), 0)

    def answer_due(self) -> float:
        """Return when the connection is given up if no PUBACK comes; never while nothing is on its way."""
        oldest, timeout_s = next(iter(self._pending.values()), None), self._ack_timeout_s
        if oldest is None:
            return float("inf")
        return min(max(oldest.sent_at, self._last_ack_at) + timeout_s, oldest.sent_at + PATIENCE * timeout_s)

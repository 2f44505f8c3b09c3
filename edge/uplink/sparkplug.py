"""Sparkplug B as a dialect (pure): records become NDATA and DDATA of an edge node.

One publication of each device and batch, and one of the node itself; keys are those of `cloud/keys.toml`. What the
gateway observes of a silent meter is told as the node's, as at ThingsBoard: data of a device that is dead would need
its birth. What stands around the data, and numbers it, is `edge.uplink.sparkplugnode`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from edge.model import Batch, Field, Kind, Publish, Record, Schema, SeqSpan, Stored
from edge.uplink.attributes import Attributes
from edge.uplink.dialect import Packed, Part
from edge.uplink.sparkplugnode import EdgeNode
from edge.uplink.sparkplugtags import Newest, Thing
from edge.uplink.thingsboard import OBSERVED, SILENT_KEY, device_name, values_of

MAX_PARTS = 64             # publications of one batch: it is acknowledged as a whole
STAMP_BYTES = 16           # time and number of a payload, at most

_SILENT = Schema(Kind.GATEWAY, (Field(SILENT_KEY.decode()),))
_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Growing:
    """One publication while it grows."""

    thing: Thing
    size_bytes: int = STAMP_BYTES
    entries: int = 0
    metrics: list[bytes] = field(default_factory=list)
    newest: Newest = field(default_factory=dict)

    def take(self, metrics: list[bytes], newest: Newest, size_bytes: int) -> None:
        """Add a record's metrics."""
        self.metrics += metrics
        self.newest |= newest
        self.size_bytes, self.entries = size_bytes, self.entries + 1

    def part(self, topic: str) -> Part:
        """Return it as a publication, which gets its time and number when it goes out."""
        return Part(Publish(topic, b"".join(self.metrics)), not self.thing.name, self.entries, len(self.metrics))


class Sparkplug:
    """Records as metrics."""

    limits_request: Publish | None = None
    announces = False

    def __init__(self, node: EdgeNode, board: Attributes) -> None:
        """`node` numbers what is sent; it is one of the uplink's talks. `board` tells what a thing is."""
        self.ceremony, self._board = node, board

    def pack(self, records: Iterable[Stored], limit_bytes: int, limit_points: int | None = None,
             limit_parts: int = MAX_PARTS) -> Packed:
        """See `edge.uplink.dialect`. What is packed last is what is sent: it stands in `EdgeNode.packed`."""
        node, now_ms = self.ceremony, self.ceremony.now_ms()
        growing: dict[str, _Growing] = {}
        taken: list[Stored] = []
        all_points, limit_parts, widened = 0, max(1, min(limit_parts, MAX_PARTS)), False
        for stored in records:
            record = self._told_of(stored.record)
            thing = node.thing(record.device)
            topic = node.data_topic(thing)
            part = growing.get(topic) or _Growing(thing)
            metrics, newest = thing.samples(record, part.newest, now_ms, current=record.stamp in node.since)
            size_bytes = part.size_bytes + sum(map(len, metrics))
            crowded = limit_points is not None and all_points + len(metrics) > limit_points
            full = size_bytes > limit_bytes or (topic not in growing and len(growing) == limit_parts)
            widened = thing.widened() or widened
            if taken and metrics and (crowded or full):
                break
            taken.append(stored)
            if metrics:
                growing[topic] = part
                thing.wanted = thing.wanted or not thing.born
                part.take(metrics, newest, size_bytes)
                all_points += len(metrics)
            if size_bytes > limit_bytes:
                break
        if widened:      # what was written before is of the narrower type
            return self.pack(taken, limit_bytes, limit_points, limit_parts)
        node.packed = {topic: (part.thing, part.newest) for topic, part in growing.items()}
        span = SeqSpan(taken[0].stream, taken[0].seq, taken[-1].seq)
        return Packed(Batch(span, tuple(taken)), tuple(part.part(topic) for topic, part in growing.items()))

    def disconnect(self, device: str) -> Publish:
        """Never asked for: deaths are the node's affair."""
        raise NotImplementedError(f"a Sparkplug host hears of a death by its certificate: {device}")

    def attributes(self, device: str, body: bytes) -> Publish | None:      # noqa: ARG002 - ThingsBoard's form of them
        """Take attributes as tags that births tell; they need no publication of their own."""
        self.ceremony.thing(device).describe(self._board.of(device), self.ceremony.now_ms())
        return None

    def _told_of(self, record: Record) -> Record:
        """Return who tells it: what is observed of a silent meter is the node's, one value, JSON as text."""
        if record.schema.kind not in OBSERVED or not record.device or not self.ceremony.silent(record.device):
            return record
        text = _json({"meter": device_name(record.device), **values_of(record)}).decode()
        return Record(_SILENT, "", record.stamp, (text,))

"""A broker that is no ThingsBoard (pure): topics and payloads by template, no announcements, no questions.

One publication per topic and batch, its payload an array of the records' texts (`payload_per = "batch"`), or one per
record. What a record says is the same as at ThingsBoard, key by key (`cloud/keys.toml`). The records of the gateway
itself carry its own name as `{device}`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from edge.config import UplinkSettings
from edge.model import Batch, Publish, Record, SeqSpan, Stored
from edge.templates import Payload, Topic
from edge.uplink.dialect import Ceremony, Packed, Part
from edge.uplink.thingsboard import device_name, values_of

MAX_PARTS = 8              # publications of one batch: it is acknowledged as a whole

_json = msgspec.json.Encoder().encode


@lru_cache(maxsize=1024)
def _quoted(text: str) -> bytes:
    return _json(device_name(text))


@dataclass(slots=True)
class _Growing:
    """One publication while it grows."""

    topic: str
    own: bool
    size_bytes: int = 2
    points: int = 0
    texts: list[bytes] = field(default_factory=list)


class PlainMqtt:
    """Records as templates say."""

    limits_request: Publish | None = None
    announces = False
    ceremony: Ceremony | None = None

    def __init__(self, settings: UplinkSettings, gateway_name: str) -> None:
        """Read the templates; they were checked with the settings (ValueError if not)."""
        self._gateway = gateway_name
        self._topic, self._payload = Topic(settings.topic), Payload(settings.payload)
        self._attributes = Topic(settings.attributes_topic) if settings.attributes_topic else None
        self._arrays = settings.payload_per == "batch"

    def pack(self, records: Iterable[Stored], limit_bytes: int, limit_points: int | None = None,
             limit_parts: int = MAX_PARTS) -> Packed:
        """See `edge.uplink.dialect`."""
        growing: list[_Growing] = []
        latest: dict[str, _Growing] = {}
        taken: list[Stored] = []
        all_points, limit_parts = 0, max(1, min(limit_parts, MAX_PARTS))
        for stored in records:
            values = values_of(stored.record)
            if values:
                text, topic = self._text(stored.record, values), self._topic_of(stored.record)
                part = latest.get(topic) if self._arrays else None
                size_bytes = (part.size_bytes if part else 2) + len(text) + 1
                crowded = limit_points is not None and all_points + len(values) > limit_points
                if taken and (crowded or size_bytes > limit_bytes or (part is None and len(growing) == limit_parts)):
                    break
                if part is None:
                    part = latest[topic] = _Growing(topic, own=not stored.record.device)
                    growing.append(part)
                part.size_bytes = size_bytes
                part.points += len(values)
                part.texts.append(text)
                all_points += len(values)
            taken.append(stored)
            if len(taken) == 1 and growing and growing[0].size_bytes > limit_bytes:
                break
        span = SeqSpan(taken[0].stream, taken[0].seq, taken[-1].seq)
        return Packed(Batch(span, tuple(taken)), tuple(map(self._part, growing)))

    def disconnect(self, device: str) -> Publish:
        """Never asked for: a topic is there as soon as something is published on it, and nobody is connected."""
        raise NotImplementedError(f"a plain broker hears of no meter: {device}")

    def attributes(self, device: str, body: bytes) -> Publish | None:
        """Return one JSON object on `attributes_topic`; None where that is not set."""
        if self._attributes is None:
            return None
        names = {"gateway": self._gateway, "device": device or self._gateway, "kind": "attributes", "profile": ""}
        return Publish(self._attributes.fill(names), body)

    def _topic_of(self, record: Record) -> str:
        return self._topic.fill({"gateway": self._gateway, "device": record.device or self._gateway,
                                 "kind": record.schema.kind.name.lower(), "profile": record.schema.profile})

    def _text(self, record: Record, values: dict[str, object]) -> bytes:
        return self._payload.fill({
            "gateway": _quoted(self._gateway), "device": _quoted(record.device or self._gateway),
            "kind": _quoted(record.schema.kind.name.lower()), "profile": _quoted(record.schema.profile),
            "ts": b"%d" % record.stamp.wall_ms, "values": _json(values)})

    def _part(self, part: _Growing) -> Part:
        payload = b"[%b]" % b",".join(part.texts) if self._arrays else part.texts[0]
        return Part(Publish(part.topic, payload), part.own, len(part.texts), part.points)


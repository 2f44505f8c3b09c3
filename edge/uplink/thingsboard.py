"""Records -> ThingsBoard's JSON (pure): the only place where a number leaves its exact form.

Topics and payload forms: ThingsBoard "MQTT Device API" and "Gateway MQTT API" (MqttTopics.java, JsonConverter.java of
4.2 to 4.4). The contract of every key is `cloud/keys.toml`.

Storage there is an upsert per (device, key, ts): a record sent twice is stored once, and two records that shared
device, key and millisecond would merge. What keeps them apart: each kind of record has keys of its own (`_PREFIX`), and
`edge.clock` never stamps the same millisecond twice. Both are facts of the stored record, so that every delivery of a
record has the same bytes, whatever travels beside it. Records that a meter dated are kept apart by its clock: of two
for the same moment the later one stands.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec

from edge.model import Batch, Kind, Publish, Record, Schema, SeqSpan, Stamp, Stored
from edge.uplink.dialect import Ceremony, Packed, Part
from edge.uplink.forms import EXACT, MAX_FAST_DECIMALS, Form, form_of
from edge.uplink.presence import nobody_is_silent

OWN_TELEMETRY = "v1/devices/me/telemetry"
GATEWAY_TELEMETRY = "v1/gateway/telemetry"
GATEWAY_CONNECT = "v1/gateway/connect"
GATEWAY_DISCONNECT = "v1/gateway/disconnect"
OWN_ATTRIBUTES = "v1/devices/me/attributes"
GATEWAY_ATTRIBUTES = "v1/gateway/attributes"
LIMITS_REQUEST = Publish("v1/devices/me/rpc/request/1", b'{"method":"getSessionLimits","params":{}}')

TEXT_MARK = "#"
"""Put before text that looks like a number: ThingsBoard would store serial "00123456" as 123456 (JsonConverter)."""

MAX_KEY_CHARS = 255
MAX_DECIMALS = 16          # more than that and ThingsBoard stores text
INT64 = range(-(2**63), 2**63)
NO_LIMIT = 2**31           # far beyond any payload

_PREFIX = {
    Kind.READING: "",
    Kind.FAILURE: "poll_fail_",
    Kind.LINK: "link_",
    Kind.GATEWAY: "",
    Kind.EVENT: "event_",
    Kind.ALARM: "alarm_",
    Kind.GAP: "gap_",
    Kind.INTERVAL: "load_",
    Kind.PUSHED: "",
    Kind.CLOCK: "clock_",
    Kind.BILLING: "billing_",
}
OBSERVED = (Kind.FAILURE, Kind.LINK)
"""Kinds of records that tell of a meter without having heard it. No set: hashing a member is a call of Python's."""

SILENT_KEY = b"silent_meter"

_POLL_OK = {Kind.READING: True, Kind.FAILURE: False}
_DOUBTFUL = {"clock": "unsynchronised", "meter": "meter_doubtful", "meter_clock": "meter_clock", "bracket": "bracket"}
"""What is said of a time that may not be believed, by its source."""

_json = msgspec.json.Encoder().encode


def key_of(kind: Kind, field_key: str) -> str:
    """Return the telemetry key of a record's field: `detail` of an EVENT is `event_detail`, `event` stays `event`."""
    prefix = _PREFIX[kind]
    plain = field_key.startswith(prefix) or field_key == prefix.rstrip("_")
    return (field_key if plain else prefix + field_key)[:MAX_KEY_CHARS]


def decimal_text(raw: int, scaler: int) -> str:
    """Return `raw * 10**scaler` as a JSON number ThingsBoard keeps as a number.

    Exact, but for more than 16 decimals: those are rounded half to even at the 16th. An integer beyond int64 gets
    ".0", so that it is stored as a double instead of text.
    """
    text = str(raw)
    if raw >= 0 and -MAX_DECIMALS <= scaler < 0 and len(text) > -scaler:      # nearly all of what meters tell
        return f"{text[:scaler]}.{text[scaler:]}"
    if scaler >= 0:
        whole = raw * 10**scaler
        return str(whole) if whole in INT64 else f"{whole}.0"
    if scaler < -MAX_DECIMALS:
        divisor = 10 ** (-MAX_DECIMALS - scaler)
        quotient, rest = divmod(raw, divisor)
        raw = quotient + (2 * rest > divisor or (2 * rest == divisor and quotient % 2))
        scaler = -MAX_DECIMALS
    sign, digits = ("-" if raw < 0 else ""), str(abs(raw)).rjust(1 - scaler, "0")
    return f"{sign}{digits[:scaler]}.{digits[scaler:]}"


def safe_text(text: str) -> str:
    """Return text that survives: valid UTF-8, without NUL (PostgreSQL refuses it), marked where it looks numeric."""
    clean = text.encode("utf-8", "replace").decode().replace("\0", "")
    return TEXT_MARK + clean if _looks_numeric(clean) else clean


def _looks_numeric(text: str) -> bool:
    # What org.apache.commons.lang3.math.NumberUtils.isParsable takes, and a little more to be safe.
    digits = text.strip().lstrip("+-").replace(".", "", 1)
    return digits.isdecimal()


@lru_cache(maxsize=512)
def _columns(schema: Schema) -> tuple[tuple[str, float | None, int], ...]:
    """Return (key, divisor, scaler) of each field; divisor 0: a whole number, None: not to be done by a float."""
    return tuple((key_of(schema.kind, field.key), _divisor(field.scaler), field.scaler) for field in schema.fields)


def _divisor(scaler: int) -> float | None:
    if scaler == 0:
        return 0.0
    return 10.0**-scaler if -MAX_FAST_DECIMALS <= scaler < 0 else None


def _slowly(value: int | str, scaler: int) -> str | msgspec.Raw:
    return msgspec.Raw(decimal_text(value, scaler).encode()) if isinstance(value, int) else safe_text(value)


def values_of(record: Record) -> dict[str, object]:
    """Return the values of a record by key, ready for JSON, and what is to be said of its time; {} if it has none."""
    schema, stamp = record.schema, record.stamp
    values: dict[str, object] = {"poll_ok": _POLL_OK[schema.kind]} if schema.kind in _POLL_OK else {}
    for (key, divisor, scaler), value in zip(_columns(schema), record.values, strict=False):
        if type(value) is int and divisor is not None and -EXACT < value < EXACT:
            values[key] = value / divisor if divisor else value
        elif value is not None:
            values[key] = _slowly(value, scaler)
    if values and not stamp.synchronised:
        values |= doubts(stamp)
    return values


def element(record: Record) -> tuple[bytes, int]:
    """Return one record as `{"ts":ms,"values":{..}}` and its number of values; (b"", 0) if it has none at all."""
    return _form(record.schema)(record)


def element_by_value(record: Record) -> tuple[bytes, int]:
    """Return the same, whatever the values are."""
    values = values_of(record)
    if not values:
        return b"", 0
    return b'{"ts":%d,"values":%b}' % (record.stamp.wall_ms, _json(values)), len(values)


@lru_cache(maxsize=512)
def _form(schema: Schema) -> Form:
    said = {"poll_ok": _POLL_OK[schema.kind]} if schema.kind in _POLL_OK else {}
    keys = [key_of(schema.kind, field.key) for field in schema.fields]
    return form_of(keys, [field.scaler for field in schema.fields], said, element_by_value)


def silent_element(record: Record) -> tuple[bytes, int]:
    """Return what the gateway observes of a silent meter, as telemetry of the gateway: one value, JSON as text.

    Whatever comes for a device makes it active at ThingsBoard, by the time of its arrival: that of a failed poll too.
    """
    values = values_of(record)
    if not values:
        return b"", 0
    text = _json({"meter": device_name(record.device), **values}).decode()
    return b'{"ts":%d,"values":{"%b":%b}}' % (record.stamp.wall_ms, SILENT_KEY, _json(text)), 1


def doubts(stamp: Stamp) -> dict[str, int | str]:
    """Return why `ts` may not be believed, and where only bounds are known, both of them."""
    told: dict[str, int | str] = {"ts_q": _DOUBTFUL[stamp.source]}
    if stamp.source == "bracket":
        told["ts_earliest_ms"] = stamp.wall_ms
    if stamp.latest_ms is not None:
        told["ts_latest_ms"] = stamp.latest_ms
    return told


class _Payloads:
    """The two payloads of a batch while they grow. Sizes are exact."""

    def __init__(self) -> None:
        self.own: list[bytes] = []
        self.devices: dict[str, list[bytes]] = {}
        self.own_bytes = self.gateway_bytes = 2       # brackets
        self.own_points = self.device_points = 0

    def take(self, device: str, text: bytes, points: int, room_bytes: int) -> bool:
        """Add a record's text; False if the payload that it belongs to would not stay within `room_bytes`."""
        if not device:
            size = self.own_bytes + len(text) + 1
            if size > room_bytes:
                return False
            self.own_bytes, self.own_points = size, self.own_points + points
            self.own.append(text)
            return True
        texts = self.devices.get(device)
        size = self.gateway_bytes + len(text) + (1 if texts is not None else len(_name(device)) + 4)
        if size > room_bytes:
            return False
        self.gateway_bytes = size
        self.device_points += points
        if texts is None:
            self.devices[device] = [text]
        else:
            texts.append(text)
        return True

    @property
    def largest_bytes(self) -> int:
        return max(self.own_bytes, self.gateway_bytes)

    def packed(self, batch: Batch) -> Packed:
        parts = []
        if self.own:
            publish = Publish(OWN_TELEMETRY, b"[%b]" % b",".join(self.own))
            parts.append(Part(publish, own=True, entries=len(self.own), points=self.own_points))
        if self.devices:
            texts = [b"%b:[%b]" % (_name(device), b",".join(texts)) for device, texts in self.devices.items()]
            publish = Publish(GATEWAY_TELEMETRY, b"{%b}" % b",".join(texts))
            parts.append(Part(publish, own=False, entries=len(self.devices), points=self.device_points))
        return Packed(batch, tuple(parts))


def device_name(name: str) -> str:
    """Return a meter's name as ThingsBoard gets it: valid UTF-8 without NUL, not marked."""
    return name.encode("utf-8", "replace").decode().replace("\0", "")


@lru_cache(maxsize=1024)
def _name(device: str) -> bytes:
    return _json(device_name(device))


def pack(records: Iterable[Stored], limit_bytes: int, limit_points: int | None = None,
         silent: Callable[[str], bool] = nobody_is_silent) -> tuple[Packed, dict[str, str]]:
    """Take as many of `records` (at least one; neighbours of one stream, ascending) as fit into `limit_bytes`.

    Each payload stays within `limit_bytes` and all of them together within `limit_points`, unless the first record
    alone is larger: it is then the whole batch. Returned with it: the meters it is about, each with its profile, "" for
    one whose records do not say it.
    """
    payloads, all_points = _Payloads(), 0
    taken: list[Stored] = []
    profiles: dict[str, str] = {}
    schema: Schema | None = None
    for stored in records:
        record = stored.record
        device = record.device
        if record.schema is not schema:
            schema = record.schema
            form, observed = _form(schema), schema.kind in OBSERVED
        if observed and device and silent(device):
            device, (text, points) = "", silent_element(record)
        else:
            text, points = form(record)
        if text:
            if taken and limit_points is not None and all_points + points > limit_points:
                break
            if not payloads.take(device, text, points, limit_bytes if taken else NO_LIMIT):
                break
            all_points += points
            if device and not profiles.get(device):
                profiles[device] = record.schema.profile
        taken.append(stored)
        if len(taken) == 1 and payloads.largest_bytes > limit_bytes:
            break
    first, last = taken[0], taken[-1]
    return payloads.packed(Batch(SeqSpan(first.stream, first.seq, last.seq), tuple(taken))), profiles


def publishes(batch: Batch) -> tuple[Publish, ...]:
    """Return the publications of a batch: the gateway's own records, then the meters'. Same batch, same bytes."""
    return tuple(part.publish for part in pack(batch.records, limit_bytes=NO_LIMIT)[0].parts)


@lru_cache(maxsize=1024)
def announce(device: str, profile: str) -> Publish:
    """Return the announcement of a meter. `profile` counts only when ThingsBoard creates the device."""
    return Publish(GATEWAY_CONNECT, _json({"device": device_name(device), "type": profile or "default"}))


@dataclass(frozen=True, slots=True)
class ThingsBoardGateway:
    """The gateway API of ThingsBoard, as a dialect.

    `profile_of` names a meter's profile where its records do not. `silent` tells of whom nothing is heard: what the
    gateway itself observes of such a meter is told as the gateway's, see `silent_element`.
    """

    profile_of: Callable[[str], str]
    silent: Callable[[str], bool] = nobody_is_silent
    limits_request: Publish | None = LIMITS_REQUEST
    announces: bool = True
    ceremony: Ceremony | None = None

    def pack(self, records: Iterable[Stored], limit_bytes: int, limit_points: int | None = None,
             limit_parts: int = 2) -> Packed:
        """See `edge.uplink.dialect`: two publications at most, of the gateway and of all meters."""
        del limit_parts
        packed, profiles = pack(records, limit_bytes, limit_points, self.silent)
        return replace(packed, connects={device: announce(device, profile or self.profile_of(device))
                                         for device, profile in profiles.items()})

    def disconnect(self, device: str) -> Publish:
        """End the meter's session there: it counts as disconnected, calls to it fail at once."""
        return Publish(GATEWAY_DISCONNECT, _json({"device": device_name(device)}))

    def attributes(self, device: str, body: bytes) -> Publish | None:
        """Return client attributes: `{"key":value}`, for a meter `{"device":{"key":value}}`."""
        if not device:
            return Publish(OWN_ATTRIBUTES, body)
        return Publish(GATEWAY_ATTRIBUTES, b"{%b:%b}" % (_name(device), body))

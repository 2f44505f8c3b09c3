"""What an edge node and its devices have to tell, as tags with a type of their own (pure).

A tag is a key of `cloud/keys.toml` on one device. Births declare all of them, with an alias that data names them by; a
key that was never heard before makes a new birth necessary, and so does a value that the declared type cannot hold:

    Boolean, Int64 ─► Double (numbers only) ─► String

A value is current, or it is history (`is_historical`): what was taken before the session began, and what is not newer
than the tag's current value (Sparkplug 3.0.0, tck-id-operational-behavior-data-publish-dbirth-order).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from edge.model import Kind, Record, Schema, Stamp
from edge.uplink.forms import EXACT
from edge.uplink.sparkplugwire import (
    HISTORICAL,
    DataType,
    Value,
    alias_field,
    datatype_of,
    declared,
    metric,
    properties_field,
    timestamp_field,
    value_field,
)
from edge.uplink.thingsboard import INT64, doubts, key_of

UNIT = "engUnit"           # what the hosts of Cirrus Link take for a tag's engineering unit; the standard names none
PROPERTIES = "Properties/"  # a folder, for what a thing is (6.4.2 and the examples of 4.6.1)
MAX_POWER = 22             # 10**22 is the last power of ten that a double holds exactly

AHEAD_MS = 60_000

_POLL_OK = {Kind.READING: True, Kind.FAILURE: False}


@dataclass(slots=True, eq=False)
class Tag:
    """One metric of a device: as it was declared, and its current value."""

    name: str
    alias: int
    unit: str
    datatype: DataType
    value: Value | None = None
    at_ms: int = 0

    def declaration(self, now_ms: int) -> bytes:
        """Return it as a birth tells it: without a value it is null, as of now."""
        return declared(self.name, self.datatype, self.value, self.at_ms if self.value is not None else now_ms,
                        alias=self.alias, properties={UNIT: self.unit} if self.unit else {})


Newest = dict[Tag, tuple[Value, int]]
"""Current values that are packed and not sent yet, with their times."""


class Since:
    """What counts as current in a session: what was taken in this boot since `boottime_ms`."""

    def __init__(self, stamp: Stamp, grace_ms: int) -> None:
        """The session begins now."""
        self._boot_id, self._boottime_ms = stamp.boot_id, stamp.boottime_ms - grace_ms

    def __contains__(self, stamp: Stamp) -> bool:
        """Tell whether something was taken since."""
        return stamp.boot_id == self._boot_id and stamp.boottime_ms >= self._boottime_ms


class Thing:
    """The edge node itself, or one device, with all tags that were ever heard of it."""

    def __init__(self, name: str, aliases: Iterator[int]) -> None:
        """Nothing is known of it. `aliases` are unique across the edge node (tck-id-payloads-alias-uniqueness)."""
        self.name = name
        self.tags: dict[str, Tag] = {}
        self.born = False          # on this connection
        self.wanted = False        # a birth is due
        self.dying = False         # a death is due
        self.heard = False         # there was data of it
        self.said_at = float("-inf")
        self._widened = False
        self._aliases = aliases

    def expect(self, key: str, datatype: DataType) -> None:
        """Declare a tag before there is a value of it: what comes later needs no birth then."""
        self.tags[key] = Tag(key, next(self._aliases), "", datatype)

    def describe(self, values: Mapping[str, Value], now_ms: int) -> None:
        """Take what it is (its nameplate) as tags that only births tell.

        What has changed makes one wanted, but not the first one of a meter that was never heard.
        """
        wanted = self.wanted
        for key, told in values.items():
            tag = self._declared(f"{PROPERTIES}{key}", "", datatype_of(told))
            value = fitted(tag.datatype, told)
            if tag.value != value:
                tag.value, tag.at_ms, self.wanted = value, now_ms, True
        self.wanted = wanted or (self.wanted and (self.born or self.heard))

    def samples(self, record: Record, before: Newest, now_ms: int, *, current: bool) -> tuple[list[bytes], Newest]:
        """Return a record as metrics, and which of its values are current: those newer than `before` and the tag's.

        A tag that is new, or declared too narrowly, makes a birth wanted. A current value in the future, from a
        clock that was wrong, bars nothing; a little ahead is what a burst of records is (edge.clock).
        """
        stamp, newest = record.stamp, Newest()
        metrics: list[bytes] = []
        head, tail = timestamp_field(stamp.wall_ms), b""
        if not stamp.synchronised:
            tail = properties_field(doubts(stamp))
        self.heard = True
        for key, unit, told in values_of(record):
            tag = self._declared(key, unit, datatype_of(told))
            value = fitted(tag.datatype, told)
            last_ms = before[tag][1] if tag in before else tag.at_ms
            live = current and not stamp.wall_ms <= last_ms <= now_ms + AHEAD_MS
            if live:
                newest[tag] = value, stamp.wall_ms
            metrics.append(metric(alias_field(tag.alias) + head + (b"" if live else HISTORICAL) + tail
                                  + value_field(tag.datatype, value)))
        return metrics, newest

    def widened(self) -> bool:
        """Tell once that the type of a tag has changed: what was written of it must be written anew."""
        widened, self._widened = self._widened, False
        return widened

    def birth(self, now_ms: int) -> bytes:
        """Return the declarations of all tags."""
        return b"".join(tag.declaration(now_ms) for tag in self.tags.values())

    def _declared(self, key: str, unit: str, datatype: DataType) -> Tag:
        tag = self.tags.get(key)
        if tag is None:
            tag = self.tags[key] = Tag(key, next(self._aliases), unit, datatype)
            self.wanted = True
        elif tag.datatype is not datatype and (wider := widened(tag.datatype, datatype)) is not tag.datatype:
            tag.datatype, self.wanted, self._widened = wider, True, True
            tag.value = None if tag.value is None else fitted(wider, tag.value)
        return tag


def aliases() -> Iterator[int]:
    """Return the aliases of one edge node."""
    return count(1)


def commit(newest: Newest) -> None:
    """Take values as the current ones: they were sent."""
    for tag, (value, at_ms) in newest.items():
        tag.value, tag.at_ms = fitted(tag.datatype, value), at_ms


def widened(one: DataType, other: DataType) -> DataType:
    """Return the type that holds the values of both."""
    if one is other:
        return one
    return DataType.DOUBLE if {one, other} == {DataType.INT64, DataType.DOUBLE} else DataType.STRING


def fitted(datatype: DataType, value: Value) -> Value:
    """Return a value in a type that holds it."""
    if datatype is DataType.DOUBLE:
        return float(value)
    if datatype is DataType.STRING and not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def values_of(record: Record) -> Iterator[tuple[str, str, Value]]:
    """Yield (key, unit, value) of what a record says, the keys as in `cloud/keys.toml`."""
    schema = record.schema
    if schema.kind in _POLL_OK:
        yield "poll_ok", "", _POLL_OK[schema.kind]
    for (key, unit, scaler), raw in zip(_columns(schema), record.values, strict=False):
        if isinstance(raw, int):
            yield key, unit, number(raw, scaler)
        elif raw is not None:
            yield key, unit, raw.replace("\0", "")


@lru_cache(maxsize=512)
def _columns(schema: Schema) -> tuple[tuple[str, str, int], ...]:
    return tuple((key_of(schema.kind, field.key), field.unit, field.scaler) for field in schema.fields)


def number(raw: int, scaler: int) -> int | float:
    """Return `raw * 10**scaler`: whole where nothing stands behind the point, else the double nearest to it."""
    if scaler < 0:
        if -EXACT < raw < EXACT and scaler >= -MAX_POWER:
            return raw / 10.0**-scaler
        return float(f"{raw}e{scaler}")
    whole = raw * 10**scaler
    return whole if whole in INT64 else float(f"{raw}e{scaler}")

"""The things that flow through the gateway: values, records, spans, batches.

    meter ─► Record ─► ring ─► Stored ─► Batch ─► Publish ─► PUBACK ─► its SeqSpan ─► ring

Everything here is plain, frozen data without I/O, and without floats: a number is an exact integer with a decimal
scaler (IEC 62056-6-2, scaler_unit), and becomes a float only where ThingsBoard's JSON is written. What is made for
every record, tens of thousands of times a second when a backlog drains, is a msgspec.Struct: a frozen dataclass takes
five times as long to make.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import msgspec

Scalar = int | str | None
"""What a record can hold: exact integer (scaled by its field), text, or nothing."""

TimeSource = Literal["clock", "meter", "meter_clock", "bracket"]
"""Whose time a stamp is, see `Stamp`."""

SEQ_BITS = 40
"""`seq = epoch << SEQ_BITS | n`: the epoch grows with every start, so a number is never used twice."""


class Kind(IntEnum):
    """What a record is. The number is on flash: never change or reuse one."""

    READING = 1      # one poll attempt that brought values
    FAILURE = 2      # one poll attempt that did not: fields `reason`, `detail`
    LINK = 3         # a radio link sample, for the gateway or for one meter
    GATEWAY = 4      # the gateway's own health
    EVENT = 5        # something happened: fields `event`, `detail`
    ALARM = 6        # a condition was raised, cleared or acknowledged
    GAP = 7          # records were lost: which, how many, why
    PUSHED = 8       # values that a meter sent by itself
    CLOCK = 9        # a meter's clock compared with ours
    INTERVAL = 10    # one row of a meter's load profile; its time is the meter's
    BILLING = 11     # billing registers: tariffs, maximum demands, read apart from the polls


class Stream(IntEnum):
    """Ring streams, each with its own quota. The number is on flash: never change or reuse one."""

    ALARM = 0        # alarms, events, gap records
    BILLING = 1      # registers, closings and load profile rows that money depends on
    INSTANT = 2      # polled values, link samples, health


class Field(msgspec.Struct, frozen=True, gc=False):
    """One column of a record: `value = raw * 10**scaler`, in `unit`.

    `obis` is the canonical "A-B:C.D.E.F" of the object, or "" where there is none.
    """

    key: str
    scaler: int = 0
    unit: str = ""
    obis: str = ""


class Schema(msgspec.Struct, frozen=True, cache_hash=True):
    """The columns of a record and what it is. `profile` is the meter type (ThingsBoard device profile), or "".

    Schemas are kept once per ring segment, so a record on flash is only numbers. Build one per meter and keep it.
    """

    kind: Kind
    fields: tuple[Field, ...]
    profile: str = ""


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """When something was taken.

    `boottime_ms` (CLOCK_BOOTTIME, counts suspend) orders records within `boot_id` and never steps. `wall_ms` is UTC in
    Unix milliseconds; on a fresh record it is what the clock said, on one read back from the ring it is resolved from
    durable time anchors, so that it is the same at every delivery. `synchronised` tells whether it may be believed.

    `source` tells whose time `wall_ms` is:
      "clock"  the gateway's, right or not as `synchronised` says
      "meter"  the record's own: the meter dated it, as it does a profile row, a closing, an entry of its event log.
               The ring keeps it as given and never shifts it; `synchronised` is False where the meter's clock was
               invalid or doubtful
      "meter_clock"  the gateway's clock was never right in this boot, a meter's told the time. Not `synchronised`
      "bracket"      nobody knew the time: it was not before `wall_ms`, and not after `latest_ms` where that is known.
                     Not `synchronised`
    """

    boottime_ms: int
    wall_ms: int
    boot_id: str
    synchronised: bool
    source: TimeSource = "clock"
    latest_ms: int | None = None

    def dated_by_meter(self, wall_ms: int, *, trusted: bool = True) -> "Stamp":
        """Return the stamp of something taken now that the meter dated `wall_ms` (UTC).

        Two records of one meter need different milliseconds, or different keys: ThingsBoard keeps one value per device,
        key and millisecond.
        """
        return msgspec.structs.replace(self, wall_ms=wall_ms, synchronised=trusted, source="meter")


class Record(msgspec.Struct, frozen=True):
    """One thing to keep: `values[i]` belongs to `schema.fields[i]`.

    `device` is the meter's name, "" for the gateway itself.
    """

    schema: Schema
    device: str
    stamp: Stamp
    values: tuple[Scalar, ...]


class Stored(msgspec.Struct, frozen=True):
    """A record as it came back from the ring."""

    stream: Stream
    seq: int
    record: Record


class SeqSpan(msgspec.Struct, frozen=True, gc=False):
    """All sequence numbers `first..last` (both included) of one stream.

    Numbers in it that never existed are harmless.
    """

    stream: Stream
    first: int
    last: int


class Batch(msgspec.Struct, frozen=True):
    """Neighbouring un-acknowledged records of one stream: `span` covers exactly them, no other un-acknowledged one."""

    span: SeqSpan
    records: tuple[Stored, ...]


class Publish(msgspec.Struct, frozen=True, gc=False):
    """One MQTT publication. A pure function of its records: the same bytes at every delivery."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Meter:
    """A registered meter: what the operator said, without its secrets. None means "as the profile says".

    `security` is how APDUs are protected, `ciphering` which ciphered APDUs are sent. System titles are 16 hexadecimal
    digits: `client_title` "" = the gateway's own, `meter_title` "" = whatever the meter tells. `counter_obis` is the
    object that tells the meter's view of our invocation counter to a client without authentication, "" = none is asked.
    `host` and `port` may mean a serial line: see `edge.endpoint`. `opening` "mode-e": the HDLC link is preceded by the
    sign-on of IEC 62056-21, to `device_address` where several meters share a line.
    """

    name: str
    host: str
    port: int
    profile: str = "generic-three-phase"
    framing: Literal["wrapper", "hdlc"] | None = None
    client_sap: int | None = None
    server_logical: int | None = None
    server_physical: int | None = None
    address_bytes: Literal[1, 2, 4] | None = None
    authentication: Literal["none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"] | None = None
    interval_s: float | None = None
    paused: bool = False
    mac: str = ""
    security: Literal["none", "authenticated", "encrypted", "both"] | None = None
    security_suite: Literal[0, 1, 2] | None = None
    ciphering: Literal["general-glo", "glo", "general-ded", "ded"] | None = None
    client_title: str = ""
    meter_title: str = ""
    counter_obis: str = ""
    opening: Literal["direct", "mode-e"] | None = None
    device_address: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """A meter's global unicast encryption key and its authentication key; b"" where one is not set. Never shown."""

    encryption: bytes = field(default=b"", repr=False)
    authentication: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Learned:
    """What was found out about a meter and is kept, so that it is not asked again.

    `scalers` maps "OBIS attribute" to (scaler, COSEM unit code) as read from the meter; `list_limit` is how many
    attributes one GET-with-list may hold (None = not tried, 1 = single GETs); `identity` is the serial or logical
    device name that the rest belongs to.
    """

    identity: str = ""
    list_limit: int | None = None
    scalers: dict[str, tuple[int, int]] = field(default_factory=dict)

"""How the ThingsBoard stand-in is set up, what it answers, and what it has received (no I/O)."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
from moat.lib.mqtt import ReasonCode

from edge.demo.thingsboard_ota import Packages
from edge.demo.thingsboard_provision import Provisioning

MAX_DECIMALS = 16
INT64 = range(-(2**63), 2**63)
_PARSABLE = re.compile(r"-?\d*\.?\d+", re.ASCII)      # NumberUtils.isParsable

Point = tuple[str, str, int, object]
"""Device name, key, ts in Unix milliseconds, value."""

Message = tuple[str, bytes]
"""Topic and payload of a publication of the server's."""


@dataclass(slots=True)
class Verdict:
    """What happens to a publication: `reason` None is no PUBACK at all, `close` ends the connection after it."""

    reason: ReasonCode | None = ReasonCode.SUCCESS
    close: ReasonCode | None = None
    answer: Message | None = None                # a publication back to the client
    cut: bool = False                            # the TCP connection is reset after all that


SILENCE = Verdict(reason=None)
BAD_PAYLOAD = Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)                # AdaptorException
NO_OBJECT = Verdict(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
"""RuntimeException: the payload has not the form that the topic wants."""


@dataclass(slots=True)
class Store:
    """Everything received. The storage is an upsert per (device, key, ts), as ThingsBoard's is."""

    points: dict[tuple[str, str, int], object] = field(default_factory=dict)
    received: int = 0                    # data points, repetitions included
    duplicates: int = 0                  # the same point with the same value again
    conflicts: list[tuple[Point, object]] = field(default_factory=list)   # the same place with another value: data lost
    profiles: dict[str, str] = field(default_factory=dict)                # devices created, and of which profile
    announced: Counter[str] = field(default_factory=Counter)
    retired: Counter[str] = field(default_factory=Counter)                 # `v1/gateway/disconnect`
    attributes: dict[str, dict[str, object]] = field(default_factory=dict)  # the client's, per device: the last stands
    rpc_answers: list[tuple[str, Any]] = field(default_factory=list)        # topic and body, as they came
    claims: list[dict[str, Any]] = field(default_factory=list)              # what a customer may claim the gateway with
    skipped: int = 0                     # entries acknowledged but not stored
    latest: dict[str, int] = field(default_factory=dict)                  # newest ts per device

    def keep(self, device: str, ts: int, values: dict[str, Any]) -> None:
        """Store one element."""
        for key, value in values.items():
            place = (device, key, ts)
            self.received += 1
            if place in self.points:
                if self.points[place] == value:
                    self.duplicates += 1
                else:
                    self.conflicts.append(((device, key, ts, value), self.points[place]))
            self.points[place] = value
        self.latest[device] = max(ts, self.latest.get(device, ts))


@dataclass(slots=True)
class Rules:
    """How the server is set up, and what a test makes it do. Change at any time."""

    token: str
    gateway_name: str = "gateway"
    is_gateway: bool = True
    max_payload_bytes: int = 65_536
    limits: dict[str, Any] | None = None          # answer to getSessionLimits; None: never answers
    tells_limits: bool = True                     # False: never answers, but may enforce them
    enforce_limits: bool = False                  # and what goes beyond them is refused
    before_4_2_1: bool = False                    # ... and on the gateway API without a PUBACK
    refuse_login: ReasonCode | None = None
    opens: str = ""                               # session opens, "count:seconds"; more of them are refused with 0x9F
    block_after: int | None = None                # wrong logins in a row, after which connections are closed unheard
    refuse_device: set[str] = field(default_factory=set)          # names it cannot create: PUBACK 0x97
    refuse_attributes: ReasonCode | None = None                   # what client attributes get instead of being kept
    poison: dict[str, Verdict] = field(default_factory=dict)      # telemetry with this text in it gets this verdict
    next_verdicts: list[Verdict] = field(default_factory=list)    # for the next telemetry publications, in order
    acks_together: int = 1                        # so many PUBACKs are held, and then sent last first: a thread pool's
    provisioning: Provisioning | None = None                      # devices may come by themselves, besides `token`
    packages: Packages = field(default_factory=Packages)          # firmware and software for the gateway
    cut_at: Literal["", "request", "answer"] = ""                 # provisioning: the link goes before either, once


def _number(text: str) -> object:
    """Return a number as JsonConverter.parseNumericValue does: what a double or long cannot hold stays text."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if "." not in text and "e" not in text.lower():
        return int(value) if int(value) in INT64 else text
    exponent = value.as_tuple().exponent
    return float(value) if isinstance(exponent, int) and -exponent <= MAX_DECIMALS else text


_decode = msgspec.json.Decoder(float_hook=_number).decode


def decoded(payload: bytes) -> Any:
    """Read JSON as ThingsBoard does: more than 16 decimals become text. Raises msgspec.DecodeError."""
    return _decode(payload)


def text_cast(value: Any) -> Any:
    """Return a value as JsonConverter stores it: text that looks like a number becomes one, an object JSON text."""
    if isinstance(value, str):
        return _number(value) if _PARSABLE.fullmatch(value) else value
    if isinstance(value, Mapping | list):
        return msgspec.json.encode(value).decode()
    return str(value) if type(value) is int and value not in INT64 else value

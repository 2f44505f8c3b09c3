"""Calls of the server (RPC) as typed requests, and answers as publications (pure).

    device    v1/devices/me/rpc/request/{id}  {"method", "params"}                       answer on .../response/{id}
    meter     v1/gateway/rpc  {"device", "data": {"id", "method", "params"}}             answer {"device", "id", "data"}

ThingsBoard "MQTT Device API" and "Gateway MQTT API". It numbers calls per device, from the start again when it was
restarted, and says nothing of who asked.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from edge.errors import ConfigError
from edge.logs.parts import FOR_MOST_S, WHOLE, Wanted
from edge.logs.parts import Part as LogPart
from edge.model import Publish

OWN_REQUESTS = "v1/devices/me/rpc/request/"
OWN_ANSWERS = "v1/devices/me/rpc/response/"
GATEWAY_CALLS = "v1/gateway/rpc"
MOST_TARGETS = 32
NOTHING_GIVEN: tuple[object, ...] = (None, "", "{}", [])
"""What dashboards send as parameters where there are none."""


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of a method."""


class Nothing(_Request, frozen=True):
    """No parameters."""


class Read(_Request, frozen=True):
    """Attributes, as `halow-gateway meter get` takes them."""

    targets: tuple[str, ...]


class Span(_Request, frozen=True):
    """From and to, Unix seconds."""

    from_s: int
    to_s: int


class Relay(_Request, frozen=True):
    """Which way, and the meter's name once more."""

    order: Literal["on", "off"]
    confirm: str = ""


class Level(_Request, frozen=True):
    """How much the log says, all of it or one part; `for_s` 0: until the gateway is started anew."""

    level: Wanted
    part: LogPart = WHOLE
    for_s: Annotated[float, msgspec.Meta(ge=0, le=FOR_MOST_S)] = 0.0


class Survey(_Request, frozen=True):
    """How long the radio's peers are watched."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=45)] = 10


class Part(_Request, frozen=True):
    """Which part of the support archive, from 1."""

    part: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Named(_Request, frozen=True):
    """A meter that cannot be called itself."""

    meter: str


Request = Nothing | Read | Span | Relay | Level | Survey | Part | Named


@dataclass(frozen=True, slots=True)
class Method:
    """`changes`: it is done once however often it is delivered, and leaves an event."""

    of_meter: bool
    takes: type[Request]
    changes: bool


METHODS = {
    "status": Method(of_meter=False, takes=Nothing, changes=False),
    "links": Method(of_meter=False, takes=Nothing, changes=False),
    "link_survey": Method(of_meter=False, takes=Survey, changes=False),
    "bundle": Method(of_meter=False, takes=Nothing, changes=True),
    "bundle_part": Method(of_meter=False, takes=Part, changes=False),
    "reboot": Method(of_meter=False, takes=Nothing, changes=True),
    "log_level": Method(of_meter=False, takes=Level, changes=True),
    "resume_meter": Method(of_meter=False, takes=Named, changes=True),
    "latest": Method(of_meter=True, takes=Nothing, changes=False),
    "read": Method(of_meter=True, takes=Read, changes=False),
    "relay_status": Method(of_meter=True, takes=Nothing, changes=False),
    "relay": Method(of_meter=True, takes=Relay, changes=True),
    "backfill": Method(of_meter=True, takes=Span, changes=True),
    "clock_sync": Method(of_meter=True, takes=Nothing, changes=True),
    "pause": Method(of_meter=True, takes=Nothing, changes=True),
    "resume": Method(of_meter=True, takes=Nothing, changes=True),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came. `device` "" is the gateway itself; `number` the server's."""

    device: str
    number: int
    method: str
    params: Any

    @property
    def key(self) -> str:
        """What is the same when the same call is delivered again, and differs where a number was given out anew."""
        return f"{self.device}/{self.number}/{self.method}/{msgspec.json.encode(self.params, order='sorted').decode()}"


class _Wire(msgspec.Struct, frozen=True):
    method: str
    params: Any = None


class _Data(msgspec.Struct, frozen=True):
    id: int
    method: str
    params: Any = None


class _Gateway(msgspec.Struct, frozen=True):
    device: str
    data: _Data


def call_of(topic: str, payload: bytes) -> Call | Publish | None:
    """Read a publication: a call, the answer to one that cannot be read, None where there is nobody to answer."""
    try:
        if topic == GATEWAY_CALLS:
            told = msgspec.json.decode(payload, type=_Gateway)
            return Call(told.device, told.data.id, told.data.method, told.data.params) if told.device else None
        number = topic.removeprefix(OWN_REQUESTS)
        if number == topic or not number.isdecimal() or len(number) > 18:
            return None
        wire = msgspec.json.decode(payload, type=_Wire)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as wrong:
        unread = Call("", 0, "", None)
        return None if topic == GATEWAY_CALLS else Publish(
            OWN_ANSWERS + number, answer(unread, {"error": f"no call: {wrong}"}).payload)
    return Call("", int(number), wire.method, wire.params)


def request_of(call: Call, allowed: tuple[str, ...]) -> Request:
    """Read a call's parameters. ConfigError, in one line: no such method, not allowed here, or no such parameters."""
    method = METHODS.get(call.method)
    if method is None or method.of_meter != bool(call.device):
        whose = "a meter" if call.device else "the gateway"
        known = ", ".join(name for name, one in METHODS.items() if one.of_meter == bool(call.device))
        raise ConfigError(f"{whose} has no method {call.method[:64]!r}; there are {known}")
    if call.method not in allowed:
        raise ConfigError(f"this gateway does not let {call.method!r} be called (remote.allow)")
    try:
        given = {} if call.params in NOTHING_GIVEN else call.params
        request: Request = msgspec.convert(given, method.takes)
    except msgspec.ValidationError as wrong:
        raise ConfigError(f"{call.method}: {wrong}") from wrong
    if isinstance(request, Read) and not 0 < len(request.targets) <= MOST_TARGETS:
        raise ConfigError(f"read: between 1 and {MOST_TARGETS} targets at a time")
    return request


def answer(call: Call, data: dict[str, Any]) -> Publish:
    """Return the publication that answers a call."""
    if call.device:
        return Publish(GATEWAY_CALLS, msgspec.json.encode({"device": call.device, "id": call.number, "data": data}))
    return Publish(f"{OWN_ANSWERS}{call.number}", msgspec.json.encode(data))

"""What ThingsBoard does with a device's publications (no I/O): a stand-in for demo and tests.

Behaviour after ThingsBoard 4.2's MQTT transport (MqttTransportHandler, AbstractGatewaySessionHandler, JsonConverter,
DefaultTransportRateLimitService), from its sources; provisioning: `thingsboard_provision`, firmware: `thingsboard_ota`.
Not stood in for: MQTT 3.1.1, protobuf payloads.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from moat.lib.mqtt import ReasonCode

from edge.demo.thingsboard_ota import ATTRIBUTES_REQUEST, ATTRIBUTES_RESPONSE, ERROR_TOPIC, Packages
from edge.demo.thingsboard_ota import REQUEST as OTA_REQUEST
from edge.demo.thingsboard_provision import REQUEST_TOPIC, RESPONSE_TOPIC, Provisioning

OWN_TOPICS = frozenset({"v1/devices/me/telemetry", "v2/t", "v2/t/j"})
OWN_ATTRIBUTES = frozenset({"v1/devices/me/attributes", "v2/a", "v2/a/j"})
GATEWAY_TOPICS = frozenset(f"v1/gateway/{what}" for what in ("connect", "disconnect", "telemetry", "attributes"))
CLAIM = "v1/devices/me/claim"
RPC_REQUEST = "v1/devices/me/rpc/request/"
RPC_RESPONSE = "v1/devices/me/rpc/response/"
GATEWAY_RPC = "v1/gateway/rpc"
MAX_KEY_CHARS = 255

Point = tuple[str, str, int, object]
"""Device name, key, ts in Unix milliseconds, value."""


@dataclass(slots=True)
class Verdict:
    """What happens to a publication: `reason` None is no PUBACK at all, `close` ends the connection after it."""

    reason: ReasonCode | None = ReasonCode.SUCCESS
    close: ReasonCode | None = None
    answer: tuple[str, bytes] | None = None      # a publication back to the client
    cut: bool = False                            # the TCP connection is reset after all that


SILENCE = Verdict(reason=None)


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
    refuse_login: ReasonCode | None = None
    refuse_device: set[str] = field(default_factory=set)          # names it cannot create: PUBACK 0x97
    refuse_attributes: ReasonCode | None = None                   # what client attributes get instead of being kept
    poison: dict[str, Verdict] = field(default_factory=dict)      # telemetry with this text in it gets this verdict
    next_verdicts: list[Verdict] = field(default_factory=list)     # for the next telemetry publications, in order
    provisioning: Provisioning | None = None                      # devices may come by themselves, besides `token`
    packages: Packages = field(default_factory=Packages)          # firmware and software for the gateway
    cut_at: Literal["", "request", "answer"] = ""                 # provisioning: the link goes before either, once


def text_cast(value: Any) -> Any:
    """Return a value as JsonConverter stores it: text that looks like a number becomes one."""
    if isinstance(value, str):
        try:
            return int(value) if "." not in value else float(value)
        except ValueError:
            return value
    return value


class Contract:
    """One tenant with one gateway device."""

    def __init__(self, rules: Rules) -> None:
        """Start with an empty store."""
        self._besides_telemetry = {
            "v1/gateway/connect": self._announce, "v1/gateway/disconnect": self._retire,
            "v1/gateway/attributes": self._gateway_attributes, CLAIM: self._claim,
            **dict.fromkeys(OWN_ATTRIBUTES, self._own_attributes)}
        self.rules = rules
        self.store = Store()

    def login(self, username: str | None, password: str | None = None, client_id: str = "",
              certificate: str = "") -> ReasonCode:
        """Judge a CONNECT: the access token is the user name; with provisioning, any kind of credentials."""
        if self.rules.refuse_login is not None:
            return self.rules.refuse_login
        if self.rules.provisioning is not None and (not username or username != self.rules.token):
            return self.rules.provisioning.login(username, password, client_id, certificate)
        if not username:
            return ReasonCode.BAD_USERNAME_OR_PASSWORD
        return ReasonCode.SUCCESS if username == self.rules.token else ReasonCode.NOT_AUTHORIZED

    def provision(self, topic: str, payload: bytes) -> Verdict:
        """Judge a PUBLISH of a session whose user name is "provision"."""
        cut, self.rules.cut_at = self.rules.cut_at, ""
        if cut == "request":
            return Verdict(reason=None, cut=True)
        if topic != REQUEST_TOPIC or self.rules.provisioning is None:
            return Verdict(ReasonCode.TOPIC_NAME_INVALID, close=ReasonCode.NORMAL_DISCONNECTION)
        answer = self.rules.provisioning.answer(payload)
        if cut == "answer":
            return Verdict(reason=None, cut=True)
        if answer is None:
            return Verdict(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
        return Verdict(answer=(RESPONSE_TOPIC, answer))

    def publication(self, topic: str, payload: bytes, *, acknowledged: bool) -> Verdict:
        """Judge and store one PUBLISH. `acknowledged`: it came at QoS 1."""
        if refusal := self._by_topic(topic, payload):
            return refusal
        try:
            body = msgspec.json.decode(payload)
        except msgspec.DecodeError:
            return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
        if judged := self._besides_telemetry.get(topic):
            return judged(body)
        if scripted := self._scripted(payload):
            return scripted
        if topic == "v1/gateway/telemetry":
            return self._gateway(body) if acknowledged else Verdict(ReasonCode.UNSPECIFIED_ERROR)
        return self._elements(self.rules.gateway_name, body)

    def _by_topic(self, topic: str, payload: bytes) -> Verdict | None:
        if len(topic) + len(payload) + 10 > self.rules.max_payload_bytes:
            return Verdict(reason=None, close=ReasonCode.MALFORMED_PACKET)     # the decoder gives up: no PUBACK
        if match := OTA_REQUEST.fullmatch(topic):
            return self._chunk(match[1], int(match[2]), int(match[3]), payload)
        if topic.startswith(ATTRIBUTES_REQUEST):
            request = topic.removeprefix(ATTRIBUTES_REQUEST)
            return Verdict(answer=(ATTRIBUTES_RESPONSE + request, self.rules.packages.attributes(payload)))
        if topic.startswith((RPC_REQUEST, RPC_RESPONSE, GATEWAY_RPC)):
            asked = topic.startswith(RPC_REQUEST)
            return self._rpc(topic.removeprefix(RPC_REQUEST), payload) if asked else self._rpc_answered(topic, payload)
        if topic in GATEWAY_TOPICS:
            return None if self.rules.is_gateway else SILENCE                  # an error line in its log, no answer
        return None if topic in OWN_TOPICS | OWN_ATTRIBUTES | {CLAIM} else Verdict(ReasonCode.TOPIC_NAME_INVALID)

    def _scripted(self, payload: bytes) -> Verdict | None:
        if self.rules.next_verdicts:
            verdict = self.rules.next_verdicts.pop(0)
            return None if verdict.reason is ReasonCode.SUCCESS else verdict
        return next((verdict for text, verdict in self.rules.poison.items() if text.encode() in payload), None)

    def _rpc(self, request: str, payload: bytes) -> Verdict:
        if self.rules.limits is not None and b'"getSessionLimits"' in payload:
            return Verdict(answer=(RPC_RESPONSE + request, msgspec.json.encode(self.rules.limits)))
        return Verdict()

    def _rpc_answered(self, topic: str, payload: bytes) -> Verdict:
        """JsonMqttAdaptor.convertToDeviceRpcResponse, AbstractGatewaySessionHandler.onDeviceRpcResponse."""
        try:
            body = msgspec.json.decode(payload)
        except msgspec.DecodeError:
            return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
        if topic == GATEWAY_RPC and not (isinstance(body, dict) and {"device", "id", "data"} <= body.keys()):
            return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
        self.store.rpc_answers.append((topic, body))
        return Verdict()

    def _chunk(self, what: str, request: int, index: int, payload: bytes) -> Verdict:
        packages = self.rules.packages
        topic, data = packages.chunk(what, request, index, payload)
        if len(packages.requests) in packages.cut_at:
            return Verdict(reason=None, cut=True)
        if len(packages.requests) in packages.silent_at:
            return SILENCE
        if topic == ERROR_TOPIC:
            return Verdict(reason=None, answer=(topic, data), close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
        return Verdict(answer=(topic, data))

    def _announce(self, body: Any) -> Verdict:
        if not isinstance(body, dict) or not isinstance(body.get("device"), str):
            return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
        return self._create(body["device"], body.get("type") or "default", announced=True) or Verdict()

    def _retire(self, body: Any) -> Verdict:
        """AbstractGatewaySessionHandler.onDeviceDisconnect: the session of the sub-device ends, known or not."""
        if not isinstance(body, dict) or not isinstance(body.get("device"), str):
            return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
        self.store.retired[body["device"]] += 1
        return Verdict()

    def _claim(self, body: Any) -> Verdict:
        """JsonConverter.convertToClaimDeviceProto: secret and duration, both may be missing; kept until it is over."""
        if not isinstance(body, dict) or not isinstance(body.get("durationMs", 0), int):
            return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
        self.store.claims.append(body)
        return Verdict()

    def _own_attributes(self, body: Any) -> Verdict:
        return self._attributes(self.rules.gateway_name, body)

    def _attributes(self, device: str, body: Any) -> Verdict:
        """JsonConverter.convertToAttributesProto: one flat object; text is cast as in telemetry."""
        if self.rules.refuse_attributes is not None:
            return Verdict(self.rules.refuse_attributes)
        if not isinstance(body, dict) or any(not key or len(key) > MAX_KEY_CHARS for key in body):
            return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
        self.store.attributes.setdefault(device, {}).update({key: text_cast(value) for key, value in body.items()})
        return Verdict()

    def _gateway_attributes(self, body: Any) -> Verdict:
        """AbstractGatewaySessionHandler.onDeviceAttributes: each entry for itself; an unknown device is created."""
        if not isinstance(body, dict):
            return Verdict(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
        if not body:
            return SILENCE
        for device, values in body.items():
            refusal = self._create(device, "default")
            verdict = refusal or self._attributes(device, values)
            if verdict.reason is not ReasonCode.SUCCESS:
                return verdict
        return Verdict()

    def _create(self, device: str, profile: str, *, announced: bool = False) -> Verdict | None:
        if device in self.rules.refuse_device:
            return Verdict(ReasonCode.QUOTA_EXCEEDED)
        self.store.profiles.setdefault(device, profile)
        self.store.announced[device] += announced
        return None

    def _gateway(self, body: Any) -> Verdict:
        if not isinstance(body, dict):
            return Verdict(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
        produced = False
        for device, elements in body.items():
            if not isinstance(elements, list):
                self.store.skipped += 1          # a warning in its log, and yet acknowledged
                produced = True
                continue
            if refusal := self._create(device, "default"):
                return refusal
            verdict = self._elements(device, elements)
            if verdict.reason is None:
                continue
            if verdict.reason is not ReasonCode.SUCCESS:
                return verdict
            produced = True
        return Verdict() if produced else SILENCE

    def _elements(self, device: str, body: Any) -> Verdict:
        elements = body if isinstance(body, list) else [body]
        if not elements:
            return SILENCE                       # no message is produced, so nothing ever acknowledges it
        for element in elements:
            if not isinstance(element, dict) or not element:
                return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
            values = element.get("values", element if "ts" not in element else None)
            ts = element.get("ts", 0)
            if not isinstance(values, dict) or not isinstance(ts, int):
                return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
            if any(not key or len(key) > MAX_KEY_CHARS for key in values):
                return Verdict(ReasonCode.PAYLOAD_FORMAT_INVALID)
            self.store.keep(device, ts, {key: text_cast(value) for key, value in values.items()})
        return Verdict()

"""What ThingsBoard does with a gateway's session and publications (no I/O): a stand-in for demo and tests.

Behaviour after ThingsBoard 4.2's MQTT transport (MqttTransportHandler, AbstractGatewaySessionHandler, JsonConverter),
from its sources; which point stands where, and by which test it is held: docs/thingsboard-contract.md. Not stood
in for: protobuf payloads.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec
from moat.lib.mqtt import ReasonCode

from edge.demo import thingsboard_shared as shared
from edge.demo.thingsboard_devices import Devices
from edge.demo.thingsboard_limits import Bucket, Limits, buckets
from edge.demo.thingsboard_ota import ERROR_TOPIC
from edge.demo.thingsboard_ota import REQUEST as OTA_REQUEST
from edge.demo.thingsboard_provision import REQUEST_TOPIC, RESPONSE_TOPIC
from edge.demo.thingsboard_rpc import GATEWAY_CALLS, OWN_CALLS, Calls, Rpc
from edge.demo.thingsboard_rules import (
    BAD_PAYLOAD,
    NO_OBJECT,
    SILENCE,
    Message,
    Rules,
    Store,
    Verdict,
    decoded,
    text_cast,
)
from edge.demo.thingsboard_telemetry import Telemetry

__all__ = ["SILENCE", "Contract", "Rules", "Store", "Verdict", "text_cast"]

OWN_TOPICS = frozenset({"v1/devices/me/telemetry", "v2/t", "v2/t/j"})
GATEWAY_TELEMETRY = "v1/gateway/telemetry"
NOTICES = "v1/gateway/disconnect"
CLAIM = "v1/devices/me/claim"
RPC_REQUESTS = ("v1/devices/me/rpc/request/", "v2/r/req/")
RPC_RESPONSES = ("v1/devices/me/rpc/response/", "v2/r/res/")
SUBSCRIPTIONS = frozenset(shared.UPDATES) | OWN_CALLS.keys() | {f"{topic}+" for topic in RPC_RESPONSES} | {
    "v1/devices/me/attributes/response/+", "v2/a/res/+", "v1/gateway/attributes", shared.GATEWAY_RESPONSE,
    GATEWAY_CALLS, NOTICES, RESPONSE_TOPIC, "v2/fw/response/+/chunk/+", "v2/sw/response/+/chunk/+", ERROR_TOPIC,
    "v2/sw/error"}


class Sender(Protocol):
    """How the contract reaches the client. `acknowledged` is called with the PUBACK, where one comes."""

    def __call__(self, message: Message, acknowledged: Callable[[], object] | None = None) -> None:
        """Send a publication."""


def _nobody(message: Message, acknowledged: Callable[[], object] | None = None) -> None:
    """There is no session."""


class Contract:
    """One tenant with one gateway device. A session begins with `opened`, and ends with `closed`."""

    def __init__(self, rules: Rules, now: Callable[[], float] = time.monotonic, store: Store | None = None) -> None:
        """Start with an empty store. `now` is the server's clock where only differences count, seconds."""
        self.rules, self.store = rules, store if store is not None else Store()
        self.devices, self.limits, self.calls = Devices(now), Limits(now), Calls(now)
        self.devices.opened = self._send_pending
        self.shared: dict[str, dict[str, object]] = {}      # by device, "" the gateway
        self.subscriptions: set[str] = set()
        self.send: Sender = _nobody
        self._telemetry = Telemetry(rules, self.store, self.devices, self.limits)
        self._by_body: Mapping[str, Callable[[Any], Verdict]] = {
            "v1/gateway/connect": self._announce, NOTICES: self._retire, "v1/gateway/claim": self._gateway_claim,
            "v1/gateway/attributes": self._telemetry.gateway_attributes, GATEWAY_CALLS: self._gateway_rpc_answered,
            shared.GATEWAY_REQUEST: self._gateway_attributes_requested, CLAIM: self._claim,
            **dict.fromkeys(shared.UPDATES, self._telemetry.own_attributes)}
        self._now, self._wrong_logins = now, 0
        self._opens: tuple[str, list[Bucket]] = ("", [])

    # ---- sessions

    def login(self, username: str | None, password: str | None = None, client_id: str = "",
              certificate: str = "") -> ReasonCode:
        """Judge a CONNECT: the access token is the user name; with provisioning, any kind of credentials."""
        if self.rules.refuse_login is not None:
            return self.rules.refuse_login
        reason = self._credentials(username, password, client_id, certificate)
        self._wrong_logins = 0 if reason is ReasonCode.SUCCESS else self._wrong_logins + 1
        return reason if reason is not ReasonCode.SUCCESS or self._may_open() else ReasonCode.CONNECTION_RATE_EXCEEDED

    @property
    def blocked(self) -> bool:
        """Too many wrong logins: connections are closed unheard (transport.rate_limits.ip_limits_enabled)."""
        return self.rules.block_after is not None and self._wrong_logins >= self.rules.block_after

    def _credentials(self, username: str | None, password: str | None, client_id: str, certificate: str) -> ReasonCode:
        if self.rules.provisioning is not None and (not username or username != self.rules.token):
            return self.rules.provisioning.login(username, password, client_id, certificate)
        if not username:
            return ReasonCode.BAD_USERNAME_OR_PASSWORD
        return ReasonCode.SUCCESS if username == self.rules.token else ReasonCode.NOT_AUTHORIZED

    def _may_open(self) -> bool:
        now = self._now()
        if self._opens[0] != self.rules.opens:
            self._opens = self.rules.opens, buckets(self.rules.opens, now)
        if not all(bucket.has(1, now) for bucket in self._opens[1]):
            return False
        for bucket in self._opens[1]:
            bucket.take(1)
        return True

    def opened(self, send: Sender) -> None:
        """A session of the gateway begins; nothing is kept of an earlier one."""
        self.closed()
        self.send = send
        self.devices.connect(self.rules.gateway_name)

    def closed(self) -> None:
        """It is over, and with it those of the devices behind it."""
        self.send = _nobody
        self.subscriptions.clear()
        self.devices.disconnect_all()

    def subscribe(self, topics: Iterable[str]) -> list[ReasonCode]:
        """Grant QoS 1 for what there is; what waits for a subscriber is sent at once."""
        granted = []
        for topic in topics:
            granted.append(ReasonCode.GRANTED_QOS_1 if topic in SUBSCRIPTIONS else ReasonCode.TOPIC_FILTER_INVALID)
            self.subscriptions.add(topic)
            if self._telemetry.allowed("") is None and topic in OWN_CALLS:
                self._send_pending("")
        return granted

    # ---- what the operator does

    def set_shared(self, device: str, values: Mapping[str, object]) -> None:
        """Set shared attributes of a device, "" the gateway."""
        self.shared.setdefault(device, {}).update(values)
        self._push(device, values)

    def delete_shared(self, device: str, *keys: str) -> None:
        """Delete shared attributes."""
        for key in keys:
            self.shared.get(device, {}).pop(key, None)
        self._push(device, {}, keys)

    def call(self, device: str, method: str, params: Any = None, *, one_way: bool = False, persistent: bool = False,
             timeout_s: float = 10.0) -> Rpc:
        """Call a method of a device, "" the gateway."""
        made = self.calls.call(device, method, params, one_way=one_way, persistent=persistent, timeout_s=timeout_s)
        if self._calls_topic(device) is not None:
            self._send_call(made)
        return made

    def _push(self, device: str, values: Mapping[str, object], deleted: tuple[str, ...] = ()) -> None:
        if device:
            if self.devices.of(device).connected:
                self.send(shared.update(device, values, deleted))
            return
        for topic in self.subscriptions.intersection(shared.UPDATES):
            self.send(shared.update("", values, deleted, topic=topic))

    def _calls_topic(self, device: str) -> str | None:
        """Return what the topic of the gateway's own calls begins with; None where the device hears of none."""
        if device:
            return RPC_REQUESTS[0] if self.devices.of(device).connected else None
        return next((OWN_CALLS[topic] for topic in self.subscriptions & OWN_CALLS.keys()), None)

    def _send_pending(self, device: str) -> None:
        for rpc in self.calls.pending(device):
            self._send_call(rpc)

    def _send_call(self, rpc: Rpc) -> None:
        message = self.calls.message(rpc, self._calls_topic(rpc.device) or RPC_REQUESTS[0])
        self.send(message, partial(self.calls.acknowledged, rpc))

    # ---- what the gateway sends

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
        return NO_OBJECT if answer is None else Verdict(answer=(RESPONSE_TOPIC, answer))

    def publication(self, topic: str, payload: bytes, *, acknowledged: bool) -> Verdict:
        """Judge and store one PUBLISH. `acknowledged`: it came at QoS 1."""
        if len(topic) + len(payload) + 10 > self.rules.max_payload_bytes:
            return Verdict(reason=None, close=ReasonCode.MALFORMED_PACKET)     # the decoder gives up: no PUBACK
        if topic.startswith("v1/gateway/") and not self.rules.is_gateway:
            return SILENCE                                                     # an error line in its log, no answer
        judged = self._by_topic(topic, payload)
        if judged is not None:
            return judged
        try:
            body = decoded(payload)
        except msgspec.DecodeError:
            return BAD_PAYLOAD
        if topic in self._by_body:
            return self._by_body[topic](body)
        return self._scripted(payload) or self._taken(topic, body, acknowledged=acknowledged)

    def _taken(self, topic: str, body: Any, *, acknowledged: bool) -> Verdict:
        if topic in OWN_TOPICS:
            return self._telemetry.own(body)
        verdict = self._telemetry.gateway(body) if acknowledged else Verdict(ReasonCode.UNSPECIFIED_ERROR)
        return self._noticed(body, verdict)

    def _noticed(self, body: Any, verdict: Verdict) -> Verdict:
        """Tell a client of MQTT 5 which device's session ended, where a message of it failed."""
        if verdict.reason in (ReasonCode.QUOTA_EXCEEDED, ReasonCode.UNSPECIFIED_ERROR) and isinstance(body, dict):
            for device in body:
                self.send((NOTICES, msgspec.json.encode({"device": device, "reason": int(verdict.reason)})))
                break
        return verdict

    def _by_topic(self, topic: str, payload: bytes) -> Verdict | None:
        """Judge what is told from the topic; None where the body has to be read first."""
        if match := OTA_REQUEST.fullmatch(topic):
            return self._chunk(match[1], int(match[2]), int(match[3]), payload)
        own = self.shared.get("", {}) | self.rules.packages.shared()
        if asked := shared.requested(topic, payload, self.store.attributes.get(self.rules.gateway_name, {}), own):
            return self._telemetry.allowed("") or asked
        for requests, responses in zip(RPC_REQUESTS, RPC_RESPONSES, strict=True):
            if topic.startswith(requests):
                return self._telemetry.allowed("") or self._rpc(responses + topic.removeprefix(requests), payload)
            if topic.startswith(responses):
                return self._telemetry.allowed("") or self._own_rpc_answered(topic, responses, payload)
        known = topic in self._by_body or topic in OWN_TOPICS or topic == GATEWAY_TELEMETRY
        return None if known else Verdict(ReasonCode.TOPIC_NAME_INVALID)

    def _scripted(self, payload: bytes) -> Verdict | None:
        if self.rules.next_verdicts:
            verdict = self.rules.next_verdicts.pop(0)
            return None if verdict.reason is ReasonCode.SUCCESS else verdict
        return next((verdict for text, verdict in self.rules.poison.items() if text.encode() in payload), None)

    def _rpc(self, answer_topic: str, payload: bytes) -> Verdict:
        if self.rules.limits is not None and self.rules.tells_limits and b'"getSessionLimits"' in payload:
            return Verdict(answer=(answer_topic, msgspec.json.encode(self.rules.limits)))
        return Verdict()

    def _own_rpc_answered(self, topic: str, responses: str, payload: bytes) -> Verdict:
        """JsonMqttAdaptor.convertToDeviceRpcResponse."""
        number = topic.removeprefix(responses)
        try:
            body = decoded(payload)
        except msgspec.DecodeError:
            return BAD_PAYLOAD
        if not number.isdecimal():
            return BAD_PAYLOAD
        self.store.rpc_answers.append((topic, body))
        self.calls.answered("", int(number), body)
        return Verdict()

    def _gateway_rpc_answered(self, body: Any) -> Verdict:
        if not isinstance(body, dict) or not {"device", "id", "data"} <= body.keys():
            return BAD_PAYLOAD
        if refusal := self._telemetry.allowed(str(body["device"])):
            return refusal
        self.store.rpc_answers.append((GATEWAY_CALLS, body))
        self.calls.answered(str(body["device"]), int(body["id"]), body["data"])
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
        device = _device(body)
        if device is None:
            return NO_OBJECT
        refusal = self._telemetry.allowed(device)
        return refusal or self._telemetry.create(device, body.get("type") or "default", announced=True) or Verdict()

    def _retire(self, body: Any) -> Verdict:
        """AbstractGatewaySessionHandler.onDeviceDisconnect: the session of the device ends, known or not."""
        device = _device(body)
        if device is None:
            return NO_OBJECT
        if refusal := self._telemetry.allowed(device):
            return refusal
        self.store.retired[device] += 1
        self.devices.disconnect(device)
        return Verdict()

    def _gateway_attributes_requested(self, body: Any) -> Verdict:
        device = _device(body)
        if device is None:
            return NO_OBJECT
        if refusal := self._telemetry.allowed(device) or self._telemetry.create(device):
            return refusal
        return shared.gateway_requested(body, {True: self.store.attributes.get(device, {}),
                                               False: self.shared.get(device, {})})

    def _claim(self, body: Any) -> Verdict:
        """JsonConverter.convertToClaimDeviceProto: secret and duration, both may be missing; kept until it is over."""
        if not isinstance(body, dict) or not isinstance(body.get("durationMs", 0), int):
            return BAD_PAYLOAD
        self.store.claims.append(body)
        return Verdict()

    def _gateway_claim(self, body: Any) -> Verdict:
        if not isinstance(body, dict):
            return NO_OBJECT
        for device, claim in body.items():
            verdict = self._telemetry.create(device) or self._claim({"device": device, **claim})
            if verdict.reason is not ReasonCode.SUCCESS:
                return verdict
        return Verdict() if body else SILENCE


def _device(body: Any) -> str | None:
    """Return whom a gateway's publication is about; None where it has not the form for it."""
    device = body.get("device") if isinstance(body, dict) else None
    return device if isinstance(device, str) and device else None

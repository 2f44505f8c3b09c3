"""ThingsBoard's shared attributes (no I/O), for demo and tests: kept, asked for, pushed where they change.

Sources, ThingsBoard 4.2: MqttTopics; JsonMqttAdaptor.convertToGetAttributes, JsonConverter.toJson (device: a scope
without a value is left out; no keys asked for: all), AbstractGatewaySessionHandler.onDeviceAttributesRequestJson ("key"
or "keys", "client" must be there), JsonConverter.getJsonObjectForGateway ("value" for one key, "values" for more);
DeviceActorMessageProcessor.processAttributesUpdate: a change goes to the session that has subscribed; a device behind a
gateway has, as long as it is connected.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from edge.demo.thingsboard_rules import BAD_PAYLOAD, NO_OBJECT, Message, Verdict, decoded

UPDATES = ("v1/devices/me/attributes", "v2/a", "v2/a/j")
GATEWAY_UPDATES = "v1/gateway/attributes"
GATEWAY_REQUEST = "v1/gateway/attributes/request"
GATEWAY_RESPONSE = "v1/gateway/attributes/response"
_REQUESTS = {re.compile(r"v1/devices/me/attributes/request/(.*)"): "v1/devices/me/attributes/response/",
             re.compile(r"v2/a/req/(?:j/)?(.*)"): "v2/a/res/"}

Attributes = Mapping[str, object]


def requested(topic: str, payload: bytes, client: Attributes, shared: Attributes) -> Verdict | None:
    """Answer the gateway's request for attributes of its own; None: `topic` is none."""
    for pattern, response in _REQUESTS.items():
        if match := pattern.fullmatch(topic):
            return _answered(response, match[1], payload, {"client": client, "shared": shared})
    return None


def _answered(response: str, number: str, payload: bytes, scopes: Mapping[str, Attributes]) -> Verdict:
    try:
        body = decoded(payload)
    except msgspec.DecodeError:
        return BAD_PAYLOAD
    if not number.isdecimal() or not isinstance(body, dict):
        return BAD_PAYLOAD
    asked = {scope: str(body.get(f"{scope}Keys", "")).split(",") for scope in scopes}
    everything = asked == {"client": [""], "shared": [""]}
    told = {scope: found for scope, has in scopes.items()
            if (found := {key: value for key, value in has.items() if everything or key in asked[scope]})}
    return Verdict(answer=(response + number, msgspec.json.encode(told)))


def gateway_requested(body: Any, scopes: Mapping[bool, Attributes]) -> Verdict:
    """Answer the request for attributes of a device; `scopes` by what stands in "client"."""
    try:
        number, device, client = int(body["id"]), str(body["device"]), bool(body["client"])
        keys = [str(body["key"])] if "key" in body else [str(key) for key in body["keys"]]
    except (KeyError, TypeError, ValueError):
        return NO_OBJECT
    found = {key: value for key, value in scopes[client].items() if key in keys}
    told: dict[str, object] = {"id": number, "device": device}
    if len(keys) > 1:
        told["values"] = found
    elif found:
        told["value"] = found[keys[0]]
    return Verdict(answer=(GATEWAY_RESPONSE, msgspec.json.encode(told)))


def update(device: str, changed: Attributes, deleted: tuple[str, ...] = (), *, topic: str = UPDATES[0]) -> Message:
    """Return the publication of a change; `device` "": of the gateway's own, on the topic that it subscribed to."""
    body: dict[str, object] = {**changed}
    if deleted:
        body["deleted"] = list(deleted)
    if device:
        return GATEWAY_UPDATES, msgspec.json.encode({"device": device, "data": body})
    return topic, msgspec.json.encode(body)

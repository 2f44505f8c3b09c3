"""ThingsBoard's device provisioning and the three kinds of device credentials (no I/O), for demo and tests.

Sources, ThingsBoard 4.2: MqttTransportHandler (processConnect: user name or client id "provision" is let in unasked;
processProvisionSessionMsg: only PUBLISH to /provision/request, PINGREQ and DISCONNECT are looked at, so a SUBSCRIBE
gets no SUBACK; another topic is answered 0x90 and closed; DeviceProvisionCallback: PUBACK, then the answer whether
there is a subscription or not, closed 60 s later), JsonConverter.toJson(ProvisionDeviceResponseMsg) (their forms),
DeviceProvisionServiceImpl.provisionDevice (what is refused as what) and .processProvision (a device that was there
before answers each request alike), DeviceServiceImpl.saveDevice(ProvisionRequest) (the device's own wish is taken).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from moat.lib.mqtt import ReasonCode

USER_NAME = "provision"
REQUEST_TOPIC = "/provision/request"
RESPONSE_TOPIC = "/provision/response"
NOT_FOUND = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND"}
FAILURE = {"errorMsg": "Failed to provision device!", "status": "FAILURE"}

Strategy = Literal["ALLOW_CREATE_NEW_DEVICES", "CHECK_PRE_PROVISIONED_DEVICES"]


@dataclass(slots=True)
class Device:
    """A device's credentials as ThingsBoard keeps them: `value` is a token, a certificate, or Basic's three."""

    kind: str
    value: Any
    is_gateway: bool = True


@dataclass(slots=True)
class Provisioning:
    """One device profile that provisions, and the devices that there are."""

    key: str
    secret: str = field(repr=False)
    strategy: Strategy = "ALLOW_CREATE_NEW_DEVICES"
    devices: dict[str, Device] = field(default_factory=dict)
    may_create: bool = True                                       # False: the tenant's device limit
    requests: list[dict[str, Any]] = field(default_factory=list)
    on_certificate: Callable[[str], object] = lambda _pem: None   # a device with this certificate was made

    def answer(self, payload: bytes) -> bytes | None:
        """Do what a request asks, and return the answer; None for what is no request (PUBACK 0x83, closed)."""
        try:
            body = msgspec.json.decode(payload, type=dict[str, Any])
            self.requests.append(body)
            answer = self._judge(body["provisionDeviceKey"], body["provisionDeviceSecret"], body)
        except (msgspec.DecodeError, KeyError):
            return None
        return msgspec.json.encode(answer)

    def _judge(self, key: str, secret: str, body: dict[str, Any]) -> dict[str, Any]:
        name = str(body.get("deviceName") or secrets.token_hex(10)).strip()
        if (key, secret) != (self.key, self.secret):
            return NOT_FOUND
        there = self.devices.get(name)
        if self.strategy == "CHECK_PRE_PROVISIONED_DEVICES":
            return FAILURE if there is None else _told(there)
        if there is not None or not self.may_create:
            return FAILURE
        kind = body.get("credentialsType", "ACCESS_TOKEN")
        made = Device(kind, _wish(kind, body), is_gateway=body.get("gateway") is True)
        self.devices[name] = made
        if kind == "X509_CERTIFICATE":
            self.on_certificate(made.value)
        return _told(made)

    def login(self, username: str | None, password: str | None, client_id: str, certificate: str) -> ReasonCode:
        """Judge a CONNECT by what the devices have; a certificate (PEM) counts before anything else."""
        if certificate:
            known = ["".join(device.value.split()) for device in self.devices.values()
                     if device.kind == "X509_CERTIFICATE"]
            return ReasonCode.SUCCESS if "".join(certificate.split()) in known else ReasonCode.NOT_AUTHORIZED
        basic = {"clientId": client_id, "userName": username, "password": password}
        for device in self.devices.values():
            if (device.kind, device.value) in (("ACCESS_TOKEN", username), ("MQTT_BASIC", basic)):
                return ReasonCode.SUCCESS
        return ReasonCode.BAD_USERNAME_OR_PASSWORD


def _wish(kind: str, body: dict[str, Any]) -> Any:
    if kind == "ACCESS_TOKEN":
        return body.get("token") or secrets.token_hex(10)
    if kind == "MQTT_BASIC":
        return {"clientId": body.get("clientId"), "userName": body.get("username"), "password": body.get("password")}
    return body["hash"]


def _told(device: Device) -> dict[str, Any]:
    return {"credentialsType": device.kind, "credentialsValue": device.value, "status": "SUCCESS"}

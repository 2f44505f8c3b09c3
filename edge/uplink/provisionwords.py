"""What a gateway without credentials and ThingsBoard say to each other (pure).

    user name "provision" ─► /provision/request  {"deviceName","provisionDeviceKey","provisionDeviceSecret","gateway",
                                                  "credentialsType", and what it wants: "token" | "clientId","username",
                                                  "password" | "hash"}
                          ◄─ /provision/response {"status":"SUCCESS","credentialsType","credentialsValue"}
                                                 {"status":"FAILURE"|"NOT_FOUND","errorMsg"}

ThingsBoard "Device provisioning"; JsonConverter and DeviceProvisionServiceImpl of its sources. The server takes what a
device wants when it makes the device (ALLOW_CREATE_NEW_DEVICES), and answers with what it has where the device was
there before (CHECK_PRE_PROVISIONED_DEVICES): so the answer counts. NOT_FOUND stands for an unknown key and for a wrong
secret; FAILURE for all the rest, above all for a device of that name.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from edge.config import Credentials
from edge.errors import Rejected, Retryable
from edge.model import Publish
from edge.uplink.heard import heard

USER_NAME = "provision"
REQUEST_TOPIC = "/provision/request"
RESPONSE_TOPIC = "/provision/response"

TYPES: dict[str, Credentials] = {"ACCESS_TOKEN": "access_token", "MQTT_BASIC": "mqtt_basic", "X509_CERTIFICATE": "x509"}
_NAMES = {kind: name for name, kind in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, a password with its two names, or a certificate (PEM)."""

    kind: Credentials
    secret: str = field(repr=False)
    client_id: str = ""
    username: str = ""

    def same(self, other: "Credential") -> bool:
        """Tell whether the secrets are; a certificate is the same without its line ends, as ThingsBoard keeps it."""
        return (self.kind, _bare(self)) == (other.kind, _bare(other))


def request(name: str, key: str, secret: str, wanted: Credential) -> Publish:
    """Ask for the device `name`, a gateway, with the credential that it wants."""
    match wanted.kind:
        case "access_token":
            asked = {"token": wanted.secret}
        case "mqtt_basic":
            asked = {"clientId": wanted.client_id, "username": wanted.username, "password": wanted.secret}
        case _:
            asked = {"hash": wanted.secret}
    body = {"deviceName": name, "provisionDeviceKey": key, "provisionDeviceSecret": secret, "gateway": True,
            "credentialsType": _NAMES[wanted.kind], **asked}
    return Publish(REQUEST_TOPIC, msgspec.json.encode(body))


class _Basic(msgspec.Struct, rename="camel"):
    password: str | None = None
    client_id: str | None = None
    user_name: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    status: Literal["SUCCESS", "FAILURE", "NOT_FOUND"]
    error_msg: str = ""
    credentials_type: str = "ACCESS_TOKEN"
    credentials_value: str | _Basic | None = None


def granted(payload: bytes, name: str, where: str) -> Credential:
    """Return what the server gave. AlreadyThere or Rejected for its refusals, Retryable for what is no answer."""
    try:
        answer = heard(payload, _Answer)
    except ValueError as error:      # from None: the cause may hold a secret
        raise Retryable(f"{where} answers the provisioning request with what is none: {str(error)[:80]}") from None
    told = f" ({answer.error_msg[:120]})" if answer.error_msg.isprintable() and answer.error_msg else ""
    if answer.status == "NOT_FOUND":
        raise Rejected(f"{where} knows no uplink.provision_key like this with this secret{told}; compare them with the "
                       "device profile")
    if answer.status == "FAILURE":
        raise AlreadyThere(f"{where} does not provision {name}{told}: it has a device of that name with other "
                           "credentials, or may not make one; delete the device, or put its credentials here")
    kind, value = TYPES.get(answer.credentials_type), answer.credentials_value
    if kind == "mqtt_basic" and isinstance(value, _Basic) and value.password:
        return Credential(kind, value.password, value.client_id or "", value.user_name or "")
    if kind in ("access_token", "x509") and isinstance(value, str) and value:
        return Credential(kind, value)
    raise Retryable(f"{where} gave credentials of a kind that is not known: {answer.credentials_type[:40]!r}")


class AlreadyThere(Rejected):
    """ThingsBoard's FAILURE. After a cut it may also mean: the device is there, and made by this gateway's request."""


def _bare(credential: Credential) -> str:
    if credential.kind != "x509":
        return credential.secret
    lines = [line for line in credential.secret.replace("-----", "\n").splitlines() if " CERTIFICATE" not in line]
    return "".join("".join(lines).split())

"""What ThingsBoard makes of telemetry and client attributes (no I/O), for demo and tests.

Sources, ThingsBoard 4.2: JsonConverter (the forms, the casts), AbstractGatewaySessionHandler (each device's entry for
itself; an unknown device is created with the profile "default"; what fails makes the whole message fail, though other
entries of it were kept), DefaultTransportService (limits first, then activity).
"""

import time
from typing import Any

from moat.lib.mqtt import ReasonCode

from edge.demo.thingsboard_devices import Devices
from edge.demo.thingsboard_limits import Limits
from edge.demo.thingsboard_rules import BAD_PAYLOAD, NO_OBJECT, SILENCE, Rules, Store, Verdict, text_cast

MAX_KEY_CHARS = 255
TOO_MUCH_OWN = Verdict(reason=None, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
TOO_MUCH = Verdict(ReasonCode.QUOTA_EXCEEDED, close=ReasonCode.QUOTA_EXCEEDED)
TOO_MUCH_BEFORE_4_2_1 = Verdict(reason=None, close=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)


class Telemetry:
    """Judges, and keeps what is taken."""

    def __init__(self, rules: Rules, store: Store, devices: Devices, limits: Limits) -> None:
        """All four are the contract's."""
        self._rules, self._store, self._devices, self._limits = rules, store, devices, limits

    def allowed(self, device: str, points: int = 0) -> Verdict | None:
        """Book a message of a device, "" the gateway; return the refusal of one that is beyond its limits."""
        rules = self._rules
        if not rules.enforce_limits or rules.limits is None or self._limits.allow(
                rules.limits, own=not device, points=points):
            return None
        if not device:
            return TOO_MUCH_OWN
        return TOO_MUCH_BEFORE_4_2_1 if rules.before_4_2_1 else TOO_MUCH

    def create(self, device: str, profile: str = "default", *, announced: bool = False) -> Verdict | None:
        """Open a device's session, and make the device if there is none; return why that cannot be."""
        if device in self._rules.refuse_device:
            return Verdict(ReasonCode.QUOTA_EXCEEDED)
        self._store.profiles.setdefault(device, profile)
        self._store.announced[device] += announced
        self._devices.connect(device)
        return None

    def own(self, body: Any) -> Verdict:
        """Take telemetry of the gateway's own."""
        return self._keep("", body)

    def gateway(self, body: Any) -> Verdict:
        """Take `{"device":[element,..],..}`."""
        if not isinstance(body, dict):
            return NO_OBJECT
        produced = False
        for device, elements in body.items():
            if not isinstance(elements, list):
                self._store.skipped += 1          # a warning in its log, and yet acknowledged
                produced = True
                continue
            if refusal := self.create(device):
                return refusal
            verdict = self._keep(device, elements)
            if verdict.reason is None and verdict.close is None:
                continue
            if verdict.reason is not ReasonCode.SUCCESS:
                return verdict
            produced = True
        return Verdict() if produced else SILENCE

    def own_attributes(self, body: Any) -> Verdict:
        """Take client attributes of the gateway's own."""
        return self._attributes("", body)

    def gateway_attributes(self, body: Any) -> Verdict:
        """Take `{"device":{"key":value},..}`."""
        if not isinstance(body, dict):
            return NO_OBJECT
        if not body:
            return SILENCE
        for device, values in body.items():
            verdict = self.create(device) or self._attributes(device, values)
            if verdict.reason is not ReasonCode.SUCCESS:
                return verdict
        return Verdict()

    def _keep(self, device: str, body: Any) -> Verdict:
        elements = body if isinstance(body, list) else [body]
        if not elements:
            return SILENCE                       # no message is produced, so nothing ever acknowledges it
        read = [_element(element) for element in elements]
        taken = [element for element in read if element is not None]
        if len(taken) != len(read):
            return BAD_PAYLOAD
        if refusal := self.allowed(device, sum(len(values) for _, values in taken)):
            return refusal
        name = device or self._rules.gateway_name
        self._devices.heard(name)
        for ts, values in taken:
            self._store.keep(name, ts, {key: text_cast(value) for key, value in values.items()})
        return Verdict()

    def _attributes(self, device: str, body: Any) -> Verdict:
        """JsonConverter.convertToAttributesProto: one flat object; text is cast as in telemetry."""
        if self._rules.refuse_attributes is not None:
            return Verdict(self._rules.refuse_attributes)
        if not isinstance(body, dict) or any(not key or len(key) > MAX_KEY_CHARS for key in body):
            return BAD_PAYLOAD
        if refusal := self.allowed(device, len(body)):
            return refusal
        name = device or self._rules.gateway_name
        self._devices.heard(name)
        self._store.attributes.setdefault(name, {}).update({key: text_cast(value) for key, value in body.items()})
        return Verdict()


def _element(element: Any) -> tuple[int, dict[str, Any]] | None:
    """Read `{"ts":..,"values":{..}}`, or bare values, which get the time of their arrival; None: neither."""
    if not isinstance(element, dict) or not element:
        return None
    values, ts = (element.get("values"), element["ts"]) if "ts" in element else (element, round(time.time() * 1000))
    if not isinstance(values, dict) or type(ts) is not int:
        return None
    return None if any(not key or len(key) > MAX_KEY_CHARS for key in values) else (ts, values)

"""Hears what ThingsBoard offers (pure): a talk that asks for the shared attributes and follows their changes.

    v1/devices/me/attributes/request/{id}   {"sharedKeys":"fw_title,..."} ─► the server
    v1/devices/me/attributes/response/{id}  ◄─ {"shared":{"fw_title":..,..}}
    v1/devices/me/attributes                ◄─ {"fw_title":..,..} or {"deleted":["fw_title",..]}

Source: ThingsBoard "MQTT Device API", attributes; the server keeps no session, so both again on each connection.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge.model import Publish
from edge.ota.offer import KEYS
from edge.uplink.talk import Said

UPDATES = "v1/devices/me/attributes"
RESPONSES = "v1/devices/me/attributes/response/"
REQUEST_ID = 78_000      # others ask too, and everybody hears every answer
ASK_AGAIN_S = 60.0


class Intake:
    """The talk. `attributes` is what the server has of KEYS; `changed` is called when it may be something else."""

    topics: tuple[str, ...] = (UPDATES, f"{RESPONSES}+")

    def __init__(self, changed: Callable[[Mapping[str, object]], object]) -> None:
        """Nothing is known before the first answer."""
        self.wake: Callable[[], object] = lambda: None
        self._changed = changed
        self._attributes: dict[str, object] = {}
        self._ask_at = float("inf")

    def began(self) -> None:
        """Ask anew."""
        self._ask_at = float("-inf")

    def ended(self) -> None:
        """What was asked is not answered any more."""
        self._ask_at = float("inf")

    def heard(self, topic: str, payload: bytes, now: float) -> None:      # noqa: ARG002 - the talk's signature
        """Take the answer, or a change."""
        ours = topic == f"{RESPONSES}{REQUEST_ID}"
        if not ours and topic != UPDATES:
            return
        try:
            body = msgspec.json.decode(payload, type=dict[str, Any])
        except msgspec.DecodeError:
            return
        if ours:
            self._ask_at = float("inf")
            shared = body.get("shared")
            self._take(shared if isinstance(shared, dict) else {}, forgotten=KEYS)
            return
        deleted = body.get("deleted")
        gone = tuple(str(key) for key in deleted) if isinstance(deleted, list) else ()
        if set(KEYS) & {*body, *gone}:
            self._take(body, forgotten=gone)

    def _take(self, values: Mapping[str, object], forgotten: tuple[str, ...]) -> None:
        kept = {key: value for key, value in self._attributes.items() if key not in forgotten}
        self._attributes = kept | {key: value for key, value in values.items() if key in KEYS}
        self._changed(dict(self._attributes))

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:      # noqa: ARG002 - same
        """Return the question once per connection, again while it is not answered."""
        if now < self._ask_at:
            return None
        self._ask_at = now + ASK_AGAIN_S
        body = msgspec.json.encode({"sharedKeys": ",".join(KEYS)})
        return Said(Publish(f"v1/devices/me/attributes/request/{REQUEST_ID}", body))

    def rest_s(self, now: float) -> float:
        """Return how long until the question is asked again."""
        return max(0.0, self._ask_at - now)

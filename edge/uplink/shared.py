"""Hears what ThingsBoard sets for this gateway (pure): the talk about shared attributes, one for all who follow some.

    v1/devices/me/attributes/request/{id}   {"sharedKeys":"fw_title,..."} ─► the server
    v1/devices/me/attributes/response/{id}  ◄─ {"shared":{"fw_title":..,..}}
    v1/devices/me/attributes                ◄─ {"fw_title":..,..} or {"deleted":["fw_title",..]}

Source: ThingsBoard "MQTT Device API", attributes; the server keeps no session, so both again on each connection. What
it does not answer with is not set there; before its first answer nothing is known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from edge.model import Publish
from edge.uplink.heard import heard
from edge.uplink.talk import Said

UPDATES = "v1/devices/me/attributes"
RESPONSES = "v1/devices/me/attributes/response/"
REQUEST_ID = 78_000      # others ask too, and everybody hears every answer
ASK_AGAIN_S = 60.0


class _Follower(NamedTuple):
    keys: tuple[str, ...]
    changed: Callable[[Mapping[str, object]], object]


class SharedAttributes:
    """The talk."""

    topics: tuple[str, ...] = (UPDATES, f"{RESPONSES}+")

    def __init__(self) -> None:
        """Nobody follows anything, and nothing is known before the first answer."""
        self.wake: Callable[[], object] = lambda: None
        self._followers: tuple[_Follower, ...] = ()
        self._attributes: dict[str, object] = {}
        self._ask_at = float("inf")

    def follow(self, keys: Sequence[str], changed: Callable[[Mapping[str, object]], object]) -> None:
        """Have `changed` called with those of `keys` that are set, when they may be others than before.

        Before the first connection.
        """
        self._followers = (*self._followers, _Follower(tuple(keys), changed))

    @property
    def _keys(self) -> tuple[str, ...]:
        return tuple(key for follower in self._followers for key in follower.keys)

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
            body = heard(payload, dict[str, Any])
        except ValueError:
            return
        if ours:
            self._ask_at = float("inf")
            shared = body.get("shared")
            self._take(shared if isinstance(shared, dict) else {}, forgotten=self._keys)
            return
        deleted = body.get("deleted")
        self._take(body, forgotten=tuple(str(key) for key in deleted) if isinstance(deleted, list) else ())

    def _take(self, values: Mapping[str, object], forgotten: Sequence[str]) -> None:
        kept = {key: value for key, value in self._attributes.items() if key not in forgotten}
        self._attributes = kept | {key: value for key, value in values.items() if key in self._keys}
        for follower in self._followers:
            if not {*values, *forgotten}.isdisjoint(follower.keys):
                follower.changed({key: self._attributes[key] for key in follower.keys if key in self._attributes})

    def due(self, now: float, *, idle: bool, limit_bytes: int) -> Said | None:      # noqa: ARG002 - same
        """Return the question once per connection, again while it is not answered."""
        if now < self._ask_at:
            return None
        self._ask_at = now + ASK_AGAIN_S
        body = msgspec.json.encode({"sharedKeys": ",".join(self._keys)})
        return Said(Publish(f"v1/devices/me/attributes/request/{REQUEST_ID}", body))

    def rest_s(self, now: float) -> float:
        """Return how long until the question is asked again."""
        return max(0.0, self._ask_at - now)

"""What is so now of the gateway and of each meter: ThingsBoard's client attributes (pure).

Attributes have no time of their own at ThingsBoard: what arrives last stands. So they never go through the ring, where
an old value could overtake a new one; here is only how things are now, and each connection brings the server up to
date: everything once, then what changes. A value that was told twice between two publications is sent once, the newer.

Topics and forms: ThingsBoard "MQTT Device API" (`v1/devices/me/attributes`, `{"key":value}`) and "Gateway MQTT API"
(`v1/gateway/attributes`, `{"device":{"key":value}}`). The names stand in `cloud/keys.toml` as [[attribute]].
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import msgspec

from edge.model import Publish
from edge.uplink.thingsboard import MAX_KEY_CHARS, decimal_text, device_name, safe_text

MAX_TEXT_CHARS = 1_024      # of one value: these are nameplates, not documents

Attribute = bool | int | str

_json = msgspec.json.Encoder().encode


class Attributes:
    """The board that all parts of the gateway write on; it outlives connections. All calls belong to one loop."""

    def __init__(self) -> None:
        """Nothing is known. `wake` is called after each change; the uplink puts its own there."""
        self.wake: Callable[[], object] = lambda: None
        self.version = 0                                   # grows with each change
        self._values: dict[str, dict[str, Attribute]] = {}

    def tell(self, device: str, values: Mapping[str, Attribute | None]) -> None:
        """Say what is so of a meter, or of the gateway ("").

        Keys of earlier calls stay as they were told. None takes a key back: it is sent no more, and what ThingsBoard
        has of it stands there until someone deletes it. Text beyond `MAX_TEXT_CHARS` is cut.
        """
        known = self._values.get(device, {})
        new = dict(known)
        for key, value in values.items():
            if value is None:
                new.pop(key, None)
            else:
                new[key] = value[:MAX_TEXT_CHARS] if isinstance(value, str) else value
        if new != known:
            self._values[device] = new
            self._changed()

    def forget(self, device: str) -> None:
        """A meter is gone from the registry: nothing more is sent of it."""
        if self._values.pop(device, None) is not None:
            self._changed()

    def devices(self) -> tuple[str, ...]:
        """Return of whom something is known, the gateway ("") first."""
        return tuple(sorted(self._values))

    def of(self, device: str) -> Mapping[str, Attribute]:
        """Return what is so of one."""
        return self._values.get(device, {})

    def _changed(self) -> None:
        self.version += 1
        self.wake()


@dataclass(frozen=True, slots=True)
class Due:
    """One publication that is due, and what it says."""

    device: str
    values: Mapping[str, Attribute]
    publish: Publish


@dataclass(slots=True)
class Report:
    """What one connection has said of a board, in the form of the server's dialect."""

    board: Attributes
    form: Callable[[str, bytes], Publish | None]
    _said: dict[str, dict[str, Attribute]] = field(default_factory=dict)
    _up_to: tuple[int, int] = (-1, -1)

    def due(self, announced: AbstractSet[str] | None, limit_bytes: int, changes: int | None = None) -> Due | None:
        """Return the next publication: of the gateway, or of a meter that is announced on this connection (None: all).

        Attributes of a meter that was not announced would create it with the profile "default", and make one active
        that has sent nothing. A value that alone is larger than `limit_bytes` is never sent. `changes` grows with each
        change of `announced`.
        """
        seen = (self.board.version, len(announced or ()) if changes is None else changes)
        if seen == self._up_to:
            return None
        for device in self.board.devices():
            if device and announced is not None and device not in announced:
                continue
            said = self._said.get(device, {})
            changed = {key: value for key, value in self.board.of(device).items()
                       if key not in said or said[key] != value or type(said[key]) is not type(value)}
            if due := self._fitting(device, changed, limit_bytes):
                return due
        self._up_to = seen
        return None

    def said(self, due: Due) -> None:
        """A publication was handed over. What the server says to it changes nothing: it is not sent again here."""
        self._said.setdefault(due.device, {}).update(due.values)

    def _fitting(self, device: str, values: Mapping[str, Attribute], limit_bytes: int) -> Due | None:
        """Return as many of the values as one publication takes; None if there are none, or none that fits."""
        taken: dict[str, Attribute] = {}
        texts: list[bytes] = []
        size_bytes = len(_json(device_name(device))) + 5      # {"device":{...}}, of both forms the longer one
        for key, value in sorted(values.items()):
            text = b"%b:%b" % (_json(safe_text(key)[:MAX_KEY_CHARS]), _value(value))
            if size_bytes + len(text) + 1 <= limit_bytes:
                size_bytes += len(text) + 1
                texts.append(text)
                taken[key] = value
        publish = self.form(device, b"{%b}" % b",".join(texts)) if taken else None
        return Due(device, taken, publish) if publish else None


def _value(value: Attribute) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return decimal_text(value, 0).encode() if isinstance(value, int) else _json(safe_text(value))

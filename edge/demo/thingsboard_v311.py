"""MQTT 3.1.1 for the stand-in (pure): its packets become those of MQTT 5 and the other way round.

Properties are empty on the way in and left out on the way out; reason codes become what 3.1.1 has for them (MQTT 3.1.1
and 5.0, chapter 3; ThingsBoard's ReturnCodeResolver for CONNACK). A PUBACK loses its reason: so it looks like success.
"""

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 1, 2, 3, 4, 8, 9, 10, 11
DISCONNECT = 14            # a server of 3.1.1 has none
LEVEL_AT, OLD, NEW = 6, 4, 5      # where CONNECT tells the protocol level, and what it is
FLAGS_AT, WITH_WILL = 7, 0x04     # of CONNECT
WITH_ID = 0x06             # flags of PUBLISH
FAILURE = 0x80
LENGTH_BYTES = 4

_CONNACK = {0x00: 0, 0x84: 1, 0x85: 2, 0x86: 5, 0x87: 5, 0x8A: 5}
UNAVAILABLE = 3


class Tongue:
    """Of one connection: which MQTT the client speaks shows in its first packet."""

    def __init__(self) -> None:
        """Nothing was heard."""
        self.old = False
        self._new = False
        self._waiting = b""

    def inbound(self, data: bytes) -> bytes:
        """Return what a server of MQTT 5 is to hear; what is no packet of 3.1.1 it gets as it is."""
        if self._new:
            return data
        self._waiting += data
        heard = b""
        while self._waiting and (cut := _cut(self._waiting)) is not None:
            first, body, rest = cut
            if not self.old and not (first >> 4 == CONNECT and body[LEVEL_AT:LEVEL_AT + 1] == bytes([OLD])):
                self._new = True
                return heard + self._waiting
            self.old, self._waiting = True, rest
            heard += _packet(first, _with_properties(first, body))
        return heard

    def outbound(self, data: bytes) -> bytes:
        """Return what the client is to hear. `data`: whole packets of MQTT 5."""
        if not self.old:
            return data
        said = b""
        while data and (cut := _cut(data)) is not None:
            first, body, data = cut
            if first >> 4 != DISCONNECT:
                said += _packet(first, _without_properties(first, body))
        return said


def _cut(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the first packet's first byte and body, and what comes behind it; None: it is not whole yet."""
    length, size = _length(data, 1)
    if size == 0 or len(data) < 1 + size + length:
        return None
    return data[0], data[1 + size:1 + size + length], data[1 + size + length:]


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable byte integer and how many bytes it takes; 0 bytes: it is not whole (MQTT 5, 1.5.5)."""
    value = 0
    for size, byte in enumerate(data[at:at + LENGTH_BYTES], 1):
        value |= (byte & 0x7F) << 7 * (size - 1)
        if byte < FAILURE:
            return value, size
    return 0, 0


def _packet(first: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while left >= FAILURE:
        length, left = length + bytes([left & 0x7F | 0x80]), left >> 7
    return bytes([first]) + length + bytes([left]) + body


def _behind_text(body: bytes, at: int) -> int:
    return at + 2 + int.from_bytes(body[at:at + 2], "big")


def _with_properties(first: int, body: bytes) -> bytes:
    kind = first >> 4
    if kind == CONNECT:
        body, will_at = body[:LEVEL_AT] + bytes([NEW]) + body[LEVEL_AT + 1:], _behind_text(body, 10)
        will = b"\0" if body[FLAGS_AT:FLAGS_AT + 1] > b"\0" and body[FLAGS_AT] & WITH_WILL else b""
        return body[:10] + b"\0" + body[10:will_at] + will + body[will_at:]
    if kind in (PUBLISH, SUBSCRIBE, UNSUBSCRIBE):
        at = _properties_at(first, body)
        return body[:at] + b"\0" + body[at:]
    return body


def _properties_at(first: int, body: bytes) -> int:
    if first >> 4 != PUBLISH:
        return 2
    return _behind_text(body, 0) + (2 if first & WITH_ID else 0)


def _without_properties(first: int, body: bytes) -> bytes:
    kind = first >> 4
    if kind == CONNACK:      # no session is present where the login is refused
        code = _CONNACK.get(body[1], UNAVAILABLE)
        return bytes([0 if code else body[0], code])
    if kind in (PUBACK, UNSUBACK):
        return body[:2]
    if kind not in (PUBLISH, SUBACK):
        return body
    at = _properties_at(first, body)
    length, size = _length(body, at)
    rest = body[at + size + length:]
    return body[:at] + (bytes(min(code, FAILURE) for code in rest) if kind == SUBACK else rest)

"""MQTT 5 reason codes as this gateway judges them (pure; MQTT 5.0, 2.4, and ThingsBoard's use of them)."""

from enum import Enum

TAKEN_OVER = 0x8E

REFUSED_LOGIN = frozenset({1, 2, 4, 5, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x9C, 0x9D})
"""CONNACK codes that only the operator can change (3.1.1's among them): asked again slowly, but for ever."""

POISON = frozenset({0x83, 0x90, 0x99})
"""PUBACK codes that speak of this very payload: bad payload 0x99, not an object 0x83, unknown topic 0x90."""

SUSPICIOUS_END = frozenset({None, 0x80, 0x81, 0x82, 0x90, 0x95, 0x99})
"""How a connection ends when a record may be to blame; None is a TCP link that just went. Not 0x83: ThingsBoard ends a
connection over the device's rate limit with it."""

RATE_END = frozenset({0x83, 0x96, 0x97})
"""How ThingsBoard ends a connection for its rate: the device API with 0x83, the gateway API with 0x97; 0x96 is MQTT."""

_TEXT = {
    1: "unacceptable protocol version", 2: "client id refused", 3: "server unavailable", 4: "bad user name or password",
    5: "not authorised", 0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error",
    0x83: "implementation specific error", 0x84: "unsupported protocol version", 0x85: "client id refused",
    0x86: "bad user name or password", 0x87: "not authorised", 0x88: "server unavailable", 0x89: "server busy",
    0x8A: "banned", 0x8B: "server shutting down", 0x8C: "bad authentication method", 0x8D: "keep alive timeout",
    0x8E: "session taken over", 0x90: "topic name invalid", 0x91: "packet id in use", 0x93: "receive maximum exceeded",
    0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded", 0x98: "administrative action",
    0x99: "payload format invalid", 0x9A: "retain not supported", 0x9B: "QoS not supported", 0x9C: "use another server",
    0x9D: "server moved", 0x9F: "connection rate exceeded",
}


class Judgement(Enum):
    """What a PUBACK means for the publication."""

    TAKEN = "taken"              # delete the records
    POISON = "poison"            # this payload will never be taken
    LATER = "later"              # quota, rate, a failing server: proves nothing against the payload


def judge(reason: int) -> Judgement:
    """Judge a PUBACK's reason code. 0x10 (no matching subscribers) is a success."""
    if reason < 0x80:
        return Judgement.TAKEN
    return Judgement.POISON if reason in POISON else Judgement.LATER


def reason_text(reason: int) -> str:
    """Return a reason code as an operator reads it: "0x97 quota exceeded"."""
    return f"{reason:#04x} {_TEXT.get(reason, 'unknown reason')}"

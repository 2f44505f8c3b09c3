"""What comes out of an MQTT connection (pure): answers, messages, and how it ended."""

from dataclasses import dataclass

from edge.errors import Rejected, Retryable
from edge.uplink.reasons import TAKEN_OVER, reason_text


@dataclass(frozen=True, slots=True)
class Ack:
    """A PUBACK: packet id and reason code. A reason of 0x80 or above is a refusal (MQTT 5, 3.4.2.1); 0 in 3.1.1."""

    packet_id: int
    reason: int


@dataclass(frozen=True, slots=True)
class Message:
    """A PUBLISH from the server."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Loss:
    """How a connection ended: `reason` is the code of a DISCONNECT from the server, None if the TCP link just went."""

    text: str
    reason: int | None = None


NO_MQTT = Loss("the server sent what is not MQTT")


def ended(reason: int | None) -> Loss:
    """Say how the server, or the link, ended a connection. `reason` as in Loss."""
    if reason is None:
        return Loss("the connection was lost")
    if reason == TAKEN_OVER:
        return Loss("another client logged in as this gateway; there must be only one", reason)
    return Loss(f"the server ended the session: {reason_text(reason)}", reason)


class OtherVersion(Rejected):
    """The server says that it does not speak this version of MQTT."""


class ClosedAtOnce(Retryable):
    """The server closed the connection before its CONNACK, which may be its way of saying the same."""


class Parted(Retryable):
    """The connection ended on purpose, and in good order."""


class Moved(Parted):
    """The connection ended because another path to the server is taken."""

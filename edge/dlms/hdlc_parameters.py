"""HDLC parameter negotiation: what SNRM proposes and UA settles (IEC 62056-46 clause 6.4.4.4.3).

    81 80 length | 05 n max information transmit | 06 n the same, receive | 07 04 window transmit | 08 04 window receive

Each side names what *it* transmits and receives. Values of one, two and four octets are in use for the lengths.
"""

from dataclasses import dataclass
from typing import Self

from edge.errors import Violation

_HEADER = b"\x81\x80"
_MAX_INFO_TRANSMIT, _MAX_INFO_RECEIVE, _WINDOW_TRANSMIT, _WINDOW_RECEIVE = 5, 6, 7, 8
DEFAULT_INFO_BYTES = 128
SMALLEST_INFO_BYTES = 16       # less than this cannot be meant: an LLC header and a few octets


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """Largest information fields in octets and windows in frames, as one side sees them; defaults of the standard."""

    max_info_transmit: int = DEFAULT_INFO_BYTES
    max_info_receive: int = DEFAULT_INFO_BYTES
    window_transmit: int = 1
    window_receive: int = 1

    def encode(self) -> bytes:
        """Encode as the information field of SNRM or UA: lengths in two octets, windows in four."""
        group = b"".join((
            bytes((_MAX_INFO_TRANSMIT, 2)), self.max_info_transmit.to_bytes(2, "big"),
            bytes((_MAX_INFO_RECEIVE, 2)), self.max_info_receive.to_bytes(2, "big"),
            bytes((_WINDOW_TRANSMIT, 4)), self.window_transmit.to_bytes(4, "big"),
            bytes((_WINDOW_RECEIVE, 4)), self.window_receive.to_bytes(4, "big")))
        return _HEADER + bytes((len(group),)) + group

    @classmethod
    def decode(cls, information: bytes) -> Self:
        """Read the field; empty means all defaults, unknown parameters are skipped. Raises Violation."""
        if not information:
            return cls()
        if information[:2] != _HEADER or len(information) < 3 or len(information) != 3 + information[2]:
            raise Violation("HDLC parameters are not 81 80 and as long as they say")
        found: dict[int, int] = {}
        at = 3
        while at < len(information):
            size = information[at + 1] if at + 1 < len(information) else 0
            value = information[at + 2:at + 2 + size]
            if not 1 <= size <= 4 or len(value) != size:
                raise Violation(f"HDLC parameter {information[at]} is malformed")
            found[information[at]] = int.from_bytes(value, "big")
            at += 2 + size
        made = cls(
            found.get(_MAX_INFO_TRANSMIT, DEFAULT_INFO_BYTES), found.get(_MAX_INFO_RECEIVE, DEFAULT_INFO_BYTES),
            found.get(_WINDOW_TRANSMIT, 1), found.get(_WINDOW_RECEIVE, 1))
        if min(made.max_info_transmit, made.max_info_receive) < SMALLEST_INFO_BYTES:
            raise Violation(f"HDLC information length below {SMALLEST_INFO_BYTES} octets")
        return made

    def limited(self, proposal: "LinkParameters | None") -> "LinkParameters":
        """Return the client's view of what holds after the meter's UA (self) answered `proposal` (None = defaults)."""
        own = proposal or LinkParameters()
        return LinkParameters(
            min(own.max_info_transmit, self.max_info_receive), min(own.max_info_receive, self.max_info_transmit),
            min(own.window_transmit, self.window_receive), min(own.window_receive, self.window_transmit))

"""What a TCP connection cost (pure): the kernel's own count, retransmissions and headers included."""

import struct
from typing import NamedTuple

TCP_INFO_BYTES = 208       # up to and with tcpi_bytes_sent (Linux 4.19 on)
HEADER_BYTES = 52          # of each segment: IPv4 20, TCP 20, timestamps 12; IPv6 has 20 more

_COUNTS = struct.Struct("=128xQ2I56xQ")      # include/uapi/linux/tcp.h: bytes_received, segs_out, segs_in, bytes_sent


class Traffic(NamedTuple):
    """Bytes as a modem's contract counts them, nearly: IP packets of one connection."""

    sent_bytes: int = 0
    received_bytes: int = 0

    def plus(self, other: "Traffic") -> "Traffic":
        """Return the sum."""
        return Traffic(self.sent_bytes + other.sent_bytes, self.received_bytes + other.received_bytes)

    def minus(self, other: "Traffic") -> "Traffic":
        """Return the difference."""
        return Traffic(self.sent_bytes - other.sent_bytes, self.received_bytes - other.received_bytes)


def traffic_of(tcp_info: bytes) -> Traffic:
    """Read a struct tcp_info; nothing where the kernel is too old to count."""
    if len(tcp_info) < TCP_INFO_BYTES:
        return Traffic()
    received, segments_out, segments_in, sent = _COUNTS.unpack_from(tcp_info)
    return Traffic(sent + segments_out * HEADER_BYTES, received + segments_in * HEADER_BYTES)

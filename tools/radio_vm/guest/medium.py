"""The air between simulated radios: python3 medium.py LEVELS.json. Levels per direction, loss by signal-to-noise ratio.

Takes every frame from mac80211_hwsim by its netlink family (linux: drivers/net/wireless/virtual/mac80211_hwsim.h) and
gives it to each radio that hears it, with the level set for that direction; then tells the sender how often it was sent
and whether it was acknowledged. LEVELS.json is {"0>1": -65, ...}, radio numbers and dBm, read again when it changes;
a direction that is not in it carries nothing. Rates are the eight of 802.11a, which is why the access point has no 11n.
"""

import json
import os
import random
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from telling import ready

from halow.netlink import (
    CTRL_ATTR_FAMILY_ID,
    CTRL_ATTR_FAMILY_NAME,
    CTRL_CMD_GETFAMILY,
    GENERIC,
    GENL_ID_CTRL,
    HEADER,
    NLM_F_REQUEST,
    attribute,
    attributes,
)

NETLINK_GENERIC = 16
REGISTER, FRAME, TX_INFO_FRAME = 1, 2, 3
RECEIVER, TRANSMITTER, DATA, FLAGS, RX_RATE, SIGNAL, TX_INFO, COOKIE, FREQUENCY = 1, 2, 3, 4, 5, 6, 7, 8, 19
NO_ACK, ACKED = 2, 4
RADIOS = 4
NOISE_DBM = -98
NEEDED_DB = (4, 5, 7, 10, 13, 17, 21, 23)
"""Signal-to-noise ratio at which half of the frames at 6, 9, 12, 18, 24, 36, 48, 54 Mbit/s are lost."""
SLOPE_DB = 3.0

Attempts = list[tuple[int, int]]      # (rate index, how often), the driver's order


def address(radio: int) -> bytes:
    """Return the address that hwsim knows a radio by on its netlink family."""
    return bytes((0x42, 0, 0, 0, radio, 0))


def lost(snr_db: float, rate: int) -> float:
    """Return the share of frames that a rate loses at this ratio."""
    return min(1.0, max(0.0, (SLOPE_DB - (snr_db - NEEDED_DB[min(rate, 7)])) / (2 * SLOPE_DB)))


class Medium:
    """Levels, and what becomes of a frame under them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed_ns = 0
        self._levels: dict[str, int] = {}

    def level(self, sender: int, receiver: int) -> int | None:
        """Return how strong one radio hears another, None where it does not."""
        return self._levels.get(f"{sender}>{receiver}")

    def refresh(self) -> None:
        """Read the levels again where they have changed. The file is replaced whole."""
        changed_ns = self._path.stat().st_mtime_ns
        if changed_ns != self._changed_ns:
            self._changed_ns = changed_ns
            self._levels = json.loads(self._path.read_text())

    def carry(self, message: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield (command, attributes) of everything that one frame causes."""
        self.refresh()
        sender, frame = message[TRANSMITTER][4], message[DATA]
        (flags,) = struct.unpack("=I", message[FLAGS])
        planned = [(index, count) for index, count in struct.iter_unpack("=bB", message[TX_INFO]) if index >= 0]
        group = bool(frame[4] & 1)
        answered = not group and not flags & NO_ACK
        acknowledged: Attempts | None = None
        ack_dbm = 0
        for receiver in range(RADIOS):
            heard_dbm = self.level(sender, receiver)
            if receiver == sender or heard_dbm is None:
                continue
            attempts, rate = self._try(planned, heard_dbm - NOISE_DBM, repeated=answered)
            if rate is None:
                continue
            yield FRAME, (attribute(RECEIVER, address(receiver)) + attribute(DATA, frame)
                          + attribute(RX_RATE, struct.pack("=I", rate))
                          + attribute(SIGNAL, struct.pack("=i", heard_dbm))
                          + (attribute(FREQUENCY, message[FREQUENCY]) if FREQUENCY in message else b""))
            if answered and frame[5:10] == address(receiver)[1:]:      # its MAC address, 02:..., for the sake of 42:...
                back_dbm = self.level(receiver, sender)
                if back_dbm is not None:
                    acknowledged, ack_dbm = attempts, back_dbm
        told = acknowledged if acknowledged is not None else planned if answered else planned[:1]
        slots = ([*told] + [(-1, 0)] * 4)[:4]
        yield TX_INFO_FRAME, (
            attribute(TRANSMITTER, message[TRANSMITTER])
            + attribute(FLAGS, struct.pack("=I", flags | (ACKED if acknowledged is not None else 0)))
            + attribute(SIGNAL, struct.pack("=i", ack_dbm))
            + attribute(TX_INFO, b"".join(struct.pack("=bB", *slot) for slot in slots))
            + attribute(COOKIE, message[COOKIE]))

    def _try(self, planned: Attempts, snr_db: float, *, repeated: bool) -> tuple[Attempts, int | None]:
        """Send as planned; return what was sent, and the rate that got through, if any."""
        sent: Attempts = []
        for rate, count in planned:
            for attempt in range(1, max(count, 1) + 1):
                if random.random() >= lost(snr_db, rate):
                    return [*sent, (rate, attempt)], rate
                if not repeated:
                    return sent, None
            sent.append((rate, max(count, 1)))
        return sent, None


def main() -> None:
    """Carry frames until ended."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((0, 0))

    def send(family: int, command: int, payload: bytes) -> None:
        body = GENERIC.pack(command, 1, 0) + payload
        sock.send(HEADER.pack(HEADER.size + len(body), family, NLM_F_REQUEST, 1, 0) + body)

    send(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attribute(CTRL_ATTR_FAMILY_NAME, b"MAC80211_HWSIM\0"))
    found = attributes(sock.recv(65_536)[HEADER.size + GENERIC.size:])
    (family,) = struct.unpack("=H", found[CTRL_ATTR_FAMILY_ID])
    medium = Medium(Path(sys.argv[1]))
    medium.refresh()
    send(family, REGISTER, b"")
    ready()
    while True:
        data = sock.recv(1 << 17)
        _, kind, _, _, _ = HEADER.unpack_from(data)
        if kind != family or data[HEADER.size] != FRAME:
            continue
        for command, payload in medium.carry(attributes(data[HEADER.size + GENERIC.size:])):
            try:
                send(family, command, payload)
            except OSError as error:      # the radio that it was for has just been taken away
                print(f"medium: {os.strerror(error.errno or 0)}")


if __name__ == "__main__":
    main()

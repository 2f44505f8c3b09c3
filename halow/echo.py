"""One ICMP echo (I/O edge): how long a host takes to answer. Needs no privilege where ping_group_range lets it."""

import asyncio
import socket
import struct
import time

ECHO_REQUEST, ECHO_REPLY = 8, 0


class NoEcho(Exception):
    """Echoes may not be sent here."""


class Echo:
    """Asks one host again and again; answers that come late belong to no later question."""

    def __init__(self, host: str) -> None:
        """`host` is an IPv4 address. NoEcho where the system does not let this user (net.ipv4.ping_group_range)."""
        try:
            self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        except OSError as error:
            raise NoEcho(f"no echo to {host}: {error.strerror or error}") from error
        try:
            self._sock.connect((host, 0))
        except OSError as error:
            self._sock.close()
            raise NoEcho(f"no echo to {host}: {error.strerror or error}") from error
        self._number = 0

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    async def ask(self, within_s: float) -> float | None:
        """Return the round trip in milliseconds, None when no answer came within the time."""
        self._number = (self._number + 1) & 0xFFFF
        loop = asyncio.get_running_loop()
        # the kernel fills in identifier and checksum
        question = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 0, self._number) + bytes(24)
        began = time.monotonic()
        try:
            async with asyncio.timeout(within_s):
                await loop.sock_sendall(self._sock, question)
                while not self._answers(await loop.sock_recv(self._sock, 256)):
                    pass
                return (time.monotonic() - began) * 1000.0
        except (TimeoutError, OSError):      # no route and no answer are the same to who turns the antenna
            return None

    def _answers(self, packet: bytes) -> bool:
        """Tell whether this answers the newest question."""
        if len(packet) < 8 or packet[0] != ECHO_REPLY:
            return False
        return bool(struct.unpack_from("!H", packet, 6)[0] == self._number)

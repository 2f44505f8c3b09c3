"""Netlink messages over a socket, on any asyncio loop (I/O edge).

pyroute2 0.9.7 opens its sockets with `create_datagram_endpoint`, which uvloop refuses for AF_NETLINK; so the socket is
our own and pyroute2 only encodes and decodes what is inside (docs/decisions/0006-netlink.md). Formats: netlink(7),
linux/netlink.h, linux/genetlink.h.
"""

import asyncio
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")          # length, type, flags, sequence, port
GENERIC = struct.Struct("=BBH")           # struct genlmsghdr: command, version, reserved
ATTRIBUTE = struct.Struct("=HH")          # length, type

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x01, 0x04, 0x300, 0x10
NLA_TYPE_MASK = 0x3FFF                    # without the nested and byte-order flags
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS = 1, 2, 7
CTRL_ATTR_MCAST_GRP_NAME, CTRL_ATTR_MCAST_GRP_ID = 1, 2

RECEIVE_BYTES = 65_536                    # the kernel fills dumps up to 32 KiB when the reader offers room
INTERRUPTED_TRIES = 4


def split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Cut a datagram into (type, flags, sequence, whole message). ValueError when a length does not fit."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size or at + length > len(data):
            raise ValueError(f"netlink message of {length} bytes in a datagram of {len(data)} at {at}")
        yield kind, flags, sequence, data[at : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """Cut a run of netlink attributes into type -> payload. ValueError when a length does not fit."""
    found: dict[int, bytes] = {}
    at = 0
    while at + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < ATTRIBUTE.size or at + length > len(data):
            raise ValueError(f"netlink attribute of {length} bytes among {len(data)} at {at}")
        found[kind & NLA_TYPE_MASK] = data[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def attribute(kind: int, payload: bytes) -> bytes:
    """Build one attribute, padded to four bytes."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


class NetlinkSocket:
    """One netlink socket: one request at a time, or multicast messages, but not both on the same one.

    Every error of the kernel is an OSError with its errno. After a time-out or a cancelled request the socket still
    works: what comes late has an old sequence number and is dropped.
    """

    def __init__(self, protocol: int, *, timeout_s: float = 5.0) -> None:
        """Open the socket. OSError when the kernel has no such netlink protocol."""
        self._timeout_s = timeout_s
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setblocking(False)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the socket; nothing may be waiting on it."""
        self._socket.close()

    def join(self, group: int) -> None:
        """Subscribe to a multicast group. OSError when the kernel refuses."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    async def receive(self) -> bytes:
        """Wait for one datagram of multicast messages. OSError(ENOBUFS): some were lost, look at everything again."""
        return await asyncio.get_running_loop().sock_recv(self._socket, RECEIVE_BYTES)

    async def request(self, kind: int, payload: bytes) -> list[bytes]:
        """Ask once; return the whole messages of the answer. OSError with the kernel's errno, TimeoutError."""
        return (await self._exchange(kind, NLM_F_REQUEST | NLM_F_ACK, payload))[0]

    async def dump(self, kind: int, payload: bytes) -> list[bytes]:
        """Ask for a table; return its messages. A table that changed meanwhile (NLM_F_DUMP_INTR) is asked for again.

        After several interrupted tries the last one is taken: each entry is whole, one may be missing or twice.
        """
        messages: list[bytes] = []
        for _ in range(INTERRUPTED_TRIES):
            messages, flags = await self._exchange(kind, NLM_F_REQUEST | NLM_F_DUMP, payload)
            if not flags & NLM_F_DUMP_INTR:
                break
        return messages

    async def _exchange(self, kind: int, flags: int, payload: bytes) -> tuple[list[bytes], int]:
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        message = HEADER.pack(HEADER.size + len(payload), kind, flags, self._sequence, 0) + payload
        async with asyncio.timeout(self._timeout_s):
            await asyncio.get_running_loop().sock_sendall(self._socket, message)
            return await self._answer(self._sequence)

    async def _answer(self, expected: int) -> tuple[list[bytes], int]:
        messages: list[bytes] = []
        seen_flags = 0
        while True:
            for kind, flags, sequence, message in split(await self.receive()):
                if sequence != expected:
                    continue
                seen_flags |= flags
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    _raise_error(message)
                    return messages, seen_flags
                messages.append(message)


def _raise_error(message: bytes) -> None:
    """Raise the errno that ends an answer; 0 is the acknowledgement, and a DONE without a number means well done."""
    if len(message) >= HEADER.size + 4:
        (code,) = struct.unpack_from("=i", message, HEADER.size)
        if code < 0:
            raise OSError(-code, os.strerror(-code))


async def resolve_family(sock: NetlinkSocket, name: str) -> tuple[int, dict[str, int]]:
    """Return a generic netlink family's number and its multicast groups. OSError(ENOENT) when it does not exist."""
    wanted = attribute(CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")
    answer = await sock.request(GENL_ID_CTRL, GENERIC.pack(CTRL_CMD_GETFAMILY, 1, 0) + wanted)
    if not answer:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    found = attributes(answer[0][HEADER.size + GENERIC.size :])
    groups: dict[str, int] = {}
    for entry in attributes(found.get(CTRL_ATTR_MCAST_GROUPS, b"")).values():
        group = attributes(entry)
        label = group[CTRL_ATTR_MCAST_GRP_NAME].rstrip(b"\0").decode()
        groups[label] = int.from_bytes(group[CTRL_ATTR_MCAST_GRP_ID][:4], sys.byteorder)
    return int.from_bytes(found[CTRL_ATTR_FAMILY_ID][:2], sys.byteorder), groups


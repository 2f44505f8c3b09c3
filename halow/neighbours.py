"""Which MAC address an IP address has: the kernel's neighbour table (I/O edge).

RTM_GETNEIGH (rtnetlink(7), linux/neighbour.h) knows IPv4 and IPv6; where netlink is closed to the process,
/proc/net/arp tells IPv4 only. `Neighbours.source` says which one it was.
"""

import ipaddress
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from halow.netlink import HEADER, NetlinkSocket, attributes

ARP = Path("/proc/net/arp")
NETLINK_ROUTE, RTM_NEWNEIGH, RTM_GETNEIGH = 0, 28, 30
NDMSG = struct.Struct("=BBHiHBB")         # family, padding, padding, ifindex, state, flags, type
NDA_DST, NDA_LLADDR = 1, 2
NUD_INCOMPLETE, NUD_FAILED, NUD_NOARP = 0x01, 0x20, 0x40
ATF_COM = 0x02                            # linux/if_arp.h: the entry is complete
NOBODY = "00:00:00:00:00:00"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """IP address (canonical text) -> MAC address (lower case, colons), and where it was read."""

    macs: Mapping[str, str]
    source: str


def canonical(host: str) -> str:
    """Write an IP address as the table has it; a name stays as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


async def neighbours(arp: Path = ARP) -> Neighbours:
    """Read the table; entries without a confirmed MAC address are left out. OSError when neither source is readable."""
    try:
        sock = NetlinkSocket(NETLINK_ROUTE)
    except OSError:
        return _from_arp(arp)
    try:
        messages = await sock.dump(RTM_GETNEIGH, NDMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0))
    except (OSError, ValueError):
        return _from_arp(arp)
    finally:
        sock.close()
    return Neighbours(dict(entry for message in messages if (entry := parse_neighbour(message))), "netlink")


def _from_arp(arp: Path) -> Neighbours:
    return Neighbours(parse_arp(arp.read_text()), str(arp))


def parse_neighbour(message: bytes) -> tuple[str, str] | None:
    """Take (IP, MAC) out of one RTM_NEWNEIGH message; None when it names no reachable neighbour."""
    if len(message) < HEADER.size + NDMSG.size or HEADER.unpack_from(message)[1] != RTM_NEWNEIGH:
        return None
    _, _, _, _, state, _, _ = NDMSG.unpack_from(message, HEADER.size)
    found = attributes(message[HEADER.size + NDMSG.size :])
    address, mac = found.get(NDA_DST, b""), found.get(NDA_LLADDR, b"")
    if state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP) or len(address) not in (4, 16) or len(mac) != 6:
        return None
    return str(ipaddress.ip_address(address)), mac.hex(":")


def parse_arp(text: str) -> dict[str, str]:
    """Take the complete entries out of /proc/net/arp."""
    found: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) >= 4 and int(words[2], 16) & ATF_COM and words[3] != NOBODY:
            found[words[0]] = words[3].lower()
    return found

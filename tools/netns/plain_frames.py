"""Switches an interface's offloads off: python3 plain_frames.py INTERFACE. The emulator must see whole, real frames.

What `ethtool -K IF tx off tso off gso off gro off` does; ethtool is not on every machine (linux/ethtool.h).
"""

import array
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946
STXCSUM, STSO, SGSO, SGRO = 0x17, 0x1F, 0x24, 0x2C


def switch_off(interface: str) -> None:
    """Switch them off. OSError where the interface is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (STSO, SGSO, SGRO, STXCSUM):
            value = array.array("I", [command, 0])
            request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
            fcntl.ioctl(sock.fileno(), SIOCETHTOOL, request)


if __name__ == "__main__":
    switch_off(sys.argv[1])

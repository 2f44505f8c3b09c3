"""Holding a socket to one network interface (I/O edge): how, and what it means when the kernel will not."""

import errno
import socket


def hold_to(one: socket.socket, interface: str) -> None:
    """Let a socket use one interface only, by SO_BINDTODEVICE (socket(7)). Raises OSError, its `strerror` one line."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except PermissionError:
        raise OSError(errno.EPERM, "binding to an interface needs Linux 5.7, or CAP_NET_RAW") from None
    except OSError as error:
        raise OSError(error.errno, f"interface {interface}: {error.strerror}") from None

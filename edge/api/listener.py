"""The socket that the page listens on, and why it cannot be had (I/O edge)."""

import errno
import socket

LOWEST_FREE = 1024


def bound(listen: str, port: int) -> socket.socket:
    """Return a socket that is bound and does not block, not listening yet. Raises OSError.

    "::" takes IPv4 too.
    """
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    where = socket.getaddrinfo(listen, port, family, socket.SOCK_STREAM,
                               flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE)[0][4]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(listen != "::"))
        listener.bind(where)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def why_not(listen: str, port: int, error: OSError) -> str:
    """Say in one line what is in the way, and what to do."""
    what = {
        errno.EADDRINUSE: "another program has this port; end it, or set another api.port",
        errno.EADDRNOTAVAIL: "api.listen is no address of this board now; the page comes up once it is",
        errno.EACCES: f"ports below {LOWEST_FREE} need a right that the gateway does not have; set a higher api.port",
    }.get(error.errno or 0, error.strerror or str(error))
    return f"the page cannot listen on {listen} port {port}: {what}"

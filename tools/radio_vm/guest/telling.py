"""Says to systemd that a service of the lab is ready: `systemd-run --property=Type=notify` waits for just that."""

import os
import socket


def ready() -> None:
    """Send READY=1 (sd_notify(3)); nothing where nobody waits."""
    if where := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1", where.replace("@", "\0", 1))

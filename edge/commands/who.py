"""Who gives an order, and from where: what the record of it says."""

import contextlib
import os
import pwd
import sys

LIMIT = 100


def who() -> str:
    """Return the person at the shell as far as the system knows: "alice as root from 10.1.2.3"."""
    user = str(os.getuid())
    with contextlib.suppress(KeyError):      # a user without an entry, as in a container
        user = pwd.getpwuid(os.getuid()).pw_name
    person = os.environ.get("SUDO_USER", "")
    name = f"{person} as {user}" if person and person != user else user
    place = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    if not place:
        with contextlib.suppress(OSError, ValueError, AttributeError):      # no terminal: a script, a timer
            place = os.ttyname(sys.stdin.fileno())
    text = f"{name} from {place}" if place else name
    return "".join(char if char.isprintable() else "?" for char in text)[:LIMIT]

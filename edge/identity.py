"""Which gateway this is: one word in `<state_dir>/device.id`, and the gateway's name with it (I/O edge).

One image serves all boards, so what tells them apart comes from the board: its serial number, else chance. The word is
fit for a host name; it stands for `{id}` in `gateway.name`. Made once, it goes with the storage, as the ring and the
token do: a card moved to a spare board stays the same gateway.
"""

import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge.config import IDENTITY, IDENTITY_LIMIT, Settings
from edge.durable import make_directory, write_file
from edge.errors import ConfigError, EdgeError

BOARD_SERIAL = Path("/proc/device-tree/serial-number")      # the boot loader's; a Raspberry Pi has one
ID_FILE = "device.id"

_WORD = re.compile(rf"[a-z0-9][a-z0-9-]{{2,{IDENTITY_LIMIT - 2}}}[a-z0-9]")      # labels of RFC 1123, at least four

log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """The identity, and what had to be done for it: "found", "made" or "mended" (a damaged file, from the serial)."""

    id: str
    done: str
    source: str      # where it came from, when it was not found


def board_serial() -> str:
    """Return the board's serial number as an identity, "" where it has none that is one."""
    try:
        word = BOARD_SERIAL.read_bytes()[:256].strip(b"\0 \n").decode("ascii").lower()
    except (OSError, UnicodeDecodeError):
        return ""
    # not programmed: all zeros, or all ones
    return word if _WORD.fullmatch(word) and len(set(word)) > 1 else ""


def establish(state_dir: Path) -> Identity:
    """Return the gateway's identity, making the file where there is none; two at once agree on one.

    Raises ConfigError for a file that holds none and cannot be mended, OSError as the storage says.
    """
    path, serial = state_dir / ID_FILE, board_serial()
    make_directory(state_dir)
    try:
        write = (serial or os.urandom(8).hex()) if not path.exists() else ""
        if write:
            write_file(path, f"{write}\n".encode(), mode=0o644)
            return Identity(write, "made", "the board's serial number" if serial else "random")
    except FileExistsError:      # another process was faster
        pass
    word = path.read_bytes()[:256].strip().decode("ascii", "replace")
    if _WORD.fullmatch(word):
        return Identity(word, "found", f"this board's serial number is {serial}" if serial not in ("", word) else "")
    if not serial:
        raise ConfigError(f"{path}: holds no identity (4 to {IDENTITY_LIMIT} small letters, digits, dashes); "
                          "write it back, or delete the file and a new one is made")
    write_file(path, f"{serial}\n".encode(), mode=0o644, replace=True)
    return Identity(serial, "mended", "the board's serial number")


def identify(state_dir: Path) -> str:
    """Return the identity for a daemon that has to start whatever the storage does; never raises.

    Where it can neither be read nor kept it is the board's serial number, else one for this run alone.
    """
    try:
        return establish(state_dir).id
    except (OSError, EdgeError) as error:
        log.warning("the gateway's identity cannot be kept: %s", error)
        return board_serial() or os.urandom(8).hex()


def named(settings: Settings, identity: str) -> Settings:
    """Return the settings with the identity in its place in the gateway's name."""
    name = settings.gateway.name.replace(IDENTITY, identity)
    return msgspec.structs.replace(settings, gateway=msgspec.structs.replace(settings.gateway, name=name))

"""Where a meter is reached: an address on the network, or a serial line of this board (pure).

    host 10.30.0.17, port 3333                                     a meter, or the serial bridge before it
    host serial:/dev/serial/by-id/usb-...?baud=9600&format=8N1     a line of this board; the port is 0

The registry, CSV and the commands keep both as `host` and `port`; everybody else asks `endpoint`.
"""

import re
from typing import NamedTuple

SCHEME = "serial:"
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
FORMATS = ("8N1", "8E1", "8O1", "8N2")
"""Data bits, parity, stop bits. HDLC needs all eight; the seven of a mode E sign-on are made of eight (`mode_e`)."""

_DEVICE = re.compile(r"/dev/[A-Za-z0-9_][A-Za-z0-9._:+,@%=-]*(/[A-Za-z0-9_][A-Za-z0-9._:+,@%=-]*)*")


class TcpAddress(NamedTuple):
    """A host name or IP address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it for messages."""
        return f"{self.host}:{self.port}"


class SerialLine(NamedTuple):
    """A serial device. With a mode E sign-on, `baud` is the highest speed that is agreed to."""

    device: str
    baud: int = 9600
    format: str = "8N1"

    def __str__(self) -> str:
        """Write it for messages."""
        return self.device


Endpoint = TcpAddress | SerialLine


def is_serial(host: str) -> bool:
    """Tell whether `host` means a serial line, rightly written or not."""
    return host.lower().startswith(SCHEME)


def parse_serial(host: str) -> SerialLine:
    """Read "serial:/dev/...[?baud=...][&format=...]". Raises ValueError that says what is allowed."""
    device, _, settings = host[len(SCHEME):].partition("?")
    if not _DEVICE.fullmatch(device):
        raise ValueError("must be serial: and a device, like serial:/dev/ttyUSB0 or serial:/dev/serial/by-id/...")
    found: dict[str, str] = {}
    for part in settings.split("&") if settings else ():
        key, _, value = part.partition("=")
        if key not in ("baud", "format") or key in found:
            raise ValueError("only baud=... and format=... may follow the device, once each: ?baud=9600&format=8N1")
        found[key] = value
    speed, shape = found.get("baud", "9600"), found.get("format", "8N1").upper()
    if speed not in map(str, BAUDS):
        raise ValueError(f"baud must be one of {', '.join(map(str, BAUDS))}")
    if shape not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}: HDLC needs eight data bits")
    return SerialLine(device, int(speed), shape)


def endpoint(host: str, port: int) -> Endpoint:
    """Return what `host` and `port` of a meter mean. Raises ValueError as `parse_serial`."""
    return parse_serial(host) if is_serial(host) else TcpAddress(host, port)


def port_at(host: str, usual: int) -> int:
    """Return the port where nobody has told one: a serial line has none."""
    return 0 if is_serial(host) else usual


def normal_host(host: str) -> str:
    """Write a serial line in one way only, without what is the default; anything else comes back as it is."""
    if not is_serial(host):
        return host
    try:
        line = parse_serial(host)
    except ValueError:
        return host
    told = [f"{key}={value}" for key, value, usual in (
        ("baud", line.baud, 9600), ("format", line.format, "8N1")) if value != usual]
    return f"{SCHEME}{line.device}{'?' if told else ''}{'&'.join(told)}"


def where(host: str, port: int) -> str:
    """Write a meter's place for people: "10.30.0.17:3333" or "/dev/ttyUSB0"."""
    try:
        return str(endpoint(host, port))
    except ValueError:
        return host

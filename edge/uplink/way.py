"""Where a connection goes, and by which interface (pure)."""

import ipaddress
from dataclasses import dataclass

from edge.config import PathSettings, UplinkSettings

ONLY = "uplink"            # what the path is called where the settings name none


@dataclass(frozen=True, slots=True)
class Way:
    """One path to the server. `tls_name` must stand in its certificate; `interface` "": as the routing table says."""

    name: str
    host: str
    port: int
    interface: str
    tls_name: str

    def __str__(self) -> str:
        """Write it for messages."""
        return f"{self.host}:{self.port}" + (f" through {self.interface}" if self.interface else "")


def way_of(uplink: UplinkSettings, path: PathSettings | None = None) -> Way:
    """Return where `path` leads, None: the only one.

    A path may reach the server by another address, as through a tunnel; its certificate names `uplink.host` all the
    same. Another name is another matter.
    """
    if path is None:
        return Way(ONLY, uplink.host, uplink.port, "", uplink.host)
    host = path.host or uplink.host
    tls_name = uplink.host if _is_address(host) and not _is_address(uplink.host) else host
    return Way(path.name, host, path.port or uplink.port, path.interface, tls_name)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True

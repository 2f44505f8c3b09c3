"""Where a message came from and where a meter lives, in one form, so that the two can be compared (pure)."""

import ipaddress
from typing import Any


def address_of(sockaddr: tuple[Any, ...]) -> str:
    """Return the address of a socket address: IPv4 as such also where it comes mapped into IPv6 (RFC 4291, 2.5.5.2).

    A link-local IPv6 address goes with the number of its interface, since it means nothing without.
    """
    host = str(sockaddr[0]).partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.is_link_local and len(sockaddr) == 4 and sockaddr[3]:
            return f"{address}%{sockaddr[3]}"
    return str(address)

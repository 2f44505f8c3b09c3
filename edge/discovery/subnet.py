"""Which addresses a scan looks at (pure)."""

import ipaddress
from collections.abc import Iterable, Sequence

UNASKED = 1_024
"""Addresses that are looked at without asking again: a /22. More is seldom what was meant on a radio link."""

MOST = 65_536
"""Addresses of one scan, whatever is said: a /16."""


def addresses(nets: Sequence[str]) -> list[str]:
    """Return the host addresses of nets ("10.30.0.0/24") and single addresses, in order, each once.

    Raises ValueError, one line, for what is no net, for one with bits set behind its prefix, and for too many.
    """
    found: dict[str, None] = {}
    for text in nets:
        try:
            if "%" in text:      # a link-local address with its interface
                found[str(ipaddress.ip_address(text.strip()))] = None
                continue
            net = ipaddress.ip_network(text.strip())
        except ValueError as error:
            raise ValueError(f"{text!r}: {_reason(text)}") from error
        if net.num_addresses > MOST or len(found) + net.num_addresses > MOST + 2:
            raise ValueError(f"{text!r}: more than {MOST} addresses; name a smaller net")
        hosts: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address] = net.hosts()
        found.update((str(host), None) for host in hosts)
    return list(found)


def _reason(text: str) -> str:
    try:
        net = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return "no address and no net like 10.30.0.0/24"
    return f"has bits behind its prefix; the net is {net}"

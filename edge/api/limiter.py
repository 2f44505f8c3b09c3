"""How often somebody may guess (pure): some tries are free, then each one has to wait twice as long.

A try counts from its beginning, so that a hundred at once are a hundred tries. An address is an IPv4 address, or the
/64 of an IPv6 one: whoever has one has all of it. A limit over all addresses stops a crowd; it cannot lock out who is
logged in already, nor who has a token, nor who can ask for a code at the box.
"""

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass

FREE_TRIES = 5
REST_FIRST_S, REST_MAX_S = 4.0, 900.0
FORGOTTEN_AFTER_S = 1_800.0
TRIES_IN_ALL, WINDOW_S = 100, 900.0
ADDRESSES_KEPT = 1_024


@dataclass(slots=True)
class _Tries:
    count: int = 0
    at: float = 0.0
    closed_until: float = 0.0


class Limiter:
    """Counts tries that have not succeeded. `now` is monotonic seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self._of: OrderedDict[str, _Tries] = OrderedDict()
        self._all: deque[float] = deque(maxlen=TRIES_IN_ALL)

    def wait_s(self, address: str, now: float) -> float:
        """Return for how long nothing is tried from there; 0.0 = it may be tried now."""
        tries = self._of.get(neighbourhood(address))
        own = 0.0 if tries is None else tries.closed_until - now
        crowd = self._all[0] + WINDOW_S - now if len(self._all) == TRIES_IN_ALL else 0.0
        return max(0.0, own, crowd)

    def begin(self, address: str, now: float) -> None:
        """Count a try; `passed` takes it back."""
        key = neighbourhood(address)
        tries = self._of.pop(key, None)
        if tries is None or now - tries.at > FORGOTTEN_AFTER_S:
            tries = _Tries()
        tries.count, tries.at = tries.count + 1, now
        if tries.count >= FREE_TRIES:
            tries.closed_until = now + min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(tries.count - FREE_TRIES, 20))
        self._of[key] = tries
        self._all.append(now)
        if len(self._of) > ADDRESSES_KEPT:
            self._of.popitem(last=False)

    def passed(self, address: str) -> None:
        """Forget what this address has tried."""
        if self._of.pop(neighbourhood(address), None) is not None and self._all:
            self._all.pop()


def neighbourhood(address: str) -> str:
    """Return what is counted as one: an IPv4 address, an IPv6 /64, anything else as it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)

"""The kernel's regulatory domain: the country it believes to be in, and what it allows on a frequency (I/O edge).

The driver's own country and the law are another matter (`Vendor.country_parameter`, `regions.toml`): a HaLow driver
that poses as a 5 GHz radio is judged here by its disguise. Newracom's takes its country from here. Source:
linux/nl80211.h.
"""

import struct
import sys
from dataclasses import dataclass

from halow.model import KernelRules
from halow.netlink import GENERIC, HEADER, NetlinkSocket, attribute, attributes

GET_REG = 31
ATTR_WIPHY, ATTR_REG_ALPHA2, ATTR_REG_RULES = 1, 33, 34
RULE_FLAGS, RULE_START, RULE_END, RULE_BANDWIDTH, RULE_EIRP = 1, 2, 3, 4, 6      # enum nl80211_reg_rule_attr
NO_IR = 1 << 7      # enum nl80211_reg_rule_flags: listen only


@dataclass(frozen=True, slots=True)
class Rule:
    """One stretch of frequencies, edges in kHz. Width in kHz, power in mBm (a hundredth of a dBm, EIRP)."""

    low_khz: int
    high_khz: int
    width_khz: int
    eirp_mbm: int
    listen_only: bool


@dataclass(frozen=True, slots=True)
class Domain:
    """A regulatory domain. `alpha2`: a country, or "00" the world's, "98" several mixed, "99" the driver's own."""

    alpha2: str
    rules: tuple[Rule, ...]

    @property
    def country(self) -> str:
        """Return the country, "" where it is none."""
        return self.alpha2 if self.alpha2.isalpha() else ""

    def at(self, mhz: int | None) -> KernelRules:
        """Return what is allowed at a frequency; no limit is known where no rule covers it."""
        rule = next((one for one in self.rules if mhz is not None and one.low_khz <= mhz * 1000 <= one.high_khz), None)
        if rule is None:
            return KernelRules(self.country)
        return KernelRules(self.country, rule.width_khz / 1000, rule.eirp_mbm / 100, rule.listen_only)


async def domain_of(asks: NetlinkSocket, family: int, wiphy: int | None) -> Domain | None:
    """Return the domain of a radio, with the whole kernel's country where its own names none. OSError, ValueError."""
    about = b"" if wiphy is None else attribute(ATTR_WIPHY, wiphy.to_bytes(4, sys.byteorder))
    own = domain(await asks.request(family, GENERIC.pack(GET_REG, 0, 0) + about))
    if own is None or own.country or wiphy is None:
        return own
    everybody = domain(await asks.request(family, GENERIC.pack(GET_REG, 0, 0)))
    return own if everybody is None or not everybody.country else Domain(everybody.alpha2, own.rules)


def domain(messages: list[bytes]) -> Domain | None:
    """Take the answer to GET_REG apart; None where it tells no domain. ValueError when a length does not fit."""
    for message in messages:
        found = attributes(message[HEADER.size + GENERIC.size :])
        alpha2 = found.get(ATTR_REG_ALPHA2, b"").rstrip(b"\0").decode("ascii", "replace")
        if alpha2:
            return Domain(alpha2, tuple(_rule(one) for one in attributes(found.get(ATTR_REG_RULES, b"")).values()))
    return None


def _rule(data: bytes) -> Rule:
    found = attributes(data)

    def number(kind: int) -> int:
        payload = found.get(kind, b"")
        return struct.unpack("=I", payload)[0] if len(payload) == 4 else 0

    return Rule(number(RULE_START), number(RULE_END), number(RULE_BANDWIDTH), number(RULE_EIRP),
                listen_only=bool(number(RULE_FLAGS) & NO_IR))

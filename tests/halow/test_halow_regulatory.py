"""The kernel's regulatory domain: bytes written without a netlink library, and this machine's own kernel where it has one."""

import nlbytes as nl
import pytest

from halow.model import KernelRules, RadioFacts
from halow.netlink import NetlinkSocket, resolve_family
from halow.regulatory import Domain, domain, domain_of
from halow.table import told_by

AU = nl.regulatory("AU", (2400, 2483, 40, 3600, 0), (5150, 5250, 80, 2300, 0), (5250, 5350, 80, 2000, 1 << 7 | 1 << 4))


def test_a_domain_and_what_it_allows() -> None:
    found = domain([AU])
    assert found is not None
    assert (found.country, len(found.rules)) == ("AU", 3)
    assert found.at(5180) == KernelRules("AU", 80.0, 23.0)
    assert found.at(5260) == KernelRules("AU", 80.0, 20.0, listen_only=True)
    assert found.at(5900) == found.at(None) == KernelRules("AU")


@pytest.mark.parametrize(("rules", "said"), [
    (KernelRules("AU", 80.0, 23.0), "at most 80 MHz wide and 23 dBm EIRP on the channel shown"),
    (KernelRules("AU", 2.5, 20.25, listen_only=True), "at most 2.5 MHz wide and 20.25 dBm EIRP on the channel shown, listening only"),
    (KernelRules(""), "no rule for the channel shown")])
def test_it_is_told_in_one_line(rules: KernelRules, said: str) -> None:
    assert str(rules) == said


def test_an_answer_without_a_country_is_no_domain_and_the_worlds_is_no_country() -> None:
    assert domain([]) is None
    assert domain([nl.message(31, nl.attr(1, nl.u32(0)))]) is None
    assert domain([nl.regulatory("00")]) == Domain("00", ())
    assert [domain([nl.regulatory(name)]).country for name in ("00", "98", "99", "DE")] == ["", "", "", "DE"]


async def test_this_machines_kernel_tells_its_domain_to_everybody() -> None:
    sock = NetlinkSocket(16)
    try:
        try:
            family, _ = await resolve_family(sock, "nl80211")
        except OSError:
            pytest.skip("this kernel has no nl80211")
        found = await domain_of(sock, family, None)
        assert found is not None
        assert len(found.alpha2) == 2
    finally:
        sock.close()


def test_link_info_names_it_as_the_kernels() -> None:
    facts = RadioFacts("wlan0", "morse_sdio", "", country="EU", kernel_rules=KernelRules("", 20.0, 23.0), sources=(("channel", "hostapd"),))
    assert told_by(facts) == [("kernel's country", "none set"), ("kernel's rules", "at most 20 MHz wide and 23 dBm EIRP on the channel shown"),
                              ("channel from", "hostapd")]

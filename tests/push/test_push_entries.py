"""From registered meters to what the listener knows of them: protection, keys, titles, addresses, zones."""

import asyncio
import dataclasses
import socket
from typing import Any

import pytest
from push_site import AK, EK, GENERIC, LEARNED, row

from edge.daemon import pushentries
from edge.daemon.pushentries import RESOLVE_S, Hosts, entries
from edge.dlms.ciphering import Protection
from edge.meters.localtime import Reckoning, Zone
from edge.model import Keys, Meter
from edge.poll.fleet import Enrolled
from edge.push.directory import Entry

PROFILES = {GENERIC.name: GENERIC}
KEYS = Keys(EK, AK)


def entry(meter: Meter, keys: Keys = KEYS, zone: str = "") -> Entry:
    (found,) = entries([Enrolled(meter, learned=LEARNED, keys=keys)], PROFILES, Hosts(), zone)
    return found


def test_what_is_registered_is_known() -> None:
    found = entry(row("a", "192.0.2.1", ciphered=True, meter_title="4d4d4d0000000001"))
    assert (found.name, found.addresses, found.protection, found.title) == ("a", {"192.0.2.1"}, Protection.BOTH, b"MMM\0\0\0\0\1")
    assert (found.learned, found.profile, found.problem) == (LEARNED, GENERIC, "")
    assert found.cipher is not None
    assert EK.hex() not in repr(found)
    assert entry(row("a", "192.0.2.1")).protection is Protection.NONE


@pytest.mark.parametrize(("keys", "says"), [
    (Keys(), "needs an encryption key and none is stored: halow-gateway meter set-key m encryption"),
    (Keys(EK), "needs an authentication key and none is stored"),
    (Keys(EK, bytes(32)), "a key of 32 octets; security suite 0 has keys of 16"),
])
def test_keys_that_are_missing_or_wrong_are_said_and_stop_nobody(keys: Keys, says: str) -> None:
    found = entry(row(ciphered=True), keys)
    assert says in found.problem
    assert found.cipher is None
    assert entry(row(), Keys()).problem == "", "a meter in clear needs none"


def test_a_meter_of_an_unknown_type_has_no_entry() -> None:
    strange = dataclasses.replace(row(), profile="strange")
    assert list(entries([Enrolled(strange)], PROFILES, Hosts(), "")) == []


def test_the_settings_say_the_zone_of_meters_that_leave_it_open() -> None:
    assert entry(row()).reckoning == Reckoning()
    assert entry(row(), zone="+01:00 eu").reckoning == Reckoning(zone=Zone(3_600, daylight_saving=True))


@pytest.mark.parametrize(("host", "address"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8::1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1")])
def test_an_ip_address_is_known_at_once(host: str, address: str) -> None:
    assert Hosts().of(host) == {address}


async def test_names_are_asked_for_now_and_then_and_keep_what_they_had(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, asked = Hosts(), []
    answers: dict[str, Any] = {"meter.example": [(socket.AF_INET, 1, 6, "", ("192.0.2.1", 0)), (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 0, 0, 0))]}

    async def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if isinstance(answers[host], OSError):
            raise answers[host]
        return answers[host]
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
    await hosts.resolve(["meter.example", "192.0.2.9"], 0.0)
    await hosts.resolve(["meter.example"], RESOLVE_S - 1)
    assert (asked, hosts.of("meter.example"), hosts.generation) == (["meter.example"], {"192.0.2.1", "2001:db8::1"}, 1)
    answers["meter.example"] = socket.gaierror(-3, "Temporary failure in name resolution")
    await hosts.resolve(["meter.example"], RESOLVE_S)
    assert (len(asked), hosts.of("meter.example"), hosts.generation) == (2, {"192.0.2.1", "2001:db8::1"}, 1)
    answers["meter.example"] = [(socket.AF_INET, 1, 6, "", ("192.0.2.2", 0))]
    await hosts.resolve(["meter.example"], 2 * RESOLVE_S)
    assert (hosts.of("meter.example"), hosts.generation) == ({"192.0.2.2"}, 2)
    await hosts.resolve([], 3 * RESOLVE_S)
    assert (hosts._known, hosts._asked_at) == ({}, {}), "a meter that is gone is forgotten"


async def test_a_resolver_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushentries, "RESOLVING_S", 0.05)
    hosts = Hosts()

    async def hangs(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hangs, raising=False)
    await asyncio.wait_for(hosts.resolve([f"m{n}.example" for n in range(50)], 0.0), 20)
    assert hosts.of("m1.example") == frozenset()

"""The nl80211-backed radio: against this machine's kernel, and against a kernel made of bytes."""

import asyncio
import errno
import os
import struct
import subprocess
import sys

import nlbytes as nl
import pytest

from halow.errors import AbsentReason, RadioAbsent
from halow.interfaces import Wanted
from halow.model import Change, KernelRules, LinkEvent, Mode
from halow.radios import kernel
from halow.radios.kernel import KernelRadio

A, B = "02:00:00:00:0a:01", "02:00:00:00:0a:02"


class Kernel:
    """Answers like the kernel's nl80211, from bytes built without a netlink library."""

    def __init__(self):
        self.interfaces = {7: nl.interface()}
        self.stations = {7: [nl.station(A, signal=-66, inactive=100), nl.station(B, signal=-91, retries=5)]}
        self.surveys = {7: [nl.survey(noise=-95, in_use=False), nl.survey(noise=-102)]}
        self.errors = {}
        self.events = asyncio.Queue()
        self.joined = []
        self.family = True
        self.domains = {}      # wiphy, or None for the whole kernel: what GET_REG is answered

    def request(self, payload):
        assert payload[0] == 31
        wiphy = struct.unpack_from("=I", payload, 8)[0] if len(payload) > 4 else None
        if wiphy not in self.domains:
            raise OSError(errno.EINVAL, "Invalid argument")
        return [self.domains[wiphy]]

    def dump(self, kind, payload):
        assert kind == nl.FAMILY
        command = payload[0]
        if command in self.errors:
            raise OSError(self.errors[command], os.strerror(self.errors[command]))
        if command == 5:
            return list(self.interfaces.values())
        ifindex = struct.unpack_from("=I", payload, 8)[0]
        if ifindex not in self.interfaces:
            raise OSError(errno.ENODEV, "No such device")
        return {17: self.stations, 50: self.surveys}[command].get(ifindex, [])

    def socket(self, protocol, *, timeout_s=5.0):
        assert protocol == 16
        return Socket(self)


class Socket:
    def __init__(self, fake):
        self.fake = fake

    def close(self):
        pass

    def join(self, group):
        self.fake.joined.append(group)

    async def request(self, kind, payload):
        if kind == nl.FAMILY:
            return self.fake.request(payload)
        if not self.fake.family:
            raise OSError(errno.ENOENT, "No such file or directory")
        groups = [nl.nest(n, nl.attr(1, name + b"\0"), nl.attr(2, nl.u32(number)))
                  for n, (name, number) in enumerate([(b"config", 4), (b"scan", 5), (b"mlme", 8)], 1)]
        return [nl.message(1, nl.attr(2, b"nl80211\0"), nl.attr(1, nl.u16(nl.FAMILY)), nl.nest(7, *groups), kind=16)]

    async def dump(self, kind, payload):
        return self.fake.dump(kind, payload)

    async def receive(self):
        data = await self.fake.events.get()
        if isinstance(data, OSError):
            raise data
        return data


@pytest.fixture
def fake(monkeypatch, tmp_path):
    (tmp_path / "class/net/wlan0/device").mkdir(parents=True)
    (tmp_path / "class/net/wlan0/device/driver").symlink_to("../../../bus/sdio/drivers/morse_sdio")
    (tmp_path / "module/morse/parameters").mkdir(parents=True)
    (tmp_path / "module/morse/parameters/country").write_text("US\n")
    there = Kernel()
    monkeypatch.setattr(kernel, "NetlinkSocket", there.socket)
    monkeypatch.setattr(kernel, "with_driver", lambda one, real=kernel.with_driver: real(one, tmp_path))
    monkeypatch.setattr(kernel, "country_of", lambda where, real=kernel.country_of: real(where, tmp_path))
    return there


async def opened(wanted=None):
    radio = KernelRadio(wanted or Wanted())
    await radio.open()
    return radio


async def test_a_sample_of_a_morse_access_point(fake):
    radio = await opened()
    sample = await radio.sample()
    facts = sample.facts
    assert (facts.interface, facts.driver, facts.vendor, facts.mode) == ("wlan0", "morse_sdio", "morse", Mode.AP)
    assert facts.channel == "S1G 32, 918.0 MHz, 4 MHz wide (kernel 5610)"
    assert (facts.noise_dbm, facts.width_mhz, facts.s1g_khz) == (-102, 4, 918_000)
    assert [(peer.mac, peer.signal_dbm, peer.tx_retries) for peer in sample.peers] == [(A, -66, None), (B, -91, 5)]
    assert sorted(fake.joined) == [4, 8], "mlme and config"
    await radio.close()


async def test_what_the_kernel_allows_is_shown_beside_the_country_of_the_driver(fake):
    fake.domains[0] = nl.regulatory("DE", (5470, 5725, 160, 2698, 0), wiphy=0)
    radio = await opened()
    facts = (await radio.sample()).facts
    assert facts.kernel_rules == KernelRules("DE", 160, 26.98)
    assert facts.country == "US", "the driver's own is the one that it goes by"
    fake.domains.clear()
    assert (await radio.sample()).facts.kernel_rules is None
    await radio.close()


async def test_newracoms_country_is_the_kernels_though_its_own_rules_name_none(fake, tmp_path):
    driver = tmp_path / "class/net/wlan0/device/driver"
    driver.unlink()
    driver.symlink_to("../../../bus/spi/drivers/nrc80211")
    fake.domains = {0: nl.regulatory("99", (5490, 5690, 40, 3000, 0), wiphy=0), None: nl.regulatory("DE", (5470, 5725, 160, 2698, 0))}
    radio = await opened()
    facts = (await radio.sample()).facts
    assert (facts.vendor, facts.country, facts.kernel_rules) == ("newracom", "DE", KernelRules("DE", 40, 30.0))
    fake.domains[None] = nl.regulatory("00")
    assert (await radio.sample()).facts.country == "", "the world is no country"
    await radio.close()


async def test_a_driver_reload_changes_the_ifindex_and_is_survived(fake):
    radio = await opened()
    await radio.sample()
    was = fake.interfaces.pop(7)
    for _ in range(3):
        with pytest.raises(RadioAbsent) as gone:
            await radio.sample()
        assert gone.value.reason is AbsentReason.INTERFACE_GONE, "and not one that never was"
    fake.interfaces[12] = nl.interface(ifindex=12)
    fake.stations[12] = [nl.station(A, 12, signal=-70)]
    assert [peer.mac for peer in (await radio.sample()).peers] == [A]
    assert was
    fake.events.put_nowait(nl.station(B, 7))
    fake.events.put_nowait(nl.station(B, 12))
    assert await radio.wait_event() == LinkEvent(Change.PEER_ADDED, B), "only the new interface's"
    await radio.close()


async def test_an_interface_that_goes_between_two_questions(fake):
    radio = await opened()
    fake.errors[17] = errno.ENODEV
    with pytest.raises(RadioAbsent) as gone:
        await radio.sample()
    assert gone.value.reason is AbsentReason.INTERFACE_GONE
    await radio.close()


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
async def test_a_driver_without_a_survey_has_an_unknown_noise(fake, code):
    fake.errors[50] = code
    radio = await opened()
    assert (await radio.sample()).facts.noise_dbm is None
    await radio.close()


@pytest.mark.parametrize(("code", "reason"), [
    (errno.EPERM, AbsentReason.NOT_PERMITTED), (errno.ENOBUFS, AbsentReason.FAULT), (errno.ETIMEDOUT, AbsentReason.NO_ANSWER),
])
async def test_errors_of_the_system_become_reasons(fake, code, reason):
    radio = await opened()
    fake.errors[5] = code
    with pytest.raises(RadioAbsent) as absent:
        await radio.sample()
    assert absent.value.reason is reason
    assert "\n" not in str(absent.value)
    await radio.close()


async def test_lost_events_ask_for_a_new_look_and_others_follow(fake):
    radio = await opened()
    await radio.sample()
    fake.events.put_nowait(OSError(errno.ENOBUFS, "No buffer space available"))
    fake.events.put_nowait(nl.station(A, command=nl.DEL_STATION) + nl.station(B))
    assert await radio.wait_event() == LinkEvent(Change.RESYNC)
    assert await radio.wait_event() == LinkEvent(Change.PEER_REMOVED, A)
    assert await radio.wait_event() == LinkEvent(Change.PEER_ADDED, B)
    fake.events.put_nowait(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(RadioAbsent):
        await radio.wait_event()
    await radio.close()


async def test_a_driver_nobody_knows_is_watched_only_when_asked_for(fake, monkeypatch):
    monkeypatch.setattr(kernel, "with_driver", lambda one: one)
    radio = await opened()
    with pytest.raises(RadioAbsent) as absent:
        await radio.sample()
    assert absent.value.reason is AbsentReason.NO_INTERFACE
    assert "wlan0" in str(absent.value)
    await radio.close()
    radio = await opened(Wanted(interface="wlan0"))
    assert (await radio.sample()).facts.vendor == "generic"
    await radio.close()


async def test_without_nl80211_the_reason_is_one_line_and_opening_again_is_fine(fake):
    fake.family = False
    radio = KernelRadio(Wanted())
    for _ in range(2):
        with pytest.raises(RadioAbsent) as absent:
            await radio.open()
        assert absent.value.reason is AbsentReason.NO_NL80211
        assert "load the radio's driver" in str(absent.value)
    fake.family = True
    await radio.open()
    await radio.close()
    with pytest.raises(RadioAbsent, match="not open"):
        await radio.sample()


async def test_on_this_machines_kernel_an_interface_that_is_not_there_has_one_reason():
    """Whatever kernel this runs on: with Wi-Fi or without, a radio of this name does not exist."""
    radio = KernelRadio(Wanted(interface="no-such-wlan"))

    async def look():
        await radio.open()
        await radio.sample()

    with pytest.raises(RadioAbsent) as absent:
        await look()
    await radio.close()
    assert absent.value.reason in (AbsentReason.NO_NL80211, AbsentReason.NO_INTERFACE)
    assert str(absent.value)
    assert "\n" not in str(absent.value)


def test_pyroute2_is_not_loaded_before_there_is_a_radio_to_decode():
    code = (
        "import asyncio, sys\n"
        "from halow.errors import AbsentReason, RadioAbsent\n"
        "import halow.look, halow.monitor, halow.neighbours\n"
        "from halow.interfaces import Wanted\n"
        "assert not any(name.startswith('pyroute2') for name in sys.modules)\n"
        "states, radio = asyncio.run(halow.look.look_once(halow.look.radio_for(Wanted(interface='no-such-wlan'))))\n"
        "loaded = any(name.startswith('pyroute2') for name in sys.modules)\n"
        "assert not radio.present\n"
        "assert not loaded or radio.reason != AbsentReason.NO_NL80211\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

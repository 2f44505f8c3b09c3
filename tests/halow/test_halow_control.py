"""The daemon's control socket as a second source, against a stand-in that answers as hostap does."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon

from halow.control import ControlError, ControlSocket, pairs, socket_of
from halow.daemonwords import DaemonFacts, access_point, event, reason, station, waits
from halow.model import Change, LinkEvent, LinkSample, Mode, RadioFacts, RadioSample
from halow.watched import DaemonFeed, WatchedRadio, merged

FACTS = RadioFacts("wlan0", "morse_sdio", "0c:bf:74:00:00:01", mode=Mode.AP, kernel_mhz=5610, channel="kernel 5610 MHz")
MAC = "02:00:00:00:0a:01"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    made = FakeDaemon(tmp_path / "hostapd_s1g/wlan0")
    made.start()
    yield made
    made.stop()


async def test_questions_and_answers(daemon: FakeDaemon) -> None:
    control = ControlSocket(daemon.path)
    await control.open()
    try:
        assert await control.ask("PING") == "PONG"
        assert pairs(await control.ask("STATUS"))["s1g_freq"] == "918000"
        with pytest.raises(ControlError, match="SIGNAL_POLL is refused: UNKNOWN COMMAND"):
            await control.ask("SIGNAL_POLL")
        both = await asyncio.gather(control.ask("PING"), control.ask("STATUS"))
        assert (both[0], "ENABLED" in both[1]) == ("PONG", True)
    finally:
        await control.close()


async def test_events_come_beside_answers_and_in_order(daemon: FakeDaemon) -> None:
    control = ControlSocket(daemon.path)
    await control.open()
    try:
        await control.attach()
        daemon.tell(f"AP-STA-CONNECTED {MAC}")
        daemon.tell(f"AP-STA-DISCONNECTED {MAC}")
        assert await control.ask("PING") == "PONG"
        assert await control.event() == f"AP-STA-CONNECTED {MAC}"
        assert await control.event() == f"AP-STA-DISCONNECTED {MAC}"
    finally:
        await control.close()


async def test_who_is_not_there_not_permitted_or_silent_is_named(daemon: FakeDaemon, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no daemon listens there"):
        await ControlSocket(tmp_path / "nobody").open()
    if os.geteuid() != 0:      # root may everything
        daemon.path.chmod(0)
        with pytest.raises(ControlError, match="ctrl_interface_group"):
            await ControlSocket(daemon.path).open()
    daemon.answers["STATUS"] = None
    control = ControlSocket(daemon.path, timeout_s=0.2)
    await control.open()
    with pytest.raises(ControlError, match=r"no answer to STATUS in 0.2 s"):
        await control.ask("STATUS")
    await control.close()
    await control.open()
    daemon.stop(remove=False)
    with pytest.raises(ControlError, match="no daemon listens there"):
        await control.ask("PING")
    await control.close()
    await control.close()
    with pytest.raises(ControlError, match="not open"):
        await control.ask("PING")


def test_the_vendors_own_build_is_preferred(tmp_path: Path) -> None:
    import socket

    directories = [str(tmp_path / name) for name in ("hostapd_s1g", "hostapd")]
    assert socket_of("wlan0", directories) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s1g:
        (tmp_path / "hostapd").mkdir()
        plain.bind(f"{tmp_path}/hostapd/wlan0")
        assert socket_of("wlan0", directories) == tmp_path / "hostapd/wlan0"
        (tmp_path / "hostapd_s1g").mkdir()
        s1g.bind(f"{tmp_path}/hostapd_s1g/wlan0")
        assert socket_of("wlan0", directories) == tmp_path / "hostapd_s1g/wlan0"


class PlainRadio:
    """A radio that plays the kernel."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[LinkEvent] = asyncio.Queue()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def sample(self) -> RadioSample:
        return RadioSample(FACTS, (LinkSample(MAC, -66),))

    async def wait_event(self) -> LinkEvent:
        return await self.events.get()


@asynccontextmanager
async def watched(daemon: FakeDaemon) -> AsyncIterator[tuple[WatchedRadio, PlainRadio]]:
    base = PlainRadio()
    radio = WatchedRadio(base, DaemonFeed([str(daemon.path.parent)], ping_s=0.2, retry_first_s=0.05))
    await radio.open()
    try:
        yield radio, base
    finally:
        await radio.close()


async def test_the_daemon_tells_the_true_channel_and_why_a_peer_went(daemon: FakeDaemon) -> None:
    async with asyncio.timeout(20), watched(daemon) as (radio, base):
        facts = (await radio.sample()).facts
        assert (facts.channel, facts.s1g_khz, facts.width_mhz, facts.ssid) == ("918.0 MHz, 4 MHz wide (kernel 5610)", 918_000, 4, "meters")
        daemon.tell(f"AP-STA-DISCONNECTED {MAC} reason=4")
        assert await radio.wait_event() == LinkEvent(Change.PEER_REMOVED, MAC, "reason 4: inactivity")
        base.events.put_nowait(LinkEvent(Change.PEER_ADDED, MAC))
        assert await radio.wait_event() == LinkEvent(Change.PEER_ADDED, MAC)
        waiting = asyncio.create_task(radio.wait_event())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        base.events.put_nowait(LinkEvent(Change.PEER_REMOVED, MAC))
        assert await radio.wait_event() == LinkEvent(Change.PEER_REMOVED, MAC), "cancelling lost nothing"


@pytest.mark.parametrize("how", ["ends", "is killed", "is killed and its file stays"])
async def test_a_daemon_that_comes_back_is_attached_to_again(daemon: FakeDaemon, how: str) -> None:
    async with asyncio.timeout(20), watched(daemon) as (radio, _):
        assert (await radio.sample()).facts.s1g_khz == 918_000
        if how == "ends":
            daemon.tell("CTRL-EVENT-TERMINATING")
        daemon.stop(remove=how != "is killed and its file stays")
        while radio.feed.facts is not None:      # noticed by its word, or when it is asked whether it lives
            await asyncio.sleep(0.02)
        assert (await radio.sample()).facts.channel == "kernel 5610 MHz"
        assert radio.feed.problem
        daemon.stop()
        daemon.start()
        await radio.feed.attached.wait()
        assert (await radio.sample()).facts.s1g_khz == 918_000
        await daemon.until_asked("ATTACH", 2)


async def test_an_answer_that_comes_too_late_is_nobodys(daemon: FakeDaemon) -> None:
    daemon.answers["SIGNAL_POLL"] = None
    control = ControlSocket(daemon.path, timeout_s=0.2)
    await control.open()
    try:
        await control.attach()
        with pytest.raises(ControlError, match="no answer to SIGNAL_POLL"):
            await control.ask("SIGNAL_POLL")
        with pytest.raises(ControlError, match="no answer to SIGNAL_POLL"):
            await control.ask("STATUS")
        with pytest.raises(ControlError, match="no answer to SIGNAL_POLL"):
            await control.event()
    finally:
        await control.close()


async def test_what_a_radio_that_was_closed_had_heard_is_not_news_to_the_one_that_is_opened(daemon: FakeDaemon) -> None:
    async with asyncio.timeout(20), watched(daemon) as (radio, _):
        assert (await radio.sample()).facts.s1g_khz == 918_000
        daemon.tell(f"AP-STA-DISCONNECTED {MAC} reason=4")
        while not radio.feed.events:
            await radio.feed.news.wait()
        await radio.close()
        assert (radio.feed.facts, len(radio.feed.events)) == (None, 0)


def test_what_the_daemons_say() -> None:
    assert access_point(pairs("state=ENABLED\ns1g_freq=918.5\ns1g_bw=2\nssid[0]=m")) == DaemonFacts("hostapd", "ENABLED", "m", 918_500, 2)
    assert access_point({"s1g_freq": "5610", "s1g_bw": "160"}) == DaemonFacts("hostapd"), "no S1G frequency, no S1G width"
    assert access_point({"s1g_bw": "3"}).width_mhz is None, "everything that grades and counts would stumble over it"
    found = station(pairs("wpa_state=COMPLETED\nssid=m\n"), {"NOISE": "-102"})
    assert (found.working, found.noise_dbm, found.s1g_khz) == (True, -102, None)
    assert station({"wpa_state": "SCANNING"}, {"NOISE": "9999"}).noise_dbm is None
    assert not station({"wpa_state": "SCANNING"}, {}).working
    assert event("CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:0A:01 reason=4 locally_generated=1") == LinkEvent(
        Change.PEER_REMOVED, MAC, "reason 4: inactivity, we ended it")
    assert event("CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:0a:01 completed [id=0 id_str=]") == LinkEvent(Change.PEER_ADDED, MAC)
    assert event("CTRL-EVENT-BEACON-LOSS") == LinkEvent(Change.RESYNC)
    assert event("WPS-AP-AVAILABLE") is None
    assert reason("reason=999") == "reason 999: see IEEE 802.11, 9.4.1.7"
    assert reason("") == ""
    assert waits('CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="m" auth_failures=2 duration=20 reason=WRONG_KEY') == "not tried for 20 s after wrong key"
    assert waits("CTRL-EVENT-CONNECTED") == ""


def test_facts_that_the_kernel_knows_better_stay() -> None:
    known = RadioFacts("wlan0", "x", "m", mode=Mode.STATION, noise_dbm=-99, ssid="seen", s1g_khz=918_000, s1g_channel=32, channel="S1G 32")
    assert merged(known, DaemonFacts("hostapd", noise_dbm=-80, ssid="other", s1g_khz=918_000)) == known
    bare = merged(RadioFacts("wlan0", "x", "m"), DaemonFacts("wpa_supplicant", ssid="m", noise_dbm=-101))
    assert (bare.mode, bare.noise_dbm, bare.ssid) == (Mode.STATION, -101, "m")

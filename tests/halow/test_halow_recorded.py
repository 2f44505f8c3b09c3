"""Messages that a real kernel wrote about its simulated radios (`HALOW_RECORD=1 make test-radio`), read by our decoders."""

import json
from pathlib import Path
from typing import Any

import pytest

from halow import nl80211
from halow.model import Change, LinkEvent, Mode
from halow.netlink import GENERIC as GENERIC_HEADER
from halow.netlink import HEADER
from halow.radios import GENERIC
from halow.regulatory import domain

RECORDED = Path(__file__).parent / "recorded"


def recording(name: str) -> dict[str, Any]:
    """The recording, its messages as bytes."""
    told = json.loads((RECORDED / f"{name}.json").read_text())
    return {key: [bytes.fromhex(one) for one in value] if isinstance(value, list) else value for key, value in told.items()}


def test_an_access_point_with_three_stations() -> None:
    said = recording("hwsim-ap")
    (there,) = [found for one in said["interface"] if (found := nl80211.interface(one)) is not None]
    assert (there.name, there.mac, there.mode, there.ssid) == ("halow0", "02:00:00:00:00:00", Mode.AP, "lab")
    assert (there.kernel_mhz, there.width_mhz, there.native_s1g) == (5180, 20, False)
    stations = [GENERIC.correct(found) for one in said["station"] if (found := nl80211.station(one)) is not None]
    assert {peer.mac: peer.signal_dbm for peer in stations} == {
        f"02:00:00:00:{int(number):02x}:00": level for number, level in said["levels"].items()}
    for peer in stations:
        assert peer.rx_rate is not None
        assert peer.rx_rate.kbps in (6_000, 9_000, 12_000, 18_000, 24_000, 36_000, 48_000, 54_000)
        assert None not in (peer.inactive_ms, peer.connected_s, peer.rx_bytes, peer.tx_retries, peer.tx_failed)
        assert peer.beacon_signal_avg_dbm is None, "an access point hears no beacon of its stations"


def test_a_station_beside_a_device_without_an_interface() -> None:
    said = recording("hwsim-station")
    there = [found for one in said["interface"] if (found := nl80211.interface(one)) is not None]
    assert len(said["interface"]) == 2
    assert [found.mode for found in there] == [Mode.STATION], "wpa_supplicant's P2P device is none"
    (peer,) = [found.sample for one in said["station"] if (found := nl80211.station(one)) is not None]
    level = said["levels"]["1"] + 3
    assert (peer.signal_dbm, peer.beacon_signal_avg_dbm, peer.beacon_loss) == (level, level, 0)


@pytest.mark.parametrize("name", ["hwsim-ap", "hwsim-station"])
def test_a_survey_of_no_channel_in_use_tells_nothing(name: str) -> None:
    assert [found for one in recording(name)["survey"] if (found := nl80211.survey(one)) is not None] == []


ACCESS_POINT, STATION = "02:00:00:00:00:00", "02:00:00:00:01:00"
AUTHENTICATE, ASSOCIATE, CONNECT, DISCONNECT, NOTIFY_CQM = 37, 38, 46, 48, 64


def events(name: str) -> list[tuple[int, LinkEvent | None]]:
    """Every event of a recording: its command, and what it means for us."""
    said = recording(name)
    return [(GENERIC_HEADER.unpack_from(one, HEADER.size)[0], nl80211.event(one, said["ifindex"])) for one in said["event"]]


def test_a_station_is_told_who_put_it_off_and_why() -> None:
    """Deauthenticated and disassociated by its access point, left by itself, and cut off: beacons that stay away end with a deauthentication of its own."""
    heard = events("hwsim-station")
    farewells = [(command, event.reason) for command, event in heard if event is not None and event.reason]
    assert [one for one in farewells if "we ended it" not in one[1]] == [
        (nl80211.DEAUTHENTICATE, "reason 2: authentication expired"), (nl80211.DISASSOCIATE, "reason 2: authentication expired")]
    assert [one for one in farewells if "we ended it" in one[1]][-2:] == [
        (nl80211.DEAUTHENTICATE, "reason 3: the station left, we ended it"), (nl80211.DEAUTHENTICATE, "reason 4: inactivity, we ended it")]
    assert {event.mac for _, event in heard if event is not None} == {ACCESS_POINT}


@pytest.mark.parametrize("command", [AUTHENTICATE, ASSOCIATE, CONNECT, DISCONNECT, NOTIFY_CQM])
def test_what_says_nothing_that_another_event_does_not_say_is_left_alone(command: int) -> None:
    meant = [event for heard, event in events("hwsim-station") if heard == command]
    assert meant, "it is in the recording"
    assert set(meant) == {None}


def test_an_access_point_sees_its_station_go_and_come_back_each_time() -> None:
    changes = [event.change for _, event in events("hwsim-ap") if event is not None and event.mac == STATION]
    assert changes[0] is Change.PEER_REMOVED
    assert changes[-1] is Change.PEER_ADDED
    assert changes.count(Change.PEER_ADDED) == 4
    assert all(nl80211.event(one, recording("hwsim-ap")["ifindex"] + 1) is None for one in recording("hwsim-ap")["event"]), "of another interface"


@pytest.mark.parametrize("name", ["hwsim-ap", "hwsim-station"])
def test_the_kernels_regulatory_domain(name: str) -> None:
    found = domain(recording(name)["regulatory"])
    assert found is not None
    assert found.country == "AU"
    allowed = found.at(5180)
    assert (allowed.width_max_mhz, allowed.listen_only) == (80.0, False)
    assert allowed.eirp_max_dbm == pytest.approx(23, abs=1)

"""Messages that a real kernel wrote about its simulated radios (`HALOW_RECORD=1 make test-radio`), read by our decoders."""

import json
from pathlib import Path
from typing import Any

import pytest

from halow import nl80211
from halow.model import Mode
from halow.radios import GENERIC

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
    level = said["levels"]["2"] + 3
    assert (peer.signal_dbm, peer.beacon_signal_avg_dbm, peer.beacon_loss) == (level, level, 0)


@pytest.mark.parametrize("name", ["hwsim-ap", "hwsim-station"])
def test_a_survey_of_no_channel_in_use_tells_nothing(name: str) -> None:
    assert [found for one in recording(name)["survey"] if (found := nl80211.survey(one)) is not None] == []

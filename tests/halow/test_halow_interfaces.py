"""Which interface is the radio."""

import pytest

from halow.errors import AbsentReason, RadioAbsent
from halow.interfaces import Interface, Wanted, choose, country_of, with_driver
from halow.model import Mode
from halow.radios import is_halow, vendor_of

ONBOARD = Interface(3, "wlan0", "dc:a6:32:00:00:01", Mode.STATION, driver="brcmfmac")
MORSE = Interface(4, "wlan1", "0c:bf:74:00:00:01", Mode.AP, driver="morse_sdio")
NEWRACOM = Interface(5, "wlan2", "02:00:00:00:00:05", Mode.AP, driver="nrc80211")
MORSE_MONITOR = Interface(6, "morse0", "0c:bf:74:00:00:01", Mode.OTHER, driver="morse_sdio")


@pytest.mark.parametrize(("there", "wanted", "expected"), [
    ([ONBOARD, MORSE], Wanted(), MORSE),
    ([MORSE_MONITOR, MORSE], Wanted(), MORSE),
    ([ONBOARD, MORSE, NEWRACOM], Wanted(driver="nrc*"), NEWRACOM),
    ([ONBOARD, MORSE, NEWRACOM], Wanted(mac="0C:BF:74:00:00:01"), MORSE),
    ([ONBOARD, MORSE], Wanted(interface="wlan0"), ONBOARD),
])
def test_the_one_that_is_meant(there, wanted, expected):
    assert choose(there, wanted, is_halow) == expected


@pytest.mark.parametrize(("there", "wanted", "reason", "says"), [
    ([], Wanted(), AbsentReason.NO_INTERFACE, "is the radio's driver loaded for this kernel"),
    ([ONBOARD], Wanted(), AbsentReason.NO_INTERFACE, r"there is wlan0 \(brcmfmac, dc:a6:32:00:00:01\)"),
    ([MORSE], Wanted(interface="wlan1", driver="nrc*"), AbsentReason.NO_INTERFACE, "interface wlan1, driver nrc"),
    ([MORSE, NEWRACOM], Wanted(), AbsentReason.AMBIGUOUS, "name one by its MAC"),
])
def test_none_or_too_many_say_what_there_is(there, wanted, reason, says):
    with pytest.raises(RadioAbsent, match=says) as absent:
        choose(there, wanted, is_halow)
    assert absent.value.reason is reason


def test_driver_and_country_come_from_sysfs(tmp_path):
    device = tmp_path / "class/net/wlan1/device"
    device.mkdir(parents=True)
    (device / "driver").symlink_to("../../../../bus/spi/drivers/morse_spi")
    bare = Interface(4, "wlan1", "0c:bf:74:00:00:01")
    assert with_driver(bare, tmp_path).driver == "morse_spi"
    assert with_driver(Interface(9, "wlan9", ""), tmp_path).driver == ""
    (tmp_path / "module/morse/parameters").mkdir(parents=True)
    (tmp_path / "module/morse/parameters/country").write_text("au\n")
    assert country_of("morse/parameters/country", tmp_path) == "AU"
    assert country_of("nrc/parameters/country", tmp_path) == ""
    assert country_of("", tmp_path) == ""


@pytest.mark.parametrize(("driver", "vendor", "halow"), [
    ("morse_sdio", "morse", True), ("morse_usb", "morse", True), ("nrc80211", "newracom", True),
    ("brcmfmac", "generic", False), ("mac80211_hwsim", "generic", False), ("", "generic", False),
])
def test_vendors_by_driver(driver, vendor, halow):
    assert (vendor_of(driver).name, is_halow(driver)) == (vendor, halow)

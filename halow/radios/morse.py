"""Morse Micro MM6108, MM8108: morse_sdio, morse_spi, morse_usb.

Source: MorseMicro/morse_driver 1.12.4 (dot11ah shim, mmrc rate control) and its channel maps. The driver poses as
802.11ac: S1G widths of 1, 2, 4, 8 MHz are shown as 20, 40, 80, 160 MHz on made-up 5 GHz channels, and the rate that its
rate control found best as a VHT MCS of that width, ten times too fast and more. Counters are real.
"""

from halow.radios.vendor import Region, Vendor

_US_1MHZ = dict(zip(
    [132, 136, *range(36, 65, 4), *range(100, 129, 4), *range(149, 178, 4)], range(1, 52, 2), strict=True,
))
_US_2MHZ = dict(zip(
    [134, 38, 46, 54, 62, 102, 110, 118, 126, 151, 159, 167, 175], range(2, 51, 4), strict=True,
))
_US_4MHZ = dict(zip([42, 58, 106, 122, 155, 171], range(8, 49, 8), strict=True))
_US_8MHZ = {50: 12, 114: 28, 163: 44}

_US = {1: _US_1MHZ, 2: _US_2MHZ, 4: _US_4MHZ, 8: _US_8MHZ}


def _from_915_mhz(channels: dict[int, int], width_mhz: int) -> dict[int, int]:
    """Return the channels that lie whole above 915 MHz, where Australia and New Zealand begin."""
    return {shown: s1g for shown, s1g in channels.items() if 902_000 + 500 * s1g - 500 * width_mhz >= 915_000}


_AU = {width: _from_915_mhz(channels, width) for width, channels in _US.items()}

MORSE = Vendor(
    name="morse",
    drivers=("morse*",),
    source="MorseMicro/morse_driver 1.12.4",
    rates="s1g",
    widths={20: 1, 40: 2, 80: 4, 160: 8},
    regions={
        "US": Region(902_000, _US),
        "CA": Region(902_000, _US),
        "AU": Region(902_000, _AU),
        "NZ": Region(902_000, _AU),
        "EU": Region(863_000, {1: {132: 1, 136: 3, 36: 5, 40: 7, 44: 9}}),
    },
    country_parameter="morse/parameters/country",
)

"""What a vendor's driver can be trusted with, and how it disguises S1G: the shape of one file per vendor (pure).

To add a vendor: one file with a `Vendor` in it, its source cited on top, one line in `halow/radios/__init__.py`, and a
recorded station dump under tests/halow (docs/adding-a-radio.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

from halow.interfaces import Interface
from halow.model import LinkSample, RadioFacts, Rate
from halow.s1g import rate_kbps


@dataclass(frozen=True, slots=True)
class ShownRate:
    """A rate as nl80211 gives it. `form` says which attribute carried the MCS; "s1g" is the native one."""

    form: Literal["legacy", "ht", "vht", "s1g"]
    kbps: int | None = None
    mcs: int | None = None
    width_mhz: int | None = None
    short_gi: bool = False


@dataclass(frozen=True, slots=True)
class Station:
    """One entry of a station dump, before anybody judged it. `sample` has no rates yet."""

    sample: LinkSample
    tx: ShownRate | None = None
    rx: ShownRate | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """How one country's S1G channels are shown: S1G width -> shown channel number -> S1G channel number.

    The centre of S1G channel n is `base_khz` + 500 kHz * n (IEEE 802.11-2020, Annex E).
    """

    base_khz: int
    channels: Mapping[int, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's driver family. `drivers` are patterns over sysfs driver names.

    `faked` are LinkSample fields that the driver makes up: they become None. `rates` says what a shown rate means:
    "s1g" = an 802.11ac disguise of S1G, "as_shown" = the truth, "none" = nothing. `widths` maps the shown channel
    width to the S1G width. `country_parameter` is where sysfs keeps the country, below /sys/module;
    `country_from_kernel`: the driver goes by the kernel's regulatory domain.
    """

    name: str
    drivers: tuple[str, ...]
    source: str
    halow: bool = True
    faked: frozenset[str] = frozenset()
    rates: Literal["s1g", "as_shown", "none"] = "as_shown"
    widths: Mapping[int, int] = field(default_factory=dict)
    regions: Mapping[str, Region] = field(default_factory=dict)
    country_parameter: str = ""
    country_from_kernel: bool = False

    def drives(self, driver: str) -> bool:
        """Tell whether a driver of this name belongs to the vendor."""
        return any(fnmatchcase(driver, pattern) for pattern in self.drivers)

    def correct(self, station: Station) -> LinkSample:
        """Return the sample with everything the driver makes up taken out and the rates as they are on the air."""
        sample = replace(station.sample, tx_rate=self._rate(station.tx), rx_rate=self._rate(station.rx))
        return replace(sample, **dict.fromkeys(self.faked, None)) if self.faked else sample      # type: ignore[arg-type]  # names of its fields that may be None

    def facts(self, interface: Interface, country: str, noise_dbm: int | None) -> RadioFacts:
        """Return the radio's facts, with its true channel where it can be told."""
        width = interface.width_mhz if interface.native_s1g else self.widths.get(interface.width_mhz or 0)
        if not self.halow and not interface.native_s1g:
            width = None
        channel, khz = self._s1g(interface, country, width)
        return RadioFacts(
            interface=interface.name, driver=interface.driver, mac=interface.mac, mode=interface.mode,
            vendor=self.name, ssid=interface.ssid, noise_dbm=noise_dbm, kernel_mhz=interface.kernel_mhz,
            width_mhz=width, s1g_channel=channel, s1g_khz=khz, channel=_channel_text(interface, channel, khz, width),
            country=country,
        )

    def _s1g(self, interface: Interface, country: str, width: int | None) -> tuple[int | None, int | None]:
        """Return (S1G channel, centre in kHz), as far as known."""
        center_mhz = interface.center_mhz or interface.kernel_mhz
        if center_mhz is None or width is None:
            return None, None
        if interface.native_s1g:
            return None, center_mhz * 1000 + interface.offset_khz
        region = self.regions.get(country)
        if region is None:
            return None, None
        shown = (center_mhz - 5000) // 5
        channel = region.channels.get(width, {}).get(shown)
        return channel, None if channel is None else region.base_khz + 500 * channel

    def _rate(self, shown: ShownRate | None) -> Rate | None:
        if shown is None or (self.rates == "none" and shown.form != "s1g"):
            return None
        if shown.form == "s1g":
            width = shown.width_mhz
        elif self.rates == "as_shown":
            return Rate(shown.kbps, shown.mcs, shown.width_mhz, shown.short_gi)
        else:
            width = self.widths.get(shown.width_mhz or 0)
        if shown.mcs is None or width is None:
            return None
        return Rate(rate_kbps(shown.mcs, width, short_gi=shown.short_gi), shown.mcs, width, shown.short_gi)


def _channel_text(interface: Interface, channel: int | None, khz: int | None, width: int | None) -> str:
    wide = f", {width} MHz wide" if width is not None else ""
    if khz is not None:
        name = f"S1G {channel}, " if channel is not None else ""
        shown = "" if interface.native_s1g else f" (kernel {interface.kernel_mhz})"
        return f"{name}{khz / 1000:.1f} MHz{wide}{shown}"
    if interface.kernel_mhz is None:
        return "unknown"
    return f"kernel {interface.kernel_mhz} MHz{wide}"

"""Which of the machine's wireless interfaces is the HaLow radio.

Never by name alone: names move between boots when a board also has onboard Wi-Fi. The choice is pure; `driver_of` and
`country_of` look into sysfs (I/O edge).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from halow.errors import AbsentReason, RadioAbsent
from halow.model import Mode

SYS = Path("/sys")


@dataclass(frozen=True, slots=True)
class Interface:
    """A wireless interface as the kernel lists it. Frequencies in MHz plus `offset_khz`, as nl80211 gives them.

    `width_mhz` is the width the kernel shows; HaLow drivers that pose as 802.11ac show 20 for 1 MHz and so on.
    `wiphy` is the kernel's number of the radio behind it.
    """

    ifindex: int
    name: str
    mac: str
    mode: Mode = Mode.OTHER
    ssid: str = ""
    kernel_mhz: int | None = None
    center_mhz: int | None = None
    offset_khz: int = 0
    width_mhz: int | None = None
    native_s1g: bool = False
    driver: str = ""
    wiphy: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator said about the radio; an empty text means "any". `driver` may be a pattern ("morse*")."""

    interface: str = ""
    driver: str = ""
    mac: str = ""

    def __str__(self) -> str:
        """Return the parts that were given, for messages."""
        parts = {"interface": self.interface, "driver": self.driver, "mac": self.mac}
        return ", ".join(f"{key} {value}" for key, value in parts.items() if value) or "any HaLow driver"

    def fits(self, interface: Interface) -> bool:
        """Tell whether an interface is what was asked for in every part given."""
        return (
            self.interface in ("", interface.name)
            and (not self.driver or fnmatchcase(interface.driver, self.driver))
            and self.mac.lower() in ("", interface.mac)
        )


def choose(interfaces: Sequence[Interface], wanted: Wanted, is_halow: Callable[[str], bool]) -> Interface:
    """Return the one interface to watch. RadioAbsent says what there is instead.

    `is_halow` tells for a driver's name whether it is a known HaLow driver; it decides when nothing was asked for.
    """
    asked = bool(wanted.interface or wanted.driver or wanted.mac)
    fitting = [one for one in interfaces if (wanted.fits(one) if asked else is_halow(one.driver))]
    if len(fitting) > 1:
        # AP VLANs, monitors and P2P devices hang on the same radio: the one that carries traffic is meant.
        working = [one for one in fitting if one.mode is not Mode.OTHER]
        fitting = working or fitting
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"{one.name} ({one.driver or 'driver unknown'}, {one.mac})" for one in interfaces)
    if fitting:
        raise RadioAbsent(AbsentReason.AMBIGUOUS, f"several interfaces match {wanted}: {there}; name one by its MAC")
    if not interfaces:
        raise RadioAbsent(AbsentReason.NO_INTERFACE,
                          f"no wireless interface ({wanted} wanted): is the radio's driver loaded for this kernel?")
    raise RadioAbsent(AbsentReason.NO_INTERFACE,
                      f"no wireless interface matches {wanted}; there is {there}: set interface, driver or MAC")


def with_driver(interface: Interface, sys: Path = SYS) -> Interface:
    """Return the interface with its driver's name filled in ("" when sysfs does not tell)."""
    link = sys / "class/net" / interface.name / "device/driver"
    try:
        return replace(interface, driver=link.readlink().name)
    except OSError:
        return interface


def country_of(module_parameter: str, sys: Path = SYS) -> str:
    """Return the country a driver was loaded for, e.g. from "morse/parameters/country"; "" when it does not tell."""
    if not module_parameter:
        return ""
    try:
        return (sys / "module" / module_parameter).read_text().strip().upper()
    except OSError:
        return ""

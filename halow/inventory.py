"""What radio this is and what runs it: driver, module, firmware, board file, country, kernel (I/O edge).

The questions that people with HaLow boards ask first: which board file is really loaded, which country, and whether the
driver was built for the kernel that runs. An out-of-tree driver is lost with a kernel upgrade, and then there is simply
no interface: `missing_modules` says so.
"""

import array
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from halow.regions import region_of

SIOCETHTOOL, GET_DRIVER_INFO = 0x8946, 0x00000003      # linux/sockios.h, linux/ethtool.h
DRIVER_INFO_BYTES = 196
SYS, MODULES = Path("/sys"), Path("/lib/modules")

KNOWN_MODULES = {"morse": ("morse.ko", "dot11ah.ko"), "newracom": ("nrc.ko",)}
"""Vendor -> the files that its driver consists of, without compression suffix."""

PARAMETERS = ("country", "bcf", "serial", "spi_clock_speed", "enable_ps", "enable_watchdog", "fw_name", "bd_name",
              "power_save", "hifspeed", "kr_band")
"""Module parameters worth showing, of either vendor."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is there; "" = not told. `parameters` are those of the module, as loaded."""

    kernel: str
    interface: str = ""
    driver: str = ""
    module: str = ""
    module_version: str = ""
    firmware: str = ""
    bus: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    country: str = ""
    regulation: str = ""
    missing_modules: tuple[str, ...] = ()

    def lines(self) -> list[tuple[str, str]]:
        """Return (name, value) of what is known, for people."""
        rows = [("kernel", self.kernel), ("interface", self.interface), ("driver", self.driver),
                ("module", " ".join(part for part in (self.module, self.module_version) if part)),
                ("firmware", self.firmware), ("bus", self.bus), ("country", self.country),
                ("regulation", self.regulation), *((f"module {key}", value) for key, value in self.parameters)]
        if self.missing_modules:
            rows.append(("missing", f"{', '.join(self.missing_modules)} not built for kernel {self.kernel}"))
        return [(name, value) for name, value in rows if value]

    def attributes(self) -> dict[str, str | bool]:
        """Return what is so of the radio as flat keys and values, for a server that keeps the newest of each.

        Every key is always there: "" says that it is not known (any more), and so replaces what was told before.
        """
        parameters = dict(self.parameters)
        return {
            "radio_interface": self.interface, "radio_driver": self.driver, "radio_driver_version": self.module_version,
            "radio_firmware": self.firmware or parameters.get("fw_name", ""),
            "radio_board_file": parameters.get("bcf", "") or parameters.get("bd_name", ""),
            "radio_country": self.country, "radio_regulation": self.regulation, "radio_kernel": self.kernel,
            "radio_driver_missing": bool(self.missing_modules),
            "radio_missing_modules": ", ".join(self.missing_modules),
        }


def take(interface: str, country: str = "", *, sys: Path = SYS, modules: Path = MODULES, kernel: str = "") -> Inventory:
    """Take stock of the radio behind `interface`, "" for a machine without one. What cannot be read is left out.

    `country`: what the radio runs under where the driver was not loaded for one.
    """
    kernel = kernel or os.uname().release
    missing = missing_modules(kernel, modules)
    if not interface:
        return Inventory(kernel, missing_modules=missing)
    device = sys / "class/net" / interface / "device"
    module = _target(device / "driver/module")
    parameters = tuple((name, value) for name in PARAMETERS
                       if (value := _text(sys / "module" / module / "parameters" / name))) if module else ()
    country = dict(parameters).get("country", "").upper() or country
    region = region_of(country) if country else None
    driver, version, firmware, bus = _driver_info(interface)
    return Inventory(
        kernel, interface, _target(device / "driver") or driver, module,
        (_text(sys / "module" / module / "version") or version) if module else version, firmware, bus, parameters,
        country, "" if region is None else region.summary(), missing)


def missing_modules(kernel: str, modules: Path = MODULES) -> tuple[str, ...]:
    """Return the HaLow modules that other kernels on this machine have and `kernel` has not: lost with an upgrade."""
    there = {release.name: _halow_modules(release) for release in _releases(modules)}
    others = {name for release, names in there.items() if release != kernel for name in names}
    return tuple(sorted(others - there.get(kernel, set())))


def _halow_modules(release: Path) -> set[str]:
    known = {name for names in KNOWN_MODULES.values() for name in names}
    return {plain for file in release.rglob("*.ko*") if (plain := _plain(file.name)) in known}


def _releases(modules: Path) -> Sequence[Path]:
    try:
        return [one for one in modules.iterdir() if one.is_dir()]
    except OSError:
        return []


def _plain(name: str) -> str:
    return name[: name.index(".ko") + 3]


def _driver_info(interface: str) -> tuple[str, str, str, str]:
    """Return (driver, version, firmware, bus) as ethtool's GDRVINFO tells, "" each where it does not."""
    info = array.array("B", struct.pack("I", GET_DRIVER_INFO) + bytes(DRIVER_INFO_BYTES - 4))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sP", interface.encode()[:15], info.buffer_info()[0])
            fcntl.ioctl(sock.fileno(), SIOCETHTOOL, request)
    except OSError:
        return "", "", "", ""
    driver, version, firmware, bus = (_word(info.tobytes()[at:at + 32]) for at in (4, 36, 68, 100))
    return driver, version, firmware, bus


def _word(field: bytes) -> str:
    text = field.split(b"\0", 1)[0].decode(errors="replace").strip()
    return "" if text == "N/A" else text


def _target(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        text = path.read_text(errors="replace").strip()
    except OSError:
        return ""
    return "" if text in ("(null)", "") else text[:120]
